//! What the checker knows of one period of owning a partition.

use procession_core::Retry;

use super::{Parked, Sequences};
use crate::log::{Entry, Log};

/// How far a message is, in one tenure.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum State {
    /// Not taken in.
    #[default]
    Unseen,
    /// Taken in; waiting, running or being dead-lettered.
    Held,
    /// Done, dead-lettered, or a copy of one that succeeded.
    Finished,
}

/// Where a partition stood when it was opened.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    pub(crate) epoch: u64,
    /// All below was finished by earlier owners (0: nothing).
    pub(crate) floor: u64,
    /// Finished beyond the floor, as `[from, to)`.
    pub(crate) ranges: Vec<(u64, u64)>,
    /// What was finished there, as far as it is recorded.
    pub(crate) digests: Vec<(u64, u16)>,
    /// Past this the partition gives nothing.
    pub(crate) until: u64,
    /// The recorded frontier as it is, even beyond the end of the log.
    pub(crate) recorded: u64,
    /// Whether the record tells by what the log is recognised.
    pub(crate) anchored: bool,
}

/// One period of owning a partition, as the checker sees it.
#[derive(Clone, Debug)]
pub(crate) struct Tenure {
    /// The epoch now; a core that found its log rewritten counts it up by itself.
    pub(crate) epoch: u64,
    pub(crate) opening: Opening,
    pub(crate) until: u64,
    /// The log's count of rewrites when a session last looked.
    pub(crate) seen: u32,
    /// One past the furthest position that is taken for finished or was received.
    pub(crate) reach: u64,
    /// The last session could not tell whether the log is the same.
    pub(crate) untold: bool,
    /// No session has shown since then what was rewritten.
    pub(crate) unshown: bool,
    /// One past the furthest position that was received in this epoch.
    pub(crate) delivered: u64,
    /// A session could not tell in this epoch, with something held beyond the frontier.
    pub(crate) doubts: bool,
    /// The frontier then, until a session has come as far as the one before.
    pub(crate) doubted: Option<u64>,
    /// The last session began without anything to recognise the log by.
    pub(crate) blind: bool,
    /// Where this epoch began: what stands below in a rewritten log, beside an anchor that still
    /// holds, nobody can tell from what was finished before.
    pub(crate) begun: u64,
    /// Something was received in this epoch.
    pub(crate) received: bool,
    /// The log was found to be rewritten: what is finished may come again.
    pub(crate) bumped: bool,
    /// The record was out of range, and nobody has said where to go on: what is recorded, and where the
    /// log ended.
    pub(crate) stopped: Option<(u64, u64)>,
    /// The deadline, once it is being given up.
    pub(crate) stopping: Option<u64>,
    /// Before this, no handler may be left behind.
    pub(crate) abandon_at: u64,
    /// Handlers that were left behind.
    pub(crate) abandoned: u32,
    /// The session that the core asked for last.
    pub(crate) session: u64,
    /// The number of the next delivery of that session; `None` before it began.
    pub(crate) next_delivery: Option<u64>,
    /// A delivery of this session was lost: everything is void until the next.
    pub(crate) gap: bool,
    states: Vec<State>,
    /// By message, as far as any has failed: failed attempts, and before when it may not be tried again.
    failures: Vec<(u32, u64)>,
    /// Messages in [`State::Held`].
    pub(crate) held: u32,
    /// The last commit of this epoch.
    pub(crate) committed: u64,
    /// All stored messages below were found finished.
    pub(crate) checked: u64,
    /// The write that has no answer yet.
    pub(crate) outstanding: Option<(u64, u64)>,
    /// The sequences of keys.
    pub(crate) sequences: Sequences,
    /// Keys whose messages follow to the dead letters.
    pub(crate) parked: Parked,
    /// The highest frontier whose write the core was told is stored.
    pub(crate) confirmed: Option<u64>,
}

/// What is recorded of an identity.
fn digest(identity: u128) -> u16 {
    let folded = (identity ^ identity >> 64) as u64;
    (folded.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48) as u16
}

impl Tenure {
    pub(crate) fn new(opening: Opening) -> Self {
        let reach = opening
            .ranges
            .last()
            .map_or(0, |r| r.1)
            .max(opening.recorded);
        Self {
            seen: 0,
            reach,
            untold: false,
            unshown: false,
            delivered: 0,
            doubts: false,
            doubted: None,
            begun: opening.recorded.max(opening.floor),
            blind: false,
            received: false,
            epoch: opening.epoch,
            until: opening.until,
            opening,
            bumped: false,
            stopped: None,
            stopping: None,
            abandon_at: u64::MAX,
            abandoned: 0,
            session: 0,
            next_delivery: None,
            gap: false,
            states: Vec::new(),
            failures: Vec::new(),
            held: 0,
            committed: 0,
            checked: 0,
            outstanding: None,
            sequences: Sequences::default(),
            parked: Parked::default(),
            confirmed: None,
        }
    }

    pub(crate) fn state(&self, entry: u32) -> State {
        self.states.get(entry as usize).copied().unwrap_or_default()
    }

