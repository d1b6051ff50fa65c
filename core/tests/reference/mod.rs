//! A naive `Consumer`, and its comparison with the real one.

mod account;
mod answers;
mod apply;
mod calls;
mod collect;
mod compare;
mod crowd;
mod inputs;
mod intake;
mod lanes;
mod life;
mod lots;
mod model;
mod offers;
mod ops;
mod outputs;
mod parking;
mod resume;
mod seen;
mod sequence;
mod setup;
mod suspects;

pub use compare::{compare, compare_restored};
pub use ops::{Op, deaths, ops};
pub use seen::Seen;
pub use setup::setups;
