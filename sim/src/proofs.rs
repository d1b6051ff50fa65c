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
    first(Rule::StartOfNothing, 103, 300),
    first(Rule::StartOutOfOrder, 5, 300),
    first(Rule::TakenInTwice, 3, 300),
    first(Rule::CommitCovers, 1, 300),
    alone(Rule::CommitInDoubt, 34, 5_000),
    first(Rule::MapUnreadable, 106, 300),
    first(Rule::StoppedGoesOn, 98, 20_000),
    alone(Rule::ReleaseClaims, 107, 300),
    first(Rule::TwoCommits, 12, 300),
    alone(Rule::SucceededBefore, 6, 300),
    alone(Rule::CleanRun, 113, 300),
    alone(Rule::StartOfAnotherEpoch, 115, 300),
    first(Rule::StartWhileStopping, 14, 300),
    first(Rule::StartAfterTheLease, 17, 300),
    alone(Rule::LastCommitGoesOn, 120, 300),
    alone(Rule::CancelOfNothing, 125, 300),
    alone(Rule::SettledTwice, 126, 300),
    alone(Rule::LiveTokenStale, 127, 300),
    first(Rule::SuccessNotCounted, 129, 300),
    alone(Rule::ReleaseOfAnotherEpoch, 133, 300),
    alone(Rule::StaleAnswer, 135, 300),
    alone(Rule::StartUnrecorded, 222, 2_000),
    alone(Rule::CalledSuspect, 225, 5_000),
    first(Rule::KillsTooOften, 223, 2_000),
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
    first(Rule::StallOfNothing, 163, 300),
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
    first(Rule::AnchorFar, 248, 1_000),
    first(Rule::MoreOfAKey, 33, 2_000),
    first(Rule::OutOfSequence, 172, 2_000),
    alone(Rule::CalledBehind, 176, 2_000),
    first(Rule::GapMistold, 175, 5_000),
    first(Rule::HeldTooLong, 173, 2_000),
    first(Rule::LetterOfNothing, 178, 2_000),
    first(Rule::StartAfterTheEnd, 179, 2_000),
    first(Rule::LetterAfterTheEnd, 180, 2_000),
    alone(Rule::DuplicateAfterTheEnd, 181, 2_000),
    first(Rule::CommitOfAnotherEpoch, 182, 300),
    first(Rule::ReleasedUnasked, 183, 300),
    first(Rule::TokenTwice, 184, 300),
    first(Rule::NotDrained, 185, 2_000),
    first(Rule::NotAskedToStop, 186, 2_000),
    first(Rule::CommitWentBack, 187, 300),
    first(Rule::TwoOfAnIdentity, 188, 2_000),
    first(Rule::CoveredByCommit, 189, 2_000),
    first(Rule::CalledFinished, 190, 300),
    alone(Rule::RewriteNotTold, 252, 50_000),
    alone(Rule::PassedOutOfTurn, 191, 2_000),
    first(Rule::OtherParkedKeys, 192, 2_000),
    first(Rule::ParkedKeyRuns, 193, 5_000),
    first(Rule::OldResultCounted, 128, 2_000),
    alone(Rule::Canary, CANARY, 300),
];

/// Rules that are not shown to bite one by one, and why.
pub const UNPROVED: &[(Rule, &str)] = &[
    (
        Rule::MapCovers,
        "a core that calls too much finished commits it, too: `commit covers` comes first",
    ),
    (
        Rule::SkippedByProgress,
        "what an earlier owner's progress covers, its commit covered: that comes first",
    ),
    (
        Rule::NeverResolved,
        "the members drain only when all is resolved: `no progress` comes first",
    ),
    (
        Rule::NothingLeft,
        "the alarm of `no progress` is always left to happen",
    ),
    (
        Rule::NothingEffective,
        "a core that does nothing at all makes no progress: that comes first",
    ),
    (
        Rule::RunWithoutTenure,
        "within the checker's books: runs become orphans where their tenure ends",
    ),
    (
        Rule::ArrivalWithoutTenure,
        "without a tenure an arrival must be void: `stale arrival` has asked that",
    ),
    (
        Rule::Invariant,
        "the core's own checks, which hunts for deliberate faults leave out",
    ),
];

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
