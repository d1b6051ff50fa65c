//! The driver of a publisher: callers and sink into the core, its wishes out.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use procession_core::{
    Answer, ConfigError, Done, NoRoom, Producer, Publish, Published, Span, Time, Token, Transmit,
    Unsent,
};

use super::cell::{Cell, Request};
use super::shared::Shared;
use super::{PublishError, PublishObserver, PublisherHandle, PublisherOptions, Stored};
use crate::port::{Outgoing, PortError, Sink, SinkCommand, SinkEvent, SinkReceipt, SinkTicket};
use crate::{Shell, Timer};

/// Turns of one poll, and the time after which the executor gets its turn.
const TURNS_MAX: usize = 16;
const TURN_BUDGET: Span = Span::from_millis(2);
/// A key that only a new connection can free waits this long for it to be lost by itself, and the
/// next request for one follows at the earliest after the longer time.
const RECONNECT_AFTER: Span = Span::from_secs(1);
const RECONNECT_AGAIN: Span = Span::from_secs(5);
/// Publishes that wait for room are looked through for passed deadlines at most this often.
const EXPIRE_EVERY: Span = Span::from_millis(10);

/// A publisher at work: a future that ends when the publisher is closed. Spawn it. Dropping it gives
/// every accepted publish its result: unknown if it was sent, refused if not.
#[must_use = "a driver does nothing until it is polled"]
pub struct PublisherDriver<K, S, O>
where
    K: Sink,
    S: Shell,
    O: PublishObserver,
{
    core: Producer<Accepted>,
    sink: K,
    shell: S,
    observer: O,
    observed: bool,
    options: PublisherOptions,
    timer: S::Timer,
    shared: Arc<Shared>,
    /// Not accepted yet for want of room, in the order of arrival. Each belongs to a future that
    /// somebody holds; those of dropped futures fall out.
    waiting: VecDeque<Arc<Cell>>,
    /// The earliest deadline in `waiting`, or earlier.
    expire_at: Time,
    /// By slot of the token: what the broker said of its sends.
    details: Vec<Option<Detail>>,
    /// When the sink is to connect anew, because keys are blocked that nothing else can free.
    reconnect_at: Option<Time>,
    phase: Phase,
    now: Time,
    cells: Vec<Arc<Cell>>,
    events: Vec<SinkEvent>,
    closes: Vec<Time>,
}

/// What the core holds of a publish.
#[derive(Debug)]
struct Accepted {
    message: Outgoing,
    cell: Arc<Cell>,
}

/// What the broker said of the sends of one publish.
struct Detail {
    token: Token,
    stored: Option<Stored>,
    error: Option<Arc<str>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Open,
    /// Nothing new is taken; past `until` what is left is given up.
    Draining {
        until: Time,
    },
    /// All have their results; the sink closes, until then.
    Closing {
        until: Time,
    },
    Ended,
}

/// Makes a driver and the handle that publishes through it.
///
/// # Errors
/// A configuration of the core that cannot work.
pub fn publisher<K, S, O>(
    sink: K,
    shell: S,
    observer: O,
    options: PublisherOptions,
) -> Result<(PublisherHandle, PublisherDriver<K, S, O>), ConfigError>
where
    K: Sink,
    S: Shell,
    O: PublishObserver,
{
    let core = Producer::new(&options.core)?;
    let shared = Arc::new(Shared::new());
    let driver = PublisherDriver {
        core,
        observed: observer.wants(),
        timer: shell.timer(),
        now: shell.now(),
        sink,
        shell,
        observer,
        options,
        shared: Arc::clone(&shared),
        waiting: VecDeque::new(),
        expire_at: Time::MAX,
        details: Vec::new(),
        reconnect_at: None,
        phase: Phase::Open,
        cells: Vec::new(),
        events: Vec::new(),
        closes: Vec::new(),
    };
    Ok((PublisherHandle::new(shared), driver))
}

// Nothing of a driver is pinned.
impl<K: Sink, S: Shell, O: PublishObserver> Unpin for PublisherDriver<K, S, O> {}

