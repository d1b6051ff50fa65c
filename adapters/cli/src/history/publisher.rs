//! What becomes of publishes, as lines.

use std::sync::Arc;

use procession_runtime::port::Outgoing;
use procession_runtime::publisher::{PublishError, PublishObserver, Stored};

use super::{History, Line, sequence_of};

/// Writes what becomes of publishes.
pub(crate) struct PublisherLines {
    pub(crate) history: Arc<History>,
}

impl PublisherLines {
    fn line(&self, event: &str, message: &Outgoing) -> Line {
        let key = message.key.as_ref().map(|k| String::from_utf8_lossy(k));
        Line::new(event)
            .text("topic", &message.topic)
            .maybe_text("key", key.as_deref())
            .text("id", &message.id)
            .maybe("seq", sequence_of(&message.id))
    }
}

impl PublishObserver for PublisherLines {
    fn accepted(&mut self, message: &Outgoing) {
        self.history.write(self.line("accepted", message));
    }

    fn resolved(&mut self, message: &Outgoing, result: &Result<Stored, PublishError>) {
        let line = match result {
            Ok(stored) => {
                let line = self
                    .line("stored", message)
                    .num("partition", stored.partition.into())
                    .num("position", stored.position.0);
                if stored.duplicate {
                    line.flag("duplicate", true)
                } else {
                    line
                }
            }
            Err(error @ PublishError::Unknown(_)) => self
                .line("unknown", message)
                .text("why", &error.to_string()),
            Err(error) => self
                .line("refused", message)
                .text("why", &error.to_string()),
        };
        self.history.write(line);
    }
}
