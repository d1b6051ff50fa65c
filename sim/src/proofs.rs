//! For each rule of the checker, the deliberate fault by which it is shown to bite.

use crate::mutants::{CANARY, broken_first, first_broken};
use crate::rule::Rule;

/// How a rule is shown to bite.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bite {
    /// Of all rules only this one notices the fault: with it muted, nothing does.
    Alone,
    /// In some run this one notices the fault before all others, which come behind: what it guards,
    /// they would miss at its cause.
    First,
}

/// The fault that shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Proof {
    /// The rule.
    pub rule: Rule,
    /// The number of the fault: of a mutant of the core, or from 101 of a false answer between the
    /// core and the world.
    pub mutant: u8,
    /// Seeds that are run.
    pub within: u64,
    /// What it shows.
    pub bite: Bite,
}

const fn alone(rule: Rule, mutant: u8, within: u64) -> Proof {
    let bite = Bite::Alone;
    Proof {
        rule,
        mutant,
        within,
        bite,
    }
}

const fn first(rule: Rule, mutant: u8, within: u64) -> Proof {
    let bite = Bite::First;
    Proof {
        rule,
        mutant,
        within,
        bite,
    }
}

/// All proofs. What has none stands under [`UNPROVED`].
pub const PROOFS: &[Proof] = &[
    first(Rule::TwoOfAKey, 20, 300),
    alone(Rule::LeftBehindTooEarly, 11, 300),
    alone(Rule::GivenUpTooEarly, 38, 2_000),
    alone(Rule::NotGivenUp, 37, 2_000),
    alone(Rule::ReleaseWhileRunning, 102, 300),
    alone(Rule::StartOfNothing, 103, 300),
    first(Rule::StartOutOfOrder, 5, 300),
    first(Rule::TakenInTwice, 3, 300),
    first(Rule::CommitCovers, 1, 300),
    alone(Rule::CommitInDoubt, 34, 5_000),
    first(Rule::MapUnreadable, 106, 300),
    first(Rule::StoppedGoesOn, 98, 20_000),
    alone(Rule::ReleaseClaims, 107, 300),
    alone(Rule::TwoCommits, 12, 300),
    alone(Rule::SucceededBefore, 6, 300),
    alone(Rule::CleanRun, 113, 300),
    alone(Rule::StartOfAnotherEpoch, 115, 300),
    first(Rule::StartWhileStopping, 14, 300),
    alone(Rule::StartAfterTheLease, 17, 300),
    alone(Rule::LastCommitGoesOn, 120, 300),
    alone(Rule::CancelOfNothing, 125, 300),
    alone(Rule::SettledTwice, 126, 300),
    alone(Rule::LiveTokenStale, 127, 300),
    first(Rule::SuccessNotCounted, 129, 300),
    alone(Rule::ReleaseOfAnotherEpoch, 133, 300),
    alone(Rule::StaleAnswer, 135, 300),
    alone(Rule::StaleInput, 136, 300),
    alone(Rule::RefusedOffer, 137, 300),
    alone(Rule::Bounds, 138, 300),
    alone(Rule::LeftAfterDrain, 139, 300),
    alone(Rule::GrantOfOldSession, 140, 300),
    alone(Rule::GrantDidNotGrow, 141, 300),
    alone(Rule::MoreGranted, 25, 300),
    first(Rule::CreditLeaked, 8, 300),
    first(Rule::SaidOutOfTurn, 210, 2_000),
    alone(Rule::CallTooLarge, 212, 20_000),
    first(Rule::CallOfTwoKeys, 215, 20_000),
    first(Rule::RefusedItsShare, 203, 2_000),
    alone(Rule::FlowDoesNotAlternate, 144, 300),
    first(Rule::SessionWithoutOverlap, 16, 300),
    alone(Rule::LetterCounted, 10, 300),
    alone(Rule::CalledACopy, 28, 1_000),
    alone(Rule::ReleaseMiscounts, 153, 300),
    alone(Rule::Silent, 154, 300),
    first(Rule::NoProgress, 22, 300),
    alone(Rule::AttemptsMiscounted, 157, 300),
    alone(Rule::LetterOutOfTurn, 160, 300),
    alone(Rule::StallToldTwice, 162, 300),
    alone(Rule::StallOfNothing, 163, 300),
    alone(Rule::StallDatedWrongly, 164, 300),
    first(Rule::StallNotTold, 29, 300),
    first(Rule::StallNotCalledOver, 30, 300),
    alone(Rule::NotReleased, 165, 300),
    alone(Rule::OutputsWithoutEnd, 167, 300),
    alone(Rule::TimerStandsStill, 168, 300),
    first(Rule::GoesRound, 169, 50),
    first(Rule::Panic, 170, 300),
    first(Rule::FailureCounted, 128, 300),
    first(Rule::SessionAfterTheEnd, 118, 300),
    first(Rule::SessionWhileStopping, 53, 1_000),
    first(Rule::CommitAfterTheEnd, 121, 300),
    alone(Rule::ReleasedTwice, 122, 300),
    alone(Rule::SessionDidNotGrow, 131, 300),
    first(Rule::StaleArrival, 18, 300),
    first(Rule::SessionOfAnotherEpoch, 55, 1_000),
    alone(Rule::TooManyAttempts, 47, 300),
    alone(Rule::TriedTooEarly, 46, 300),
    first(Rule::MalformedHandedOut, 57, 300),
    alone(Rule::ExpiredRuns, 35, 2_000),
    alone(Rule::CalledExpired, 36, 2_000),
    first(Rule::DrainedOutOfTurn, 54, 300),
    first(Rule::AnchorNotBelow, 69, 1_000),
    first(Rule::MoreOfAKey, 33, 2_000),
    first(Rule::OutOfSequence, 172, 2_000),
    alone(Rule::CalledBehind, 176, 2_000),
    first(Rule::GapMistold, 175, 5_000),
    first(Rule::HeldTooLong, 173, 2_000),
    alone(Rule::Canary, CANARY, 300),
];

