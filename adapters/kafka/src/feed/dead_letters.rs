//! Dead letters on their way out, through a producer that is made with the first of them.

use std::sync::Arc;

use procession_core::{Receipt, Token};
use procession_runtime::mailbox::Mailbox;
use procession_runtime::port::{FeedEvent, Outgoing};
use rdkafka::ClientConfig;

use crate::partitioner::Partitioner;
use crate::sink::{Burial, Known};
use crate::thread::Ended;

/// Stores the dead letters of one subscription.
pub(super) struct DeadLetters {
    config: ClientConfig,
    partitioner: Partitioner,
    known: Known,
    events: Arc<Mailbox<FeedEvent>>,
    burial: Option<Burial>,
}

impl DeadLetters {
    pub(super) const fn new(
        config: ClientConfig,
        partitioner: Partitioner,
        known: Known,
        events: Arc<Mailbox<FeedEvent>>,
    ) -> Self {
        Self {
            config,
            partitioner,
            known,
            events,
            burial: None,
        }
    }

    /// Stores a letter. Answered by [`FeedEvent::Buried`], from the producer's thread.
    pub(super) fn bury(&mut self, token: Token, letter: Outgoing) {
        if self.burial.is_none() {
            let events = Arc::clone(&self.events);
            let started = Burial::start(
                &self.config,
                self.partitioner,
                self.known.clone(),
                move |buried| {
                    for (token, receipt) in buried {
                        let _ = events.push(FeedEvent::Buried { token, receipt });
                    }
                },
            );
            match started {
                Ok(burial) => self.burial = Some(burial),
                Err(error) => tracing::error!(%error, "there is no producer for dead letters"),
            }
        }
        match &self.burial {
            Some(burial) => burial.bury(token, letter),
            // The core asks again.
            None => {
                let receipt = Receipt::NotStored;
                let _ = self.events.push(FeedEvent::Buried { token, receipt });
            }
        }
    }

    /// Takes no more letters; tells when the producer is gone, if there was one.
    pub(super) fn close(self) -> Option<Ended> {
        let burial = self.burial?;
        burial.close();
        Some(burial.ended())
    }
}
