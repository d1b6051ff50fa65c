//! The driver of a publisher: callers and sink into the core, its wishes out.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::collections::VecDeque;
use std::sync::Arc;

use procession_core::{ConfigError, Producer, Span, Time, Token, Transmit};

use super::cell::Cell;
use super::shared::Shared;
use super::{PublishObserver, PublisherHandle, PublisherOptions, Stored};
use crate::port::{Outgoing, Parcel, Sink, SinkCommand, SinkEvent, SinkTicket};
use crate::{Shell, Timer};

/// Turns of one poll, and the time after which the executor gets its turn.
const TURNS_MAX: usize = 16;
const TURN_BUDGET: Span = Span::from_millis(2);

/// A publisher at work: a future that ends when the publisher is closed. Spawn it. Dropping it gives
/// every accepted publish its result: unknown if it was sent, refused if not.
#[must_use = "a driver does nothing until it is polled"]
pub struct PublisherDriver<K, S, O>
where
    K: Sink,
    S: Shell,
    O: PublishObserver,
{
    pub(super) core: Producer<Accepted>,
    pub(super) sink: K,
    pub(super) shell: S,
    pub(super) observer: O,
    pub(super) observed: bool,
    pub(super) options: PublisherOptions,
    pub(super) timer: S::Timer,
    pub(super) shared: Arc<Shared>,
    /// Not accepted yet for want of room, in the order of arrival. Each belongs to a future that
    /// somebody holds; those of dropped futures fall out.
    pub(super) waiting: VecDeque<Arc<Cell>>,
    /// The earliest deadline in `waiting`, or earlier.
    pub(super) expire_at: Time,
    /// By slot of the token: what the broker said of its sends.
    pub(super) details: Vec<Option<Detail>>,
    /// When the sink is to connect anew, because keys are blocked that nothing else can free.
    pub(super) reconnect_at: Option<Time>,
    pub(super) phase: Phase,
    pub(super) now: Time,
    pub(super) cells: Vec<Arc<Cell>>,
    pub(super) events: Vec<SinkEvent>,
    pub(super) closes: Vec<Time>,
}

/// What the core holds of a publish.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) message: Arc<Outgoing>,
    pub(super) cell: Arc<Cell>,
}

/// What the broker said of the sends of one publish.
#[derive(Clone)]
pub(super) struct Detail {
    pub(super) token: Token,
    pub(super) stored: Option<Stored>,
    pub(super) error: Option<Arc<str>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
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

    fn hear_closes(&mut self, cx: &mut Context<'_>) -> bool {
        let mut closes = core::mem::take(&mut self.closes);
        let busy = self.shared.closes.poll_drain(cx, &mut closes).is_ready() && !closes.is_empty();
        for deadline in closes.drain(..) {
            self.drain(deadline);
        }
        self.closes = closes;
        busy
    }

    fn send(&mut self) {
        let together = self.options.core.batch > 1;
        while let Some(first) = self.core.poll_send(self.now) {
            let token = first.token;
            let Parcel { ticket, message } = parcel(&first);
            let next = match together {
                true => self.core.poll_follow(self.now, token, fit),
                false => None,
            };
            let Some(next) = next else {
                self.sink.submit(SinkCommand::Send { ticket, message });
                continue;
            };
            let mut all = vec![Parcel { ticket, message }, parcel(&next)];
            while let Some(next) = self.core.poll_follow(self.now, token, fit) {
                all.push(parcel(&next));
            }
            self.sink.submit(SinkCommand::SendTogether(all));
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
    pub(super) fn fail(&mut self) {
        self.core.fail(self.now);
        self.receipts();
        self.refuse_waiting();
        if self.phase == Phase::Open {
            let until = self.now + self.options.close_grace;
            self.phase = Phase::Closing { until };
        }
    }

    pub(super) fn end(&mut self) {
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

/// Whether two of a lane may be sent together: really of one key, and without a place of their own.
fn fit(first: &Accepted, next: &Accepted) -> bool {
    let (a, b) = (&*first.message, &*next.message);
    a.key == b.key
        && a.topic == b.topic
        && a.partition == b.partition
        && a.expect.is_none()
        && b.expect.is_none()
}

fn parcel(transmit: &Transmit<'_, Accepted>) -> Parcel {
    Parcel {
        ticket: SinkTicket {
            token: transmit.token.to_bits(),
            attempt: transmit.attempt,
        },
        message: Arc::clone(&transmit.message.message),
    }
}

/// The slot of a token: the low half of its number.
pub(super) const fn slot_of(bits: u64) -> usize {
    (bits & 0xffff_ffff) as usize
}
