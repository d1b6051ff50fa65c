//! Commits whose results come through a queue of our own.
//!
//! `commit(Async)` of rdkafka never tells how a commit ended, and `commit(Sync)` blocks the thread that
//! has to poll.

use std::collections::BTreeMap;
use std::ptr::{NonNull, null_mut};

use rdkafka::TopicPartitionList;
use rdkafka::bindings as raw;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;

use super::queue::Queue;

/// How a commit ended.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The error of the request as a whole.
    pub(crate) error: Option<RDKafkaErrorCode>,
    /// What the broker said of each partition: some may be stored although the whole is an error.
    pub(crate) partitions: BTreeMap<i32, Option<RDKafkaErrorCode>>,
}

/// Sends a commit; its answer comes through `answers`.
///
/// # Errors
/// It was not sent.
pub(crate) fn send<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    offsets: &TopicPartitionList,
    answers: &Queue<C>,
) -> Result<(), RDKafkaErrorCode> {
    // SAFETY: client, list and queue live during the call; librdkafka copies the list.
    let error = unsafe {
        raw::rd_kafka_commit_queue(
            consumer.client().native_ptr(),
            offsets.ptr(),
            answers.as_ptr(),
            None,
            null_mut(),
        )
    };
    code(error).map_or(Ok(()), Err)
}

/// Takes the next answer, without waiting.
pub(crate) fn next<C: ConsumerContext>(answers: &Queue<C>) -> Option<Answer> {
    loop {
        // SAFETY: the queue lives; the event is ours to destroy.
        let event = NonNull::new(unsafe { raw::rd_kafka_queue_poll(answers.as_ptr(), 0) })?;
        let event = Event(event);
        // SAFETY: the event lives until the end of this turn.
        let kind = unsafe { raw::rd_kafka_event_type(event.0.as_ptr()) };
        if kind != raw::RD_KAFKA_EVENT_OFFSET_COMMIT {
            continue;
        }
        // SAFETY: as above; the list belongs to the event and is only read here.
        let (error, list) = unsafe {
            (
                raw::rd_kafka_event_error(event.0.as_ptr()),
                raw::rd_kafka_event_topic_partition_list(event.0.as_ptr()).as_ref(),
            )
        };
        let elements = list.map_or(&[][..], |list| {
            let count = usize::try_from(list.cnt).unwrap_or(0);
            if list.elems.is_null() {
                return &[][..];
            }
            // SAFETY: librdkafka says that there are `cnt` elements, and the event keeps them.
            unsafe { std::slice::from_raw_parts(list.elems, count) }
        });
        return Some(Answer {
            error: code(error),
            partitions: elements
                .iter()
                .map(|e| (e.partition, code(e.err)))
                .collect(),
        });
    }
}

struct Event(NonNull<raw::rd_kafka_event_t>);

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: it came from a queue, once.
        unsafe { raw::rd_kafka_event_destroy(self.0.as_ptr()) };
    }
}

fn code(error: RDKafkaRespErr) -> Option<RDKafkaErrorCode> {
    (error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| error.into())
}

/// The raw metadata of each element of a list, by partition. rdkafka's own accessor panics on what is
/// not UTF-8, and what a group holds is untrusted.
pub(crate) fn metadata(list: &TopicPartitionList) -> BTreeMap<i32, Vec<u8>> {
    // SAFETY: the list lives during the call and is only read.
    let Some(list) = (unsafe { list.ptr().as_ref() }) else {
        return BTreeMap::new();
    };
    let count = usize::try_from(list.cnt).unwrap_or(0);
    if list.elems.is_null() {
        return BTreeMap::new();
    }
    // SAFETY: librdkafka says that there are `cnt` elements.
    let elements = unsafe { std::slice::from_raw_parts(list.elems, count) };
    elements
        .iter()
        .map(|element| {
            let bytes = if element.metadata.is_null() {
                Vec::new()
            } else {
                // SAFETY: pointer and size of the element's metadata belong together.
                unsafe {
                    std::slice::from_raw_parts(
                        element.metadata.cast::<u8>().cast_const(),
                        element.metadata_size,
                    )
                }
                .to_vec()
            };
            (element.partition, bytes)
        })
        .collect()
}
