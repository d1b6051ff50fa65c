//! Which of the wire forms a message has.

/// A form in which a message is written. The specification is `docs/wire.md`.
///
/// It is chosen for each topic, by [`TopicSettings::form`](crate::settings::TopicSettings::form), and
/// holds for what is published there. A receiver needs no setting: it recognises each message by what
/// it looks like, so a topic may hold all forms while its services move over one by one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Form {
    /// CloudEvents in binary mode: attributes are header fields, the body is the payload as it is.
    #[default]
    Binary,
    /// CloudEvents in structured mode: one JSON object holds attributes and payload.
    Structured,
    /// The JSON object of the Go event bus that came before Procession.
    Predecessor,
}

/// The source of every message in the predecessor's form, which has no field for one.
pub(crate) const PREDECESSOR: &str = "predecessor";

impl Form {
    /// The source by which copies of a message are recognised in this form.
    pub(crate) const fn source(self, own: &str) -> &str {
        match self {
            Self::Binary | Self::Structured => own,
            Self::Predecessor => PREDECESSOR,
        }
    }
}
