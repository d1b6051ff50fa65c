//! What the reference knows: everything in plain vectors.

use std::collections::{BTreeMap, BTreeSet};

use procession_core::{
    Accused, Anchor, Backoff, Config, Limits, ParkedMode, Span, Stats, Time, Why,
};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    Closed,
    Open,
    Revoking,
    Closing,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Delivery {
    Idle,
    Wanted(Time),
    Starting,
    Live,
}

/// Where a held message stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Behind another one of its lane, or not looked at yet.
    Queued,
    /// First of its lane, and may run.
    Ready,
    /// First of its lane, and its partition is being given up.
    Parked,
    Running,
    /// Asked to stop.
    Stopping,
    Waiting(Time),
    /// To be handed out as a dead letter.
    Burying,
    Buried,
    Reburying(Time),
    Copied,
    /// Of a discarded key.
    Passed,
    /// Given up; waits for a place among the parked keys.
    Crowded,
    /// Of a parked key that waits.
    Waits,
    /// Ahead in its sequence: waits until then for what is missing.
    Ahead(Time),
    /// The same, and to be told that it is missing.
    Told,
    /// The same, without an end.
    Stopped,
    /// Its handler has said how it ended; what is before it in its call has not ended.
    Said(super::inputs::Ending),
    /// Runs without its partition.
    Orphan,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lane {
    Key(u64),
    Shared,
    Identity(u128),
}

#[derive(Clone, Debug)]
pub struct Held {
    pub message: u32,
    pub p: usize,
    pub position: u64,
    pub stamp: u64,
    pub lane: Lane,
    pub identity: u128,
    pub key: Option<u128>,
    /// It has a place in the table of identities.
    pub claimed: bool,
    /// Its number, if it takes part in the order.
    pub sequence: Option<u64>,
    /// Since when it can have waited.
    pub since: Time,
    /// It was told that its key had gone on without it.
    pub late: bool,
    pub bytes: u32,
    pub why: Option<Why>,
    pub expires: Option<Time>,
    pub state: State,
    pub attempts: u32,
    pub burials: u32,
    pub shorten: u8,
    pub token: Option<u64>,
    pub timed_out: bool,
    /// When the handler is asked to stop, or is called stuck.
    pub until: Time,
    /// Admitted beyond the credit.
    pub overdraft: bool,
    /// It is ready, and waits for a record that lets it start.
    pub withheld: bool,
}

/// An identity that is remembered.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    pub identity: u128,
    pub held: u32,
    /// Order of its success, and until when it is remembered.
    pub done: Option<(u64, Time)>,
}

/// An arrival at or beyond the frontier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrived {
    pub identity: u128,
    pub done: bool,
}

