//! Procession
#![warn(missing_docs)]

mod envelope;
pub mod identity;
pub mod settings;
mod wire;

pub use envelope::{Envelope, EnvelopeBuilder, EnvelopeError};
