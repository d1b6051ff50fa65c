//! One process of the group: its core, its feeds, its handlers.

use std::collections::VecDeque;

use procession_core::{Epoch, Limits, Session, Start, Token, Why};

use crate::checker::Ending;
use crate::plan::Flavour;
use crate::tape::Core;

/// A delivery on its way: what arrives is made of it and of its message when it does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InFlight {
    pub(crate) at: u64,
    pub(crate) entry: u32,
    /// Its number in the session, where deliveries have one.
    pub(crate) number: Option<u64>,
    /// Why it can only be dead-lettered, once it was refused for that.
    pub(crate) quarantine: Option<Why>,
}

/// A session, as the broker's side sees it.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    /// Names it among all sessions of the run.
    pub(crate) id: u64,
    pub(crate) start: Start,
    /// It was reported to the core.
    pub(crate) live: bool,
    /// Next position to deliver.
    pub(crate) cursor: u64,
    /// Numbers given to deliveries, lost ones included.
    pub(crate) numbered: u64,
    /// Their bytes.
    pub(crate) sent_bytes: u64,
    /// Messages and bytes that the core has granted, and that it has taken.
    pub(crate) granted: (u64, u64),
    pub(crate) taken: (u64, u64),
    /// The highest number that arrived.
    pub(crate) arrived: u64,
    pub(crate) in_flight: VecDeque<InFlight>,
    /// Refused by the core; offered again before anything else.
    pub(crate) stalled: Option<InFlight>,
    /// How far the core's turns were when it was.
    pub(crate) refused_at: u32,
}

/// A partition, as the process's adapter sees it.
#[derive(Clone, Debug, Default)]
#[repr(align(256))]
pub(crate) struct Feed {
    /// The epoch in which it was opened; `None` when it is not ours.
    pub(crate) epoch: Option<u64>,
    pub(crate) delivery: Option<Delivery>,
    pub(crate) paused: bool,
    /// A pump is scheduled.
    pub(crate) pumping: bool,
    /// Pumps so far, for decisions.
    pub(crate) pumps: u64,
}

/// What a handler does with its message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Behaviour {
    /// Ends by itself.
    Ends(Ending),
    /// Ends when it is asked to stop.
    Hangs,
    /// Ends by itself, much later, whatever it is asked.
    Deaf(Ending),
}

/// A handler.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handler {
    pub(crate) token: Token,
    /// It was taken along by the call of another message.
    pub(crate) follows: bool,
    pub(crate) entry: u32,
    /// Names the attempt, for decisions: the publish, and its starts before this one.
    pub(crate) attempt: (u64, u64),
    pub(crate) behaviour: Behaviour,
    /// How it ended, once it has.
    pub(crate) ended: Option<Ending>,
    pub(crate) settled: bool,
}

/// Shares of the credit, and what they were reckoned for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shares {
    /// Open partitions, one bit each.
    pub(crate) open: u64,
    pub(crate) limits: Option<Limits>,
    pub(crate) weights: Vec<u32>,
    /// By partition: messages and bytes.
    pub(crate) of: Vec<(u64, u64)>,
}

/// A process. Found by a shift and not by a product, as everything that is looked up at each event: 1 percent.
#[repr(align(512))]
pub(crate) struct Member {
    /// Counts its lives.
    pub(crate) life: u32,
    /// `None` while it is dead.
    pub(crate) core: Option<Box<Core>>,
    pub(crate) feeds: Vec<Feed>,
    pub(crate) handlers: Vec<Handler>,
    /// Handlers that have not ended.
    pub(crate) running: u32,
    /// Nothing happens in it before this time.
    pub(crate) paused_until: u64,
    /// The limits that its core was given last; `None`: those of its configuration.
    pub(crate) limits: Option<Limits>,
    /// By partition: what it said last of how much of the credit that may count on.
    pub(crate) weights: Vec<u32>,
    pub(crate) shares: Shares,
    /// When its timer is set for.
    pub(crate) wake: u64,
    /// It is draining, and starts again when that is over.
    pub(crate) draining: bool,
    /// What its last life has left of the identities that it remembered, and when.
    pub(crate) left: Option<(Vec<u8>, u64)>,
}

impl Member {
    pub(crate) fn new(partitions: u32) -> Self {
        Self {
            life: 0,
            core: None,
            feeds: (0..partitions).map(|_| Feed::default()).collect(),
            handlers: Vec::new(),
            running: 0,
            paused_until: 0,
            limits: None,
            weights: vec![1; partitions as usize],
            shares: Shares::default(),
            wake: u64::MAX,
            draining: false,
            left: None,
        }
    }

    /// Whether it may be given a partition.
    pub(crate) const fn is_ready(&self, now: u64) -> bool {
        self.core.is_some() && self.paused_until <= now
    }

    /// The process is gone, with all that it knew. What it needed of memory is used again.
    pub(crate) fn die(&mut self) {
        self.life += 1;
        self.core = None;
        self.feeds.fill_with(Feed::default);
        self.handlers.clear();
        self.running = 0;
        self.paused_until = 0;
        self.limits = None;
        self.weights.fill(1);
        self.shares.limits = None;
        self.wake = u64::MAX;
        self.draining = false;
        self.left = None;
    }
}

impl Feed {
    /// Whether there is something to deliver of a log that ends there, and nobody is about to.
    #[inline]
    pub(crate) fn wants_pump(&self, end: u64) -> bool {
        let delivery = self.delivery.as_ref().filter(|d| d.live);
        !self.pumping && delivery.is_some_and(|d| d.cursor < end || d.stalled.is_some())
    }

    /// Whether it has to wait, whatever the core says of its credit.
    #[inline]
    pub(crate) fn waits(&self, flavour: Flavour) -> bool {
        match (flavour, &self.delivery) {
            (Flavour::Kafka, _) => self.paused,
            (Flavour::JetStream, Some(d)) => {
                let (messages, bytes) = d.room();
                d.stalled.is_none() && (messages == 0 || bytes == 0)
            }
            (Flavour::JetStream, None) => true,
        }
    }

    /// The adapter forgets the partition.
    pub(crate) fn close(&mut self) {
        self.epoch = None;
        self.delivery = None;
    }
}

impl Delivery {
    pub(crate) const fn new(id: u64, start: Start) -> Self {
        Self {
            id,
            start,
            live: false,
            cursor: start.at.0,
            numbered: 0,
            sent_bytes: 0,
            granted: (0, 0),
            taken: (0, 0),
            arrived: 0,
            in_flight: VecDeque::new(),
            stalled: None,
            refused_at: 0,
        }
    }

    /// What was granted and has not come: what memory has to be kept for.
    pub(crate) const fn outstanding(&self) -> (u64, u64) {
        (
            self.granted.0.saturating_sub(self.taken.0),
            self.granted.1.saturating_sub(self.taken.1),
        )
    }

    /// What may still be sent.
    pub(crate) const fn room(&self) -> (u64, u64) {
        (
            self.granted.0.saturating_sub(self.numbered),
            self.granted.1.saturating_sub(self.sent_bytes),
        )
    }

    pub(crate) const fn session(&self) -> (Epoch, Session) {
        (self.start.epoch, self.start.session)
    }
}
