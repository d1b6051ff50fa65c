//! Order, window, retries and deadlines of publishing.

mod check;
mod config;
mod ending;
mod lanes;
mod slots;
mod timers;
mod words;

use alloc::vec::Vec;

pub use config::ProducerConfig;
use lanes::Lanes;
use slots::{Latest, NONE, Phase, Slots};
use timers::Timers;
pub use words::{
    Answer, Done, Full, NoRoom, ProducerStats, Publish, Published, Room, Transmit, Unsent,
};

use crate::{ConfigError, Stale, Time, Token, mutants};

/// Takes publishes, says what to send when, and gives every accepted one exactly one result.
///
/// - **inputs**: [`publish`](Self::publish), [`settle`](Self::settle),
///   [`connection_lost`](Self::connection_lost), [`connection_restored`](Self::connection_restored),
///   [`fail`](Self::fail), [`drain`](Self::drain), [`handle_timeout`](Self::handle_timeout).
/// - **outputs**, after any input, in any order, until they give `None`:
///   [`poll_send`](Self::poll_send), [`poll_receipt`](Self::poll_receipt),
///   [`poll_room`](Self::poll_room), and then [`poll_timeout`](Self::poll_timeout).
///
/// A producer begins connected; a port that connects later says `connection_lost` first. Time never
/// goes back; a smaller `now` counts as the largest seen.
///
/// # Order and uncertainty (S8, S10, L2)
/// A send that failed for a passing reason, or whose outcome is unknown, is repeated under the same
/// identity until the deadline, and nothing newer of its key is sent meanwhile. A publish that was
/// never sent, or all of whose sends surely failed, ends as refused at its deadline; any other as
/// unknown. An unknown one that may still land keeps its slot (not its bytes) and blocks its key:
/// those queued behind it end as refused, in order, and later ones are accepted and wait, each no
/// longer than its own deadline. The key goes on when the connection was lost and restored, or when
/// an answer says that the unknown one is stored or cannot land.
#[derive(Debug)]
pub struct Producer<M> {
    config: ProducerConfig,
    /// The largest time seen.
    now: Time,
    slots: Slots<M>,
    lanes: Lanes,
    timers: Timers,
    /// Slots in the order of acceptance, for what concerns all of them. Empty between calls.
    scratch: Vec<u32>,
    /// First and last slot whose result waits to be fetched.
    done_first: u32,
    done_last: u32,
    /// The last serial given out.
    serial: u64,
    is_connected: bool,
    is_draining: bool,
    is_closed: bool,
    /// The largest of the publishes that were refused for want of room since the last wake.
    wanted: Option<u32>,
    /// `held` is kept by `slots`, `in_flight` by `lanes`; everything else is counted here.
    stats: ProducerStats,
}

