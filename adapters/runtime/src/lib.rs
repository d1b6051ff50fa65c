//! The driver around `procession-core`, and the ports that brokers implement.
#![warn(missing_docs)]

pub mod port;