    pub(crate) fn set(&mut self, entry: u32, state: State) {
        if self.states.len() <= entry as usize {
            let room = (entry as usize + 1).next_multiple_of(64);
            self.states.resize(room, State::Unseen);
        }
        let before = std::mem::replace(&mut self.states[entry as usize], state);
        self.held += u32::from(state == State::Held);
        self.held -= u32::from(before == State::Held);
    }

    /// An attempt failed. The wait doubles with every failure, up to the longest; the jitter takes at
    /// most its share away.
    pub(crate) fn failed(&mut self, entry: u32, now: u64, retry: &Retry) {
        if self.failures.len() <= entry as usize {
            self.failures.resize(self.states.len(), (0, 0));
        }
        let (failures, until) = &mut self.failures[entry as usize];
        let mut wait = retry.backoff.first.as_nanos();
        for _ in 0..*failures {
            wait = wait.saturating_mul(2).min(retry.backoff.max.as_nanos());
        }
        let least =
            wait.saturating_sub(wait.div_ceil(100) * u64::from(retry.backoff.jitter_percent));
        *failures += 1;
        *until = now.saturating_add(least);
    }

    pub(crate) fn not_before(&self, entry: u32) -> u64 {
        let failed = self.failures.get(entry as usize);
        failed.map_or(0, |failed| failed.1)
    }

    /// Whether something was taken in at the position of this message.
    pub(crate) fn knew(&self, entry: &Entry, all: &[Entry]) -> bool {
        let place = (entry.partition, entry.position);
        let mut known = self.states.iter().zip(all);
        known.any(|(s, e)| *s != State::Unseen && (e.partition, e.position) == place)
    }

    pub(crate) fn failures(&self, entry: u32) -> u32 {
        let failed = self.failures.get(entry as usize);
        failed.map_or(0, |failed| failed.0)
    }

    /// Whether an earlier owner's progress covers a position.
    pub(crate) fn inherited(&self, position: u64) -> bool {
        position < self.opening.floor
            || self
                .opening
                .ranges
                .iter()
                .any(|&(from, to)| (from..to).contains(&position))
    }

    /// Whether an earlier owner's progress says that another one was finished where this one stands.
    pub(crate) fn names_another(&self, position: u64, identity: u128) -> bool {
        let named = self.opening.digests.iter().find(|d| d.0 == position);
        position >= self.opening.floor && named.is_some_and(|d| d.1 != digest(identity))
    }

    /// As [`inherited`](Self::inherited). Where the window pool has no `room` for every map, a map may
    /// be forgotten, and only the frontier counts.
    pub(crate) fn covers(&self, position: u64, room: bool) -> bool {
        if room {
            self.inherited(position)
        } else {
            position < self.opening.floor
        }
    }

    /// Whether a message counts as finished here: it is, or it stands where another one stood
    /// before, in a log whose rewriting no session could have noticed yet.
    pub(crate) fn finished(&self, entry: u32, all: &[Entry], log: &Log) -> bool {
        let position = all[entry as usize].position;
        self.state(entry) == State::Finished
            || self.inherited(position)
            || (log.rewrites > 0 && self.state(entry) == State::Unseen && position < self.begun)
            || ((log.rewrites > self.seen || (self.unshown && log.rewrites > 0))
                && self.state(entry) == State::Unseen
                && position < self.reach)
    }

    /// The session has come to `position`: nothing below is still to come.
    pub(crate) fn came_to(&mut self, position: u64) {
        if position >= self.delivered {
            self.doubted = None;
        }
    }

    /// It is to be given up by `deadline`. A second demand can only bring the end nearer.
    pub(crate) fn stop(&mut self, now: u64, deadline: u64) {
        self.stopping = Some(self.stopping.map_or(deadline, |d| d.min(deadline)));
        let left = deadline.saturating_sub(now);
        self.abandon_at = self.abandon_at.min(deadline - left / 8);
    }

    /// A new epoch begins, and what was held comes again.
    pub(crate) fn rewritten(&mut self, from: u64) {
        self.epoch += 1;
        self.bumped = true;
        self.session = 0;
        self.received = false;
        (self.delivered, self.doubts, self.doubted) = (0, false, None);
        self.begun = from;
        self.reach = self.reach.min(from);
        self.committed = 0;
        self.confirmed = None;
        self.opening.floor = self.opening.floor.min(from);
        for range in &mut self.opening.ranges {
            range.1 = range.1.min(from);
        }
        self.opening.digests.clear();
        self.checked = self.checked.min(from);
        self.parked.rewritten();
        self.sequences = Sequences::default();
        for e in 0..self.states.len() as u32 {
            if self.state(e) == State::Held {
                self.set(e, State::Unseen);
            }
        }
        self.failures.clear();
    }

    /// The first stored message below `to` that is not finished.
    pub(crate) fn unfinished_below(&self, to: u64, all: &[Entry], log: &Log) -> Option<u32> {
        log.between(self.checked, to)
            .find(|&e| !self.finished(e, all, log))
    }
}
