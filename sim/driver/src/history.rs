//! A run that is over, as the checker reads it.

use crate::event::Event;

/// Everything that a run left behind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Story {
    pub(crate) events: Vec<Event>,
    pub(crate) log: Vec<Stored>,
    /// The dead letters.
    pub(crate) letters: Vec<Stored>,
    pub(crate) tasks_left: usize,
    /// Whose task did not stop to wake itself.
    pub(crate) spins: Option<u32>,
    pub(crate) trace: u64,
    /// By message.
    pub(crate) keys: Vec<Option<u32>>,
    /// By message: from when on it is not to be handled any more; none where nobody looks.
    pub(crate) expires: Vec<Option<u64>>,
    /// Deaths after which a message may be called a suspect; 0: never.
    pub(crate) suspects: u32,
    /// Whether what follows a dead letter of its key follows it there.
    pub(crate) parks: bool,
    /// How much later than asked for anything may end, in nanoseconds.
    pub(crate) slack: u64,
    /// Whether identities are remembered.
    pub(crate) remembers: bool,
    /// Whether maps say what was finished, and not only where.
    pub(crate) digests: bool,
    /// What follows when retention took what was never delivered.
    pub(crate) reset: Reset,
}

/// What follows when retention took what was never delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Reset {
    /// The partition stops until its owner decides.
    #[default]
    Stop,
    /// It goes on with what is left.
    Earliest,
    /// It goes on behind what is left.
    Latest,
}

/// One record of a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stored {
    /// The partition.
    pub partition: u32,
    /// The position.
    pub position: u64,
    /// The message.
    pub message: u32,
    /// Which publish brought it.
    pub publish: u32,
}
