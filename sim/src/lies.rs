//! Deliberate faults between the core and the world: answers that are false, and demands that arrive
//! otherwise than they were made. Their numbers are those from 101. They are for rules that no fault
//! inside of the core breaks alone. Without the feature `mutants` there are none, and this is
//! compiled to nothing.

use procession_core::{
    Commit, Config, Flow, Grant, Notice, NoticeKind, PartitionId, Position, Release, Stall,
    StallState, Start, Time, Token,
};

/// Whether this lie is told.
#[cfg(feature = "mutants")]
pub(crate) fn is(number: u8) -> bool {
    procession_core::mutants::active() == number
}

/// Whether this lie is told: never, in a build without the feature.
#[cfg(not(feature = "mutants"))]
pub(crate) const fn is(_number: u8) -> bool {
    false
}

/// Whether no deliberate fault is switched on: then the core's own checks are asked, too.
pub(crate) fn none() -> bool {
    #[cfg(feature = "mutants")]
    return procession_core::mutants::active() == 0;
    #[cfg(not(feature = "mutants"))]
    true
}

/// What a liar remembers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// An attempt that is over, to be named again.
    pub(crate) settled: Option<Token>,
    /// Counts what is counted wrongly.
    pub(crate) calls: u64,
    /// Whether the last answer was told before, for those that are told twice.
    pub(crate) twice: bool,
    /// The drain is over.
    pub(crate) drained: bool,
    /// The last answers of their kind, to be given again.
    pub(crate) notice: Option<Notice>,
    pub(crate) flow: Option<Flow>,
    pub(crate) grant: Option<Grant>,
    pub(crate) start: Option<Start>,
    pub(crate) release: Option<Release>,
    pub(crate) commit: Option<Commit>,
    /// Something was demanded or ended that makes the kept answer false.
    pub(crate) over: bool,
}

/// What the core is made with.
pub(crate) fn config(config: &Config) -> Config {
    let mut config = config.clone();
    if is(113) {
        config.handler_timeout = procession_core::Span::from_millis(1);
    }
    config
}

/// A deadline as the core hears it: too early, or too late.
pub(crate) fn deadline(now: Time, deadline: Time) -> Time {
    if is(101) {
        deadline - deadline.since(now).div(2)
    } else if is(165) {
        deadline + procession_core::Span::from_secs(1)
    } else {
        deadline
    }
}

/// Notices that are kept back.
pub(crate) fn keeps_back(kind: NoticeKind) -> bool {
    is(154) && matches!(kind, NoticeKind::CommitDenied | NoticeKind::MapTooLarge)
}

/// A stall as it is told: with another date, or where nothing is held.
pub(crate) fn stall(
    true_one: Option<Stall>,
    (partition, held, now): (PartitionId, u32, Time),
    memory: &mut Memory,
) -> Option<Stall> {
    if is(164) {
        return true_one.map(|s| Stall {
            since: s.since + procession_core::Span::from_nanos(1),
            ..s
        });
    }
    if is(163) && held == 0 && true_one.is_none() {
        memory.calls += 1;
        return Some(Stall {
            partition,
            position: Position(u64::MAX - memory.calls),
            since: now,
            state: StallState::Ready,
            attempts: 0,
            why: None,
            until: None,
            reported: false,
        });
    }
    true_one
}
