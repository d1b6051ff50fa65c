//! Order, acks, dedupe and pressure of one subscription.

mod bits;
mod buckets;
mod calls;
mod check;
mod commit;
mod dedupe;
mod digests;
mod dispatch;
mod doubt;
mod expiry;
mod finish;
mod flow;
mod gaps;
mod grants;
mod handover;
mod index;
mod inputs;
mod intake;
mod kept;
mod lanes;
mod letters;
mod map;
mod mask;
mod notices;
mod outputs;
mod parked;
mod partition;
mod places;
mod pool;
mod quiet;
mod reading;
mod remembered;
mod resumed;
mod runs;
mod sequence;
mod session;
mod slab;
mod snapshot;
mod stalls;
mod suspects;
mod suspicion;
mod timeouts;
mod timers;
mod weights;
mod window;

pub use inputs::{
    Admit, Anchor, Arrival, CommitResult, Continuity, NotWeighed, Outcome, Receipt, Refusal,
    Refused, Resume, Stale, Wake, WakeReason, Why,
};
pub use mask::Mask;
pub use outputs::{
    Commit, Copied, Credit, DeadLetter, Dispatch, Drained, Flow, Grant, Health, Notice, NoticeKind,
    Passed, Release, SequenceGap, Stall, StallState, Start, Stats,
};
pub use places::{ParkedKey, ParkedMode};
pub use reading::{ProgressMap, decode_digests, decode_map, decode_parked, decode_suspects};
pub use remembered::NotRestored;
pub use snapshot::{SnapshotError, seal_snapshot};
pub use suspects::Accused;
pub use weights::WEIGHT_MAX;

use alloc::vec::Vec;

use bits::BitSet;
use dedupe::Identities;
use expiry::Expiry;
use lanes::Lanes;
use notices::Notices;
use partition::Partition;
use places::Parking;
use pool::Pool;
use sequence::Sequences;
use slab::Slab;
use suspects::Suspects;
use timers::Timers;

use crate::{Config, ConfigError, Epoch, Expired, Limits, Order, PartitionId, Position, Time};

/// Order, acks, dedupe and pressure of one subscription, as a pure state machine.
///
/// `M` is the message: opaque, moved in and out, never looked at and never cloned.
///
/// Methods come in four kinds:
/// - *from the broker*: [`open`](Self::open), [`extend`](Self::extend), [`session`](Self::session),
///   [`broken`](Self::broken), [`offer`](Self::offer), [`advance`](Self::advance),
///   [`revoke`](Self::revoke), [`lose`](Self::lose), [`commit_result`](Self::commit_result),
///   [`dead_letter_result`](Self::dead_letter_result);
/// - *from the application*: [`settle`](Self::settle), [`set_limits`](Self::set_limits),
///   [`drain`](Self::drain), [`release`](Self::release), [`set_parked`](Self::set_parked),
///   [`reset`](Self::reset), [`pass_gap`](Self::pass_gap), [`set_weight`](Self::set_weight);
/// - *time*: [`handle_timeout`](Self::handle_timeout), [`poll_timeout`](Self::poll_timeout);
/// - *to the adapter*: the other `poll_*`, and [`credit`](Self::credit).
///
/// And as a whole it can be written and read: [`snapshot`](Self::snapshot), [`restore`](Self::restore).
///
/// Feed it anything in any order with time that never goes back; ask it anything at any moment; it
/// never grows, blocks or reads a clock. Outputs are levels, not queued events: call the polls in
/// any order, as often or as seldom as you like. What names an unknown partition, an older epoch or
/// session or a settled token changes nothing (S6). Time that goes back counts as standing still.
///
/// Costs: every call is O(1) amortised, except where it says otherwise; losing, releasing or
/// rewinding a partition walks over all slots once.
pub struct Consumer<M> {
    config: Config,
    limits: Limits,
    now: Time,
    /// What succeeds now is remembered until then.
    remember_until: Time,

    slab: Slab<M>,
    lanes: Lanes,
    identities: Identities,
    pool: Pool,
    timers: Timers,
    parking: Parking,
    expiry: Expiry,
    sequences: Sequences,
    suspects: Suspects,
    partitions: Vec<Partition>,

    // Levels: one bit each, drained by the polls.
    sessions: BitSet,
    commits: BitSet,
    releases: BitSet,
    flows: BitSet,
    shut: BitSet,
    cancels: BitSet,
    abandons: BitSet,
    letters: BitSet,
    copies: BitSet,
    passes: BitSet,
    gaps: BitSet,
    notices: Notices,

    credit: flow::Account,
    round: grants::Round,
    /// Partitions without a block of their own in the window pool: one is kept for each.
    blockless: u32,
    /// The latest time of a dispatch, and the deadline of handlers that start then.
    deadline: (Time, Time),
    /// No handler reaches its deadline, and no grace ends, before this time.
    handlers_at: Time,
    /// No partition has anything to do before this time, and what it will be.
    partitions_at: Time,
    partitions_why: WakeReason,
    /// No frontier that something is held beyond has stood still for too long before this time.
    stalls_at: Time,
    /// When what becomes the first unfinished message now has been that for too long.
    stall_due: Time,
    draining: Option<Time>,
    drained: Drained,
    drained_reported: bool,
    stats: Stats,
}

