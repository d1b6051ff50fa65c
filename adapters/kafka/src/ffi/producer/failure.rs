//! Errors of librdkafka: numbers and texts.

use core::ffi::{CStr, c_char};

use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaErrorCode;

/// An error: its number and its text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    /// `None` for one that this version of the bindings does not know.
    pub(crate) code: Option<RDKafkaErrorCode>,
    pub(crate) text: String,
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

    pub(super) fn local(text: &str) -> Self {
        Self {
            code: Some(RDKafkaErrorCode::InvalidArgument),
            text: text.to_owned(),
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "the signature of `map_err`")]
    pub(super) fn of_config(error: rdkafka::error::KafkaError) -> Self {
        Self::local(&error.to_string())
    }

    /// # Safety
    /// A valid error.
    pub(super) unsafe fn of_error(error: *const sys::rd_kafka_error_t) -> Self {
        // SAFETY: promised by the caller. These come from librdkafka itself, whose numbers are the
        // enumeration.
        unsafe {
            Self {
                code: Some(if sys::rd_kafka_error_is_fatal(error) == 0 {
                    sys::rd_kafka_error_code(error).into()
                } else {
                    // Of what broke the producer, not of this call.
                    RDKafkaErrorCode::Fatal
                }),
                text: text_of(sys::rd_kafka_error_string(error)).to_owned(),
            }
        }
    }
}

/// # Safety
/// Null, or a text that ends with a zero and lives for `'a`.
pub(super) unsafe fn text_of<'a>(text: *const c_char) -> &'a str {
    if text.is_null() {
        return "";
    }
    // SAFETY: promised by the caller.
    unsafe { CStr::from_ptr(text) }.to_str().unwrap_or("")
}
