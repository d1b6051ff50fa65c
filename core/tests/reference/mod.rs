//! A naive `Consumer`, and its comparison with the real one.

mod account;
mod answers;
mod apply;
mod calls;
mod collect;
mod compare;
mod inputs;
mod intake;
mod lanes;
mod life;
mod model;
mod offers;
mod ops;
mod outputs;
mod parking;
mod resume;
mod seen;
mod sequence;
mod setup;

pub use compare::{compare, compare_restored};
pub use ops::ops;
pub use seen::Seen;
pub use setup::setups;
