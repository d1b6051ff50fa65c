//! The generation of a group.

use std::ptr::NonNull;

use rdkafka::bindings as raw;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};

/// The generation of the group as this member knows it (its member epoch under the consumer protocol);
/// 0 for a client that is not a member.
///
/// It grows with every assignment, over all members: epochs that are taken from it can be compared
/// between processes.
pub(crate) fn generation<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> u64 {
    // SAFETY: the client lives; the returned object is ours to destroy.
    let metadata = NonNull::new(unsafe {
        raw::rd_kafka_consumer_group_metadata(consumer.client().native_ptr())
    });
    let Some(metadata) = metadata else {
        return 0;
    };
    // SAFETY: it lives until it is destroyed, right after it was read.
    let generation = unsafe {
        let generation = raw::rd_kafka_consumer_group_metadata_generation_id(metadata.as_ptr());
        raw::rd_kafka_consumer_group_metadata_destroy(metadata.as_ptr());
        generation
    };
    u64::try_from(generation).unwrap_or(0)
}
