//! Deliberate faults between the core and the world: answers that are false, and demands that arrive
//! otherwise than they were made. Their numbers are those from 101. They are for rules that no fault
//! inside of the core breaks alone. Without the feature `mutants` there are none, and this is
//! compiled to nothing.

use procession_core::{
    Admit, Commit, Config, Consumer, Copied, DeadLetter, Dispatch, Flow, Grant, Notice, NoticeKind,
    PartitionId, Passed, Position, Release, Stall, StallState, Start, Time, Token, Why,
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

/// Whether no deliberate fault is switched on: then the core's answers are passed on as they are, and its
/// own checks are asked, too.
pub(crate) fn none() -> bool {
    #[cfg(feature = "mutants")]
    return procession_core::mutants::active() == 0;
    #[cfg(not(feature = "mutants"))]
    true
}

/// What a liar remembers.
#[derive(Clone, Debug, Default)]
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
    pub(crate) dispatch: Option<Dispatch<u32>>,
    pub(crate) copied: Option<Copied<u32>>,
    pub(crate) letter: Option<(Token, PartitionId, Position, u32)>,
    /// The message that a letter is said to be of.
    pub(crate) named: u32,
    /// The first token.
    pub(crate) token: Option<Token>,
    /// The partition that was released last.
    pub(crate) ended: Option<PartitionId>,
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

/// What became of an offer, told otherwise.
pub(crate) fn admit(true_one: Admit) -> Admit {
    match true_one {
        Admit::Void if is(132) => Admit::Replayed,
        Admit::Replayed if is(189) => Admit::Queued,
        Admit::Queued if is(190) => Admit::Replayed,
        Admit::Void | Admit::Replayed | Admit::Queued | Admit::Duplicate => true_one,
    }
}

/// A start, falsely told, told twice, or told again when its partition was given up.
pub(crate) fn dispatch(
    mut true_one: Option<Dispatch<u32>>,
    memory: &mut Memory,
) -> Option<Dispatch<u32>> {
    let ended = memory.dispatch.as_ref().map(|d| d.partition);
    if (is(188) || (is(179) && ended == memory.ended))
        && let Some(again) = memory.dispatch.take()
    {
        return Some(again);
    }
    if let Some(dispatch) = &mut true_one {
        dispatch.position.0 += u64::from(is(103));
        dispatch.epoch.0 += u64::from(is(115));
        dispatch.attempt -= u32::from(is(157) && dispatch.attempt > 1);
        assert!(!is(170), "a deliberate fault");
        if is(184) {
            dispatch.token = *memory.token.get_or_insert(dispatch.token);
        }
    }
    if is(179) || is(188) {
        memory.dispatch = true_one.clone().or_else(|| memory.dispatch.take());
        memory.ended = None;
    }
    true_one
}

/// A dead letter, falsely told: of the message before, or again when its partition was given up.
pub(crate) fn letter<'a>(
    mut true_one: Option<DeadLetter<'a, u32>>,
    memory: &'a mut Memory,
) -> Option<DeadLetter<'a, u32>> {
    if let Some(letter) = &mut true_one {
        letter.attempts += u32::from(is(160));
    }
    let before = memory.letter;
    if let Some((token, partition, position, message)) = before
        && is(180)
        && memory.ended == Some(partition)
    {
        (memory.letter, memory.named) = (None, message);
        return Some(DeadLetter {
            token,
            partition,
            position,
            why: Why::Rejected,
            attempts: 1,
            shorten: 0,
            message: &memory.named,
        });
    }
    if !is(178) && !is(180) {
        return true_one;
    }
    let letter = true_one?;
    let kept = (letter.token, letter.partition, letter.position);
    memory.letter = Some((kept.0, kept.1, kept.2, *letter.message));
    memory.ended = None;
    match before {
        Some((_, partition, _, message)) if is(178) && partition == letter.partition => {
            memory.named = message;
            Some(DeadLetter {
                message: &memory.named,
                ..letter
            })
        }
        Some(_) | None => Some(letter),
    }
}

/// A copy, told again when its partition was given up.
pub(crate) fn copied(true_one: Option<Copied<u32>>, memory: &mut Memory) -> Option<Copied<u32>> {
    if !is(181) {
        return true_one;
    }
    let kept = memory.copied.as_ref().map(|c| c.partition);
    if kept.is_some() && kept == memory.ended {
        return memory.copied.take();
    }
    if true_one.is_some() {
        memory.ended = None;
        memory.copied.clone_from(&true_one);
    }
    true_one
}

/// A message that was passed, for another reason than the true one.
pub(crate) fn passed(true_one: Passed<u32>) -> Passed<u32> {
    if is(191) && true_one.why == Why::Expired {
        return Passed {
            why: Why::Discarded,
            ..true_one
        };
    }
    true_one
}

/// Progress, falsely told.
pub(crate) fn commit(commit: &mut Commit) {
    commit.last |= is(120);
    commit.epoch.0 += u64::from(is(182));
    if is(187) && commit.write > 1 {
        commit.frontier = Position(0);
    }
    if is(187) || is(192) {
        commit.map_len = 0;
    }
}

/// A release, falsely told, or made up: of a partition that is open.
pub(crate) fn release(
    mut true_one: Option<Release>,
    core: &Consumer<u32>,
    memory: &mut Memory,
) -> Option<Release> {
    if is(179) || is(180) || is(181) {
        memory.ended = true_one.map(|r| r.partition).or(memory.ended);
    }
    let partition = PartitionId(0);
    if is(183)
        && let Some((epoch, frontier)) = core.epoch(partition).zip(core.frontier(partition))
    {
        return Some(Release {
            partition,
            epoch,
            frontier,
            handed_back: 0,
            abandoned: 0,
            committed: false,
        });
    }
    if let Some(release) = &mut true_one {
        release.abandoned += u32::from(is(102));
        release.epoch.0 += u64::from(is(133));
        release.handed_back += u32::from(is(153));
        release.committed |= is(107);
    }
    true_one
}
