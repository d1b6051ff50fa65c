//! Deliberate faults in the core: each must be caught, or the simulator is blind in that eye.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use crate::plan::{Plan, Profile};
use crate::record::{must_hold, record};
use crate::replay::{Replayed, replay};
use crate::report::{Failure, parse, print};
use crate::rule::Rule;
use crate::run::run_plan;
use crate::shrink::shrink;
use crate::small::{Broken, Small};
use crate::world::{Watch, World};

/// A deliberate fault, by its number in the core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mutant {
    /// Its number in `procession_core::mutants`.
    pub number: u8,
    /// What it does.
    pub what: &'static str,
    /// Seeds within which it must be caught.
    pub within: u64,
}

/// How a mutant was caught.
#[derive(Clone, PartialEq, Debug)]
pub struct Caught {
    /// The seed that did it.
    pub seed: u64,
    /// The promise that was broken.
    pub verdict: String,
    /// Everything written down.
    pub failure: Failure,
}

const fn mutant(number: u8, within: u64, what: &'static str) -> Mutant {
    Mutant {
        number,
        what,
        within,
    }
}

/// The one that breaks nothing in the core: the simulator itself calls every thousandth run broken.
/// Were it not reported, nothing that others find would be.
pub const CANARY: u8 = 255;

/// All mutants, with room of about ten times what they were seen to need.
pub const MUTANTS: &[Mutant] = &[
    mutant(
        1,
        500,
        "commits the furthest finished position instead of the frontier",
    ),
    mutant(2, 500, "runs two messages of a key at once"),
    mutant(
        3,
        5_000,
        "takes a held position that comes again for a new message",
    ),
    mutant(4, 500, "takes a failed attempt for a success"),
    mutant(5, 500, "puts a failed message behind the others of its key"),
    mutant(6, 500, "does not remember a success"),
    mutant(7, 500, "remembers one identity only"),
    mutant(8, 500, "leaks the credit of a dead letter"),
    mutant(
        9,
        20_000,
        "takes an old epoch's result for a new epoch's progress",
    ),
    mutant(10, 500, "passes a dead letter that was not stored"),
    mutant(11, 1_000, "releases a partition while its handlers run"),
    mutant(12, 1_000, "writes a second commit while one is outstanding"),
    mutant(13, 5_000, "takes a commit of unknown outcome for stored"),
    mutant(14, 1_000, "goes on starting messages after a revoke"),
    mutant(15, 2_000, "takes deliveries of an old session in"),
    mutant(16, 20_000, "begins a session without overlap"),
    mutant(17, 2_000, "hands messages out after the lease has run out"),
    mutant(18, 1_000, "overlooks a lost delivery"),
    mutant(
        19,
        1_000,
        "remembers an identity when it starts instead of when it succeeds",
    ),
    mutant(
        20,
        5_000,
        "does not keep the key of a lost partition's handler busy",
    ),
    mutant(21, 5_000, "commits after it lost the partition"),
    mutant(22, 2_000, "does not set the timer of the second retry"),
    mutant(
        23,
        20_000,
        "trusts the progress of another incarnation of the log",
    ),
    mutant(24, 2_000, "commits unfinished messages when it drains"),
    mutant(
        25,
        500,
        "grants to each partition what was granted to others already",
    ),
    mutant(
        26,
        5_000,
        "grants nothing to a partition while others have everything",
    ),
    mutant(27, 5_000, "does not remember what its last life did"),
    mutant(
        28,
        5_000,
        "takes what its last life remembered for as good as new",
    ),
    mutant(29, 500, "does not tell of a frontier that stands still"),
    mutant(30, 500, "does not tell that a stall is over"),
    mutant(31, 500, "does not park the key of a dead letter"),
    mutant(
        32,
        500,
        "forgets parked keys when a partition changes hands",
    ),
    mutant(33, 2_000, "lets one key take all credit"),
    mutant(
        34,
        5_000,
        "believes what a session said whose last message is gone",
    ),
    mutant(37, 2_000, "waits for a handler that is to be given up"),
    mutant(38, 2_000, "gives an attempt up when it is asked to stop"),
    mutant(35, 2_000, "hands out what has expired"),
    mutant(36, 2_000, "takes every message that can expire for expired"),
    mutant(
        41,
        1000,
        "takes a refused commit for one that is still under way",
    ),
    mutant(
        42,
        1000,
        "passes a message whose last attempt failed without a dead letter",
    ),
    mutant(
        43,
        2000,
        "takes a dead letter of unknown outcome for stored",
    ),
    mutant(44, 2000, "lets handlers run past their time"),
    mutant(46, 1000, "tries again without waiting"),
    mutant(47, 1000, "tries once more than it may"),
    mutant(48, 5000, "never resumes what it paused"),
    mutant(49, 2000, "writes a map that is off by one"),
    mutant(
        51,
        1000,
        "releases a partition before its last commit is answered",
    ),
    mutant(53, 5000, "keeps what it is given while it drains"),
    mutant(54, 1000, "says that it is drained while it owns partitions"),
    mutant(
        55,
        5000,
        "goes on in the same epoch when the log was rewritten",
    ),
    mutant(57, 1000, "hands out what cannot be decoded"),
    mutant(60, 1000, "commits by count only"),
    mutant(61, 5000, "lets a second demand put a deadline off"),
    mutant(63, 5000, "does not forget identities that are too old"),
    mutant(64, 1000, "keeps a lost delivery to itself"),
    mutant(65, 5000, "hears what is said of an old session"),
    mutant(69, 5000, "anchors progress to what arrived last"),
    mutant(98, 20_000, "goes on although its record is out of range"),
    mutant(171, 2_000, "runs what is behind in the sequence of its key"),
    mutant(172, 2_000, "runs what is ahead in the sequence of its key"),
    mutant(173, 2_000, "waits for a missing message for ever"),
    mutant(174, 5_000, "passes a gap in a sequence without a word"),
    mutant(175, 5_000, "holds what is ahead in the order of the log"),
    mutant(176, 2_000, "passes the sequence of a message that failed"),
    mutant(
        177,
        2_000,
        "calls what is late in the sequence of its key a copy",
    ),
    mutant(
        220,
        2_000,
        "does not count the deaths that a suspect caused",
    ),
    mutant(221, 2_000, "does not suspect anything after an unclean end"),
    mutant(
        222,
        2_000,
        "starts what is to be recorded before it is stored",
    ),
    mutant(223, 2_000, "gives no suspect up"),
    mutant(224, 5_000, "runs who is accused beside others"),
    mutant(225, 5_000, "lays a death to each message of a lot"),
    mutant(
        200,
        1_000,
        "shares the credit out evenly whatever the weights",
    ),
    mutant(201, 5_000, "lets the share of a light partition be nothing"),
    mutant(202, 50_000, "does not share out again when weights change"),
    mutant(
        203,
        5_000,
        "pays for nothing while shares are more than the limits",
    ),
    mutant(
        210,
        2_000,
        "counts what is done behind a failure of its call",
    ),
    mutant(211, 2_000, "tries again while the call still runs"),
    mutant(212, 20_000, "gives a call more messages than it may have"),
    mutant(213, 2_000, "counts an attempt of what is given back"),
    mutant(214, 20_000, "gives a call what has expired"),
    mutant(215, 20_000, "gives a call messages of another key"),
    mutant(
        216,
        20_000,
        "does not keep the key of what a lost call has taken along busy",
    ),
    mutant(
        245,
        5_000,
        "does not look at grants again when credit comes back",
    ),
    mutant(
        248,
        1_000,
        "recognises its log by what moved the frontier though later messages are finished",
    ),
    mutant(249, 500, "panics when it is told of a failure"),
    mutant(
        250,
        50_000,
        "takes a recorded position for finished whatever stands there",
    ),
    mutant(251, 2_000, "records a wrong digest"),
    mutant(
        252,
        50_000,
        "runs what stands where another was finished without a word",
    ),
    mutant(
        253,
        5_000,
        "gives a call what is ahead in the sequence of its key",
    ),
    mutant(254, 5_000, "passes the sequence of what joins a call"),
    mutant(CANARY, 1, "calls a sound run broken"),
];

