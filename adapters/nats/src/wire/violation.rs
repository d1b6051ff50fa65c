//! What the server says about permissions that this user does not have.

use procession_runtime::port::{PortError, PortErrorKind};

/// A permission that was missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Violation<'a> {
    /// To publish to this subject; the message was dropped.
    Publish(&'a str),
    /// To subscribe to this subject; nothing will come.
    Subscribe(&'a str),
}

impl<'a> Violation<'a> {
    /// Reads `Permissions Violation for Publish to "a.b"` and its like; `None` for other errors.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix("Permissions Violation for ")?;
        let (what, subject) = rest.split_once(" to \"")?;
        let (subject, _) = subject.split_once('"')?;
        match what {
            "Publish" => Some(Self::Publish(subject)),
            "Subscription" => Some(Self::Subscribe(subject)),
            _ => None,
        }
    }
}

/// The error of something that needed to publish to, or to subscribe to, this subject.
pub(crate) fn denied(doing: &str, shown: &str, subject: &str) -> PortError {
    PortError::new(
        PortErrorKind::Denied,
        format!(
            "{doing}: the NATS server{shown} does not let this user use the subject `{subject}`; \
             allow it in the user's permissions"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_servers_say() {
        let read = Violation::read;
        assert_eq!(
            read("Permissions Violation for Publish to \"a.b\""),
            Some(Violation::Publish("a.b"))
        );
        assert_eq!(
            read("Permissions Violation for Subscription to \"_INBOX.x.*\""),
            Some(Violation::Subscribe("_INBOX.x.*"))
        );
        assert_eq!(
            read("Permissions Violation for Subscription to \"a\" using queue \"q\""),
            Some(Violation::Subscribe("a"))
        );
        for other in [
            "",
            "Authorization Violation",
            "Permissions Violation for Publish to a.b",
            "Permissions Violation for Publish to \"a.b",
            "Permissions Violation for Thinking to \"a.b\"",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
