//! Hooks for histories and metrics: everything that a bus does with messages, as it does it.
//!
//! Hooks are called on the drivers' tasks, in the order that a history must have; they must not
//! block for long. Without an observer none of this costs anything.

pub use procession_runtime::port::Outgoing;
pub use procession_runtime::publisher::{NoPublishObserver, PublishError, PublishObserver, Stored};
pub use procession_runtime::subscription::{Ending, Fence, Incident, NoObserver, Observer};

use crate::Envelope;
use crate::envelope::Attribute;
use crate::envelope::draft_header;
use crate::wire;

/// Makes observers for the parts of a bus.
pub trait Observe: Send + Sync + 'static {
    /// The observer of a new subscription.
    fn subscription(&self, topic: &str, group: &str) -> Box<dyn Observer<Envelope>> {
        let _ = (topic, group);
        Box::new(NoObserver)
    }

    /// The observer of the publisher; asked for once a bus.
    fn publisher(&self) -> Box<dyn PublishObserver> {
        Box::new(NoPublishObserver)
    }
}

/// The sequence of a message on its way out, where its envelope has one.
#[must_use]
pub fn sequence_of(message: &Outgoing) -> Option<u64> {
    let dashed = message.headers.get(draft_header(Attribute::Sequence));
    match dashed.or_else(|| message.headers.get("ce_sequence")) {
        Some(value) => core::str::from_utf8(value).ok()?.parse().ok(),
        // It may be in the body, where the form is one of JSON.
        None => wire::read_back(message).sequence(),
    }
}

/// The key of a message on its way out, where it has one that is UTF-8.
#[must_use]
pub fn key_of(message: &Outgoing) -> Option<&str> {
    core::str::from_utf8(message.key.as_deref()?).ok()
}
