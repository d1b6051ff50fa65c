//! A session of one partition: it begins at the message by which the log is recognised, and delivers
//! what the core has granted.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use procession_core::{Continuity, Position, Stamp, Start};
use procession_runtime::port::{BreakReason, FeedEvent, HeadersBuilder, Record};
use rdkafka::error::RDKafkaErrorCode;

use super::lookup::Extent;
use super::partition::Granted;
use crate::context::Context;
use crate::ffi::queue::{Batch, Fetched, Queue};

/// Messages of one batch: they stay in cache, and other partitions get their turn.
pub(super) const BATCH: usize = 500;
/// How long the first message may take to come.
const BEGIN_WITHIN: Duration = Duration::from_secs(5);
/// Bytes that neighbouring messages share: an allocation for a dozen of them, and at most so much is
/// kept by one that is held for long (S7).
const CHUNK: usize = 4 << 10;
/// Header fields of an envelope, as a rule, and their bytes: room that is made at once.
const FIELDS: usize = 12;
const FIELD_BYTES: usize = 320;

/// A session that began.
pub(super) struct Reading {
    pub(super) start: Start,
    queue: Queue<Context>,
    stage: Stage,
    deadline: Instant,
    messages: u64,
    bytes: u64,
    /// All that lies below has been delivered, or is not there.
    next: u64,
    /// The first message, where it is not the one that was expected.
    held: Option<Record>,
    /// Room for the next messages.
    chunk: BytesMut,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// The first message must be the anchor.
    Verifying,
    /// It was not, and the log is asked how far it reaches.
    Asking,
    /// Deliveries flow.
    Live,
    /// What was found was told; a new session follows.
    Over,
}

/// What has to be done beside telling what was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Turn {
    /// Ask for the extent of the log.
    Ask(Stamp),
    /// Begin again at this position, in the same session.
    Again(Position),
    /// The session is over.
    Broken(BreakReason),
    /// Where the partition stands has to be looked up again: the log does not hold what comes next.
    LookUp,
    /// Reading is not permitted.
    Denied,
}

impl Reading {
    pub(super) fn begin(start: Start, queue: Queue<Context>, now: Instant) -> Self {
        Self {
            start,
            queue,
            stage: if start.expect.is_some() {
                Stage::Verifying
            } else {
                Stage::Live
            },
            deadline: now + BEGIN_WITHIN,
            messages: 0,
            bytes: 0,
            next: start.at.0,
            held: None,
            chunk: BytesMut::new(),
        }
    }

    /// The same session from another place on: the anchor is gone, and nothing is left to compare.
    pub(super) fn again(&self, at: Position, queue: Queue<Context>) -> Self {
        Self {
            queue,
            stage: Stage::Live,
            messages: self.messages,
            bytes: self.bytes,
            next: at.0,
            held: None,
            chunk: BytesMut::new(),
            ..*self
        }
    }

    /// What is told as soon as the fetcher has the partition.
    pub(super) fn opening(&self) -> Option<FeedEvent> {
        (self.stage == Stage::Live).then(|| self.session(Continuity::Continues))
    }

    fn session(&self, continuity: Continuity) -> FeedEvent {
        FeedEvent::Session {
            partition: self.start.partition,
            epoch: self.start.epoch,
            session: self.start.session,
            continuity,
        }
    }

    /// Delivers what is there and was granted, at most a batch. Returns whether there may be more.
    pub(super) fn read(
        &mut self,
        now: Instant,
        granted: &Granted,
        batch: &mut Batch,
        out: &mut Vec<FeedEvent>,
    ) -> (bool, Option<Turn>) {
        let max = match self.stage {
            Stage::Over | Stage::Asking => 0,
            Stage::Verifying => 1,
            Stage::Live => self.room(granted),
        };
        let mut seen = Seen {
            chunk: std::mem::take(&mut self.chunk),
            ..Seen::default()
        };
        let count = self.queue.batch(batch, max, |message| seen.take(&message));
        self.chunk = std::mem::take(&mut seen.chunk);
        if seen.foreign_error {
            tracing::debug!(
                partition = self.start.partition.0,
                "the Kafka client reports a passing error of a partition"
            );
        }
        let mut turn = None;
        if self.stage == Stage::Verifying {
            turn = self.verify(now, &mut seen, out);
        }
        if self.stage == Stage::Live {
            turn = turn.or_else(|| self.deliver(&mut seen, out));
        }
        (0 < max && count == max, turn)
    }

