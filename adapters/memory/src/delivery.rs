//! Delivery of one partition: an epoch of owning it, and the session in it.

use procession_core::{Continuity, Epoch, PartitionId, Position, Session, Start};
#[cfg(feature = "test-hooks")]
use procession_runtime::port::BreakReason;
use procession_runtime::port::{FeedEvent, Record};

use crate::log::PartitionLog;

/// Most records of one event: they stay in cache, and other partitions get their turn.
const BATCH: usize = 256;

/// A partition that this member owns.
pub(crate) struct Delivery {
    pub(crate) partition: PartitionId,
    pub(crate) epoch: Epoch,
    pub(crate) paused: bool,
    session: Option<Running>,
}

/// A session that began.
struct Running {
    session: Session,
    /// The next position to deliver.
    next: Position,
    /// Delivered so far, and how much may be delivered in all.
    messages: Used,
    bytes: Used,
    /// Deliveries that get lost from now on, and whether the last one was.
    #[cfg(feature = "test-hooks")]
    lose: u32,
    #[cfg(feature = "test-hooks")]
    tail_lost: bool,
}

/// A total against the total that was granted.
#[derive(Clone, Copy, Default)]
struct Used {
    used: u64,
    granted: u64,
}

impl Used {
    const fn is_up(self) -> bool {
        self.used >= self.granted
    }
}

impl Delivery {
    pub(crate) const fn new(partition: PartitionId, epoch: Epoch) -> Self {
        Self {
            partition,
            epoch,
            paused: false,
            session: None,
        }
    }

    /// Begins a session and says what was found where it begins.
    ///
    /// With an expected message the session overlaps by one: that message must be there, and is not
    /// delivered again. After a rewrite nothing follows in this session: where to go on is the
    /// core's decision, and it starts another one there.
    pub(crate) fn start(&mut self, start: &Start, log: &PartitionLog) -> FeedEvent {
        self.epoch = start.epoch;
        let (continuity, next) = match &start.expect {
            // It ends before: a tail was lost, and what takes its positions would be skipped in silence.
            None if log.end() < start.at => (Continuity::Rewritten { from: log.end() }, None),
            None => (Continuity::Continues, Some(start.at)),
            Some(anchor) => match log.recognise(anchor) {
                found @ Continuity::Continues => (found, Some(anchor.position.next())),
                found @ Continuity::CannotTell => (found, Some(start.at)),
                found @ Continuity::Rewritten { .. } => (found, None),
            },
        };
        self.session = next.map(|next| Running {
            session: start.session,
            next,
            messages: Used::default(),
            bytes: Used::default(),
            #[cfg(feature = "test-hooks")]
            lose: 0,
            #[cfg(feature = "test-hooks")]
            tail_lost: false,
        });
        FeedEvent::Session {
            partition: self.partition,
            epoch: self.epoch,
            session: start.session,
            continuity,
        }
    }

    /// The session may deliver this much in all.
    pub(crate) fn grant(&mut self, session: Session, messages: u64, bytes: u64) {
        if let Some(running) = &mut self.session
            && running.session == session
        {
            running.messages.granted = running.messages.granted.max(messages);
            running.bytes.granted = running.bytes.granted.max(bytes);
        }
    }

    /// Ends the session. In the memory of one process nothing but a test does that.
    #[cfg(feature = "test-hooks")]
    pub(crate) fn break_off(&mut self, why: BreakReason) -> Option<FeedEvent> {
        let running = self.session.take()?;
        Some(FeedEvent::Broken {
            partition: self.partition,
            epoch: self.epoch,
            session: running.session,
            why,
        })
    }

    /// Delivers what the log holds and the grant allows, at most one batch. True when there is more.
    ///
    /// The granted bytes may be exceeded by one message, so that a message that is larger than what
    /// is left of the grant still comes through.
    pub(crate) fn read(&mut self, log: &PartitionLog, into: &mut Vec<FeedEvent>) -> bool {
        let Some(running) = &mut self.session else {
            return false;
        };
        if self.paused {
            return false;
        }
        if running.next < log.start() {
            // Only a group that came late can be behind retention: nothing below is to come.
            running.next = log.start();
            into.push(FeedEvent::Advance {
                partition: self.partition,
                epoch: self.epoch,
                session: running.session,
                position: running.next,
            });
        }
        let there = usize::try_from(log.end().0.saturating_sub(running.next.0)).unwrap_or(BATCH);
        let allowed = running
            .messages
            .granted
            .saturating_sub(running.messages.used);
        let allowed = usize::try_from(allowed).unwrap_or(BATCH);
        let mut records = Vec::with_capacity(there.min(allowed).min(BATCH));
        let mut more = false;
        for record in log.read(running.next) {
            if running.messages.is_up() || running.bytes.is_up() {
                break;
            }
            if records.len() == BATCH {
                more = true;
                break;
            }
            running.next = record.position.next();
            running.messages.used += 1;
            running.bytes.used += u64::from(record.bytes);
            #[cfg(feature = "test-hooks")]
            if running.is_lost() {
                continue;
            }
            records.push(Record {
                delivery: Some(running.messages.used),
                ..record.clone()
            });
        }
        if !records.is_empty() {
            into.push(FeedEvent::Records {
                partition: self.partition,
                epoch: self.epoch,
                session: running.session,
                records,
            });
        }
        #[cfg(feature = "test-hooks")]
        if running.tail_lost
            && (running.next >= log.end() || running.messages.is_up() || running.bytes.is_up())
        {
            // What a heartbeat tells a consumer of a real broker. Also when the grant is used up:
            // nothing follows then that could show the gap.
            into.extend(self.break_off(BreakReason::TailLost));
        }
        more
    }

    /// Loses the next `count` deliveries on the way.
    #[cfg(feature = "test-hooks")]
    pub(crate) fn lose(&mut self, count: u32) {
        if let Some(running) = &mut self.session {
            running.lose = count;
        }
    }
}

#[cfg(feature = "test-hooks")]
impl Running {
    fn is_lost(&mut self) -> bool {
        self.tail_lost = self.lose > 0;
        self.lose = self.lose.saturating_sub(1);
        self.tail_lost
    }
}
