//! Apache Kafka as a broker of Procession.
#![warn(missing_docs)]
#![allow(
    dead_code,
    unused_imports,
    reason = "the broker that uses it comes next"
)]

mod ffi;
mod partitioner;
mod sink;
mod thread;

pub use partitioner::{Partitioner, UnknownPartitioner};