    /// How many messages may be taken now. The granted bytes may be exceeded by what one batch holds
    /// beyond the usual size of its messages, so the estimate follows what came.
    fn room(&self, granted: &Granted) -> usize {
        let messages = granted.messages.saturating_sub(self.messages);
        let bytes = granted.bytes.saturating_sub(self.bytes);
        if messages == 0 || bytes == 0 {
            return 0;
        }
        let usual = self
            .bytes
            .checked_div(self.messages)
            .unwrap_or(16_384)
            .max(1);
        let fit = bytes.div_ceil(usual).min(messages);
        usize::try_from(fit).unwrap_or(BATCH).clamp(1, BATCH)
    }

    fn verify(&mut self, now: Instant, seen: &mut Seen, out: &mut Vec<FeedEvent>) -> Option<Turn> {
        let anchor = self.start.expect?;
        let first = match (seen.records.pop(), seen.end, seen.error) {
            (Some(record), ..) => record,
            (None, Some(end), _) if anchor.position.0 < end => {
                // What was there is gone (retention, compaction), and nothing follows.
                self.run(Continuity::CannotTell, out);
                return None;
            }
            // The log ends at the anchor or before it, or begins behind it.
            (None, Some(_), _) | (None, None, Some(Problem::OutOfRange)) => {
                self.stage = Stage::Asking;
                return Some(Turn::Ask(anchor.stamp));
            }
            (None, None, Some(problem)) => return Some(problem.turn()),
            (None, None, None) if self.deadline <= now => {
                return Some(Turn::Broken(BreakReason::NotStarted));
            }
            (None, None, None) => return None,
        };
        if first.position < anchor.position {
            // Left over from before: librdkafka starts where it was told.
            return None;
        }
        if first.position == anchor.position {
            self.next = anchor.position.0 + 1;
            if first.stamp == anchor.stamp {
                // The overlapping one is not delivered again.
                self.run(Continuity::Continues, out);
                return None;
            }
            self.stage = Stage::Asking;
            return Some(Turn::Ask(anchor.stamp));
        }
        self.held = Some(first);
        self.run(Continuity::CannotTell, out);
        None
    }

    fn run(&mut self, continuity: Continuity, out: &mut Vec<FeedEvent>) {
        self.stage = Stage::Live;
        out.push(self.session(continuity));
    }

    /// The extent of the log is known: what does it say about the anchor?
    pub(super) fn measured(&mut self, extent: &Extent, out: &mut Vec<FeedEvent>) -> Option<Turn> {
        let anchor = self.start.expect?;
        if self.stage != Stage::Asking {
            return None;
        }
        if anchor.position.0 < extent.start {
            self.stage = Stage::Over;
            out.push(self.session(Continuity::CannotTell));
            return Some(Turn::Again(Position(extent.start)));
        }
        // Other content at the anchor, or nothing: the log was cut and written again. What is newer than
        // the anchor is new, and so is whatever stands at its place.
        let from = extent.newer.unwrap_or(u64::MAX);
        let from = from
            .min(anchor.position.0)
            .min(extent.end)
            .max(extent.start);
        self.stage = Stage::Over;
        out.push(self.session(Continuity::Rewritten {
            from: Position(from),
        }));
        None
    }

