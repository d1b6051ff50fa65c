//! What the core knows of one partition.

use super::grants::Totals;
use super::suspects::Watch;
use super::window::Window;
use super::{Anchor, Release};
use crate::{Epoch, Incarnation, Position, Session, Time};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Not ours.
    Closed,
    /// Ours.
    Open,
    /// Ours, and to be given up: what runs may finish, nothing starts.
    Revoking,
    /// As `Revoking`, with nothing running any more: the last commit is due or outstanding.
    Closing,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Delivery {
    /// No session, and none wanted.
    Idle,
    /// A session is wanted, not before this time.
    Wanted(Time),
    /// Started; what it found is not known yet.
    Starting,
    /// It delivers.
    Live,
}

/// Whether what is held beyond the frontier is still in the log, and nothing else between.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Doubt {
    /// As far as can be told.
    No,
    /// A session could not tell. The frontier stands until the next one has passed the last message
    /// that an earlier one delivered.
    Standing,
    /// It has; the frontier moves when time is told next.
    Over,
}

/// A progress map that is being resumed, in blocks of the window pool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resumed {
    /// First block that is still needed.
    pub(super) block: u32,
    /// Blocks left, this one included.
    pub(super) blocks: u32,
    /// Position of its first bit; without meaning where there are digests.
    pub(super) base: u64,
    /// The blocks hold positions and digests, not bits.
    pub(super) digests: bool,
}

/// The fields in the order in which they lie in memory: the first three lines of 64 bytes are what the usual
/// way of a message touches, which is what many partitions cost (ADR 0004).
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(super) struct Partition {
    // What an arrival is held against.
    /// The lease while the partition is open, a session delivers, no map is being resumed, no key is parked
    /// and nothing is in doubt, else the origin of time: until then messages are taken in the usual way. It
    /// follows from the rest, as `starts_until` does; one comparison answers for all.
    pub(super) takes_until: Time,
    /// The epoch, counted up by the core for every rewrite that it found.
    pub(super) epoch: Epoch,
    pub(super) session: Session,
    /// The number that the next delivery of the session must have.
    pub(super) next_delivery: u64,
    /// Nothing below is still to come.
    pub(super) floor: Position,
    /// The last message received in this epoch, finished or not.
    pub(super) last: Option<Anchor>,

    // What both ends of a message's life change.
    pub(super) window: Window,
    /// Messages and bytes held.
    pub(super) used_messages: u32,
    pub(super) used_bytes: u64,
    pub(super) covered_bytes: u64,
    /// The first unfinished position.
    pub(super) frontier: Position,
    /// The lease while the partition is open and nothing in it is suspected, else the origin of time:
    /// until then messages start.
    pub(super) starts_until: Time,
    /// While it holds less than this, it takes from its share only, whatever the others do: the share,
    /// or what one partition may hold if that is less. No messages while it holds the one beyond the
    /// credit.
    pub(super) covered_messages: u32,
    /// Messages with a handler or on their way to the dead-letter destination.
    pub(super) busy: u32,

    // What one of them changes.
    /// The message whose settling last moved the frontier.
    pub(super) anchor: Option<Anchor>,
    /// Since when the message there is the first unfinished one.
    pub(super) since: Time,
    /// Messages finished since the last commit was handed out.
    pub(super) unwritten: u32,
    /// `unwritten` has to reach this before a finished message changes anything about the next
    /// commit.
    pub(super) touch_at: u32,
    /// Sessions in a row that delivered nothing.
    pub(super) barren: u32,
    pub(super) doubt: Doubt,
    pub(super) phase: Phase,
    /// Whether it was ever ours.
    pub(super) known: bool,
    /// Something was not handed out because the lease had run out.
    pub(super) lapsed: bool,
    /// What the session was granted, and what came of it.
    pub(super) totals: Totals,

    // What is looked at when something else happens.
    /// The lease: past it nothing is handed out.
    pub(super) until: Time,
    /// The epoch as the broker side counts it.
    pub(super) opened: Epoch,
    pub(super) incarnation: Incarnation,
    pub(super) delivery: Delivery,
    pub(super) resumed: Option<Resumed>,
    /// The frontier whose standing still was told.
    pub(super) stalled: Option<Position>,
    /// The end of a log that is shorter than the recorded frontier, until a session has looked.
    pub(super) unproven: Option<Position>,
    /// The record is out of range, and nobody has said where to go on: start and end of the log.
    pub(super) stopped: Option<(Position, Position)>,
    /// Commits handed out in this epoch.
    pub(super) write: u64,
    /// The commit that has no answer yet.
    pub(super) outstanding: Option<(Epoch, u64)>,
    /// When the next commit falls due by time.
    pub(super) commit_at: Time,
    /// No commit before this time (waiting after a failure).
    pub(super) commit_after: Time,
    pub(super) suspect_until: Position,
    pub(super) share_bytes: u64,
    /// The lane that had no room for the next message, while the intake is shut.
    pub(super) hot: Option<u64>,
    /// When handlers are asked to stop, when they are abandoned, when all is over.
    pub(super) stop_at: Time,
    pub(super) abandon_at: Time,
    pub(super) deadline: Time,
    /// What may start, going by the stored record.
    pub(super) watch: Watch,
    pub(super) release: Option<Release>,
    /// Its share of the credit.
    pub(super) share_messages: u32,
    /// What its share is in proportion to. It outlives epochs.
    pub(super) weight: u32,
    /// Arrivals that are still under suspicion without being accused, and the end of the log when the
    /// partition was opened: what came later was not there yet.
    pub(super) suspect_left: u32,
    pub(super) commit_failures: u32,
    pub(super) abandoned: u32,
    /// The outstanding commit is the last of the epoch.
    pub(super) outstanding_last: bool,
    /// Something besides the `unwritten` messages is not covered by a stored commit.
    pub(super) dirty: bool,
    /// The next commit leaves its map out.
    pub(super) mapless: bool,
    /// The next session starts at the frontier, and expects nothing there.
    pub(super) blind: bool,
    /// Keys have a place among the parked ones.
    pub(super) parked: bool,
    /// A message that was given up waits for such a place.
    pub(super) crowded: bool,
    /// What it waits for to come in order is not waited for.
    pub(super) relents: bool,
    /// Intake is shut until the load has fallen to the low water mark.
    pub(super) shut: bool,
    /// The last flow that was handed out was a pause.
    pub(super) paused: bool,
}

