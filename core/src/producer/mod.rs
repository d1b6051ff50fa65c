//! Order, window, retries and deadlines of publishing.

mod config;
mod words;

pub use config::ProducerConfig;
pub use words::{
    Answer, Done, Full, NoRoom, ProducerStats, Publish, Published, Room, Transmit, Unsent,
};

use crate::{ConfigError, Stale, Time, Token};

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
#[derive(Debug)]
pub struct Producer<M> {
    _message: core::marker::PhantomData<M>,
}

#[allow(
    clippy::missing_const_for_fn,
    clippy::unused_self,
    unused_variables,
    clippy::needless_pass_by_ref_mut
)]
impl<M> Producer<M> {
    /// A producer without publishes. The only allocation.
    ///
    /// # Errors
    /// The first field of `config` that is out of range.
    pub fn new(config: &ProducerConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self {
            _message: core::marker::PhantomData,
        })
    }

    /// Accepts a publish. From here on it gets exactly one result by its deadline (S10).
    ///
    /// # Errors
    /// [`Full`] gives it back: there is no room (see [`poll_room`](Self::poll_room)), it never
    /// fits, or nothing is taken any more.
    pub fn publish(&mut self, now: Time, publish: Publish<M>) -> Result<Token, Full<M>> {
        Err(Full {
            why: NoRoom::Window,
            publish,
        })
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
        Err(Stale)
    }

    /// The connection is gone: every send without an answer is uncertain, and nothing is sent until
    /// it is restored. Answers that still arrive may be settled.
    pub fn connection_lost(&mut self, now: Time) {}

    /// The connection is there again, and nothing that was sent before it was lost can land any
    /// more. What was uncertain is sent again under the same identity; blocked keys go on.
    pub fn connection_restored(&mut self, now: Time) {}

    /// The port cannot go on: what was sent and not answered ends as unknown, the rest as refused.
    pub fn fail(&mut self, now: Time) {}

    /// Takes nothing new; every publish gets its result by `deadline` or its own, if that is
    /// earlier. [`is_idle`](Self::is_idle) tells when all have theirs.
    pub fn drain(&mut self, now: Time, deadline: Time) {}

    /// Whether every accepted publish has got its result, and it was fetched.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        true
    }

    /// Time passed. Early is harmless.
    pub fn handle_timeout(&mut self, now: Time) {}

    /// When [`handle_timeout`](Self::handle_timeout) is due; `None`: time alone changes nothing.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        None
    }

    /// The next send. Answer each with [`settle`](Self::settle).
    pub fn poll_send(&mut self, now: Time) -> Option<Transmit<'_, M>> {
        None
    }

    /// The next result. Poll right after [`settle`](Self::settle) to pair the broker's details with
    /// the token.
    pub fn poll_receipt(&mut self) -> Option<Done<M>> {
        None
    }

    /// After a publish was refused with [`NoRoom::Window`]: tells once that the load fell to the low
    /// water mark and that the largest of the refused would fit.
    pub fn poll_room(&mut self) -> Option<Room> {
        None
    }

    /// Counters, and what is held now.
    #[must_use]
    pub fn stats(&self) -> ProducerStats {
        ProducerStats::default()
    }

    /// Checks every invariant; for tests and the simulator.
    ///
    /// # Errors
    /// The invariant that does not hold.
    pub fn check_invariants(&self) -> Result<(), &'static str> {
        Ok(())
    }
}
