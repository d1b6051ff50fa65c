//! What an operator should know: one level per partition and kind, merged until polled.

use alloc::vec;
use alloc::vec::Vec;

use super::bits::BitSet;
use super::{Consumer, Notice, NoticeKind};
use crate::{PartitionId, Position};

const KINDS: usize = NoticeKind::ALL.len();

#[derive(Clone, Debug)]
pub(super) struct Notices {
    pub(super) raised: BitSet,
    /// Count and latest position, `KINDS` a partition.
    pub(super) levels: Vec<(u32, Position)>,
}

impl Notices {
    pub(super) fn new(partitions: usize) -> Self {
        Self {
            raised: BitSet::new(partitions * KINDS),
            levels: vec![(0, Position(0)); partitions * KINDS],
        }
    }

    pub(super) fn raise(&mut self, partition: usize, kind: NoticeKind, position: Position) {
        let index = partition * KINDS + kind as usize;
        let level = &mut self.levels[index];
        *level = (level.0.saturating_add(1), position);
        self.raised.insert(index as u32);
    }
}

impl<M> Consumer<M> {
    /// Something that an operator should know. Occurrences of one kind in one partition merge until
    /// they are polled; none is lost.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        let index = self.notices.raised.pop()? as usize;
        let (count, position) = core::mem::take(&mut self.notices.levels[index]);
        Some(Notice {
            partition: PartitionId((index / KINDS) as u32),
            kind: NoticeKind::ALL[index % KINDS],
            count,
            position,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_numbered_as_listed() {
        for (i, kind) in NoticeKind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, i);
        }
    }
}
