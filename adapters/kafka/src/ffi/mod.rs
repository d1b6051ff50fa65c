//! The few calls of librdkafka that rdkafka does not offer: the only `unsafe` code of this crate.
//!
//! Each file wraps one thing in a type whose safe methods cannot break it: pointers are owned, freed
//! once, and never outlive the client that they belong to (each wrapper holds an `Arc` of it).
#![allow(unsafe_code)]

pub(crate) mod commit;
pub(crate) mod group;
pub(crate) mod producer;
pub(crate) mod queue;
pub(crate) mod topic_id;