#[derive(Clone, Debug)]
pub struct Part {
    pub phase: Phase,
    pub known: bool,
    pub opened: u64,
    pub epoch: u64,
    pub until: Time,
    pub lapsed: bool,
    pub delivery: Delivery,
    pub session: u64,
    pub next_delivery: u64,
    pub last: Option<Anchor>,
    pub barren: u32,
    /// Arrivals from the frontier on.
    pub window: BTreeMap<u64, Arrived>,
    /// Ranges that the resumed map names.
    pub resumed: Vec<(u64, u64)>,
    /// What it says was finished there.
    pub digests: BTreeMap<u64, u16>,
    pub frontier: u64,
    /// Since when the message there is the first unfinished one.
    pub since: Time,
    /// The frontier whose standing still was told.
    pub stalled: Option<u64>,
    pub floor: u64,
    pub anchor: Option<Anchor>,
    pub unproven: Option<u64>,
    /// The record is out of range, and nobody has said where to go on: start and end of the log.
    pub stopped: Option<(u64, u64)>,
    /// The next session starts at the frontier, and expects nothing.
    pub blind: bool,
    /// Until a session has passed the last message, the frontier stands.
    pub doubted: bool,
    pub write: u64,
    pub outstanding: Option<(u64, u64, bool)>,
    pub dirty: bool,
    /// Since when, at the latest, the cadence has been running.
    pub dirty_since: Time,
    /// Since when, at the earliest.
    pub dirty_first: Time,
    pub commit_after: Time,
    /// The last write failed: it is written again at `commit_after`.
    pub failed: bool,
    pub failures: u32,
    pub unwritten: u32,
    pub mapless: bool,
    pub stop_at: Time,
    pub abandon_at: Time,
    pub deadline: Time,
    pub abandoned: u32,
    /// Dead letters without an answer are waited for no more.
    pub left: bool,
    pub release: Option<Expected>,
    pub shut: bool,
    /// Places of keys: since when, how, and whether the dead letter is confirmed.
    pub parked: BTreeMap<u128, (u64, ParkedMode, bool)>,
    /// Somebody waits for such a place.
    pub crowded: bool,
    /// Nothing is waited for.
    pub relents: bool,
    /// Messages and bytes that the session was granted, and that came of it.
    pub granted: (u64, u64),
    pub taken: (u64, u64),
    /// It outlives epochs.
    pub weight: u32,
    pub watch: super::suspects::Watch,
    /// Who was accused when it was opened.
    pub accused: Vec<Accused>,
    /// Arrivals that may have been running when it was opened, and the end of the log then.
    pub range: u32,
    pub range_end: u64,
    /// A commit is due at once.
    pub urgent: bool,
}

/// A release that must come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Expected {
    pub epoch: u64,
    pub frontier: u64,
    pub handed_back: u32,
    pub abandoned: u32,
    pub committed: bool,
}

#[derive(Clone, Debug)]
pub struct Model {
    pub config: Config,
    pub limits: Limits,
    pub now: Time,
    pub parts: Vec<Part>,
    pub held: Vec<Held>,
    pub identities: Vec<Known>,
    pub successes: u64,
    pub arrivals: u64,
    pub keys: Vec<super::sequence::Key>,
    pub heard: u64,
    pub cancels: BTreeSet<u64>,
    pub abandons: BTreeSet<u64>,
    /// Counts of notices by partition and kind.
    pub notices: BTreeMap<(usize, u8), u32>,
    pub draining: Option<Time>,
    pub drained: (u32, u32),
    pub drained_told: bool,
    /// Only the counters; what is held is counted when asked.
    pub stats: Stats,
    /// Rewritten logs that a map told of.
    pub recognised: u32,
    /// Suspicions that have ended, and those of them that had looked at as many as they may.
    pub ended: (u32, u32),
    /// What runs under suspicion, or is to.
    pub lot: Option<super::suspects::Lot>,
    /// Who was looked at and may join a lot, and who is to be given up.
    pub candidates: Vec<u32>,
    pub convicts: Vec<u32>,
    /// Who was given up since the last operation, and asks for a place among the parked keys.
    pub asked: Vec<u32>,
}

impl Part {
    pub fn closed() -> Self {
        Self {
            phase: Phase::Closed,
            known: false,
            opened: 0,
            epoch: 0,
            until: Time::MAX,
            lapsed: false,
            delivery: Delivery::Idle,
            session: 0,
            next_delivery: 1,
            last: None,
            barren: 0,
            window: BTreeMap::new(),
            resumed: Vec::new(),
            digests: BTreeMap::new(),
            frontier: 0,
            since: Time::ZERO,
            stalled: None,
            floor: 0,
            anchor: None,
            unproven: None,
            stopped: None,
            blind: false,
            doubted: false,
            write: 0,
            outstanding: None,
            dirty: false,
            dirty_since: Time::ZERO,
            dirty_first: Time::ZERO,
            commit_after: Time::ZERO,
            failed: false,
            failures: 0,
            unwritten: 0,
            mapless: false,
            stop_at: Time::MAX,
            abandon_at: Time::MAX,
            deadline: Time::MAX,
            abandoned: 0,
            left: false,
            release: None,
            shut: false,
            parked: BTreeMap::new(),
            crowded: false,
            relents: false,
            granted: (0, 0),
            taken: (0, 0),
            weight: 1,
            watch: super::suspects::Watch::Off,
            accused: Vec::new(),
            range: 0,
            range_end: 0,
            urgent: false,
        }
    }

