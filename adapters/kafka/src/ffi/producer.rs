//! Producing: messages with header fields and a tag, delivery reports in batches with what is
//! known of the fate of each message, the purge, and a poll that another thread can end.
//!
//! rdkafka has none of these: it hands out one report at a time, without
//! `rd_kafka_message_status`, and nothing ends its poll.
#![allow(unsafe_code, reason = "calls librdkafka")]

use core::ffi::{CStr, c_char, c_int};
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ptr::{self, NonNull};
use core::time::Duration;
use std::ffi::CString;
use std::sync::{Arc, Mutex, PoisonError};

use procession_runtime::port::Headers;
use rdkafka::ClientConfig;
use rdkafka::bindings as sys;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

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

/// A message to send.
pub(crate) struct Sending<'a> {
    pub(crate) partition: u32,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) payload: &'a [u8],
    pub(crate) headers: &'a Headers,
    /// Comes back with the report.
    pub(crate) tag: usize,
}

/// What a poll brings.
pub(crate) enum Event<'a> {
    /// The end of a message.
    Delivered(Delivery<'a>),
    /// The answer to [`Producer::describe`].
    Described {
        /// How many partitions the topic has.
        partitions: Result<u32, Failure>,
        /// The number of the question.
        tag: usize,
    },
    /// Something is wrong; librdkafka goes on by itself unless it is fatal.
    Error {
        /// This producer sends nothing any more.
        fatal: bool,
        text: &'a str,
    },
}

/// The end of a message.
pub(crate) struct Delivery<'a> {
    /// Not a reference: the broker's error number in it may be no variant of its enumeration.
    message: NonNull<sys::rd_kafka_message_t>,
    report: PhantomData<&'a OwnedEvent>,
}

/// What is known of a message's fate (`rd_kafka_msg_status_t`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// It was never sent, or the broker said that it did not store it.
    NotStored,
    /// It was sent and not answered, or the answer tells nothing.
    Unknown,
    /// The broker acknowledged it.
    Stored,
}

/// An error: its number and its text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    /// `None` for one that this version of the bindings does not know.
    pub(crate) code: Option<RDKafkaErrorCode>,
    pub(crate) text: String,
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
        use sys::rd_kafka_vtype_t as vtype;

        debug_assert!(Arc::ptr_eq(&self.client, &topic.client), "another's topic");
        let partition = i32::try_from(sending.partition)
            .map_err(|_| Failure::local("the number of the partition is too large"))?;
        let mut headers = OwnedHeaders::new(sending.headers)?;
        let arg = |vtype, u| sys::rd_kafka_vu_t { vtype, u };
        let memory = |bytes: &[u8]| sys::rd_kafka_vu_s__bindgen_ty_1 {
            mem: sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 {
                ptr: bytes.as_ptr().cast_mut().cast(),
                size: bytes.len(),
            },
        };
        let args = [
            arg(
                vtype::RD_KAFKA_VTYPE_RKT,
                sys::rd_kafka_vu_s__bindgen_ty_1 {
                    rkt: topic.topic.as_ptr(),
                },
            ),
            arg(
                vtype::RD_KAFKA_VTYPE_PARTITION,
                sys::rd_kafka_vu_s__bindgen_ty_1 { i32_: partition },
            ),
            arg(
                vtype::RD_KAFKA_VTYPE_MSGFLAGS,
                sys::rd_kafka_vu_s__bindgen_ty_1 {
                    i: sys::RD_KAFKA_MSG_F_COPY,
                },
            ),
            arg(
                vtype::RD_KAFKA_VTYPE_OPAQUE,
                sys::rd_kafka_vu_s__bindgen_ty_1 {
                    ptr: ptr::without_provenance_mut(sending.tag),
                },
            ),
            arg(
                vtype::RD_KAFKA_VTYPE_HEADERS,
                sys::rd_kafka_vu_s__bindgen_ty_1 {
                    headers: headers.as_ptr(),
                },
            ),
            // Never null, also when it is empty: null would be a tombstone.
            arg(vtype::RD_KAFKA_VTYPE_VALUE, memory(sending.payload)),
            // Last, so that it can be left out.
            arg(
                vtype::RD_KAFKA_VTYPE_KEY,
                memory(sending.key.unwrap_or_default()),
            ),
        ];
        let count = args.len() - usize::from(sending.key.is_none());
        // SAFETY: client, topic and header fields are valid. Payload and key are read during the
        // call only (`F_COPY`; keys always are). The tag is never followed as a pointer.
        let error = unsafe { sys::rd_kafka_produceva(self.client.as_ptr(), args.as_ptr(), count) };
        match NonNull::new(error) {
            None => {
                headers.given_away();
                Ok(())
            }
            // SAFETY: the error is ours to read and to destroy.
            Some(error) => Err(unsafe {
                let failure = Failure::of_error(error.as_ptr());
                sys::rd_kafka_error_destroy(error.as_ptr());
                failure
            }),
        }
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
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
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

