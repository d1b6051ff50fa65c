//! The driver of a subscription: feeds the core and carries out what it asks for.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::collections::HashMap;
use std::sync::Arc;

use procession_core::{ConfigError, Dispatch, Drained, NoticeKind, PartitionId, Span, Time};

use super::alarms::Alarms;
use super::attempt_task::Report;
use super::flight::Files;
use super::held::{Burial, Held, Running};
use super::partition::Partition;
use super::recorded::Recorded;
use super::shared::{Control, Shared};
use super::snapshot::{HEALTH_AT_LEAST, HEALTH_EVERY};
use super::{DriverOptions, Observer, SubscriptionError, SubscriptionHandle, Work};
use crate::mailbox::Mailbox;
use crate::port::{Feed, FeedEvent};
use crate::{Cancellation, Shell, Timer};

/// Turns of one poll, and the time after which the executor gets its turn: a driver with endless
/// work must not starve the tasks beside it.
const TURNS_MAX: usize = 16;
const TURN_BUDGET: Span = Span::from_millis(2);

/// A subscription at work: a future that ends when the subscription does. Spawn it; its
/// [`SubscriptionHandle`] steers it. Dropping it cancels what runs and commits nothing further.
///
/// One turn: what the owner, the handlers and the feed say goes into the core; what the core then
/// wants is carried out. Each dispatch is polled in place, and becomes a task only when pending.
#[must_use = "a driver does nothing until it is polled"]
pub struct SubscriptionDriver<F, W, S, O>
where
    F: Feed,
    W: Work,
    S: Shell,
    O: Observer<W::Message>,
{
    pub(super) core: Recorded<Held<W::Message>>,
    pub(super) feed: F,
    pub(super) work: W,
    pub(super) shell: S,
    pub(super) observer: O,
    /// What `observer.wants()` said.
    pub(super) observed: bool,
    pub(super) options: DriverOptions,
    pub(super) timer: S::Timer,
    pub(super) shared: Arc<Shared>,
    pub(super) reports: Arc<Mailbox<Report>>,
    /// Attempts that became tasks, by token. At most `concurrency`, and those that were cancelled
    /// and do not stop.
    pub(super) running: HashMap<u64, Running<W::Message>>,
    /// The flag of the next attempt, reused while nobody keeps it.
    pub(super) spare: Cancellation,
    /// By number; only as many as were ever assigned.
    pub(super) partitions: Vec<Partition<W::Message>>,
    /// Dead letters on their way, by token.
    pub(super) burials: HashMap<u64, Burial<W::Message>>,
    pub(super) phase: Phase,
    /// Why it ends, when nobody asked for it.
    pub(super) error: Option<SubscriptionError>,
    pub(super) connected: bool,
    pub(super) alarms: Alarms,
    /// Reports that were written.
    pub(super) files: Files,
    /// Something changed since the last snapshot of the health.
    pub(super) stale_health: bool,
    pub(super) health_at: Time,
    /// The latest time; handed to the core, it never goes back.
    pub(super) now: Time,
    // Buffers, used again and again.
    pub(super) map: Vec<u8>,
    pub(super) call: Vec<Dispatch<Held<W::Message>>>,
    events: Vec<FeedEvent>,
    report_batch: Vec<Report>,
    control_batch: Vec<Control>,
}

/// How far the end is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// At work.
    Open,
    /// The core drains. Past `until` it is over in any case (L5).
    Draining { until: Time },
    /// Nothing of the core is carried out any more; tasks end and the feed closes, until then.
    Closing {
        until: Time,
        drained: Drained,
        feed_closed: bool,
    },
    /// Over.
    Ended,
}

/// Makes a driver and the handle that steers it.
///
/// # Errors
/// A configuration of the core that cannot work.
#[expect(clippy::type_complexity, reason = "a pair of two named types")]
pub fn subscribe<F, W, S, O>(
    feed: F,
    work: W,
    shell: S,
    observer: O,
    mut options: DriverOptions,
) -> Result<(SubscriptionHandle, SubscriptionDriver<F, W, S, O>), ConfigError>
where
    F: Feed,
    W: Work,
    S: Shell,
    O: Observer<W::Message>,
{
    options.concurrency = options.concurrency.max(1);
    let core = Recorded::new(&options.core, options.flight_recorder)?;
    let shared = Arc::new(Shared::new());
    let driver = SubscriptionDriver {
        core,
        observed: observer.wants(),
        timer: shell.timer(),
        now: shell.now(),
        map: vec![0; options.core.map_bytes as usize],
        feed,
        work,
        shell,
        observer,
        options,
        shared: Arc::clone(&shared),
        reports: Arc::new(Mailbox::new()),
        running: HashMap::new(),
        spare: Cancellation::new(),
        partitions: Vec::new(),
        burials: HashMap::new(),
        phase: Phase::Open,
        error: None,
        connected: true,
        alarms: Alarms::default(),
        files: Files::default(),
        stale_health: true,
        health_at: Time::ZERO,
        call: Vec::new(),
        events: Vec::new(),
        report_batch: Vec::new(),
        control_batch: Vec::new(),
    };
    Ok((SubscriptionHandle::new(shared), driver))
}

// Nothing of a driver is pinned: the futures of handlers are boxed or belong to tasks.
impl<F: Feed, W: Work, S: Shell, O: Observer<W::Message>> Unpin for SubscriptionDriver<F, W, S, O> {}

