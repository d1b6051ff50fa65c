//! From the sink into the core, and results to their callers.

use core::task::Context;
use std::sync::atomic::Ordering;

use procession_core::{Answer, Done, Published, Span, Unsent};

use super::driver::{Accepted, Detail, PublisherDriver, slot_of};
use super::{PublishError, PublishObserver, Stored};
use crate::Shell;
use crate::port::{PortError, Sink, SinkEvent, SinkReceipt, SinkTicket};

/// A key that only a new connection can free waits this long for it to be lost by itself, and the
/// next request for one follows at the earliest after the longer time.
const RECONNECT_AFTER: Span = Span::from_secs(1);
const RECONNECT_AGAIN: Span = Span::from_secs(5);

impl<K: Sink, S: Shell, O: PublishObserver> PublisherDriver<K, S, O> {
    pub(super) fn hear_sink(&mut self, cx: &mut Context<'_>) -> bool {
        let mut events = core::mem::take(&mut self.events);
        let busy = self.sink.poll_events(cx, &mut events).is_ready() && !events.is_empty();
        for event in events.drain(..) {
            match event {
                SinkEvent::Result { ticket, receipt } => self.answered(ticket, receipt),
                SinkEvent::Connected => {
                    self.shared.connected.store(true, Ordering::Relaxed);
                    self.core.connection_restored(self.now);
                }
                SinkEvent::Disconnected => {
                    self.shared.connected.store(false, Ordering::Relaxed);
                    self.core.connection_lost(self.now);
                }
                SinkEvent::Failed(error) => {
                    tracing::error!(%error, "the publishing port failed");
                    self.fail();
                }
                SinkEvent::Closed => {
                    self.fail();
                    self.end();
                }
            }
        }
        self.events = events;
        busy
    }

    /// Keys behind a publish that may still land, and of which no answer can come any more, are
    /// blocked until the connection is another one (S8).
    pub(super) fn free_keys(&mut self) {
        let connected = self.shared.connected.load(Ordering::Relaxed);
        if !connected || self.core.stats().stuck == 0 {
            self.reconnect_at = None;
            return;
        }
        let at = *self.reconnect_at.get_or_insert(self.now + RECONNECT_AFTER);
        if at <= self.now {
            tracing::warn!("publishes without a known outcome block their keys; connecting anew");
            self.sink.reconnect();
            self.reconnect_at = Some(self.now + RECONNECT_AGAIN);
        }
    }

    /// Pairs the broker's answer with the publish and tells the core.
    pub(super) fn answered(&mut self, ticket: SinkTicket, receipt: SinkReceipt) {
        let Some(Some(detail)) = self.details.get_mut(slot_of(ticket.token)) else {
            return;
        };
        if detail.token.to_bits() != ticket.token {
            return;
        }
        let mut note = |error: PortError| detail.error = Some(error.message);
        let answer = match receipt {
            SinkReceipt::Stored {
                partition,
                position,
                duplicate,
            } => {
                detail.stored = Some(Stored {
                    partition,
                    position,
                    duplicate,
                });
                Answer::Stored
            }
            SinkReceipt::NotStored(error) => {
                note(error);
                Answer::NotStored
            }
            SinkReceipt::Conflict(error) => {
                note(error);
                Answer::Conflict
            }
            SinkReceipt::Retry(error) => {
                note(error);
                Answer::Retry
            }
            SinkReceipt::Apart(error) => {
                note(error);
                Answer::Apart
            }
            SinkReceipt::Unknown(error) => {
                note(error);
                Answer::Unknown
            }
        };
        let token = detail.token;
        // Stale when the publish has its result already: nothing to do.
        let _ = self.core.settle(self.now, token, ticket.attempt, answer);
        self.receipts();
    }

    /// Hands results to their callers.
    pub(super) fn receipts(&mut self) {
        while let Some(Done {
            token,
            result,
            message: Accepted { message, cell },
            ..
        }) = self.core.poll_receipt()
        {
            let slot = self.details.get_mut(slot_of(token.to_bits()));
            // What is unknown may still be answered, and that answer frees its key: the ticket must
            // be found again then. The next publish in the slot takes the place.
            let detail = slot.and_then(|detail| match result {
                Published::Unknown => detail.clone().filter(|detail| detail.token == token),
                Published::Stored | Published::Refused(_) => {
                    detail.take_if(|detail| detail.token == token)
                }
            });
            let result = outcome(result, detail);
            if self.observed {
                self.observer.resolved(&message, &result);
            }
            self.shared.outstanding.fetch_sub(1, Ordering::Relaxed);
            cell.resolve(result);
        }
    }
}

fn outcome(result: Published, detail: Option<Detail>) -> Result<Stored, PublishError> {
    let (stored, error) = detail.map_or((None, None), |d| (d.stored, d.error));
    let said = |fallback: &str| error.clone().unwrap_or_else(|| fallback.into());
    match result {
        Published::Stored => stored.ok_or_else(|| {
            PublishError::Unknown("the acknowledgement did not name a position".into())
        }),
        Published::Unknown => Err(PublishError::Unknown(said("no answer before the deadline"))),
        Published::Refused(Unsent::Conflict) => Err(PublishError::Conflict(said(
            "the expected message is not the last of its key",
        ))),
        Published::Refused(unsent) => Err(PublishError::Refused(match unsent {
            Unsent::Broker | Unsent::Conflict => said("the broker refused it"),
            Unsent::Deadline => match &error {
                None => "its deadline passed before it could be sent".into(),
                Some(error) => format!("its deadline passed; the last answer was: {error}").into(),
            },
            Unsent::Predecessor => {
                "an older publish of its key is unknown and may still land; this one was not sent, \
                 to keep the order of the key"
                    .into()
            }
            Unsent::Overtaken => {
                "a newer publish of its key is in the log already; this one was not sent again"
                    .into()
            }
            Unsent::Closed => "the publisher ended before it was sent".into(),
        })),
    }
}
