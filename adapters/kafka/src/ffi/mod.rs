//! The calls of librdkafka that rdkafka does not offer: the only unsafe code of this workspace.
//!
//! Each module is a safe API over raw calls, with a reason at each block and tests of its own.

pub(crate) mod producer;