    pub fn is_ours(&self) -> bool {
        self.phase != Phase::Closed
    }
}

impl Model {
    pub fn new(config: &Config) -> Self {
        Self {
            config: config.clone(),
            limits: config.limits,
            now: Time::ZERO,
            parts: (0..config.partitions).map(|_| Part::closed()).collect(),
            held: Vec::new(),
            identities: Vec::new(),
            successes: 0,
            arrivals: 0,
            keys: Vec::new(),
            heard: 0,
            cancels: BTreeSet::new(),
            abandons: BTreeSet::new(),
            notices: BTreeMap::new(),
            draining: None,
            drained: (0, 0),
            drained_told: false,
            stats: Stats::default(),
            recognised: 0,
            ended: (0, 0),
            lot: None,
            candidates: Vec::new(),
            convicts: Vec::new(),
            asked: Vec::new(),
        }
    }

    pub fn notice(&mut self, p: usize, kind: procession_core::NoticeKind) {
        *self.notices.entry((p, kind as u8)).or_default() += 1;
    }

    /// The partition, if the epoch is one of its present owner's.
    pub fn ours(&self, p: u32, epoch: u64) -> Option<usize> {
        let part = self.parts.get(p as usize)?;
        (part.is_ours() && part.opened <= epoch && epoch <= part.epoch).then_some(p as usize)
    }

    /// The partition, if this is its epoch and its session.
    pub fn current(&self, p: u32, epoch: u64, session: u64) -> Option<usize> {
        let part = self.parts.get(p as usize)?;
        let delivers = matches!(part.delivery, Delivery::Starting | Delivery::Live);
        let same = part.epoch == epoch && part.session == session;
        (part.phase == Phase::Open && same && delivers).then_some(p as usize)
    }

    /// Handlers and dead letters that a hand-over waits for.
    pub fn busy(&self, p: usize) -> usize {
        let letter = |s: State| matches!(s, State::Burying | State::Buried | State::Reburying(_));
        let runs = |s: State| matches!(s, State::Running | State::Stopping);
        let left = self.parts[p].left;
        let mine = self.held.iter().filter(|h| h.p == p);
        mine.filter(|h| runs(h.state) || (letter(h.state) && !left))
            .count()
    }

    /// Whether a session delivers, or is about to.
    pub fn is_fed(&self, p: usize) -> bool {
        matches!(self.parts[p].delivery, Delivery::Starting | Delivery::Live)
    }

    /// Whether a frontier stands still with something beyond it.
    pub fn stands(&self, p: usize) -> bool {
        self.parts[p].phase == Phase::Open && !self.parts[p].window.is_empty()
    }

    pub fn end_stall(&mut self, p: usize) {
        if self.parts[p].stalled.take().is_some() {
            self.notice(p, procession_core::NoticeKind::StallOver);
        }
    }

    /// Messages held of a partition.
    pub fn owned(&self, p: usize) -> impl Iterator<Item = &Held> {
        self.held
            .iter()
            .filter(move |h| h.p == p && h.state != State::Orphan)
    }

    pub fn dirty(&mut self, p: usize, messages: u32) {
        let now = self.now;
        let part = &mut self.parts[p];
        if !part.dirty {
            part.dirty_since = now;
            part.dirty_first = now;
        }
        part.dirty = true;
        part.unwritten += messages;
    }
}

/// `first`, doubled for every further failure, up to `max`.
pub fn wait(backoff: &Backoff, n: u32) -> Span {
    let mut span = backoff.first.as_nanos();
    for _ in 1..n {
        span = span.saturating_mul(2).min(backoff.max.as_nanos());
    }
    Span::from_nanos(span.min(backoff.max.as_nanos()))
}
