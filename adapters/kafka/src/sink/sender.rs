//! Sends messages and tells what became of them, over one producer after the other.

use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use procession_runtime::port::{Outgoing, PortError, PortErrorKind, SinkReceipt};
use rdkafka::ClientConfig;

use super::alarm::Alarm;
use super::ledger::Ledger;
use super::renewal::{After, Renewal};
use super::{Known, receipt, settings};
use crate::ffi::producer::Producer;
use crate::partitioner::Partitioner;

/// How long messages on their way may still be answered after their producer broke.
const DRAINED_WITHIN: Duration = Duration::from_secs(2);
/// How long the reports of a purge may take.
const PURGED_WITHIN: Duration = Duration::from_secs(1);
/// Longest pause between producers that break without having stored anything.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Batches of reports that one poll takes before it hands over.
const BATCHES_MAX: usize = 64;

/// Sends messages; for one thread, which polls it. `T` names a message.
///
/// Each message gets exactly one [`Report::Receipt`]. Between [`Report::Lost`] and
/// [`Report::Restored`] nothing is sent.
#[derive(Debug)]
pub(crate) struct Sender<T> {
    config: ClientConfig,
    alarm: Arc<Alarm>,
    ledger: Ledger<T>,
    stage: Stage,
    /// Producers in a row that stored nothing.
    in_vain: u32,
}

/// What became of something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Report<T> {
    /// The end of a message.
    Receipt(T, SinkReceipt),
    /// The producer is given up; what it holds is being answered.
    Lost,
    /// There is a new one, and nothing that the old one sent can land any more.
    Restored,
}

#[derive(Debug)]
enum Stage {
    Up(Producer),
    /// Given up; what is on its way may still be answered.
    Draining {
        producer: Producer,
        until: Instant,
        purged: bool,
    },
    /// Being replaced.
    Renewing(Renewal),
    Ended,
}

impl<T: Copy> Sender<T> {
    /// A sender with a producer of its own, which connects in the background. What a producer must
    /// have is set here.
    ///
    /// # Errors
    /// A setting that librdkafka does not take.
    pub(crate) fn new(
        config: &ClientConfig,
        partitioner: Partitioner,
        known: Known,
    ) -> Result<Self, PortError> {
        let config = settings::of_producer(config);
        let producer = Producer::new(&config).map_err(|failure| {
            PortError::new(
                PortErrorKind::Invalid,
                format!("the Kafka producer cannot be made: {}", failure.text),
            )
        })?;
        let alarm = Arc::new(Alarm::default());
        alarm.watch(Some(producer.bell()));
        Ok(Self {
            config,
            alarm,
            ledger: Ledger::new(partitioner, known),
            stage: Stage::Up(producer),
            in_vain: 0,
        })
    }

    /// Ends a [`poll`](Self::poll) from any thread.
    pub(crate) fn alarm(&self) -> Arc<Alarm> {
        Arc::clone(&self.alarm)
    }

    /// Messages without an answer that a producer holds.
    pub(crate) fn outstanding(&self) -> usize {
        self.ledger.outstanding()
    }

    /// Takes a message. Never blocks.
    pub(crate) fn send(&mut self, tag: T, message: Arc<Outgoing>) {
        match &self.stage {
            _ if message.expect.is_some() => {
                self.ledger
                    .answer(tag, receipt::cannot_compare(&message.topic));
            }
            Stage::Up(producer) => self.ledger.send(producer, tag, message),
            Stage::Draining { .. } | Stage::Renewing(_) | Stage::Ended => {
                let receipt = receipt::not_sent("the Kafka producer is being replaced");
                self.ledger.answer(tag, receipt);
            }
        }
    }

    /// Gives the producer up and makes a new one.
    pub(crate) fn renew(&mut self, why: &str) {
        if !matches!(self.stage, Stage::Up(_)) {
            return;
        }
        if let Stage::Up(producer) = core::mem::replace(&mut self.stage, Stage::Ended) {
            tracing::warn!(why, "the Kafka producer is replaced");
            // What is on its way is not purged: its answers are worth a wait.
            producer.purge(false);
            self.ledger.tell(Report::Lost);
            self.ledger.leave("the Kafka producer is being replaced");
            self.stage = Stage::Draining {
                producer,
                until: Instant::now() + DRAINED_WITHIN,
                purged: false,
            };
        }
    }