/// A deliberate fault in the machine of a small world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SmallMutant {
    /// Its number in `procession_core::mutants`.
    pub number: u8,
    /// The world that must notice it.
    pub world: Small,
    /// Seeds within which it must be caught.
    pub within: u64,
    /// What it does.
    pub what: &'static str,
}

const fn publisher(number: u8, within: u64, what: &'static str) -> SmallMutant {
    SmallMutant {
        number,
        world: Small::Publishers,
        within,
        what,
    }
}

const fn claim(number: u8, within: u64, what: &'static str) -> SmallMutant {
    SmallMutant {
        number,
        world: Small::Claims,
        within,
        what,
    }
}

/// The mutants of the producer and of claims.
pub const SMALL_MUTANTS: &[SmallMutant] = &[
    publisher(
        71,
        2_000,
        "goes on with a key whose last send may still land",
    ),
    publisher(
        72,
        2_000,
        "calls an unknown publish refused at its deadline",
    ),
    publisher(
        73,
        5_000,
        "calls a repeated publish refused that an earlier send may have stored",
    ),
    publisher(
        74,
        2_000,
        "forgets what was on its way when the connection was lost",
    ),
    publisher(
        75,
        2_000,
        "sends several of a key at once to a broker that keeps no order",
    ),
    publisher(
        205,
        2_000,
        "calls a publish refused whose request was refused for the sake of another one",
    ),
    publisher(
        206,
        2_000,
        "goes on with a key when the first answer of its request has come",
    ),
    publisher(
        207,
        2_000,
        "puts what is to go by itself into a request with others again",
    ),
    publisher(
        208,
        2_000,
        "puts what does not fit into a request with others",
    ),
    publisher(209, 2_000, "puts more into a request than there may be"),
    publisher(240, 2_000, "calls a publish stored that came too late"),
    publisher(241, 2_000, "sends a publish again that came too late"),
    claim(
        81,
        5_000,
        "counts its lease from the answer instead of from the write",
    ),
    claim(82, 2_000, "takes a write of unknown outcome for stored"),
    claim(83, 2_000, "takes over after half of a lease"),
    claim(84, 2_000, "takes over without a new epoch"),
    claim(85, 2_000, "believes to own when its lease has run out"),
    claim(86, 2_000, "goes on writing when the record is another's"),
    claim(88, 5_000, "calls a commit refused that may have landed"),
    claim(89, 2_000, "calls a refused commit stored"),
    claim(90, 5_000, "believes to own while its release is on its way"),
    claim(91, 5_000, "does not read again when the connection is back"),
    claim(95, 2_000, "does not renew"),
    claim(96, 2_000, "keeps the results of commits to itself"),
];