impl<M> Producer<M> {
    /// A producer without publishes. The only allocation.
    ///
    /// # Errors
    /// The first field of `config` that is out of range.
    pub fn new(config: &ProducerConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self {
            now: Time::ZERO,
            slots: Slots::new(config.messages),
            lanes: Lanes::new(
                config.messages,
                config.pipelining || mutants::is(75),
                config.batch,
            ),
            timers: Timers::new(config.messages),
            scratch: Vec::with_capacity(config.messages as usize),
            done_first: NONE,
            done_last: NONE,
            serial: 0,
            is_connected: true,
            is_draining: false,
            is_closed: false,
            wanted: None,
            stats: ProducerStats::default(),
            config: config.clone(),
        })
    }

    /// Accepts a publish. From here on it gets exactly one result by its deadline (S10).
    ///
    /// # Errors
    /// [`Full`] gives it back: there is no room (see [`poll_room`](Self::poll_room)), it never
    /// fits, or nothing is taken any more.
    pub fn publish(&mut self, now: Time, publish: Publish<M>) -> Result<Token, Full<M>> {
        self.tick(now);
        if let Some(why) = self.refusal(publish.bytes) {
            if why == NoRoom::Window {
                self.wanted = self.wanted.max(Some(publish.bytes));
            }
            return Err(Full { why, publish });
        }
        let index = self.slots.insert(publish.message);
        self.serial += 1;
        let slot = self.slots.get_mut(index);
        slot.serial = self.serial;
        slot.deadline = publish.deadline;
        slot.bytes = publish.bytes;
        self.stats.held_bytes += u64::from(publish.bytes);
        self.stats.accepted += 1;
        let token = self.slots.token(index);
        self.timers.set(&mut self.slots, index, publish.deadline);
        self.lanes
            .append(&mut self.slots, index, publish.lane, self.now);
        self.tick(now); // The deadline may have passed already: then it is never sent.
        Ok(token)
    }

    /// What became of a send. Late answers change no result, but may free a blocked key.
    ///
    /// # Errors
    /// [`Stale`] when the token or attempt names nothing that an answer could change.
    pub fn settle(
        &mut self,
        now: Time,
        token: Token,
        attempt: u32,
        answer: Answer,
    ) -> Result<(), Stale> {
        self.tick(now);
        if answer == Answer::Fatal {
            self.fail(now);
            return Ok(());
        }
        let settled = match self.slots.find(token) {
            Some(index) if attempt > 0 => self.answered(index, attempt, answer),
            Some(_) | None => false,
        };
        if settled {
            return Ok(());
        }
        self.stats.stale += 1;
        Err(Stale)
    }

    /// The connection is gone: every send without an answer is uncertain, and nothing is sent until
    /// it is restored. Answers that still arrive may be settled.
    pub fn connection_lost(&mut self, now: Time) {
        self.tick(now);
        if !self.is_connected {
            return;
        }
        self.is_connected = false;
        if mutants::is(74) {
            return;
        }
        self.each_in_order(|producer, index| {
            if producer.slots.get(index).latest == Latest::Out {
                producer.returned(index, Latest::Open);
            }
        });
    }

    /// The connection is there again, and nothing that was sent before it was lost can land any
    /// more. What was uncertain is sent again under the same identity; blocked keys go on. Without a
    /// loss before it, it changes nothing.
    pub fn connection_restored(&mut self, now: Time) {
        self.tick(now);
        if self.is_connected {
            return;
        }
        self.is_connected = true;
        self.each_in_order(|producer, index| {
            let now = producer.now;
            let slot = producer.slots.get_mut(index);
            slot.earlier_lands = false;
            if slot.latest == Latest::Open {
                slot.latest = Latest::Void;
            }
            if slot.phase == Phase::Ghost {
                producer.lay(index);
            } else if slot.maybe_stored() {
                slot.due = now;
                let (lane, deadline) = (slot.lane, slot.deadline);
                producer.timers.set(&mut producer.slots, index, deadline);
                producer.lanes.refresh(&producer.slots, lane, now);
            }
        });
    }

    /// The port cannot go on: what was sent and not answered ends as unknown, the rest as refused.
    pub fn fail(&mut self, now: Time) {
        self.tick(now);
        self.is_closed = true;
        self.each_in_order(|producer, index| {
            let slot = producer.slots.get(index);
            if slot.phase == Phase::Ghost {
                producer.lay(index);
            } else if slot.maybe_stored() {
                producer.end(index, Published::Unknown);
            } else {
                producer.end(index, Published::Refused(Unsent::Closed));
            }
        });
    }

    /// Takes nothing new; every publish gets its result by `deadline` or its own, if that is
    /// earlier. [`is_idle`](Self::is_idle) tells when all have theirs.
    pub fn drain(&mut self, now: Time, deadline: Time) {
        self.tick(now);
        self.is_draining = true;
        self.each_in_order(|producer, index| {
            let slot = producer.slots.get_mut(index);
            if slot.phase == Phase::Live && slot.deadline > deadline {
                slot.deadline = deadline;
                producer.arm(index);
            }
        });
        self.tick(now);
    }

    /// Whether every accepted publish has got its result, and it was fetched.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.slots.used() == self.stats.uncertain && self.done_first == NONE
    }

    /// Time passed. Early is harmless.
    pub fn handle_timeout(&mut self, now: Time) {
        self.tick(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due; `None`: time alone changes nothing.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.timers.first()
    }

    /// The next send. Answer each with [`settle`](Self::settle).
    pub fn poll_send(&mut self, now: Time) -> Option<Transmit<'_, M>> {
        self.tick(now);
        if !self.is_connected || self.lanes.requests() >= self.config.in_flight {
            return None;
        }
        let index = self.lanes.pop_ready(&mut self.slots, self.now)?;
        self.stats.requests += 1;
        self.transmit(index)
    }

    /// The next publish of the same key that goes into the request which `token` began. Ask after each
    /// [`poll_send`](Self::poll_send), until it gives `None`, and hand all of them over together, in this
    /// order; answer each with [`settle`](Self::settle). `fits` says whether a message may share a request
    /// with the first. Without [`ProducerConfig::batch`], and with `pipelining`, nothing follows.
    ///
    /// What is handed over together keeps its order: as long as one of them is not in the log, and was not
    /// refused for good, none behind it may get there.
    pub fn poll_follow(
        &mut self,
        now: Time,
        token: Token,
        fits: impl FnOnce(&M, &M) -> bool,
    ) -> Option<Transmit<'_, M>> {
        self.tick(now);
        let first = self.slots.find(token)?;
        let next = self.lanes.follower(&self.slots, first)?;
        if !fits(self.slots.message(first)?, self.slots.message(next)?) && !mutants::is(208) {
            return None;
        }
        self.lanes.join(&mut self.slots, next, self.now);
        self.transmit(next)
    }

    fn transmit(&mut self, index: u32) -> Option<Transmit<'_, M>> {
        self.stats.sent += 1;
        let slot = self.slots.get(index);
        Some(Transmit {
            token: self.slots.token(index),
            attempt: slot.attempt,
            deadline: slot.deadline,
            message: self.slots.message(index)?,
        })
    }

    /// The next result. Poll right after [`settle`](Self::settle) to pair the broker's details with
    /// the token.
    pub fn poll_receipt(&mut self) -> Option<Done<M>> {
        let index = self.done_first;
        if index == NONE {
            return None;
        }
        let token = self.slots.token(index);
        let message = self.slots.take_message(index)?;
        let slot = self.slots.get_mut(index);
        let result = slot.result.take()?;
        let attempts = slot.attempt;
        let next = core::mem::replace(&mut slot.done_next, NONE);
        self.stats.held_bytes -= u64::from(slot.bytes);
        let is_over = slot.phase == Phase::Over;
        self.done_first = next;
        if next == NONE {
            self.done_last = NONE;
        }
        if is_over {
            self.slots.remove(index);
        }
        Some(Done {
            token,
            result,
            attempts,
            message,
        })
    }

    /// After a publish was refused with [`NoRoom::Window`]: tells once that the load fell to the low
    /// water mark and that the largest of the refused would fit, or that nothing is taken any more.
    pub fn poll_room(&mut self) -> Option<Room> {
        let wanted = u64::from(self.wanted?);
        let (held, bytes) = (self.slots.used(), self.stats.held_bytes);
        let room = Room {
            messages: self.config.messages - held,
            bytes: self.config.bytes.saturating_sub(bytes),
        };
        let percent = u64::from(self.config.low_water_percent);
        // Blocked keys may hold their slots for long: they do not count as load.
        let load = u64::from(held - self.stats.uncertain.min(held));
        let most = u64::from(self.config.messages);
        let fits = room.messages > 0
            && load <= (most * percent / 100).min(most - 1)
            && bytes <= self.config.bytes / 100 * percent + self.config.bytes % 100 * percent / 100
            && wanted <= room.bytes;
        if !fits && !self.is_draining && !self.is_closed {
            return None;
        }
        self.wanted = None;
        Some(room)
    }

    /// Counters, and what is held now.
    #[must_use]
    pub const fn stats(&self) -> ProducerStats {
        ProducerStats {
            held: self.slots.used(),
            in_flight: self.lanes.requests(),
            ..self.stats
        }
    }

    fn refusal(&self, bytes: u32) -> Option<NoRoom> {
        let bytes = u64::from(bytes);
        if self.is_closed {
            Some(NoRoom::Closed)
        } else if self.is_draining {
            Some(NoRoom::Draining)
        } else if bytes > self.config.bytes {
            Some(NoRoom::TooLarge)
        } else if self.slots.is_full() || self.stats.held_bytes + bytes > self.config.bytes {
            Some(NoRoom::Window)
        } else {
            None
        }
    }
}