    /// Waits for what happens, at most `within`, and appends it to `into`.
    pub(crate) fn poll(&mut self, within: Duration, into: &mut Vec<Report<T>>) {
        let within = if self.ledger.is_ready() {
            Duration::ZERO
        } else {
            within
        };
        match &self.stage {
            Stage::Up(producer) => listen(producer, &mut self.ledger, &self.alarm, within),
            Stage::Draining {
                producer, until, ..
            } => {
                let left = until.saturating_duration_since(Instant::now());
                listen(producer, &mut self.ledger, &self.alarm, within.min(left));
            }
            Stage::Renewing(_) | Stage::Ended => self.alarm.sleep(within),
        }
        self.advance();
        self.ledger.hand_over(into);
    }

    fn advance(&mut self) {
        if let Some(why) = self.ledger.take_broken() {
            self.renew(&why);
        }
        let now = Instant::now();
        match core::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Draining {
                producer,
                until,
                purged,
            } => {
                self.stage = if self.ledger.outstanding() != 0 && now < until {
                    Stage::Draining {
                        producer,
                        until,
                        purged,
                    }
                } else if self.ledger.outstanding() != 0 && !purged {
                    producer.purge(true);
                    Stage::Draining {
                        producer,
                        until: now + PURGED_WITHIN,
                        purged: true,
                    }
                } else {
                    Stage::Renewing(self.replace(producer))
                };
            }
            Stage::Renewing(mut renewal) => {
                renewal.watch();
                self.stage = match renewal.take() {
                    Some(producer) => {
                        self.alarm.watch(Some(producer.bell()));
                        self.ledger.tell(Report::Restored);
                        Stage::Up(producer)
                    }
                    None => Stage::Renewing(renewal),
                };
            }
            stage @ (Stage::Up(_) | Stage::Ended) => self.stage = stage,
        }
    }

    fn replace(&mut self, old: Producer) -> Renewal {
        self.alarm.watch(None);
        let (uncertain, stored) = self.ledger.close_account();
        self.in_vain = if stored { 0 } else { self.in_vain + 1 };
        let pause = if self.in_vain < 2 {
            Duration::ZERO
        } else {
            (Duration::from_millis(250) * (1 << self.in_vain.min(8))).min(PAUSE_MAX)
        };
        Renewal::begin(
            old,
            self.config.clone(),
            After { uncertain, pause },
            Arc::clone(&self.alarm),
        )
    }

    /// Gives up everything: what has no answer gets one, and the producer is ended, however long
    /// that takes. Not for a thread that somebody waits for.
    pub(crate) fn end(mut self, into: &mut Vec<Report<T>>) {
        self.ledger.leave("the Kafka producer is closed");
        let mut renewal = match core::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Up(producer) | Stage::Draining { producer, .. } => {
                producer.purge(true);
                let until = Instant::now() + PURGED_WITHIN;
                while self.ledger.outstanding() != 0 && Instant::now() < until {
                    let left = until.saturating_duration_since(Instant::now());
                    listen(&producer, &mut self.ledger, &self.alarm, left);
                }
                self.alarm.watch(None);
                Renewal::end(producer, Arc::clone(&self.alarm))
            }
            Stage::Renewing(renewal) => renewal,
            Stage::Ended => return,
        };
        self.ledger.close_account();
        self.ledger.hand_over(into);
        renewal.stop();
        while !renewal.is_finished() {
            self.alarm.sleep(Duration::from_millis(500));
            renewal.watch();
        }
        // It may have been made before it was stopped.
        drop(renewal.take());
    }
}

/// Waits for the producer, and books what it tells.
fn listen<T: Copy>(producer: &Producer, ledger: &mut Ledger<T>, alarm: &Alarm, within: Duration) {
    let mut within = if alarm.take() { Duration::ZERO } else { within };
    for _ in 0..BATCHES_MAX {
        if !producer.poll(within, |event| ledger.heard(producer, event)) {
            break;
        }
        within = Duration::ZERO;
    }
}