/// The first seed in which a mutant of a small world is noticed, and by what.
#[must_use]
pub fn hunt_small(mutant: &SmallMutant) -> Option<(u64, Broken)> {
    with_mutant(mutant.number, || {
        (0..mutant.within).find_map(|seed| Some((seed, mutant.world.run(seed).broken?)))
    })
}

/// One mutant at a time: they are switched on for the whole process.
static HUNTING: Mutex<()> = Mutex::new(());

/// Calls `f` with a mutant switched on.
pub fn with_mutant<T>(number: u8, f: impl FnOnce() -> T) -> T {
    let _alone = HUNTING.lock().unwrap_or_else(PoisonError::into_inner);
    procession_core::mutants::set(number);
    // Panics are verdicts here, and end up in reports.
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = f();
    std::panic::set_hook(quiet);
    procession_core::mutants::set(0);
    result
}

/// Runs seeds with a mutant switched on until the checker finds a promise broken. The core's own
/// `check_invariants` is not asked.
#[must_use]
pub fn hunt(mutant: &Mutant) -> Option<Caught> {
    with_mutant(mutant.number, || {
        (0..mutant.within).find_map(|seed| {
            let plan = Plan {
                audit: false,
                ..Plan::new(seed, Profile::Mixed)
            };
            let verdict = run_plan(plan.clone()).verdict?.to_string();
            let failure = Failure {
                mutant: mutant.number,
                ..record(plan)
            };
            Some(Caught {
                seed,
                verdict,
                failure,
            })
        })
    })
}

/// The first of so many seeds in which a mutant breaks a rule that is not muted, and the rule. The
/// core's own `check_invariants` is not asked.
#[must_use]
pub fn first_broken(number: u8, within: u64, muted: u128) -> Option<(u64, Rule)> {
    with_mutant(number, || {
        (0..within).find_map(|seed| Some((seed, broken_in(seed, muted)?)))
    })
}

/// The first of so many seeds in which a mutant breaks this rule before all others.
#[must_use]
pub(crate) fn broken_first(number: u8, within: u64, rule: Rule) -> Option<u64> {
    with_mutant(number, || {
        (0..within).find(|&seed| broken_in(seed, 0) == Some(rule))
    })
}

fn broken_in(seed: u64, muted: u128) -> Option<Rule> {
    let plan = Plan {
        audit: false,
        ..Plan::new(seed, Profile::Mixed)
    };
    let watch = Watch {
        muted,
        ..Watch::default()
    };
    let verdict = World::new(plan, watch).run().verdict?;
    Some(verdict.rule)
}

/// Shrinks the failure of a mutant and holds it against the core with and without the fault: what
/// is written down must come again bit for bit, and must not come from a sound core.
///
/// # Errors
/// What did not hold.
pub fn prove(caught: &Caught) -> Result<Failure, String> {
    let number = caught.failure.mutant;
    let small = with_mutant(number, || shrink(&caught.failure, &mut |_| true));
    let small = small.ok_or("the failure did not come again")?;
    let text = print(&small);
    let (read, right) = parse(&text).map_err(|e| e.to_string())?;
    if !right || print(&read) != text {
        return Err("the report does not survive writing and reading".into());
    }
    let held = || catch_unwind(AssertUnwindSafe(|| must_hold(&text))).is_ok();
    let (answers, holds) = with_mutant(number, || {
        (replay(&read, None, false, &mut |_, _, _| {}), held())
    });
    if !matches!(answers, Replayed::Same | Replayed::SamePanic) {
        return Err(format!("the inputs do not lead there again: {answers:?}"));
    }
    if holds {
        return Err("the emitted test passes on the mutant".into());
    }
    if !with_mutant(0, held) {
        return Err("the emitted test fails without the mutant".into());
    }
    Ok(small)
}
