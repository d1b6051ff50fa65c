//! Where the offers of a partition are: what the next one is expected to say need not be written.

use procession_core::{Arrival, Dispatch, Epoch, PartitionId, Session};

/// Partitions that are followed at once; those with equal remainders take turns.
const TRACKS: usize = 64;

/// The last offer of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Track {
    pub(super) partition: PartitionId,
    pub(super) epoch: Epoch,
    pub(super) session: Session,
    pub(super) position: u64,
    pub(super) stamp: u64,
    pub(super) delivery: u64,
}

impl Track {
    pub(super) const fn new(partition: PartitionId, epoch: Epoch, session: Session) -> Self {
        Self {
            partition,
            epoch,
            session,
            position: 0,
            stamp: 0,
            delivery: 0,
        }
    }

    #[inline]
    pub(super) fn is_of<M>(&self, arrival: &Arrival<M>) -> bool {
        self.partition == arrival.partition
            && self.epoch == arrival.epoch
            && self.session == arrival.session
    }

    #[inline]
    pub(super) fn has<M>(&self, dispatch: &Dispatch<M>) -> bool {
        self.partition == dispatch.partition && self.epoch == dispatch.epoch
    }

    /// After an offer.
    #[inline]
    pub(super) const fn follow(&mut self, position: u64, stamp: u64, delivery: Option<u64>) {
        self.position = position;
        self.stamp = stamp;
        if let Some(delivery) = delivery {
            self.delivery = delivery;
        }
    }
}

/// The last offers.
#[derive(Clone, Debug)]
pub(super) struct Tracks([Track; TRACKS]);

impl Tracks {
    /// Of no partition: the first offer of each says what it is.
    pub(super) const fn new() -> Self {
        let none = Track::new(PartitionId(u32::MAX), Epoch(0), Session(0));
        Self([none; TRACKS])
    }

    /// The place of a partition.
    #[inline]
    pub(super) const fn place(partition: PartitionId) -> u8 {
        partition.0 as u8 % TRACKS as u8
    }

    #[inline]
    pub(super) const fn at(&mut self, place: u8) -> &mut Track {
        &mut self.0[place as usize % TRACKS]
    }
}
