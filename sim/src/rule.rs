//! What the checker holds against a run: a closed list, so that every rule is seen to be asked, and
//! to bite.

use std::cell::Cell;

use crate::checker::Checked;
use crate::verdict::Verdict;

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $id:literal $shape:literal),+ $(,)?) => {
        /// One thing that must hold, of one promise.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum Rule { $($(#[$doc])* $name),+ }

        impl Rule {
            /// All rules.
            pub const ALL: [Self; RULES] = [$(Self::$name),+];

            const WORDS: [(&'static str, &'static str); RULES] = [$(($id, $shape)),+];
        }

        /// How many rules there are.
        pub const RULES: usize = [$($shape),+].len();
    };
}

rules! {
    /// Two messages of a key run at once.
    TwoOfAKey = "S1" "two of a key",
    /// A handler is left behind before the hand-over could not wait any longer.
    LeftBehindTooEarly = "S1" "handler left behind too early",
    /// An attempt is given up before its handler had its grace, or where its owner waits.
    GivenUpTooEarly = "S1" "attempt given up too early",
    /// A partition is given up while its handlers run.
    ReleaseWhileRunning = "S1" "release while handlers run",
    /// Something starts that was not taken in.
    StartOfNothing = "S2" "start of what is not held",
    /// A message starts while an earlier one of its key is unfinished.
    StartOutOfOrder = "S2" "start before its predecessor is finished",
    /// A message starts whose number is not the one that comes next of its key.
    OutOfSequence = "S2" "message out of its sequence",
    /// A message is taken in that is held or finished.
    TakenInTwice = "S2" "taken in twice",
    /// A message runs whose key is parked.
    ParkedKeyRuns = "S2" "message of a parked key runs",
    /// A failed attempt counts as a success.
    FailureCounted = "S2" "failure counted as success",
    /// A frontier is written past something unfinished.
    CommitCovers = "S3" "commit covers an unfinished message",
    /// Progress is written that only a session vouches for whose last message is gone.
    CommitInDoubt = "S3" "commit in doubt",
    /// A map is written over something unfinished.
    MapCovers = "S3" "map covers an unfinished message",
    /// A map is written that cannot be read.
    MapUnreadable = "S3" "map that cannot be read",
    /// A release says that its progress is stored, and it is not.
    ReleaseClaims = "S3" "release claims a commit that was not confirmed",
    /// A second commit of a partition while one has no answer.
    TwoCommits = "S3b" "two commits outstanding",
    /// A commit below one before it.
    CommitWentBack = "S3b" "commit went back",
    /// Two messages of one identity run at once.
    TwoOfAnIdentity = "S4" "two of an identity",
    /// Something runs that the record said was finished.
    CoveredByCommit = "S4" "covered by the last commit",
    /// Something runs although it succeeded within the memory of identities.
    SucceededBefore = "S4" "succeeded before",
    /// Without faults, a message ran another number of times than once.
    CleanRun = "S4" "clean run",
    /// Something starts in a partition that is over.
    StartAfterTheEnd = "S5" "start after the end",
    /// Something starts in an epoch that is not the current one.
    StartOfAnotherEpoch = "S5" "start of another epoch",
    /// Something starts in a partition that is being given up.
    StartWhileStopping = "S5" "start while stopping",
    /// Something starts when the lease has run out.
    StartAfterTheLease = "S5" "start after the lease",
    /// A session for a partition that is over.
    SessionAfterTheEnd = "S5" "session after the end",
    /// A session for a partition that is being given up.
    SessionWhileStopping = "S5" "session while stopping",
    /// A copy is called one in a partition that is over.
    DuplicateAfterTheEnd = "S5" "duplicate after the end",
    /// A dead letter of a partition that is over.
    LetterAfterTheEnd = "S5" "dead letter after the end",
    /// A commit of a partition that is over.
    CommitAfterTheEnd = "S5" "commit after the end",
    /// A commit of another epoch.
    CommitOfAnotherEpoch = "S5" "commit of another epoch",
    /// A last commit where nothing ends.
    LastCommitGoesOn = "S5" "last commit of a partition that goes on",
    /// A release of what is not owned.
    ReleasedTwice = "S5" "released twice",
    /// A release that nobody asked for.
    ReleasedUnasked = "S5" "released without being asked",
    /// A token is given out a second time.
    TokenTwice = "S6" "one token for two attempts",
    /// A handler is to stop that does not run.
    CancelOfNothing = "S6" "cancel of nothing",
    /// A second result changes something.
    SettledTwice = "S6" "settled twice",
    /// The result of a running attempt is refused.
    LiveTokenStale = "S6" "live token called stale",
    /// A result of an old epoch changes progress.
    OldResultCounted = "S6" "result of an old epoch counted",
    /// An attempt runs for a partition that is over.
    RunWithoutTenure = "S6" "run without a tenure",
    /// A success is not counted.
    SuccessNotCounted = "S6" "success was not counted",
    /// A session of another epoch.
    SessionOfAnotherEpoch = "S6" "session of another epoch",
    /// A session without a higher number.
    SessionDidNotGrow = "S6" "session number did not grow",
    /// An arrival is taken that had to be void.
    StaleArrival = "S6" "stale arrival",
    /// An arrival is taken for a partition that is over.
    ArrivalWithoutTenure = "S6" "arrival without a tenure",
    /// A release of another epoch.
    ReleaseOfAnotherEpoch = "S6" "release of another epoch",
    /// An input of an old epoch or session changes something.
    StaleInput = "S6" "stale input changed something",
    /// An answer to an old write changes something.
    StaleAnswer = "S6" "stale answer changed something",
    /// An offer is refused and changes something.
    RefusedOffer = "S6" "a refused offer changed something",
    /// What is held is not what was given, or beyond the caps.
    Bounds = "S7" "bounds",
    /// A key holds more than its share of the credit.
    MoreOfAKey = "S7" "more of a key than may be held",
    /// Something is left in a core that drained.
    LeftAfterDrain = "S7" "something is left after a drain",
    /// Credit is granted to a session that is over.
    GrantOfOldSession = "S7" "grant of an old session",
    /// A grant is less than or the same as the one before.
    GrantDidNotGrow = "S7" "totals that do not grow",
    /// More is granted than the limits allow.
    MoreGranted = "S7" "more granted than there is",
    /// A core without messages lacks credit.
    CreditLeaked = "S7" "credit leaked",
    /// Two pauses or two resumes in a row.
    FlowDoesNotAlternate = "S7" "flow does not alternate",
    /// What cannot be decoded is handed out.
    MalformedHandedOut = "S9" "malformed message handed out",
    /// What has expired is handed out.
    ExpiredRuns = "S9" "expired message handed out",
    /// A message ends as expired whose time is not over.
    CalledExpired = "S9" "called expired, and is not",
    /// A dead letter of what is not held.
    LetterOfNothing = "S9" "dead letter of what is not held",
    /// A dead letter counts without being stored, or does not count.
    LetterCounted = "S9" "dead letter counted out of turn",
    /// A partition that stopped is delivered or committed before anybody said where it goes on.
    StoppedGoesOn = "S9" "stopped partition goes on",
    /// A commit names other parked keys than there are.
    OtherParkedKeys = "S9" "commit with other parked keys",
    /// A message is passed without a handler and a dead letter, and is not to be discarded.
    PassedOutOfTurn = "S9" "passed out of turn",
    /// A session that would not notice a rewritten log.
    SessionWithoutOverlap = "S9" "session without overlap",
    /// A message is passed as a copy, and is none.
    CalledACopy = "S9" "called a copy, and is none",
    /// A message is finished as one whose number was passed, and it was not.
    CalledBehind = "S9" "called behind, and is not",
    /// A gap is told that is none.
    GapMistold = "S9" "gap told that is none",
    /// A message is passed as finished, and is not.
    CalledFinished = "S9" "called finished, and is not",
    /// A message stands where the record names another one, and the log is not said to be rewritten.
    RewriteNotTold = "S9" "rewritten log not told",
    /// Inherited progress covers what nobody finished.
    SkippedByProgress = "S9" "skipped by inherited progress",
    /// An anchor at or beyond its frontier.
    AnchorNotBelow = "S9" "anchor that is not below the frontier",
    /// A commit is recognised by an earlier message than the last that came, though all are finished.
    AnchorFar = "S9" "anchor that is not the last that came",
    /// A release says another number of messages than it hands back.
    ReleaseMiscounts = "S9" "release miscounts what it hands back",
    /// A loss, reset or refusal without a notice.
    Silent = "S9" "silent",
    /// A stored message was never finished.
    NeverResolved = "S9" "never resolved",
    /// What was said of a message of a call takes effect although one before it did not end well, or does
    /// not although all have.
    SaidOutOfTurn = "S2" "outcome of a call out of turn",
    /// A call gets messages of two keys.
    CallOfTwoKeys = "S1" "call of two keys",
    /// A call gets more messages than it may.
    CallTooLarge = "S7" "more in a call than there may be",
    /// A message is refused for want of credit while its partition holds less than its share, or nothing.
    RefusedItsShare = "L1" "refused within its share",
    /// Nothing is left to happen, and not all is done.
    NothingLeft = "L1" "nothing left to happen",
    /// Long after faults stopped, not all is done.
    NoProgress = "L1" "no progress",
    /// A message waits for a missing one longer than it may.
    HeldTooLong = "L3" "held too long for a missing message",
    /// An attempt has the wrong number.
    AttemptsMiscounted = "L3" "attempts miscounted",
    /// More attempts than configured.
    TooManyAttempts = "L3" "more attempts than there may be",
    /// A retry before its time.
    TriedTooEarly = "L3" "tried again too early",
    /// A dead letter without its reason.
    LetterOutOfTurn = "L3" "dead letter out of turn",
    /// Something starts that the stored record does not say may run.
    StartUnrecorded = "L3" "start that is not recorded",
    /// A message is given up as a suspect that too few processes died of.
    CalledSuspect = "L3" "called a suspect, and is none",
    /// A message kills more processes than it may.
    KillsTooOften = "L3" "kills too many processes",
    /// A handler past its deadline was not asked to stop.
    NotAskedToStop = "L3" "handler not asked to stop",
    /// A handler that does not stop is waited for, and its owner does not wait.
    NotGivenUp = "L3" "attempt not given up",
    /// A stall rises or clears a second time.
    StallToldTwice = "L3" "stall told twice",
    /// A stall where nothing is held.
    StallOfNothing = "L3" "stall of nothing",
    /// A stall that passed was not called over.
    StallNotCalledOver = "L3" "stall not called over",
    /// A stall has the wrong date.
    StallDatedWrongly = "L3" "stall dated wrongly",
    /// A stall that is due was not told.
    StallNotTold = "L3" "stall not told",
    /// A partition is not given up by its deadline.
    NotReleased = "L5" "not released by the deadline",
    /// A drain is not over by its deadline.
    NotDrained = "L5" "not drained by the deadline",
    /// A drain ends that nobody asked for, or while partitions are owned.
    DrainedOutOfTurn = "L5" "drained out of turn",
    /// The timer is due again and again.
    TimerStandsStill = "L6" "timer does not move on",
    /// The same outputs come again and again.
    OutputsWithoutEnd = "L6" "outputs without end",
    /// A run has far more events than it can need.
    GoesRound = "L6" "goes round in circles",
    /// The core panicked.
    Panic = "core" "panic",
    /// The core says itself that it is broken.
    Invariant = "core" "invariant",
    /// Nothing happened at all.
    NothingEffective = "vacuous" "nothing was effective",
    /// Never broken but by the deliberate fault that shows that reports arrive.
    Canary = "canary" "reporting works",
}