/// Rules that are not shown to bite one by one, and why.
pub const UNPROVED: &[(Rule, &str)] = &[
    (Rule::ParkedKeyRuns, PARKING),
    (Rule::OtherParkedKeys, PARKING),
    (Rule::PassedOutOfTurn, PARKING),
    (Rule::MapCovers, BEHIND),
    (Rule::CommitWentBack, BEHIND),
    (Rule::TwoOfAnIdentity, BEHIND),
    (Rule::CoveredByCommit, BEHIND),
    (Rule::OldResultCounted, BEHIND),
    (Rule::CalledFinished, BEHIND),
    (Rule::SkippedByProgress, BEHIND),
    (
        Rule::NeverResolved,
        "the members drain only when all is resolved: `no progress` comes first",
    ),
    (
        Rule::NothingLeft,
        "the alarm of `no progress` is always left to happen",
    ),
    (Rule::NothingEffective, BEHIND),
    (
        Rule::NotAskedToStop,
        "fault 44 breaks it behind `timer does not move on`",
    ),
    (
        Rule::NotDrained,
        "a drain sets the same deadline for every partition: `not released` comes first",
    ),
    (Rule::StartAfterTheEnd, ENDED),
    (Rule::DuplicateAfterTheEnd, ENDED),
    (Rule::LetterAfterTheEnd, ENDED),
    (Rule::RunWithoutTenure, ENDED),
    (Rule::ArrivalWithoutTenure, ENDED),
    (Rule::ReleasedUnasked, ENDED),
    (Rule::CommitOfAnotherEpoch, ENDED),
    (
        Rule::LetterOfNothing,
        "needs a letter of what was never held",
    ),
    (Rule::TokenTwice, "tokens are made by the core only"),
    (
        Rule::Invariant,
        "the core's own checks, which hunts for deliberate faults leave out",
    ),
];

/// Faults that break it are noticed by another rule before.
const PARKING: &str = "new with parked keys: mutants 31 and 32 break it, and are not told apart from its neighbours yet";
const BEHIND: &str = "broken by several faults, by each behind another rule";

/// A core that goes on where it must not is noticed at its first step.
const ENDED: &str = "a second line behind the rules of starts, commits, sessions and releases";

impl Proof {
    /// Runs the fault with everything asked, and where it is to be noticed alone once more with the
    /// rule muted. The seed that broke it.
    ///
    /// # Errors
    /// What was noticed instead.
    pub fn bites(&self) -> Result<u64, String> {
        if self.bite == Bite::First
            && let Some(seed) = broken_first(self.mutant, self.within, self.rule)
        {
            return Ok(seed);
        }
        let seed = match first_broken(self.mutant, self.within, 0) {
            Some((seed, rule)) if rule == self.rule => seed,
            Some((seed, rule)) => return Err(format!("{rule:?} comes first, at seed {seed}")),
            None => return Err(format!("nothing is noticed in {} seeds", self.within)),
        };
        match first_broken(self.mutant, self.within, 1 << self.rule as u8) {
            None => Ok(seed),
            Some((seed, rule)) => Err(format!("{rule:?} notices it, too, at seed {seed}")),
        }
    }
}

/// Rules of which nothing is said.
pub fn forgotten() -> impl Iterator<Item = Rule> {
    let said = |rule: &Rule| {
        let proved = PROOFS.iter().any(|p| p.rule == *rule);
        proved || UNPROVED.iter().any(|u| u.0 == *rule)
    };
    Rule::ALL.into_iter().filter(move |rule| !said(rule))
}
