//! What a core was told and asked, and what it answered, as the lines of a failure report.
//!
//! The simulator and the flight recorder write the same format with the code of this crate; the
//! parser is the simulator's. Every type tells a [`Fields`](text::Fields) once what it consists of,
//! and a writer and a reader follow from that.
#![warn(missing_docs)]
#![forbid(unsafe_code)]

mod answer;
mod call;
mod config;
mod flight;
mod report;
mod step;
pub mod text;

pub use answer::{Answer, Answers};
pub use call::{Call, Open, Poll, Settled};
pub use config::config;
pub use flight::{FLIGHT_BYTES_MIN, Flight};
pub use report::{Head, VERSION, digest, write_config, write_end, write_outputs};
pub use step::{POLLS_MAX, Step};

/// SplitMix64's finaliser (public domain, Sebastiano Vigna).
#[must_use]
pub const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}
