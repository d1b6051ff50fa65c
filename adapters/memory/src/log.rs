//! The log of one partition.

use std::collections::VecDeque;

use bytes::Bytes;
use procession_core::{Anchor, Continuity, Position, Stamp};
use procession_runtime::port::Record;

/// The first position of every log.
pub(crate) const FIRST: Position = Position(1);

/// Records at consecutive positions. The front is freed by retention; the back only grows, except
/// when a test rewrites it.
pub(crate) struct PartitionLog {
    /// Position of `records[0]`, or of the next record when there is none.
    start: Position,
    records: VecDeque<Record>,
}

impl Default for PartitionLog {
    fn default() -> Self {
        Self {
            start: FIRST,
            records: VecDeque::new(),
        }
    }
}

impl PartitionLog {
    /// What one record costs: its bytes and the bookkeeping around them, twice over, because the
    /// buffer of records grows by doubling.
    pub(crate) const fn charge(bytes: usize) -> usize {
        bytes + 2 * size_of::<Record>()
    }

    /// The first position that is held.
    pub(crate) const fn start(&self) -> Position {
        self.start
    }

    /// One past the last position.
    pub(crate) fn end(&self) -> Position {
        Position(self.start.0 + self.records.len() as u64)
    }

    /// Appends; the record's position becomes [`end`](Self::end).
    pub(crate) fn append(&mut self, mut record: Record) -> Position {
        let position = self.end();
        record.position = position;
        self.records.push_back(record);
        position
    }

    /// The records at and after `from`.
    pub(crate) fn read(&self, from: Position) -> impl Iterator<Item = &Record> {
        let skip = from.0.saturating_sub(self.start.0);
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        self.records.range(skip.min(self.records.len())..)
    }

    /// Position of the last record of a key. Looks at the whole log if need be: only publishes that
    /// expect something ask for it.
    pub(crate) fn last_of(&self, key: Option<&Bytes>) -> Option<Position> {
        let mut newest_first = self.records.iter().rev();
        let last = newest_first.find(|record| record.key.as_ref() == key)?;
        Some(last.position)
    }

    /// Forgets what is below `to`, the oldest first, until that frees `wanted` bytes. Returns how
    /// many it freed.
    pub(crate) fn free_below(&mut self, to: Position, wanted: usize) -> usize {
        let mut freed = 0;
        while self.start < to && freed < wanted {
            let Some(record) = self.records.pop_front() else {
                break;
            };
            freed += Self::charge(record.bytes as usize);
            self.start = self.start.next();
        }
        if self.records.is_empty() {
            // An emptied log returns its buffer: a thousand idle topics must not hold their peaks.
            self.records.shrink_to(64);
        }
        freed
    }

    /// Compares the log with what a consumer remembers of it.
    ///
    /// A shorter log, or another stamp at the anchor's position, was rewritten; what is new begins
    /// at the first record with a later stamp. An anchor that retention removed proves nothing.
    pub(crate) fn recognise(&self, anchor: &Anchor) -> Continuity {
        if anchor.position < self.start {
            return Continuity::CannotTell;
        }
        match self.read(anchor.position).next() {
            Some(record) if record.stamp == anchor.stamp => Continuity::Continues,
            _ => Continuity::Rewritten {
                from: self.newer_than(anchor.stamp),
            },
        }
    }

    /// The first position whose record is newer than `stamp`; the end when there is none.
    fn newer_than(&self, stamp: Stamp) -> Position {
        // Stamps grow with positions within a topic, also over a rewrite.
        let index = self.records.partition_point(|record| record.stamp <= stamp);
        Position(self.start.0 + index as u64)
    }

    /// Drops the last `count` records, as a broker does that loses an acknowledged tail. Returns how
    /// many bytes that frees.
    #[cfg(feature = "test-hooks")]
    pub(crate) fn drop_tail(&mut self, count: usize) -> usize {
        let keep = self.records.len().saturating_sub(count);
        self.records
            .drain(keep..)
            .map(|record| Self::charge(record.bytes as usize))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use procession_runtime::port::Headers;

    fn record(stamp: u64) -> Record {
        Record {
            position: Position(0),
            stamp: Stamp(stamp),
            delivery: None,
            key: None,
            headers: Headers::default(),
            payload: Bytes::from_static(b"x"),
            bytes: 1,
        }
    }

    fn log(stamps: impl IntoIterator<Item = u64>) -> PartitionLog {
        let mut log = PartitionLog::default();
        for stamp in stamps {
            log.append(record(stamp));
        }
        log
    }

    fn anchor(position: u64, stamp: u64) -> Anchor {
        Anchor {
            position: Position(position),
            stamp: Stamp(stamp),
        }
    }

    #[test]
    fn positions_begin_at_one_and_survive_retention() {
        let mut log = log([10, 20, 30]);
        assert_eq!((log.start(), log.end()), (Position(1), Position(4)));
        assert_eq!(log.free_below(Position(3), 1), PartitionLog::charge(1));
        assert_eq!(log.start(), Position(2), "no more than was wanted");
        let freed = log.free_below(Position(3), usize::MAX);
        assert_eq!(freed, PartitionLog::charge(1));
        assert_eq!((log.start(), log.end()), (Position(3), Position(4)));
        assert_eq!(log.append(record(40)), Position(4));
        let read: Vec<_> = log.read(Position(1)).map(|r| r.position.0).collect();
        assert_eq!(read, [3, 4]);
        log.free_below(Position(99), usize::MAX);
        assert_eq!((log.start(), log.end()), (Position(5), Position(5)));
    }

    #[test]
    fn an_anchor_is_recognised_rewritten_or_gone() {
        let mut log = log([10, 20, 30]);
        assert_eq!(log.recognise(&anchor(2, 20)), Continuity::Continues);
        let other = Continuity::Rewritten { from: Position(3) };
        assert_eq!(log.recognise(&anchor(2, 21)), other);
        let shorter = Continuity::Rewritten { from: Position(4) };
        assert_eq!(log.recognise(&anchor(9, 90)), shorter);
        log.free_below(Position(3), usize::MAX);
        assert_eq!(log.recognise(&anchor(2, 20)), Continuity::CannotTell);
    }
}