impl Delivery<'_> {
    /// The tag that it was sent with.
    pub(crate) fn tag(&self) -> usize {
        // SAFETY: the message is one of a report that lives; this holds for all reads below.
        unsafe { (*self.message.as_ptr())._private }.addr()
    }

    /// The topic's name.
    pub(crate) fn topic(&self) -> &str {
        // SAFETY: as in `tag`; a report names its topic, whose name lives as long as it.
        unsafe { text_of(sys::rd_kafka_topic_name((*self.message.as_ptr()).rkt)) }
    }

    pub(crate) fn partition(&self) -> Option<u32> {
        // SAFETY: as in `tag`.
        u32::try_from(unsafe { (*self.message.as_ptr()).partition }).ok()
    }

    /// Where it is in the log, if that is known.
    pub(crate) fn offset(&self) -> Option<u64> {
        // SAFETY: as in `tag`.
        u64::try_from(unsafe { (*self.message.as_ptr()).offset }).ok()
    }

    pub(crate) fn fate(&self) -> Fate {
        use sys::rd_kafka_msg_status_t as status;
        // SAFETY: as in `tag`.
        match unsafe { sys::rd_kafka_message_status(self.message.as_ptr()) } {
            status::RD_KAFKA_MSG_STATUS_NOT_PERSISTED => Fate::NotStored,
            status::RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED => Fate::Unknown,
            status::RD_KAFKA_MSG_STATUS_PERSISTED => Fate::Stored,
        }
    }

    /// What went wrong, if something did.
    pub(crate) fn failure(&self) -> Option<Failure> {
        // SAFETY: as in `tag`; the enumeration has the size of an `i32`, which may have any value.
        let code = unsafe {
            (&raw const (*self.message.as_ptr()).err)
                .cast::<i32>()
                .read()
        };
        if code == 0 {
            return None;
        }
        let code = RDKafkaRespErr::try_from(code).map_err(|_| code);
        // Not `rd_kafka_message_errstr`: of a message that was sent it shows the payload.
        // SAFETY: as in `tag`; the text, if there is one, lives as long as the report.
        let said = unsafe { text_of(sys::rd_kafka_message_produce_errstr(self.message.as_ptr())) };
        let text = match code {
            _ if !said.is_empty() => said.to_owned(),
            Ok(code) => RDKafkaErrorCode::from(code).to_string(),
            Err(code) => format!("error {code} of the broker"),
        };
        Some(Failure {
            code: code.ok().map(Into::into),
            text,
        })
    }
}

impl Failure {
    /// Whether it is the word of a broker, or of the client that there is no such place: asking
    /// again would bring nothing else.
    pub(crate) fn is_final(&self) -> bool {
        use RDKafkaErrorCode as E;
        match self.code {
            None | Some(E::UnknownTopic | E::UnknownPartition | E::InvalidArgument) => true,
            Some(E::LeaderNotAvailable | E::NotLeaderForPartition | E::BrokerNotAvailable) => false,
            Some(code) => 0 < code as i32,
        }
    }

    fn local(text: &str) -> Self {
        Self {
            code: Some(RDKafkaErrorCode::InvalidArgument),
            text: text.to_owned(),
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "the signature of `map_err`")]
    fn of_config(error: rdkafka::error::KafkaError) -> Self {
        Self::local(&error.to_string())
    }

