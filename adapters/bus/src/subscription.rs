//! A running subscription, in its owner's hands.

use core::fmt;
use core::future::IntoFuture;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::Arc;

use futures_util::Stream;
use procession_core::{NotWeighed, OnReset, ParkedMode, PartitionId, Span};
use procession_runtime::Clock as _;
use procession_runtime::subscription::{
    Health, NotTold, Notice, Recording, SubscriptionError, SubscriptionHandle,
};

use crate::bus::Bus;
use crate::handler::Scope;

/// A handler that is subscribed.
///
/// Awaiting it resolves when it ends. Dropping it stops intake, cancels what runs and commits
/// nothing further: what was finished and not yet committed comes again. [`drain`](Self::drain)
/// ends it in order.
#[must_use = "dropping a subscription ends it"]
pub struct Subscription {
    guard: Guard,
    bus: Bus,
    scope: Arc<Scope>,
}

/// Ends the subscription when its owner lets go of it.
struct Guard(SubscriptionHandle);

impl Drop for Guard {
    fn drop(&mut self) {
        // After the end there is nobody to hear it.
        self.0.abort();
    }
}

impl Subscription {
    pub(crate) const fn new(handle: SubscriptionHandle, bus: Bus, scope: Arc<Scope>) -> Self {
        Self {
            guard: Guard(handle),
            bus,
            scope,
        }
    }

    /// The latest snapshot: what it does, what it owns, who blocks it.
    #[must_use]
    pub fn health(&self) -> Health {
        self.guard.0.health()
    }

    /// What an operator should know, as it happens. Each notice goes to one reader.
    #[must_use]
    pub fn notices(&self) -> Notices {
        Notices(self.guard.0.clone())
    }

    /// Ends in order: takes nothing new, finishes what runs, commits, gives its partitions up; all
    /// of it within this time (L5).
    ///
    /// # Errors
    /// It had ended before for another reason.
    pub fn drain(
        &self,
        within: Duration,
    ) -> impl Future<Output = Result<Drained, SubscriptionError>> + Send + 'static {
        let handle = self.guard.0.clone();
        handle.drain(self.bus.inner.shell.now() + Span::from(within));
        async move { handle.ended().await.map(Drained::from) }
    }

    /// Stops at once, but in order: cancels what runs, commits what is finished, gives its
    /// partitions up; all of it within this time.
    ///
    /// # Errors
    /// It had ended before for another reason.
    pub fn retire(
        &self,
        within: Duration,
    ) -> impl Future<Output = Result<Drained, SubscriptionError>> + Send + 'static {
        let handle = self.guard.0.clone();
        handle.retire(self.bus.inner.shell.now() + Span::from(within));
        async move { handle.ended().await.map(Drained::from) }
    }

    /// Lets a parked key run again (`on_give_up = "park"`): what of it comes from now on goes to the
    /// handler. Acts where this member owns the key's partition; tell every member. What is in the
    /// dead-letter topic stays there.
    ///
    /// # Errors
    /// 4,096 keys were spoken of and the subscription has not had its turn since; say it again.
    pub fn release_key(&self, key: impl AsRef<[u8]>) -> Result<(), NotTold> {
        let hash = crate::identity::key_hash(self.topic(), key.as_ref());
        self.guard.0.release_key(hash)
    }

    /// Says what becomes of the messages of a parked key, until it is
    /// [released](Self::release_key): they follow to the dead-letter topic, wait while what is there
    /// is replayed, or are discarded. Acts where this member owns the key's partition; tell every
    /// member.
    ///
    /// # Errors
    /// 4,096 keys were spoken of and the subscription has not had its turn since; say it again.
    pub fn set_parked(&self, key: impl AsRef<[u8]>, mode: ParkedMode) -> Result<(), NotTold> {
        let hash = crate::identity::key_hash(self.topic(), key.as_ref());
        self.guard.0.set_parked(hash, mode)
    }

    /// Says where a partition goes on that has stopped because its recorded progress is not in the log
    /// (`on_reset = "stop"`, the notice `OutOfRange`): `Earliest` or `Latest` of what the log holds.
    /// Acts where this member owns the partition and it has stopped; tell every member.
    pub fn reset(&self, partition: u32, to: OnReset) {
        self.guard.0.reset(PartitionId(partition), to);
    }

    /// Says how much of the credit a partition may count on: its share of the half that is shared out is
    /// in proportion to its weight among the partitions that this member has, and never less than what
    /// lets the message that its frontier waits for in. Weights go from 1, which every partition has at
    /// first, to 1,000. They stay until this subscription ends, also when the partition comes and goes;
    /// tell every member.
    ///
    /// # Errors
    /// The weight is out of range, or no topic can have the partition; nothing was changed.
    pub fn set_weight(&self, partition: u32, weight: u32) -> Result<(), NotWeighed> {
        self.guard.0.set_weight(PartitionId(partition), weight)
    }

    /// The flight recorder's report (`flight_recorder`): the last calls of the core, as the text of a
    /// file that `procession replay` takes. Keys and identities in it are salted hashes; payloads are
    /// not kept.
    ///
    /// # Errors
    /// The recorder is off, or the subscription has ended.
    pub fn record(&self) -> Recording {
        self.guard.0.record()
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.scope.topic
    }

    /// The group.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.scope.group
    }
}

impl IntoFuture for Subscription {
    type Output = Result<Drained, SubscriptionError>;
    type IntoFuture = Ended;

    fn into_future(self) -> Ended {
        Ended(self)
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("topic", &self.topic())
            .field("group", &self.group())
            .finish_non_exhaustive()
    }
}

/// What a subscription, or all of a bus, left when it ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Drained {
    /// Messages that were held and not finished: they come again to the next member.
    pub handed_back: u64,
    /// Handlers that still ran at the deadline. A notice named each.
    pub abandoned: u64,
}

impl Drained {
    pub(crate) fn add(&mut self, one: procession_core::Drained) {
        self.handed_back += u64::from(one.handed_back);
        self.abandoned += u64::from(one.abandoned);
    }
}

impl From<procession_core::Drained> for Drained {
    fn from(one: procession_core::Drained) -> Self {
        let mut all = Self::default();
        all.add(one);
        all
    }
}

/// Resolves when a subscription ends; dropping it is dropping the subscription.
#[must_use = "dropping it ends the subscription"]
#[derive(Debug)]
pub struct Ended(Subscription);

impl Future for Ended {
    type Output = Result<Drained, SubscriptionError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.guard.0.poll_ended(cx).map_ok(Drained::from)
    }
}

/// The notices of a subscription: a stream that ends with it.
#[derive(Debug)]
pub struct Notices(SubscriptionHandle);

impl Notices {
    /// The next notice; `None` after the end.
    pub async fn next(&mut self) -> Option<Notice> {
        self.0.next_notice().await
    }
}

impl Stream for Notices {
    type Item = Notice;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Notice>> {
        self.0.poll_notice(cx)
    }
}