const _: () = assert!(
    core::mem::offset_of!(Partition, window) == 64
        && core::mem::offset_of!(Partition, anchor) == 128
        && core::mem::offset_of!(Partition, totals) == 176
);

impl Partition {
    pub(super) fn closed() -> Self {
        Self {
            phase: Phase::Closed,
            known: false,
            opened: Epoch(0),
            epoch: Epoch(0),
            incarnation: Incarnation(0),
            until: Time::MAX,
            starts_until: Time::ZERO,
            takes_until: Time::ZERO,
            lapsed: false,
            delivery: Delivery::Idle,
            session: Session(0),
            next_delivery: 1,
            last: None,
            barren: 0,
            window: Window::EMPTY,
            resumed: None,
            frontier: Position(0),
            since: Time::ZERO,
            stalled: None,
            floor: Position(0),
            unproven: None,
            stopped: None,
            blind: false,
            doubt: Doubt::No,
            anchor: None,
            write: 0,
            outstanding: None,
            outstanding_last: false,
            dirty: false,
            commit_at: Time::MAX,
            commit_after: Time::ZERO,
            commit_failures: 0,
            unwritten: 0,
            touch_at: 0,
            mapless: false,
            totals: Totals::default(),
            parked: false,
            crowded: false,
            relents: false,
            watch: Watch::Off,
            suspect_left: 0,
            suspect_until: Position(0),
            used_messages: 0,
            used_bytes: 0,
            share_messages: 0,
            share_bytes: 0,
            covered_messages: 0,
            covered_bytes: 0,
            weight: 1,
            shut: false,
            hot: None,
            paused: false,
            busy: 0,
            stop_at: Time::MAX,
            abandon_at: Time::MAX,
            deadline: Time::MAX,
            abandoned: 0,
            release: None,
        }
    }

    /// To be called whenever phase, lease, delivery, the resumed map, the parked keys, the doubt or the
    /// watch have changed.
    pub(super) fn gate(&mut self) {
        (self.starts_until, self.takes_until) = self.gates();
    }

    /// What `starts_until` and `takes_until` must be.
    pub(super) fn gates(&self) -> (Time, Time) {
        let open = self.phase == Phase::Open;
        let takes = open && self.delivery == Delivery::Live && self.resumed.is_none();
        let takes = takes && !self.parked && self.doubt == Doubt::No;
        let until = |may| if may { self.until } else { Time::ZERO };
        (until(open && self.watch.is_free()), until(takes))
    }

    /// Whether there is something that no stored commit covers.
    pub(super) const fn is_dirty(&self) -> bool {
        self.dirty || self.unwritten > 0
    }

    #[inline]
    pub(super) const fn is_ours(&self) -> bool {
        !matches!(self.phase, Phase::Closed)
    }
}