    /// # Safety
    /// A valid error.
    unsafe fn of_error(error: *const sys::rd_kafka_error_t) -> Self {
        // SAFETY: promised by the caller. These come from librdkafka itself, whose numbers are the
        // enumeration.
        unsafe {
            Self {
                code: Some(sys::rd_kafka_error_code(error).into()),
                text: text_of(sys::rd_kafka_error_string(error)).to_owned(),
            }
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

/// Header fields that were not handed over.
struct OwnedHeaders(Option<NonNull<sys::rd_kafka_headers_t>>);

impl OwnedHeaders {
    fn new(fields: &Headers) -> Result<Self, Failure> {
        // SAFETY: no condition.
        let headers = NonNull::new(unsafe { sys::rd_kafka_headers_new(fields.len()) });
        let this = Self(headers);
        let length = |bytes: &[u8]| {
            isize::try_from(bytes.len()).map_err(|_| Failure::local("a field is too long"))
        };
        for (name, value) in fields.iter() {
            // SAFETY: name and value are read during the call only, by their lengths.
            unsafe {
                sys::rd_kafka_header_add(
                    this.as_ptr(),
                    name.as_ptr().cast(),
                    length(name.as_bytes())?,
                    value.as_ptr().cast(),
                    length(value)?,
                );
            }
        }
        Ok(this)
    }

    fn as_ptr(&self) -> *mut sys::rd_kafka_headers_t {
        self.0.map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    const fn given_away(&mut self) {
        self.0 = None;
    }
}

impl Drop for OwnedHeaders {
    fn drop(&mut self) {
        if let Some(headers) = self.0 {
            // SAFETY: still ours.
            unsafe { sys::rd_kafka_headers_destroy(headers.as_ptr()) };
        }
    }
}

struct OwnedEvent(NonNull<sys::rd_kafka_event_t>);

impl OwnedEvent {
    fn tell(&self, tell: &mut impl FnMut(Event<'_>)) {
        let event = self.0.as_ptr();
        // SAFETY: the event is valid until it is dropped, and so is all that it lends; each call
        // below is made for the kind of event that it belongs to.
        unsafe {
            match sys::rd_kafka_event_type(event) {
                sys::RD_KAFKA_EVENT_DR => {
                    let next = || sys::rd_kafka_event_message_next(event).cast_mut();
                    while let Some(message) = NonNull::new(next()) {
                        tell(Event::Delivered(Delivery {
                            message,
                            report: PhantomData,
                        }));
                    }
                }
                sys::RD_KAFKA_EVENT_ERROR => tell(Event::Error {
                    fatal: sys::rd_kafka_event_error_is_fatal(event) != 0,
                    text: text_of(sys::rd_kafka_event_error_string(event)),
                }),
                sys::RD_KAFKA_EVENT_DESCRIBETOPICS_RESULT => {
                    let tag = sys::rd_kafka_event_opaque(event).addr();
                    let partitions = described(event);
                    tell(Event::Described { partitions, tag });
                }
                _ => {}
            }
        }
    }
}

impl Drop for OwnedEvent {
    fn drop(&mut self) {
        // SAFETY: ours; nothing that it lent is used any more.
        unsafe { sys::rd_kafka_event_destroy(self.0.as_ptr()) };
    }
}

/// How many partitions the topic has that was asked for.
///
/// # Safety
/// An event with the answer to `DescribeTopics`.
unsafe fn described(event: *mut sys::rd_kafka_event_t) -> Result<u32, Failure> {
    // SAFETY: promised by the caller; the array has `count` elements, of which the first is read.
    unsafe {
        let code = sys::rd_kafka_event_error(event).into();
        if code != RDKafkaErrorCode::NoError {
            return Err(Failure {
                code: Some(code),
                text: text_of(sys::rd_kafka_event_error_string(event)).to_owned(),
            });
        }
        let mut count = 0;
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        if count == 0 {
            return Err(Failure::local("the answer names no topic"));
        }
        let topic = *topics;
        let error = sys::rd_kafka_TopicDescription_error(topic);
        if !error.is_null() {
            let failure = Failure::of_error(error);
            if failure.code != Some(RDKafkaErrorCode::NoError) {
                return Err(failure);
            }
        }
        sys::rd_kafka_TopicDescription_partitions(topic, &raw mut count);
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }
}

/// # Safety
/// Null, or a text that ends with a zero and lives for `'a`.
unsafe fn text_of<'a>(text: *const c_char) -> &'a str {
    if text.is_null() {
        return "";
    }
    // SAFETY: promised by the caller.
    unsafe { CStr::from_ptr(text) }.to_str().unwrap_or("")
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
