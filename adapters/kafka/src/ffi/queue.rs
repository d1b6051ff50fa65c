//! Queues: one for each partition that is read, one for the answers to commits.

use std::ffi::{CStr, CString, c_void};
use std::marker::PhantomData;
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

use rdkafka::bindings as raw;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::{RDKafka, RDKafkaRespErr};

use crate::thread::Bell;

/// A queue of a consumer.
pub(crate) struct Queue<C: ConsumerContext + 'static> {
    ptr: NonNull<raw::rd_kafka_queue_t>,
    /// Rung when the queue stops being empty. Kept alive as long as librdkafka may ring it.
    _bell: Arc<Bell>,
    /// The queue must not outlive its client.
    _owner: Arc<BaseConsumer<C>>,
}

// SAFETY: librdkafka's queues may be used from any thread; the pointer is not tied to the thread that
// made it.
unsafe impl<C: ConsumerContext + 'static> Send for Queue<C> {}

impl<C: ConsumerContext + 'static> Queue<C> {
    /// The queue of one partition, cut off from the consumer's own queue. To be called while the
    /// partition is not assigned: what lies in the common queue already would stay there.
    pub(crate) fn of_partition(
        owner: &Arc<BaseConsumer<C>>,
        topic: &CStr,
        partition: i32,
        bell: &Arc<Bell>,
    ) -> Option<Self> {
        let client = owner.client().native_ptr();
        // SAFETY: the client lives (we hold an `Arc`), the topic is a C string, and the returned
        // reference is ours to destroy.
        let ptr = unsafe { raw::rd_kafka_queue_get_partition(client, topic.as_ptr(), partition) };
        let queue = Self::own(NonNull::new(ptr)?, owner, bell);
        // SAFETY: both ends are valid; a null destination means that nothing is forwarded, and the
        // application's choice is kept by librdkafka across assignments.
        unsafe { raw::rd_kafka_queue_forward(queue.ptr.as_ptr(), null_mut()) };
        Some(queue)
    }

    /// A new queue for answers.
    pub(crate) fn new(owner: &Arc<BaseConsumer<C>>, bell: &Arc<Bell>) -> Option<Self> {
        // SAFETY: the client lives, and the new queue is ours to destroy.
        let ptr = unsafe { raw::rd_kafka_queue_new(owner.client().native_ptr()) };
        Some(Self::own(NonNull::new(ptr)?, owner, bell))
    }

    fn own(
        ptr: NonNull<raw::rd_kafka_queue_t>,
        owner: &Arc<BaseConsumer<C>>,
        bell: &Arc<Bell>,
    ) -> Self {
        let opaque = Arc::as_ptr(bell).cast::<c_void>().cast_mut();
        // SAFETY: the opaque pointer stays valid until `drop` takes the callback away, because the
        // `Arc` is kept beside the queue. librdkafka calls back under the lock of the queue, so no
        // call is under way once the callback was exchanged.
        unsafe { raw::rd_kafka_queue_cb_event_enable(ptr.as_ptr(), Some(ring), opaque) };
        Self {
            ptr,
            _bell: Arc::clone(bell),
            _owner: Arc::clone(owner),
        }
    }

    pub(crate) const fn as_ptr(&self) -> *mut raw::rd_kafka_queue_t {
        self.ptr.as_ptr()
    }

    /// Takes up to `buffer`'s capacity of messages without waiting, and shows each of them.
    /// Returns how many there were.
    pub(crate) fn batch(
        &self,
        buffer: &mut Batch,
        max: usize,
        mut each: impl FnMut(Fetched<'_>),
    ) -> usize {
        let max = max.min(buffer.0.len());
        if max == 0 {
            return 0;
        }
        // SAFETY: the buffer has room for `max` pointers, and the queue lives.
        let count = unsafe {
            raw::rd_kafka_consume_batch_queue(self.as_ptr(), 0, buffer.0.as_mut_ptr(), max)
        };
        let count = usize::try_from(count).unwrap_or(0).min(max);
        for slot in &mut buffer.0[..count] {
            if let Some(message) = NonNull::new(std::mem::replace(slot, null_mut())) {
                // Destroyed when it goes out of scope, also when `each` panics.
                let message = Message(message);
                each(Fetched {
                    message: message.0,
                    _borrowed: PhantomData,
                });
            }
        }
        count
    }
}

