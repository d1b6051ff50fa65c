//! Procession
#![warn(missing_docs)]

mod envelope;
pub mod identity;
mod wire;

pub use envelope::{Envelope, EnvelopeBuilder, EnvelopeError};