impl<K: Sink, S: Shell, O: PublishObserver> Future for PublisherDriver<K, S, O> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let begin = this.shell.now();
        for _ in 0..TURNS_MAX {
            let busy = this.turn(cx);
            if this.phase == Phase::Ended {
                return Poll::Ready(());
            }
            if !busy && this.sleep(cx) {
                return Poll::Pending;
            }
            if TURN_BUDGET <= this.now.since(begin) {
                break;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<K: Sink, S: Shell, O: PublishObserver> PublisherDriver<K, S, O> {
    fn turn(&mut self, cx: &mut Context<'_>) -> bool {
        self.now = self.now.max(self.shell.now());
        let mut busy = self.hear_sink(cx);
        busy |= self.hear_callers(cx);
        busy |= self.hear_closes(cx);
        if self.core.poll_timeout().is_some_and(|at| at <= self.now) {
            self.core.handle_timeout(self.now);
        }
        if self.expire_at <= self.now {
            self.expire();
        }
        self.receipts();
        if self.core.poll_room().is_some() {
            self.accept_waiting();
        }
        self.send();
        self.receipts();
        self.free_keys();
        match self.phase {
            Phase::Draining { until } => {
                if until <= self.now {
                    // The core ends by its own deadline; this holds even if it did not (L2).
                    self.core.fail(self.now);
                    self.receipts();
                }
                if self.core.is_idle() || until <= self.now {
                    self.sink.submit(SinkCommand::Close);
                    let until = self.now + self.options.close_grace;
                    self.phase = Phase::Closing { until };
                    busy = true;
                }
            }
            Phase::Closing { until } if until <= self.now => self.end(),
            Phase::Open | Phase::Closing { .. } | Phase::Ended => {}
        }
        busy
    }

    fn hear_sink(&mut self, cx: &mut Context<'_>) -> bool {
        let mut events = core::mem::take(&mut self.events);
        let busy = self.sink.poll_events(cx, &mut events).is_ready() && !events.is_empty();
        for event in events.drain(..) {
            match event {
                SinkEvent::Result { ticket, receipt } => self.answered(ticket, receipt),
                SinkEvent::Connected => {
                    self.shared.connected.store(true, Ordering::Relaxed);
                    self.core.connection_restored(self.now);
                }
                SinkEvent::Disconnected => {
                    self.shared.connected.store(false, Ordering::Relaxed);
                    self.core.connection_lost(self.now);
                }
                SinkEvent::Failed(error) => {
                    tracing::error!(%error, "the publishing port failed");
                    self.fail();
                }
                SinkEvent::Closed => {
                    self.fail();
                    self.end();
                }
            }
        }
        self.events = events;
        busy
    }

    fn hear_callers(&mut self, cx: &mut Context<'_>) -> bool {
        let mut cells = core::mem::take(&mut self.cells);
        let busy = self.shared.intake.poll_drain(cx, &mut cells).is_ready() && !cells.is_empty();
        for cell in cells.drain(..) {
            // Nobody overtakes those who wait: a key's publishes are accepted in their order (S8).
            if self.waiting.is_empty() {
                if let Some(cell) = self.accept(cell) {
                    self.wait_for_room(cell);
                }
            } else {
                match cell.take() {
                    Some(request) if request.wait_for_room => {
                        cell.put_back(request);
                        self.wait_for_room(cell);
                    }
                    Some(_) => cell.resolve(Err(PublishError::Full)),
                    None => {}
                }
            }
        }
        self.cells = cells;
        busy
    }

    fn hear_closes(&mut self, cx: &mut Context<'_>) -> bool {
        let mut closes = core::mem::take(&mut self.closes);
        let busy = self.shared.closes.poll_drain(cx, &mut closes).is_ready() && !closes.is_empty();
        for deadline in closes.drain(..) {
            self.drain(deadline);
        }
        self.closes = closes;
        busy
    }

    /// Has a publish accepted, or gives its cell back when it has to wait for room.
    fn accept(&mut self, cell: Arc<Cell>) -> Option<Arc<Cell>> {
        let Request {
            message,
            lane,
            deadline,
            wait_for_room,
        } = cell.take()?;
        let bytes = u32::try_from(message.bytes()).unwrap_or(u32::MAX);
        // The core keeps the message once it has accepted it; an observer needs a look at it.
        let copy = self.observed.then(|| message.clone());
        let publish = Publish {
            lane,
            bytes,
            deadline,
            message: Accepted { message, cell },
        };
        let full = match self.core.publish(self.now, publish) {
            Ok(token) => {
                self.accepted(token);
                if let Some(copy) = copy {
                    self.observer.accepted(&copy);
                }
                return None;
            }
            Err(full) => full,
        };
        let Accepted { message, cell } = full.publish.message;
        match full.why {
            NoRoom::Window if wait_for_room => {
                cell.put_back(Request {
                    message,
                    lane,
                    deadline,
                    wait_for_room,
                });
                Some(cell)
            }
            NoRoom::Window => {
                cell.resolve(Err(PublishError::Full));
                None
            }
            NoRoom::TooLarge => {
                let why = format!(
                    "{bytes} bytes are more than the whole publishing window of {} bytes; raise \
                     it or send less",
                    self.options.core.bytes
                );
                cell.resolve(Err(PublishError::Refused(why.into())));
                None
            }
            NoRoom::Draining | NoRoom::Closed => {
                cell.resolve(Err(PublishError::Closed));
                None
            }
        }
    }

    fn accepted(&mut self, token: Token) {
        self.shared.outstanding.fetch_add(1, Ordering::Relaxed);
        let slot = slot_of(token.to_bits());
        if self.details.len() <= slot {
            self.details.resize_with(slot + 1, || None);
        }
        if let Some(detail) = self.details.get_mut(slot) {
            *detail = Some(Detail {
                token,
                stored: None,
                error: None,
            });
        }
    }

    fn wait_for_room(&mut self, cell: Arc<Cell>) {
        if let Some(deadline) = cell.deadline() {
            self.expire_at = self.expire_at.min(deadline);
            self.waiting.push_back(cell);
        }
    }

    /// Accepts those who wait, in their order, while there is room.
    fn accept_waiting(&mut self) {
        while let Some(cell) = self.waiting.pop_front() {
            if let Some(cell) = self.accept(cell) {
                self.waiting.push_front(cell);
                return;
            }
        }
        self.expire_at = Time::MAX;
    }

    /// Gives up those who waited for room until their deadline, and forgets dropped ones.
    fn expire(&mut self) {
        let now = self.now;
        let mut next = Time::MAX;
        self.waiting.retain(|cell| match cell.deadline() {
            Some(deadline) if deadline <= now => {
                if cell.take().is_some() {
                    cell.resolve(Err(PublishError::Full));
                }
                false
            }
            Some(deadline) => {
                next = next.min(deadline);
                true
            }
            None => false,
        });
        self.expire_at = next.max(now + EXPIRE_EVERY);
        if self.waiting.is_empty() {
            self.expire_at = Time::MAX;
        }
    }

    fn send(&mut self) {
        while let Some(Transmit {
            token,
            attempt,
            message,
            ..
        }) = self.core.poll_send(self.now)
        {
            self.sink.submit(SinkCommand::Send {
                ticket: SinkTicket {
                    token: token.to_bits(),
                    attempt,
                },
                message: message.message.clone(),
            });
        }
    }

    /// Keys behind a publish that may still land, and of which no answer can come any more, are
    /// blocked until the connection is another one (S8).
    fn free_keys(&mut self) {
        let connected = self.shared.connected.load(Ordering::Relaxed);
        if !connected || self.core.stats().stuck == 0 {
            self.reconnect_at = None;
            return;
        }
        let at = *self.reconnect_at.get_or_insert(self.now + RECONNECT_AFTER);
        if at <= self.now {
            tracing::warn!("publishes without a known outcome block their keys; connecting anew");
            self.sink.reconnect();
            self.reconnect_at = Some(self.now + RECONNECT_AGAIN);
        }
    }

    /// Pairs the broker's answer with the publish and tells the core.
    fn answered(&mut self, ticket: SinkTicket, receipt: SinkReceipt) {
        let Some(Some(detail)) = self.details.get_mut(slot_of(ticket.token)) else {
            return;
        };
        if detail.token.to_bits() != ticket.token {
            return;
        }
        let mut note = |error: PortError| detail.error = Some(error.message);
        let answer = match receipt {
            SinkReceipt::Stored {
                partition,
                position,
                duplicate,
            } => {
                detail.stored = Some(Stored {
                    partition,
                    position,
                    duplicate,
                });
                Answer::Stored
            }
            SinkReceipt::NotStored(error) => {
                note(error);
                Answer::NotStored
            }
            SinkReceipt::Retry(error) => {
                note(error);
                Answer::Retry
            }
            SinkReceipt::Unknown(error) => {
                note(error);
                Answer::Unknown
            }
        };
        let token = detail.token;
        // Stale when the publish has its result already: nothing to do.
        let _ = self.core.settle(self.now, token, ticket.attempt, answer);
        self.receipts();
    }

    /// Hands results to their callers.
    fn receipts(&mut self) {
        while let Some(Done {
            token,
            result,
            message: Accepted { message, cell },
            ..
        }) = self.core.poll_receipt()
        {
            let detail = self
                .details
                .get_mut(slot_of(token.to_bits()))
                .and_then(|detail| detail.take_if(|detail| detail.token == token));
            let result = outcome(result, detail);
            if self.observed {
                self.observer.resolved(&message, &result);
            }
            self.shared.outstanding.fetch_sub(1, Ordering::Relaxed);
            cell.resolve(result);
        }
    }

    fn drain(&mut self, deadline: Time) {
        let until = deadline + self.options.close_grace;
        match &mut self.phase {
            Phase::Open => self.phase = Phase::Draining { until },
            Phase::Draining { until: sooner } => *sooner = until.min(*sooner),
            Phase::Closing { .. } | Phase::Ended => return,
        }
        self.core.drain(self.now, deadline);
        self.refuse_waiting();
    }

    /// The port cannot go on.
    fn fail(&mut self) {
        self.core.fail(self.now);
        self.receipts();
        self.refuse_waiting();
        if self.phase == Phase::Open {
            let until = self.now + self.options.close_grace;
            self.phase = Phase::Closing { until };
        }
    }

    /// Nothing new is taken: those who were not accepted learn of it.
    fn refuse_waiting(&mut self) {
        self.shared.intake.close();
        let mut late = Vec::new();
        self.shared.intake.drain(&mut late);
        for cell in self.waiting.drain(..).chain(late) {
            if cell.take().is_some() {
                cell.resolve(Err(PublishError::Closed));
            }
        }
        self.expire_at = Time::MAX;
    }

    fn end(&mut self) {
        self.phase = Phase::Ended;
        self.shared.end();
    }

    /// Sets the alarm. Returns whether the driver may sleep.
    fn sleep(&mut self, cx: &mut Context<'_>) -> bool {
        let phase = match self.phase {
            Phase::Draining { until } | Phase::Closing { until } => Some(until),
            Phase::Open | Phase::Ended => None,
        };
        let expire = (self.expire_at < Time::MAX).then_some(self.expire_at);
        let core = self.core.poll_timeout();
        self.timer.set(
            [phase, expire, core, self.reconnect_at]
                .into_iter()
                .flatten()
                .min(),
        );
        self.timer.poll_elapsed(cx).is_pending()
    }
}

/// Dropped before its end: what was accepted gets its result all the same (S10, L2).
impl<K: Sink, S: Shell, O: PublishObserver> Drop for PublisherDriver<K, S, O> {
    fn drop(&mut self) {
        if self.phase != Phase::Ended {
            self.core.fail(self.now);
            self.receipts();
            self.refuse_waiting();
            self.sink.submit(SinkCommand::Close);
            self.shared.end();
        }
    }
}

/// The slot of a token: the low half of its number.
const fn slot_of(bits: u64) -> usize {
    (bits & 0xffff_ffff) as usize
}

fn outcome(result: Published, detail: Option<Detail>) -> Result<Stored, PublishError> {
    let (stored, error) = detail.map_or((None, None), |d| (d.stored, d.error));
    let said = |fallback: &str| error.clone().unwrap_or_else(|| fallback.into());
    match result {
        Published::Stored => stored.ok_or_else(|| {
            PublishError::Unknown("the acknowledgement did not name a position".into())
        }),
        Published::Unknown => Err(PublishError::Unknown(said("no answer before the deadline"))),
        Published::Refused(unsent) => Err(PublishError::Refused(match unsent {
            Unsent::Broker => said("the broker refused it"),
            Unsent::Deadline => match &error {
                None => "its deadline passed before it could be sent".into(),
                Some(error) => format!("its deadline passed; the last answer was: {error}").into(),
            },
            Unsent::Predecessor => {
                "an older publish of its key is unknown and may still land; this one was not sent, \
                 to keep the order of the key"
                    .into()
            }
            Unsent::Overtaken => {
                "a newer publish of its key is in the log already; this one was not sent again"
                    .into()
            }
            Unsent::Closed => "the publisher ended before it was sent".into(),
        })),
    }
}