impl<C: ConsumerContext + 'static> Drop for Queue<C> {
    fn drop(&mut self) {
        // SAFETY: the queue is ours; after the callback is taken away nobody rings any more.
        unsafe {
            raw::rd_kafka_queue_cb_event_enable(self.as_ptr(), None, null_mut());
            raw::rd_kafka_queue_destroy(self.as_ptr());
        }
    }
}

/// Called by librdkafka's threads when a queue stops being empty.
unsafe extern "C" fn ring(_client: *mut RDKafka, opaque: *mut c_void) {
    // SAFETY: `opaque` is the bell that the queue keeps alive (see `Queue::own`); it is only shared.
    if let Some(bell) = unsafe { opaque.cast::<Bell>().as_ref() } {
        bell.ring();
    }
}

/// Room for the messages of one batch, used again and again.
pub(crate) struct Batch(Vec<*mut raw::rd_kafka_message_t>);

// SAFETY: between batches it holds null pointers only.
unsafe impl Send for Batch {}

impl Batch {
    pub(crate) fn with_capacity(messages: usize) -> Self {
        Self(vec![null_mut(); messages])
    }
}

/// Owns a message until it is destroyed.
struct Message(NonNull<raw::rd_kafka_message_t>);

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: it was handed to us by a batch, once, and nothing borrowed from it is left.
        unsafe { raw::rd_kafka_message_destroy(self.0.as_ptr()) };
    }
}

/// A message as it lies in librdkafka's memory. Copy what you need: it is freed after the call that
/// shows it (held messages pin the whole fetch response that they came in).
pub(crate) struct Fetched<'a> {
    message: NonNull<raw::rd_kafka_message_t>,
    _borrowed: PhantomData<&'a ()>,
}

impl<'a> Fetched<'a> {
    const fn get(&self) -> &'a raw::rd_kafka_message_t {
        // SAFETY: the message lives as long as `'a`, and librdkafka does not change it any more.
        unsafe { self.message.as_ref() }
    }

    /// The error that this is instead of a message.
    pub(crate) fn error(&self) -> Option<RDKafkaErrorCode> {
        let error = self.get().err;
        (error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| error.into())
    }

    /// The offset; with the error "end of partition", where that end is.
    pub(crate) fn offset(&self) -> u64 {
        u64::try_from(self.get().offset).unwrap_or(0)
    }

    /// The timestamp in milliseconds since 1970, 0 for none.
    pub(crate) fn timestamp(&self) -> u64 {
        let mut kind = raw::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message lives, and `kind` is written to.
        let stamp =
            unsafe { raw::rd_kafka_message_timestamp(self.message.as_ptr(), &raw mut kind) };
        u64::try_from(stamp).unwrap_or(0)
    }

    pub(crate) const fn key(&self) -> Option<&'a [u8]> {
        let message = self.get();
        bytes(message.key, message.key_len)
    }

    pub(crate) fn payload(&self) -> &'a [u8] {
        let message = self.get();
        bytes(message.payload, message.len).unwrap_or_default()
    }

    /// Shows every header field, in order: name and value.
    pub(crate) fn each_header(&self, mut each: impl FnMut(&'a CStr, &'a [u8])) {
        let mut headers = null_mut();
        // SAFETY: the message lives; librdkafka keeps the headers with it.
        let error =
            unsafe { raw::rd_kafka_message_headers(self.message.as_ptr(), &raw mut headers) };
        if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return;
        }
        for index in 0.. {
            let (mut name, mut value, mut size) = (std::ptr::null(), std::ptr::null(), 0);
            // SAFETY: the headers live as long as the message; the out-pointers are ours.
            let error = unsafe {
                raw::rd_kafka_header_get_all(
                    headers,
                    index,
                    &raw mut name,
                    &raw mut value,
                    &raw mut size,
                )
            };
            if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
                return;
            }
            // SAFETY: librdkafka ends names with a zero byte and keeps them with the message.
            let name = unsafe { CStr::from_ptr(name) };
            each(name, bytes(value, size).unwrap_or_default());
        }
    }
}

/// The bytes behind a pointer; `None` for a null pointer.
const fn bytes<'a>(data: *const c_void, len: usize) -> Option<&'a [u8]> {
    if data.is_null() {
        return None;
    }
    // SAFETY: only called with the parts of a message that is borrowed for `'a`.
    Some(unsafe { std::slice::from_raw_parts(data.cast::<u8>(), len) })
}

/// A topic's name for librdkafka. Names are checked before; a zero byte cannot be in them.
pub(crate) fn c_string(name: &str) -> CString {
    CString::new(name).unwrap_or_default()
}
