//! Producing: messages with header fields and a tag, delivery reports in batches with what is
//! known of the fate of each message, the purge, and a poll that another thread can end.
//!
//! rdkafka has none of these: it hands out one report at a time, without
//! `rd_kafka_message_status`, and nothing ends its poll.
#![allow(unsafe_code, reason = "calls librdkafka")]

mod events;
mod failure;
mod message;
#[cfg(test)]
mod tests;

use core::ffi::{c_char, c_int};
use core::mem::ManuallyDrop;
use core::ptr::{self, NonNull};
use core::time::Duration;
use std::ffi::CString;
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientConfig;
use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaErrorCode;

use events::OwnedEvent;
use failure::text_of;

pub(crate) use events::{Delivery, Event, Fate};
pub(crate) use failure::Failure;
pub(crate) use message::Sending;

/// Bytes for an error text of librdkafka.
const TEXT_BYTES: usize = 512;

/// A producer of librdkafka: its threads, its connections, its queue of events.
///
/// Dropping the last of a producer and its topics ends it, which waits for its threads: not on a
/// thread that must go on.
#[derive(Debug)]
pub(crate) struct Producer {
    client: Arc<Client>,
}

/// A topic of a producer, as messages name it.
#[derive(Debug)]
pub(crate) struct Topic {
    topic: NonNull<sys::rd_kafka_topic_t>,
    client: Arc<Client>,
}

/// Ends a poll of its producer from any thread; does nothing when the producer is gone.
#[derive(Clone, Debug)]
pub(crate) struct Bell {
    queue: Arc<Mutex<Option<Queue>>>,
}

#[derive(Debug)]
struct Client {
    client: NonNull<sys::rd_kafka_t>,
    /// The main queue: reports, errors and answers. `None` only at the end.
    queue: Arc<Mutex<Option<Queue>>>,
    /// The same for the thread that polls, without the lock.
    main: Queue,
}

#[derive(Clone, Copy, Debug)]
struct Queue(NonNull<sys::rd_kafka_queue_t>);

// SAFETY: librdkafka's handles for clients, topics and queues may be used from any thread at the
// same time; what they point to lives until the destroy calls in `Drop`.
unsafe impl Send for Client {}
// SAFETY: as above.
unsafe impl Sync for Client {}
// SAFETY: as above; a topic holds its client.
unsafe impl Send for Topic {}
// SAFETY: as above.
unsafe impl Sync for Topic {}
// SAFETY: as above; a queue is used only while its client lives (see `Bell::ring`).
unsafe impl Send for Queue {}

impl Producer {
    /// Makes a producer; connects in the background.
    ///
    /// # Errors
    /// A setting that librdkafka does not take, or no thread.
    pub(crate) fn new(config: &ClientConfig) -> Result<Self, Failure> {
        let config = config.create_native_config().map_err(Failure::of_config)?;
        let mut text = [0; TEXT_BYTES];
        // SAFETY: the configuration is valid and ours; the callback is a function without state.
        unsafe {
            sys::rd_kafka_conf_set_events(
                config.ptr(),
                sys::RD_KAFKA_EVENT_DR | sys::RD_KAFKA_EVENT_ERROR,
            );
            sys::rd_kafka_conf_set_log_cb(config.ptr(), Some(log));
        }
        // A client that was made owns its configuration; otherwise it stays with us.
        let config = ManuallyDrop::new(config);
        // SAFETY: configuration and buffer are valid.
        let client = unsafe {
            sys::rd_kafka_new(
                sys::rd_kafka_type_t::RD_KAFKA_PRODUCER,
                config.ptr(),
                text.as_mut_ptr(),
                text.len(),
            )
        };
        let Some(client) = NonNull::new(client) else {
            drop(ManuallyDrop::into_inner(config));
            // SAFETY: librdkafka ends its texts with a zero.
            let text = unsafe { text_of(text.as_ptr()) }.to_owned();
            return Err(Failure { code: None, text });
        };
        // SAFETY: the client was just made.
        let queue = unsafe { sys::rd_kafka_queue_get_main(client.as_ptr()) };
        let Some(main) = NonNull::new(queue).map(Queue) else {
            // SAFETY: ours, and used by nobody.
            unsafe { sys::rd_kafka_destroy(client.as_ptr()) };
            return Err(Failure::local("the client has no queue"));
        };
        Ok(Self {
            client: Arc::new(Client {
                client,
                queue: Arc::new(Mutex::new(Some(main))),
                main,
            }),
        })
    }

