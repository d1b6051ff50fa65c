//! What a poll brings: delivery reports, answers, errors.

use core::marker::PhantomData;
use core::ptr::NonNull;

use rdkafka::bindings as sys;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

use super::Failure;
use super::failure::text_of;

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

pub(super) struct OwnedEvent(pub(super) NonNull<sys::rd_kafka_event_t>);

impl OwnedEvent {
    pub(super) fn tell(&self, tell: &mut impl FnMut(Event<'_>)) {
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
