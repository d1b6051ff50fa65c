//! Ways to end: drained, stopped, aborted, dropped.

use std::sync::Arc;

use procession_core::{Drained, Time};

use super::driver::{Phase, SubscriptionDriver};
use super::{Notice, Observer, SubscriptionError, Work};
use crate::Shell;
use crate::port::{Feed, FeedCommand};

impl<F: Feed, W: Work, S: Shell, O: Observer<W::Message>> SubscriptionDriver<F, W, S, O> {
    pub(super) fn drain(&mut self, deadline: Time) {
        let until = deadline + self.options.close_grace;
        match &mut self.phase {
            Phase::Open => self.phase = Phase::Draining { until },
            Phase::Draining { until: sooner } => *sooner = until.min(*sooner),
            Phase::Closing { .. } | Phase::Ended => return,
        }
        self.core.drain(self.now, deadline);
    }

    /// A handler or the port wants the end: the first reason counts.
    pub(super) fn stop(&mut self, error: SubscriptionError) {
        if self.error.is_none() {
            self.shared.notice(match &error {
                SubscriptionError::Stopped(error) => Notice::Stopped {
                    error: Arc::clone(error),
                },
                SubscriptionError::Failed(error) => Notice::Failed(error.clone()),
                SubscriptionError::Aborted => return,
            });
            self.error = Some(error);
        }
    }

    /// Cancels what runs and commits nothing further.
    pub(super) fn abort(&mut self, error: SubscriptionError) {
        self.error.get_or_insert(error);
        self.close(Drained::default());
    }

    pub(super) fn drained(&mut self, drained: Drained) {
        if self.observed {
            self.observer.drained(drained.handed_back);
        }
        self.close(drained);
    }

    pub(super) fn close(&mut self, drained: Drained) {
        if matches!(self.phase, Phase::Closing { .. } | Phase::Ended) {
            return;
        }
        for running in self.running.values() {
            running.cancellation.raise();
        }
        for partition in &mut self.partitions {
            partition.end_epoch();
        }
        self.burials.clear();
        self.feed.submit(FeedCommand::Close);
        self.phase = Phase::Closing {
            until: self.now + self.options.close_grace,
            drained,
            feed_closed: false,
        };
        self.stale_health = true;
    }

    /// Ends once no task is left and the feed is closed, or the grace is over.
    pub(super) fn close_step(&mut self) {
        let Phase::Closing {
            until,
            drained,
            feed_closed,
        } = self.phase
        else {
            return;
        };
        if (self.running.is_empty() && feed_closed) || until <= self.now {
            self.phase = Phase::Ended;
            self.reports.close();
            self.publish_health();
            self.shared.end(match self.error.take() {
                Some(error) => Err(error),
                None => Ok(drained),
            });
        }
    }
}

/// Dropped before its end: what runs is cancelled, nothing is committed, the owner learns of it.
impl<F: Feed, W: Work, S: Shell, O: Observer<W::Message>> Drop for SubscriptionDriver<F, W, S, O> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.record_panic();
        }
        for running in self.running.values() {
            running.cancellation.raise();
            // After a regular end, what is left ignores its cancellation: it has not ended.
            if self.observed && self.phase != Phase::Ended {
                self.observer.ended(
                    &running.fence,
                    running.attempt,
                    &running.held.message,
                    super::Ending::Cancelled,
                );
            }
        }
        if self.phase != Phase::Ended {
            self.reports.close();
            self.feed.submit(FeedCommand::Close);
            self.shared
                .end(Err(self.error.take().unwrap_or(SubscriptionError::Aborted)));
        }
    }
}
