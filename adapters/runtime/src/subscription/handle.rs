//! What the owner of a subscription holds.

use core::fmt;
use core::task::{Context, Poll};
use std::sync::Arc;

use procession_core::{
    Drained, Limits, NotWeighed, OnReset, ParkedMode, PartitionId, Time, WEIGHT_MAX,
};

use super::shared::{Control, Shared};
use super::{Health, NotTold, Notice, Recording, asked};
use crate::port::PortError;

/// One past the last partition that a core can have.
const PARTITIONS_MAX: u32 = 65_535;

/// The owner's hold on a running subscription. Cheap to clone; dropping it ends nothing (the bus
/// decides what a drop means and calls [`abort`](Self::abort)).
#[derive(Clone)]
pub struct SubscriptionHandle {
    shared: Arc<Shared>,
}

/// Why a subscription ended before it was asked to.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SubscriptionError {
    /// A handler asked for it; the text of its error.
    Stopped(Arc<str>),
    /// The port cannot go on.
    Failed(PortError),
    /// It was aborted, or its driver was dropped.
    Aborted,
}

impl fmt::Display for SubscriptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped(text) => write!(f, "a handler stopped the subscription: {text}"),
            Self::Failed(error) => write!(f, "the subscription failed: {error}"),
            Self::Aborted => f.write_str("the subscription was aborted"),
        }
    }
}

impl std::error::Error for SubscriptionError {}

/// How a subscription ended.
pub type End = Result<Drained, SubscriptionError>;

impl SubscriptionHandle {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Lets what runs finish, commits, releases every partition and ends, by `deadline` (clock of
    /// the shell); what is held and does not run is handed back. Dropping the handlers that are left
    /// and closing the feed may take `close_grace` longer. A second call can only bring the deadline
    /// forward.
    pub fn drain(&self, deadline: Time) {
        self.shared.control(Control::Drain(deadline));
    }

    /// Stops intake, cancels what runs, writes one last commit of what is finished, releases and
    /// ends, by `deadline`. What `compare --restart-at` does in the middle of a run.
    pub fn retire(&self, deadline: Time) {
        self.shared.control(Control::Retire(deadline));
    }

    /// Stops intake, cancels what runs, commits nothing further. Partitions are left to their leases.
    pub fn abort(&self) {
        self.shared.control(Control::Abort);
    }

    /// Changes the credit, up to the figures given at the start. The last call counts.
    pub fn set_limits(&self, limits: Limits) {
        self.shared.tell(|told| told.limits = Some(limits));
    }

    /// Says how much of the credit a partition may count on, in proportion to the other open partitions'
    /// weights: 1 to [`WEIGHT_MAX`], and 1 until somebody speaks of it. It stays until this subscription
    /// ends, whoever owns the partition meanwhile; of a partition that the topic does not have it changes
    /// nothing. None is lost, however many are said at once; of one partition the last counts.
    ///
    /// # Errors
    /// The weight or the partition is out of range; nothing was changed.
    pub fn set_weight(&self, partition: PartitionId, weight: u32) -> Result<(), NotWeighed> {
        if !(1..=WEIGHT_MAX).contains(&weight) {
            return Err(NotWeighed::Weight);
        }
        if PARTITIONS_MAX <= partition.0 {
            return Err(NotWeighed::Partition);
        }
        self.shared.tell(|told| {
            told.weights.insert(partition.0, weight);
        });
        Ok(())
    }

    /// Lets a parked key run again, by its hash, where this member owns it.
    ///
    /// # Errors
    /// Too much was said about keys since the driver's last turn; say it again.
    pub fn release_key(&self, key: u128) -> Result<(), NotTold> {
        self.shared.control_key(Control::ReleaseKey(key))
    }

    /// Says where a partition goes on whose recorded progress was out of range, where this member owns
    /// it. Of one partition the last call counts; what no topic can have is nobody's.
    pub fn reset(&self, partition: PartitionId, to: OnReset) {
        if partition.0 < PARTITIONS_MAX {
            self.shared.tell(|told| {
                told.resets.insert(partition.0, to);
            });
        }
    }

    /// Says what becomes of the messages of a parked key, where this member owns it.
    ///
    /// # Errors
    /// Too much was said about keys since the driver's last turn; say it again.
    pub fn set_parked(&self, key: u128, mode: ParkedMode) -> Result<(), NotTold> {
        self.shared.control_key(Control::SetParked(key, mode))
    }

    /// The flight recorder's report of the last calls of the core: the text of a file that
    /// `procession replay` takes. Keys and identities in it are salted hashes; there are no payloads.
    ///
    /// # Errors
    /// The recorder is off, or the subscription has ended.
    pub fn record(&self) -> Recording {
        let (asked, recording) = asked::ask();
        self.shared.control(Control::Record(asked));
        recording
    }

    /// The latest snapshot.
    #[must_use]
    pub fn health(&self) -> Health {
        self.shared.health()
    }

    /// The next notice; `None` after the end. Notices that nobody reads are merged or dropped and
    /// counted. Each notice goes to one reader.
    pub fn poll_notice(&self, cx: &mut Context<'_>) -> Poll<Option<Notice>> {
        self.shared.poll_notice(cx)
    }

    /// The next notice; `None` after the end.
    pub fn next_notice(&self) -> impl Future<Output = Option<Notice>> + Send + 'static {
        let shared = Arc::clone(&self.shared);
        core::future::poll_fn(move |cx| shared.poll_notice(cx))
    }

    /// Ready with the result once the driver has ended: no handler runs, the feed is closed.
    pub fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<End> {
        self.shared.poll_ended(cx)
    }

    /// Resolves once the driver has ended: no handler runs, the feed is closed.
    pub fn ended(&self) -> impl Future<Output = End> + Send + 'static {
        let shared = Arc::clone(&self.shared);
        core::future::poll_fn(move |cx| shared.poll_ended(cx))
    }
}

impl fmt::Debug for SubscriptionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriptionHandle").finish_non_exhaustive()
    }
}
