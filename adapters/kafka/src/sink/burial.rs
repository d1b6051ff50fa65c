//! Stores dead letters: few, each confirmed.

use core::task::{Context, Waker};
use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use procession_core::{Receipt, Token};
use procession_runtime::mailbox::Mailbox;
use procession_runtime::port::{Outgoing, PortError, PortErrorKind, SinkReceipt};
use rdkafka::ClientConfig;

use super::publisher::{CLOSE_GRACE, SLEEP};
use super::{Known, Report, Sender};
use crate::partitioner::Partitioner;
use crate::thread::{Ended, IoThread};

/// A producer for dead letters, on a thread of its own. Most subscriptions never need one: it is
/// started with the first letter.
#[derive(Debug)]
pub(crate) struct Burial {
    letters: Arc<Mailbox<(Token, Outgoing)>>,
    thread: IoThread,
}

impl Burial {
    /// `buried` is told of every letter, once, in batches, on the thread of this producer.
    ///
    /// # Errors
    /// A setting that librdkafka does not take, or no thread.
    pub(crate) fn start(
        config: &ClientConfig,
        partitioner: Partitioner,
        known: Known,
        buried: impl FnMut(Vec<(Token, Receipt)>) + Send + 'static,
    ) -> Result<Self, PortError> {
        let sender = Sender::new(config, partitioner, known)?;
        let letters = Arc::new(Mailbox::new());
        let theirs = Arc::clone(&letters);
        let thread = IoThread::spawn(
            "procession-kafka-burial",
            move || run(sender, &theirs, buried),
            || {},
        )?;
        Ok(Self { letters, thread })
    }

    /// Stores a letter; bounded by the subscription's window.
    pub(crate) fn bury(&self, token: Token, letter: Outgoing) {
        let _ = self.letters.push((token, letter));
    }

    /// Takes no more letters; what is on its way has a moment left.
    pub(crate) fn close(&self) {
        self.letters.close();
    }

    /// Tells when the thread is gone, and with it the producer.
    pub(crate) fn ended(&self) -> Ended {
        self.thread.ended()
    }
}

impl Drop for Burial {
    fn drop(&mut self) {
        self.close();
    }
}

fn run(
    mut sender: Sender<Token>,
    letters: &Mailbox<(Token, Outgoing)>,
    mut buried: impl FnMut(Vec<(Token, Receipt)>),
) {
    let waker = Waker::from(sender.alarm());
    let mut cx = Context::from_waker(&waker);
    let (mut batch, mut reports) = (Vec::new(), Vec::new());
    let mut closing: Option<Instant> = None;
    while closing.is_none_or(|until| sender.outstanding() != 0 && Instant::now() < until) {
        let mut within = SLEEP;
        if closing.is_none() && letters.poll_drain(&mut cx, &mut batch).is_ready() {
            if batch.is_empty() {
                closing = Some(Instant::now() + CLOSE_GRACE);
            }
            for (token, letter) in batch.drain(..) {
                sender.send(token, Arc::new(letter));
            }
            within = Duration::ZERO;
        }
        if let Some(until) = closing {
            within = until.saturating_duration_since(Instant::now());
        }
        sender.poll(within, &mut reports);
        tell(&mut buried, &mut reports);
    }
    sender.end(&mut reports);
    tell(&mut buried, &mut reports);
}

fn tell(buried: &mut impl FnMut(Vec<(Token, Receipt)>), reports: &mut Vec<Report<Token>>) {
    let batch: Vec<_> = reports
        .drain(..)
        .filter_map(|report| match report {
            Report::Receipt(token, receipt) => Some((token, of_letter(receipt))),
            // What it held has its receipt.
            Report::Lost | Report::Restored => None,
        })
        .collect();
    if !batch.is_empty() {
        buried(batch);
    }
}

fn of_letter(receipt: SinkReceipt) -> Receipt {
    match receipt {
        SinkReceipt::Stored { .. } => Receipt::Stored,
        SinkReceipt::NotStored(error) if error.kind == PortErrorKind::TooLarge => Receipt::TooLarge,
        SinkReceipt::NotStored(error)
        | SinkReceipt::Conflict(error)
        | SinkReceipt::Apart(error)
        | SinkReceipt::Retry(error) => {
            tracing::warn!(%error, "a dead letter was not stored");
            Receipt::NotStored
        }
        SinkReceipt::Unknown(error) => {
            tracing::warn!(%error, "a dead letter is unconfirmed");
            Receipt::Unknown
        }
    }
}