/// One more than the bytes that a message may have in the usual way of `offer`; 0 when the lane of a
/// message is not that of its key, identities are not looked at, keys are remembered (to be parked, or for calls of several
/// messages), their messages are counted, or expiries or sequences are kept. Then every message goes the long way.
fn plain_bytes(config: &Config) -> u64 {
    let plain = config.order == Order::Key
        && config.dedupe.ids > 0
        && config.parked_keys == 0
        && config.batch_key == 1
        && config.sequence.is_none()
        && config.expired == Expired::Run
        && config.key_messages == u32::MAX;
    if plain {
        u64::from(config.message_bytes_max) + 1
    } else {
        0
    }
}

impl<M> Consumer<M> {
    /// A machine without partitions. All memory is allocated here.
    ///
    /// # Errors
    /// The first field of the configuration that is out of range.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        config.validate()?;
        // One slot beyond the credit: the message at a frontier can always get in.
        let slots = config.limits.messages as usize + 1;
        let partitions = config.partitions as usize;
        let mut all = Vec::with_capacity(partitions);
        all.resize_with(partitions, Partition::closed);
        let mut new = Self {
            config: config.clone(),
            limits: config.limits,
            now: Time::ZERO,
            remember_until: Time::ZERO + config.dedupe.age,
            slab: Slab::new(slots),
            lanes: Lanes::new(slots, config.key_messages < u32::MAX),
            identities: Identities::new(config.dedupe, slots),
            pool: Pool::new(config.window_pool),
            timers: Timers::new(slots),
            parking: Parking::new(partitions, config.parked_keys, config.batch_key > 1, slots),
            expiry: Expiry::new(config.expired, slots),
            sequences: Sequences::new(config.sequence, slots),
            suspects: Suspects::new(config),
            partitions: all,
            sessions: BitSet::new(partitions),
            commits: BitSet::new(partitions),
            releases: BitSet::new(partitions),
            flows: BitSet::new(partitions),
            shut: BitSet::new(partitions),
            cancels: BitSet::new(slots),
            abandons: BitSet::new(slots),
            letters: BitSet::new(slots),
            copies: BitSet::new(slots),
            passes: BitSet::new(slots),
            gaps: BitSet::new(slots),
            notices: Notices::new(partitions),
            credit: flow::Account::new(plain_bytes(config)),
            round: grants::Round::default(),
            blockless: config.partitions,
            deadline: (Time::MAX, Time::MAX),
            handlers_at: Time::MAX,
            partitions_at: Time::MAX,
            partitions_why: WakeReason::Commit,
            stalls_at: Time::MAX,
            stall_due: Time::ZERO + config.stall_after,
            draining: None,
            drained: Drained::default(),
            drained_reported: false,
            stats: Stats::default(),
        };
        new.share_out();
        Ok(new)
    }

    /// Counters, and what is held now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            held: self.slab.used(),
            held_bytes: self.credit.used_bytes,
            window: self.partitions.iter().map(|p| p.window.len).sum(),
            identities: self.identities.len(),
            lanes: self.lanes.len(),
            ahead: self.sequences.waiting,
            sequences: self.sequences.table.len(),
            parked_keys: (0..self.partitions.len())
                .map(|p| self.parking.taken(p))
                .sum(),
            ..self.stats
        }
    }

    /// The first position of an open partition that is not finished.
    #[must_use]
    pub fn frontier(&self, partition: PartitionId) -> Option<Position> {
        let part = self.partitions.get(partition.0 as usize)?;
        part.is_ours().then_some(part.frontier)
    }

    /// The epoch of an open partition, as the core counts it.
    #[must_use]
    pub fn epoch(&self, partition: PartitionId) -> Option<Epoch> {
        let part = self.partitions.get(partition.0 as usize)?;
        part.is_ours().then_some(part.epoch)
    }

    /// Every message that is held and not finished, in no particular order. O(slots).
    pub fn held(&self) -> impl Iterator<Item = (PartitionId, Position)> + '_ {
        self.slab.slots.iter().map(|s| &s.hot).filter_map(|slot| {
            let held = !matches!(slot.state, slab::State::Free | slab::State::Orphan);
            held.then(|| {
                (
                    PartitionId(slot.partition.into()),
                    self.pool.position(slot.entry),
                )
            })
        })
    }

    /// Time never goes back: an earlier `now` counts as the latest one seen.
    #[inline]
    fn tick(&mut self, now: Time) -> Time {
        if now != self.now {
            self.now = self.now.max(now);
            self.remember_until = self.now + self.config.dedupe.age;
            self.stall_due = self.now + self.config.stall_after;
            return self.now;
        }
        now
    }

    /// The partition that an input speaks of, if it is ours and the epoch is not an older one. A
    /// core that found its log rewritten counts the epoch up by itself; until the owner's record
    /// carries the new number, the broker side still speaks of the one before.
    fn ours(&mut self, partition: PartitionId, epoch: Epoch) -> Option<usize> {
        let index = partition.0 as usize;
        let part = self.partitions.get(index)?;
        (part.is_ours() && part.opened <= epoch && epoch <= part.epoch).then_some(index)
    }

    /// Makes sure that `handle_timeout` looks at the partitions at `at`.
    fn look_at(&mut self, at: Time, why: WakeReason) {
        if at < self.partitions_at {
            self.partitions_at = at;
            self.partitions_why = why;
        }
    }
}
