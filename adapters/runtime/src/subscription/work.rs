//! What the application does with messages.

use std::sync::Arc;

use procession_core::{Epoch, PartitionId, Position, Time, Why};

use crate::Cancellation;
use crate::port::{BoxFuture, Outgoing, Record};

/// The application's side of a subscription.
///
/// All methods are called on the driver's task, except that the future of [`handle`](Self::handle)
/// may move to a task of its own. None may block. A panic in `handle` or in its future is caught and
/// counts as a failed attempt, one in `bury` as a dead letter that was not stored; `decode` must not
/// panic (a panic there ends the subscription).
pub trait Work: Send + 'static {
    /// A decoded message together with its raw record, as the core holds it. Cloned once per
    /// attempt, so that a panic or an abort can always retry: make that cheap (an `Arc`).
    type Message: Clone + Send + 'static;

    /// Reads a record. A record that cannot be decoded gets `quarantine` set; it is never dropped.
    fn decode(&self, partition: PartitionId, record: Record) -> Decoded<Self::Message>;

    /// Works on a message. The future is polled once on the driver's task and moves to a task of its
    /// own only when it is pending. It is dropped when the attempt is cancelled.
    fn handle(&self, message: Self::Message, attempt: Attempt) -> BoxFuture<'static, Verdict>;

    /// The dead letter of a message; topic and partition set.
    fn bury(&self, message: &Self::Message, letter: &Letter) -> Outgoing;

    /// Names a message for people: its key and id. Only called for reports.
    fn describe(&self, message: &Self::Message) -> String {
        let _ = message;
        String::new()
    }
}

/// A record that was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decoded<M> {
    /// 64-bit hash of (topic, key).
    pub lane: u64,
    /// 128-bit hash of (topic, key); `None` without a key.
    pub key: Option<u128>,
    /// 128-bit hash of (topic, source, id).
    pub identity: u128,
    /// What it is charged, in bytes: [`Record::bytes`].
    pub bytes: u32,
    /// After this it is not worth handling any more (clock of the shell), where it says so. What follows
    /// is the core's decision (`expired`).
    pub expires: Option<Time>,
    /// Its number among the messages of its key, where the core is to look at it (`sequence`).
    pub sequence: Option<u64>,
    /// Set when it cannot be decoded or has no key although it must.
    pub quarantine: Option<Why>,
    /// The message.
    pub message: M,
}

/// One attempt at a message: what a handler may know about it.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Counts the attempts, from 1.
    pub number: u32,
    /// With epoch and position the fence by which a handler can guard its effects.
    pub partition: PartitionId,
    /// The epoch.
    pub epoch: Epoch,
    /// The position.
    pub position: Position,
    /// When the handler will be asked to stop (clock of the shell); `Time::MAX` for never.
    pub deadline: Time,
    /// Which one of how many messages of its key that are handed out together it is, from 0 (`batch_key`).
    /// The attempts of such a call begin one right after the other, in the order of the log, and are to be
    /// one call of the handler (S1).
    pub call: (u32, u32),
    /// Raised when it is asked to stop. Its future is dropped right afterwards.
    pub cancellation: Cancellation,
}

/// How a handler ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Succeeded.
    Done,
    /// Failed; try again. The text of the error.
    Retry(Arc<str>),
    /// Failed for good; dead-letter now. The text of the error.
    Reject(Arc<str>),
    /// The subscription must end. The message stays unfinished. The text of the error.
    Stop(Arc<str>),
}

/// What a dead letter tells besides its message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Letter {
    /// The partition that the message came from, and that its dead letter goes to.
    pub partition: PartitionId,
    /// Its position there.
    pub position: Position,
    /// Why it ends here.
    pub why: Why,
    /// Attempts that were made.
    pub attempts: u32,
    /// The text of the last error.
    pub error: Option<Arc<str>>,
    /// 0 = whole; 1 = without the error text; 2 = a reference with a digest only.
    pub shorten: u8,
}
