//! Handing messages to handlers, and what comes of it.

use std::sync::Arc;

use procession_core::{Dispatch, NoticeKind, Outcome, Span, Time, Token};

use super::attempt_task::{AttemptTask, Begun, Finish, Report, begin, notice_blocked};
use super::driver::SubscriptionDriver;
use super::held::{Held, Running};
use super::{Attempt, Ending, Fence, Observer, SubscriptionError, Verdict, Work};
use crate::port::Feed;
use crate::{Cancellation, Shell};

/// Attempts that are begun in one turn, and the time after which events are heard again.
const DISPATCHES_MAX: usize = 256;
const DISPATCH_BUDGET: Span = Span::from_millis(2);

impl<F: Feed, W: Work, S: Shell, O: Observer<W::Message>> SubscriptionDriver<F, W, S, O> {
    /// Begins attempts until the core has none, the concurrency is used up, or the budget is.
    /// Returns whether there may be more.
    pub(super) fn dispatch(&mut self) -> bool {
        let begun = self.tick();
        for _ in 0..DISPATCHES_MAX {
            if self.options.concurrency <= self.running.len() {
                // A task's report wakes the driver.
                return false;
            }
            // The clock is read right before each hand-over: a process that was paused past its
            // lease starts nothing when it wakes.
            let now = self.tick();
            let Some(dispatch) = self.core.poll_dispatch(now) else {
                return false;
            };
            if self.options.core.batch_key > 1 {
                self.begin_call(now, dispatch);
            } else {
                self.attempt(dispatch, (0, 1));
            }
            if DISPATCH_BUDGET <= self.now.since(begun) {
                return true;
            }
        }
        true
    }

    /// Begins an attempt of each message of a call, one right after the other.
    fn begin_call(&mut self, now: Time, first: Dispatch<Held<W::Message>>) {
        let token = first.token;
        let mut call = core::mem::take(&mut self.call);
        call.push(first);
        while let Some(next) = self.core.poll_follow(now, token) {
            call.push(next);
        }
        let count = u32::try_from(call.len()).unwrap_or(u32::MAX);
        for (number, dispatch) in (0..).zip(call.drain(..)) {
            self.attempt(dispatch, (number, count));
        }
        self.call = call;
    }

    fn attempt(&mut self, dispatch: Dispatch<Held<W::Message>>, call: (u32, u32)) {
        let Dispatch {
            token,
            partition,
            epoch,
            position,
            attempt,
            deadline,
            message: held,
        } = dispatch;
        let fence = Fence {
            partition,
            epoch,
            position,
        };
        if self.observed {
            self.observer.started(&fence, attempt, &held.message);
        }
        let message = held.message.clone();
        let terms = Attempt {
            number: attempt,
            partition,
            epoch,
            position,
            deadline,
            call,
            cancellation: self.spare.clone(),
        };
        let since = self.now;
        let work = &self.work;
        let begun = begin(|| work.handle(message, terms));
        let busy = self.tick().since(since);
        notice_blocked(&self.shared, fence, busy);
        match begun {
            Begun::Finished(finish) => {
                if !self.spare.reuse() {
                    self.spare = Cancellation::new();
                }
                self.settle(token, fence, attempt, held, finish, false);
            }
            Begun::Pending(future) => {
                let cancellation = core::mem::take(&mut self.spare);
                self.running.insert(
                    token.to_bits(),
                    Running {
                        token,
                        fence,
                        attempt,
                        since,
                        deadline,
                        cancellation: cancellation.clone(),
                        timed_out: false,
                        held,
                    },
                );
                self.shell.spawn(Box::pin(AttemptTask {
                    token,
                    fence,
                    clock: self.shell.clone(),
                    shared: Arc::clone(&self.shared),
                    cancellation,
                    reports: Arc::clone(&self.reports),
                    future: Some(future),
                }));
            }
        }
    }

    /// A task's future is gone: its attempt can be settled.
    pub(super) fn settle_task(&mut self, report: Report) {
        let Some(running) = self.running.remove(&report.token.to_bits()) else {
            return;
        };
        self.end(running, report.finish);
    }

    /// Attempts whose handlers do not stop, and whose owner does not wait for them: they count as failed,
    /// and what their tasks report later is not heard.
    pub(super) fn give_up(&mut self) {
        while let Some(token) = self.core.poll_abandon() {
            if let Some(running) = self.running.remove(&token.to_bits()) {
                self.end(running, Finish::Dropped);
            }
        }
    }

    /// An attempt that became a task is over.
    fn end(&mut self, running: Running<W::Message>, finish: Finish) {
        let Running {
            token,
            fence,
            attempt,
            held,
            timed_out,
            ..
        } = running;
        self.stale_health = true;
        if timed_out || finish == Finish::Dropped {
            self.alarms.clear(NoticeKind::HandlerStuck, fence.partition);
        }
        self.settle(token, fence, attempt, held, finish, timed_out);
    }

    fn settle(
        &mut self,
        token: Token,
        fence: Fence,
        attempt: u32,
        mut held: Held<W::Message>,
        finish: Finish,
        timed_out: bool,
    ) {
        let ending = match &finish {
            Finish::Verdict(Verdict::Done) => Ending::Done,
            Finish::Verdict(Verdict::Retry(_)) => Ending::Retry,
            Finish::Verdict(Verdict::Reject(_)) => Ending::Reject,
            Finish::Verdict(Verdict::Stop(_)) => Ending::Cancelled,
            Finish::Panicked(_) => Ending::Panic,
            Finish::Dropped if timed_out => Ending::Timeout,
            Finish::Dropped => Ending::Cancelled,
        };
        // The history knows of the end before the core does.
        if self.observed {
            self.observer.ended(&fence, attempt, &held.message, ending);
        }
        let mut stop = None;
        let outcome = match finish {
            // Behind one that did not end well in the same call, it is handed out again.
            Finish::Verdict(Verdict::Done) if self.options.core.batch_key > 1 => {
                Outcome::Handled(held)
            }
            Finish::Verdict(Verdict::Done) => Outcome::Done,
            Finish::Verdict(Verdict::Retry(error)) | Finish::Panicked(error) => {
                held.error = Some(error);
                Outcome::Retry(held)
            }
            Finish::Verdict(Verdict::Reject(error)) => {
                held.error = Some(error);
                Outcome::Reject(held)
            }
            Finish::Verdict(Verdict::Stop(error)) => {
                stop = Some(error);
                Outcome::Cancelled(held)
            }
            Finish::Dropped => {
                if timed_out {
                    held.error = Some("the handler reached its timeout".into());
                }
                Outcome::Cancelled(held)
            }
        };
        if let Some(error) = stop {
            // Drained first, so that the message which stopped it is not handed out again.
            let deadline = self.now + self.options.stop_deadline;
            self.stop(SubscriptionError::Stopped(error));
            self.drain(deadline);
        }
        // Stale only after a partition was given up under a running handler: nothing to do (S6).
        let _ = self.core.settle(self.now, token, outcome);
    }

    /// Asks attempts to stop: raises their flag, upon which their task drops the future and reports.
    pub(super) fn cancel(&mut self) {
        while let Some(token) = self.core.poll_cancel() {
            if let Some(running) = self.running.get_mut(&token.to_bits()) {
                running.timed_out = running.deadline <= self.now;
                running.cancellation.raise();
            }
        }
    }
}