const _: () = assert!(RULES <= 128);

impl Rule {
    /// The promise that it belongs to.
    #[must_use]
    pub const fn id(self) -> &'static str {
        Self::WORDS[self as usize].0
    }

    /// What is wrong when it is broken.
    #[must_use]
    pub const fn shape(self) -> &'static str {
        Self::WORDS[self as usize].1
    }
}

/// The rules of one run: how often each was asked, and which are not to be.
#[derive(Debug)]
pub(crate) struct Rules {
    asked: [Cell<u32>; RULES],
    /// Rules that are passed over, to see what the others catch.
    muted: u128,
}

impl Rules {
    pub(crate) fn new(muted: u128) -> Self {
        Self {
            asked: [const { Cell::new(0) }; RULES],
            muted,
        }
    }

    /// Whether what is wrong is to be said. The story is only told when something is. One that many are
    /// given is borrowed: each would have a copy of its own, made before it is known whether it holds.
    #[inline]
    pub(crate) fn hold(&self, rule: Rule, holds: bool, story: impl FnOnce() -> String) -> Checked {
        self.asks(rule);
        if holds {
            return Ok(());
        }
        self.broken(rule, story)
    }

    /// It was looked at, and holds.
    pub(crate) fn asks(&self, rule: Rule) {
        let asked = &self.asked[rule as usize];
        asked.set(asked.get() + 1);
    }

    /// It does not hold; said, unless the rule is muted.
    #[cold]
    pub(crate) fn broken(&self, rule: Rule, story: impl FnOnce() -> String) -> Checked {
        if self.muted >> rule as u8 & 1 == 1 {
            return Ok(());
        }
        Err(Verdict::new(rule, story()).into())
    }

    /// How often each was asked.
    pub(crate) fn asked(&self) -> [u32; RULES] {
        self.asked.each_ref().map(Cell::get)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_words_of_its_own() {
        for (n, rule) in Rule::ALL.into_iter().enumerate() {
            assert_eq!(rule as usize, n);
            let twin = Rule::ALL[..n].iter().find(|r| r.shape() == rule.shape());
            assert_eq!(twin, None, "{rule:?}");
        }
    }

    #[test]
    fn a_muted_rule_is_passed_over_and_the_others_are_not() {
        let rules = Rules::new(1 << Rule::Bounds as u8);
        assert!(rules.hold(Rule::Bounds, false, String::new).is_ok());
        let broken = rules.hold(Rule::Silent, false, || "here".into());
        assert_eq!(broken.map_err(|v| (v.id, v.shape)), Err(("S9", "silent")));
        assert_eq!(rules.asked()[Rule::Bounds as usize], 1);
    }
}