impl<F: Feed, W: Work, S: Shell, O: Observer<W::Message>> Future
    for SubscriptionDriver<F, W, S, O>
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let begin = this.shell.now();
        for _ in 0..TURNS_MAX {
            let busy = this.turn(cx);
            if this.phase == Phase::Ended {
                return Poll::Ready(());
            }
            if !busy {
                this.refresh_health();
                if this.sleep(cx) {
                    return Poll::Pending;
                }
            }
            if TURN_BUDGET <= this.now.since(begin) {
                break;
            }
        }
        // There is more to do, after the others had their turn.
        this.refresh_health();
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<F: Feed, W: Work, S: Shell, O: Observer<W::Message>> SubscriptionDriver<F, W, S, O> {
    /// Takes in what happened and carries out what follows. Returns whether there may be more.
    fn turn(&mut self, cx: &mut Context<'_>) -> bool {
        self.tick();
        let mut busy = self.hear_owner(cx);
        busy |= self.hear_handlers(cx);
        busy |= self.hear_feed(cx);
        if let Phase::Closing { .. } = self.phase {
            self.close_step();
            return busy;
        }
        if self
            .core
            .poll_timeout()
            .is_some_and(|wake| wake.at <= self.now)
        {
            self.core.handle_timeout(self.now);
        }
        busy |= self.offer_kept();
        self.cancel();
        self.tell_notices();
        // Behind the notice that names what is given up.
        self.give_up();
        self.start_sessions();
        busy |= self.dispatch();
        self.tell_gaps();
        self.tell_duplicates();
        self.tell_passed();
        self.bury();
        self.commit();
        self.release();
        self.regulate();
        self.tell_notices();
        if let Some(drained) = self.core.poll_drained() {
            self.drained(drained);
            busy = true;
        } else if let Phase::Draining { until } = self.phase
            && until <= self.now
        {
            // The core ends by its own deadline; this holds even if it did not (L5).
            self.drained(Drained {
                handed_back: self.core.stats().held,
                abandoned: u32::try_from(self.running.len()).unwrap_or(u32::MAX),
            });
            busy = true;
        }
        self.stale_health |= busy;
        busy
    }

    /// Samples the clock. A clock that goes back is a clock that stands still.
    pub(super) fn tick(&mut self) -> Time {
        self.now = self.now.max(self.shell.now());
        self.now
    }

    fn hear_owner(&mut self, cx: &mut Context<'_>) -> bool {
        let mut batch = core::mem::take(&mut self.control_batch);
        let busy = self.shared.controls.poll_drain(cx, &mut batch).is_ready() && !batch.is_empty();
        if busy {
            self.hear_words();
        }
        for control in batch.drain(..) {
            match control {
                Control::Drain(deadline) => self.drain(deadline),
                Control::Retire(deadline) => {
                    self.drain(deadline);
                    for running in self.running.values() {
                        running.cancellation.raise();
                    }
                }
                Control::Abort => self.abort(SubscriptionError::Aborted),
                Control::ReleaseKey(key) => {
                    if self.core.release(self.now, key) {
                        // If others still wait, a notice says so again.
                        self.alarms.clear_kind(NoticeKind::ParkingFull);
                    }
                }
                Control::SetParked(key, mode) => {
                    self.core.set_parked(self.now, key, mode);
                }
                // Heard above.
                Control::Told => {}
                Control::Record(asked) => self.record(asked),
            }
        }
        self.control_batch = batch;
        busy
    }

    /// What was said last of limits, weights and resets.
    fn hear_words(&mut self) {
        let told = self.shared.take_told();
        if let Some(limits) = told.limits {
            self.core.set_limits(self.now, &limits);
        }
        for (partition, weight) in told.weights {
            // The handle has looked at the weight; a partition that cannot be is nobody's.
            self.core
                .set_weight(self.now, PartitionId(partition), weight);
        }
        for (partition, to) in told.resets {
            let partition = PartitionId(partition);
            if self.core.reset(self.now, partition, to) {
                self.alarms.clear(NoticeKind::OutOfRange, partition);
            }
        }
    }

    fn hear_handlers(&mut self, cx: &mut Context<'_>) -> bool {
        let mut batch = core::mem::take(&mut self.report_batch);
        let busy = self.reports.poll_drain(cx, &mut batch).is_ready() && !batch.is_empty();
        for report in batch.drain(..) {
            self.settle_task(report);
        }
        self.report_batch = batch;
        busy
    }

    fn hear_feed(&mut self, cx: &mut Context<'_>) -> bool {
        if let Phase::Closing {
            feed_closed: true, ..
        } = self.phase
        {
            return false;
        }
        let mut events = core::mem::take(&mut self.events);
        let busy = self.feed.poll_events(cx, &mut events).is_ready() && !events.is_empty();
        for event in events.drain(..) {
            self.feed_event(event);
        }
        self.events = events;
        busy
    }

    /// Sets the alarm. Returns whether the driver may sleep.
    fn sleep(&mut self, cx: &mut Context<'_>) -> bool {
        let ends = match self.phase {
            Phase::Draining { until } | Phase::Closing { until, .. } => Some(until),
            Phase::Open | Phase::Ended => None,
        };
        let core = match self.phase {
            Phase::Closing { .. } | Phase::Ended => None,
            Phase::Open | Phase::Draining { .. } => self.core.poll_timeout().map(|wake| wake.at),
        };
        let health = if self.stale_health {
            Some(self.health_at + HEALTH_EVERY)
        } else if self.running.is_empty() {
            None
        } else {
            Some(self.health_at + HEALTH_AT_LEAST)
        };
        self.timer
            .set([ends, core, health].into_iter().flatten().min());
        if self.timer.poll_elapsed(cx).is_ready() {
            self.stale_health = true;
            return false;
        }
        true
    }
}
