//! What must not stay as it is, until it has passed.

use std::sync::Arc;

use procession_core::{NoticeKind, PartitionId, Position};

/// Alarms that are kept at once; more say nothing new.
const ALARMS_MAX: usize = 64;

/// The alarms that are on.
#[derive(Debug, Default)]
pub(super) struct Alarms(Vec<(NoticeKind, PartitionId, Position)>);

impl Alarms {
    /// Switches an alarm on, when the notice is one.
    pub(super) fn raise(&mut self, kind: NoticeKind, partition: PartitionId, position: Position) {
        if kind == NoticeKind::StallOver {
            return self.clear(NoticeKind::Stalled, partition);
        }
        let lasting = matches!(
            kind,
            NoticeKind::CommitDenied
                | NoticeKind::HandlerStuck
                | NoticeKind::DeadLetterRetried
                | NoticeKind::WindowFull
                | NoticeKind::LeaseLapsed
                | NoticeKind::ParkingFull
                | NoticeKind::OutOfRange
                | NoticeKind::Stalled
        );
        if !lasting {
            return;
        }
        self.clear(kind, partition);
        if self.0.len() < ALARMS_MAX {
            self.0.push((kind, partition, position));
        }
    }

    /// Switches an alarm of a partition off.
    pub(super) fn clear(&mut self, kind: NoticeKind, partition: PartitionId) {
        self.0.retain(|&(k, p, _)| (k, p) != (kind, partition));
    }

    /// Switches an alarm of all partitions off.
    pub(super) fn clear_kind(&mut self, kind: NoticeKind) {
        self.0.retain(|&(k, _, _)| k != kind);
    }

    /// Switches all alarms of a partition off: it is not ours any more.
    pub(super) fn clear_partition(&mut self, partition: PartitionId) {
        self.0.retain(|&(_, p, _)| p != partition);
    }

    pub(super) fn texts(&self) -> Vec<Arc<str>> {
        self.0
            .iter()
            .map(|(kind, partition, position)| {
                let what = super::notice::describe(*kind);
                format!("partition {} at {}: {what}", partition.0, position.0).into()
            })
            .collect()
    }
}