    fn deliver(&mut self, seen: &mut Seen, out: &mut Vec<FeedEvent>) -> Option<Turn> {
        let mut records = std::mem::take(&mut seen.records);
        if let Some(held) = self.held.take() {
            records.insert(0, held);
        }
        let start = self.start;
        if let Some(last) = records.last() {
            self.next = last.position.0 + 1;
            self.messages += records.len() as u64;
            self.bytes += records.iter().map(|r| u64::from(r.bytes)).sum::<u64>();
            out.push(FeedEvent::Records {
                partition: start.partition,
                epoch: start.epoch,
                session: start.session,
                records,
            });
        }
        if let Some(end) = seen.end
            && self.next < end
        {
            // Markers of transactions, or what compaction took: nothing below is still to come.
            self.next = end;
            out.push(FeedEvent::Advance {
                partition: start.partition,
                epoch: start.epoch,
                session: start.session,
                position: Position(end),
            });
        }
        seen.error.map(Problem::turn)
    }
}

/// What a batch brought.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) records: Vec<Record>,
    /// Where the log ends, if that was reached.
    pub(crate) end: Option<u64>,
    pub(crate) error: Option<Problem>,
    foreign_error: bool,
    /// Room for the next messages.
    chunk: BytesMut,
}

/// What stands in the way of reading on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Problem {
    OutOfRange,
    Truncated,
    Gone,
    Denied,
}

impl Problem {
    const fn turn(self) -> Turn {
        match self {
            Self::OutOfRange | Self::Gone => Turn::LookUp,
            // The overlap of the next session finds out from where on.
            Self::Truncated => Turn::Broken(BreakReason::Gone),
            Self::Denied => Turn::Denied,
        }
    }
}

impl Seen {
    pub(crate) fn take(&mut self, message: &Fetched<'_>) {
        use RDKafkaErrorCode as E;
        match message.error() {
            None => {
                if self.records.capacity() == 0 {
                    self.records.reserve(BATCH);
                }
                self.records.push(record(message, &mut self.chunk));
            }
            Some(E::PartitionEOF) => self.end = Some(message.offset()),
            Some(E::AutoOffsetReset | E::OffsetOutOfRange) => {
                self.error = Some(Problem::OutOfRange);
            }
            Some(E::LogTruncation) => self.error = Some(Problem::Truncated),
            Some(
                E::UnknownTopic
                | E::UnknownTopicOrPartition
                | E::UnknownPartition
                | E::UnknownTopicId,
            ) => {
                self.error = Some(Problem::Gone);
            }
            Some(E::TopicAuthorizationFailed) => self.error = Some(Problem::Denied),
            // The client tries again by itself.
            Some(_) => self.foreign_error = true,
        }
    }
}

/// Copies into a chunk that is shared with the neighbours.
fn copied(bytes: &[u8], chunk: &mut BytesMut) -> Bytes {
    if CHUNK / 4 < bytes.len() {
        return Bytes::copy_from_slice(bytes);
    }
    if chunk.capacity() < bytes.len() {
        *chunk = BytesMut::with_capacity(CHUNK);
    }
    chunk.extend_from_slice(bytes);
    chunk.split().freeze()
}

/// Owned bytes, copied: a held message would pin the whole response that it came in (S7).
fn record(message: &Fetched<'_>, chunk: &mut BytesMut) -> Record {
    let key = message.key().map(|key| copied(key, chunk));
    let payload = copied(message.payload(), chunk);
    let mut headers = HeadersBuilder::with_capacity(FIELDS, FIELD_BYTES);
    let mut header_bytes = 0;
    message.each_header(|name, value| {
        let name = name.to_bytes();
        header_bytes += name.len() + value.len();
        headers.push_bytes(name, value);
    });
    let bytes = payload.len() + key.as_ref().map_or(0, Bytes::len) + header_bytes;
    Record {
        position: Position(message.offset()),
        stamp: Stamp(message.timestamp()),
        delivery: None,
        key,
        headers: headers.build(),
        payload,
        bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
    }
}
