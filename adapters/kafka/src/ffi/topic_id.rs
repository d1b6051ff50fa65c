//! The id of a topic: another one means that the topic was deleted and created again.

use std::ffi::CStr;
use std::ptr::NonNull;
use std::time::Duration;

use rdkafka::bindings as raw;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;

/// Frees what librdkafka gave us, however the function ends.
struct Owned<T>(NonNull<T>, unsafe extern "C" fn(*mut T));

impl<T> Owned<T> {
    fn new(ptr: *mut T, free: unsafe extern "C" fn(*mut T)) -> Option<Self> {
        NonNull::new(ptr).map(|ptr| Self(ptr, free))
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: each object is owned once, and freed with the function that belongs to it.
        unsafe { (self.1)(self.0.as_ptr()) };
    }
}

/// Asks for the id of a topic. Blocks for at most `within`.
///
/// # Errors
/// The broker's error for the topic, or why there was no answer. A broker without topic ids (older than
/// 2.8) answers with zeros.
pub(crate) fn topic_id<C: ClientContext>(
    client: &Client<C>,
    topic: &CStr,
    within: Duration,
) -> Result<[u8; 16], RDKafkaErrorCode> {
    let failed = RDKafkaErrorCode::Fail;
    let rk = client.native_ptr();
    let millis = i32::try_from(within.as_millis()).unwrap_or(i32::MAX);
    let mut names = [topic.as_ptr()];
    // SAFETY: `rk` lives, the array holds one C string, and all objects are freed by `Owned`. The answer
    // borrows from the event, which is freed last.
    unsafe {
        let names = Owned::new(
            raw::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len()),
            raw::rd_kafka_TopicCollection_destroy,
        )
        .ok_or(failed)?;
        let options = Owned::new(
            raw::rd_kafka_AdminOptions_new(
                rk,
                raw::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
            ),
            raw::rd_kafka_AdminOptions_destroy,
        )
        .ok_or(failed)?;
        raw::rd_kafka_AdminOptions_set_request_timeout(
            options.0.as_ptr(),
            millis,
            std::ptr::null_mut(),
            0,
        );
        let queue =
            Owned::new(raw::rd_kafka_queue_new(rk), raw::rd_kafka_queue_destroy).ok_or(failed)?;
        raw::rd_kafka_DescribeTopics(rk, names.0.as_ptr(), options.0.as_ptr(), queue.0.as_ptr());
        let event = Owned::new(
            raw::rd_kafka_queue_poll(queue.0.as_ptr(), millis),
            raw::rd_kafka_event_destroy,
        )
        .ok_or(RDKafkaErrorCode::OperationTimedOut)?;
        let error = raw::rd_kafka_event_error(event.0.as_ptr());
        if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(error.into());
        }
        let result = raw::rd_kafka_event_DescribeTopics_result(event.0.as_ptr());
        if result.is_null() {
            return Err(failed);
        }
        let mut count = 0;
        let topics = raw::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        if topics.is_null() || count == 0 {
            return Err(failed);
        }
        let described = *topics;
        let error = raw::rd_kafka_TopicDescription_error(described);
        if !error.is_null() {
            let code = raw::rd_kafka_error_code(error);
            if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Err(code.into());
            }
        }
        let id = raw::rd_kafka_TopicDescription_topic_id(described);
        if id.is_null() {
            return Ok([0; 16]);
        }
        let high = raw::rd_kafka_Uuid_most_significant_bits(id);
        let low = raw::rd_kafka_Uuid_least_significant_bits(id);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&high.to_be_bytes());
        bytes[8..].copy_from_slice(&low.to_be_bytes());
        Ok(bytes)
    }
}