    /// What ends a poll.
    pub(crate) fn bell(&self) -> Bell {
        Bell {
            queue: Arc::clone(&self.client.queue),
        }
    }

    /// A topic by its name. Nothing is asked of the broker.
    ///
    /// # Errors
    /// A name that cannot be one.
    pub(crate) fn topic(&self, name: &str) -> Result<Topic, Failure> {
        let c_name = CString::new(name).map_err(|_| Failure::local("a zero in a topic's name"))?;
        // SAFETY: client and name are valid; no configuration of its own.
        let topic = unsafe {
            sys::rd_kafka_topic_new(self.client.as_ptr(), c_name.as_ptr(), ptr::null_mut())
        };
        let topic =
            NonNull::new(topic).ok_or_else(|| Failure::local("the topic's name is invalid"))?;
        Ok(Topic {
            topic,
            client: Arc::clone(&self.client),
        })
    }

    /// Hands a message over; it and its fields are copied. Its end is an [`Event::Delivered`].
    ///
    /// # Errors
    /// It was not taken, and will not be sent.
    pub(crate) fn send(&self, topic: &Topic, sending: &Sending<'_>) -> Result<(), Failure> {
        debug_assert!(Arc::ptr_eq(&self.client, &topic.client), "another's topic");
        // SAFETY: client and topic are valid, and belong together.
        unsafe { sending.produce(self.client.as_ptr(), topic.topic.as_ptr()) }
    }

    /// Asks how many partitions a topic has, without creating it: answered by an
    /// [`Event::Described`] with the tag, within `within`.
    pub(crate) fn describe(&self, topic: &str, tag: usize, within: Duration) {
        let Ok(name) = CString::new(topic) else {
            return;
        };
        let mut text = [0; TEXT_BYTES];
        // SAFETY: all that is made here is destroyed here; librdkafka copies the names.
        unsafe {
            let topics =
                sys::rd_kafka_TopicCollection_of_topic_names([name.as_ptr()].as_mut_ptr(), 1);
            let options = sys::rd_kafka_AdminOptions_new(
                self.client.as_ptr(),
                sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
            );
            sys::rd_kafka_AdminOptions_set_request_timeout(
                options,
                millis(within),
                text.as_mut_ptr(),
                text.len(),
            );
            sys::rd_kafka_AdminOptions_set_opaque(options, ptr::without_provenance_mut(tag));
            sys::rd_kafka_DescribeTopics(
                self.client.as_ptr(),
                topics,
                options,
                self.client.main.0.as_ptr(),
            );
            sys::rd_kafka_AdminOptions_destroy(options);
            sys::rd_kafka_TopicCollection_destroy(topics);
        }
    }

    /// Waits for what happens, at most `within`, and tells one batch of it. Whether there was
    /// something.
    pub(crate) fn poll(&self, within: Duration, mut tell: impl FnMut(Event<'_>)) -> bool {
        // SAFETY: the queue lives as long as the client.
        let event =
            unsafe { sys::rd_kafka_queue_poll(self.client.main.0.as_ptr(), millis(within)) };
        let Some(event) = NonNull::new(event).map(OwnedEvent) else {
            return false;
        };
        event.tell(&mut tell);
        true
    }

    /// Gives up what is queued, and with `in_flight` also what is on its way; each gets its report.
    /// May wait for librdkafka's threads, not for the broker.
    pub(crate) fn purge(&self, in_flight: bool) {
        let flags = sys::RD_KAFKA_PURGE_F_QUEUE
            | if in_flight {
                sys::RD_KAFKA_PURGE_F_INFLIGHT
            } else {
                0
            };
        // SAFETY: the client is valid. The only errors are of other flags and of consumers.
        unsafe { sys::rd_kafka_purge(self.client.as_ptr(), flags) };
    }

    /// Asks the leader of a partition for its end and waits for the answer.
    ///
    /// # Errors
    /// There was none within `within`.
    pub(crate) fn ask_leader(
        &self,
        topic: &str,
        partition: u32,
        within: Duration,
    ) -> Result<(), Failure> {
        let name = CString::new(topic).map_err(|_| Failure::local("a zero in a topic's name"))?;
        let partition = i32::try_from(partition)
            .map_err(|_| Failure::local("the number of the partition is too large"))?;
        let (mut low, mut high) = (0, 0);
        // SAFETY: all pointers are valid during the call.
        let error = unsafe {
            sys::rd_kafka_query_watermark_offsets(
                self.client.as_ptr(),
                name.as_ptr(),
                partition,
                &raw mut low,
                &raw mut high,
                millis(within),
            )
        };
        let code = RDKafkaErrorCode::from(error);
        if code == RDKafkaErrorCode::NoError {
            return Ok(());
        }
        Err(Failure {
            text: code.to_string(),
            code: Some(code),
        })
    }

    /// Puts the producer into the state of a fatal error, as the broker would.
    #[cfg(test)]
    pub(crate) fn break_for_test(&self) {
        // SAFETY: client and text are valid.
        unsafe {
            sys::rd_kafka_test_fatal_error(
                self.client.as_ptr(),
                rdkafka::types::RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
                c"a test".as_ptr(),
            );
        }
    }
}

impl Bell {
    /// The poll that runs, or else the next one, ends at once.
    pub(crate) fn ring(&self) {
        // The lock is held over the call: the queue is given back under it.
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = *queue {
            // SAFETY: it is there, so the client has not begun to end.
            unsafe { sys::rd_kafka_queue_yield(queue.0.as_ptr()) };
        }
    }
}

impl Client {
    const fn as_ptr(&self) -> *mut sys::rd_kafka_t {
        self.client.as_ptr()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Bells find nothing from here on.
        let queue = self
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // SAFETY: the last owner: no topic, no bell and no poll uses them any more.
        unsafe {
            if let Some(queue) = queue {
                sys::rd_kafka_queue_destroy(queue.0.as_ptr());
            }
            sys::rd_kafka_destroy(self.client.as_ptr());
        }
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: ours, and its client lives.
        unsafe { sys::rd_kafka_topic_destroy(self.topic.as_ptr()) };
    }
}

/// A time for librdkafka, rounded up so that a short wait does not become a busy one.
fn millis(within: Duration) -> c_int {
    c_int::try_from(within.as_micros().div_ceil(1_000)).unwrap_or(c_int::MAX)
}

/// What librdkafka has to say, on any of its threads.
unsafe extern "C" fn log(
    _client: *const sys::rd_kafka_t,
    level: c_int,
    facility: *const c_char,
    text: *const c_char,
) {
    // SAFETY: librdkafka passes texts that live during the call.
    let (facility, text) = unsafe { (text_of(facility), text_of(text)) };
    // The levels of syslog. What matters of these comes again as an event.
    match level {
        0..=3 => tracing::warn!(target: "procession_kafka::librdkafka", facility, "{text}"),
        4..=5 => tracing::info!(target: "procession_kafka::librdkafka", facility, "{text}"),
        _ => tracing::debug!(target: "procession_kafka::librdkafka", facility, "{text}"),
    }
}
