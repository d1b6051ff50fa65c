//! What is done to both. Every operation is total: one that makes no sense is a stale input.

use proptest::collection;
use proptest::prelude::*;

/// One operation. Numbers are small and are read against the state at that moment.
#[derive(Clone, Debug)]
pub enum Op {
    /// A partition becomes ours. `epoch`: 0 an old one, else newer by so much.
    Open {
        p: u8,
        epoch: u8,
        resume: Resumption,
        lease: Option<u8>,
    },
    Extend {
        p: u8,
        stale: Stale,
        span: u8,
    },
    Session {
        p: u8,
        stale: Stale,
        found: Found,
    },
    Broken {
        p: u8,
        stale: Stale,
    },
    Offer(Offer),
    Advance {
        p: u8,
        stale: Stale,
        ahead: u8,
    },
    Revoke {
        p: u8,
        stale: Stale,
        span: u8,
    },
    Lose {
        p: u8,
        stale: Stale,
    },
    Commit {
        p: u8,
        stale: Stale,
        result: u8,
    },
    /// Every commit that is under way is stored.
    Confirm,
    Burial {
        which: u8,
        stale: bool,
        result: u8,
    },
    Settle {
        which: u8,
        stale: bool,
        outcome: u8,
    },
    Limits {
        messages: u8,
        bytes: u16,
        partition_messages: u8,
        partition_bytes: u16,
    },
    /// A partition is weighed, or one that cannot be, or by what is no weight.
    Weight {
        p: u8,
        weight: u16,
    },
    Drain {
        span: u8,
    },
    /// The owner says where a partition goes on that has stopped.
    Reset {
        p: u8,
        to: u8,
    },
    /// The owner releases a parked key, or says what becomes of its messages.
    Parked {
        which: u8,
        how: u8,
    },
    /// The owner passes the gap of a key.
    PassGap {
        p: u8,
        key: u8,
    },
    /// The process dies, and another one goes on after a while with what was kept of the identities:
    /// all, what fits into half of the room, nothing sound.
    Restart {
        after: u8,
        kept: u8,
    },
    /// Time passes, and the timer is told.
    Tick {
        span: u8,
    },
    /// Everything that may start, starts.
    Dispatch,
    /// What is ready is handled, in the end, and all that is written is stored. One ends with this outcome.
    Round {
        outcome: u8,
    },
    /// Everything else is asked for.
    Collect,
    /// The same, and every session that was asked for begins.
    Live,
}

/// Whether an input speaks of the present.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stale {
    No,
    Epoch,
    Session,
    /// Numbers as large as they get.
    Huge,
    /// A partition that does not exist.
    Nowhere,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    Continues,
    /// New content begins so far below (or above) the frontier.
    Rewritten(i8),
    CannotTell,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resumption {
    /// A group without progress.
    Nothing,
    /// What the last commit of this partition stored.
    Committed,
    /// The same, with the end of the log behind what has come of it.
    Ended,
    /// The same, and the last of it is gone.
    Cut,
    /// The same, with a broken map.
    Broken,
    /// The same, for another incarnation of the log.
    Foreign,
    /// It names no log.
    Unnamed,
    /// The same, of a log that ends below it.
    Beyond,
    /// The same, with nothing by which it could be recognised.
    Lost,
    /// The same, of a log that begins above it.
    Truncated,
}

#[derive(Clone, Debug)]
pub struct Offer {
    pub p: u8,
    pub stale: Stale,
    /// Position: below 16 so far ahead of the last one, below 24 so far back, else where the log had
    /// something before.
    pub step: u8,
    /// Number of the delivery: 0 none, 1 the next, 2 a jump, 3 one that was.
    pub delivery: u8,
    pub key: Option<u8>,
    pub identity: u8,
    pub bytes: u8,
    /// After how long it expires.
    pub expires: Option<u8>,
    pub malformed: bool,
    /// How far its number is from that of the last one of its key: 0 none, 3 the next.
    pub sequence: u8,
}

fn stale() -> impl Strategy<Value = Stale> {
    prop_oneof![
        40 => Just(Stale::No),
        1 => Just(Stale::Epoch),
        1 => Just(Stale::Session),
        1 => Just(Stale::Huge),
        1 => Just(Stale::Nowhere),
    ]
}

fn found() -> impl Strategy<Value = Found> {
    prop_oneof![
        10 => Just(Found::Continues),
        1 => (-6i8..4).prop_map(Found::Rewritten),
        1 => Just(Found::CannotTell),
    ]
}

fn resumption() -> impl Strategy<Value = Resumption> {
    prop_oneof![
        4 => Just(Resumption::Nothing),
        4 => Just(Resumption::Committed),
        2 => Just(Resumption::Ended),
        1 => Just(Resumption::Cut),
        1 => Just(Resumption::Broken),
        1 => Just(Resumption::Foreign),
        1 => Just(Resumption::Unnamed),
        1 => Just(Resumption::Beyond),
        1 => Just(Resumption::Lost),
        2 => Just(Resumption::Truncated),
    ]
}

prop_compose! {
    fn offer()(
        p in 0u8..2,
        stale in stale(),
        step in prop_oneof![24 => 0u8..2, 4 => 0u8..24, 1 => Just(15u8), 6 => Just(24u8)],
        delivery in prop_oneof![8 => Just(0u8), 32 => Just(1u8), 1 => Just(2u8), 2 => Just(3u8)],
        key in proptest::option::weighted(0.9, 0u8..4),
        identity in any::<u8>(),
        bytes in 0u8..120,
        expires in proptest::option::weighted(0.2, any::<u8>()),
        malformed in proptest::bool::weighted(0.05),
        sequence in prop_oneof![12 => Just(3u8), 6 => 1u8..7, 1 => Just(0u8)],
    ) -> Offer {
        Offer { p, stale, step, delivery, key, identity, bytes, expires, malformed, sequence }
    }
}

pub fn ops() -> impl Strategy<Value = Op> {
    let p = 0u8..2;
    prop_oneof![
        3 => (p.clone(), 0u8..4, resumption(), proptest::option::of(0u8..100))
            .prop_map(|(p, epoch, resume, lease)| Op::Open { p, epoch, resume, lease }),
        1 => (p.clone(), stale(), any::<u8>())
            .prop_map(|(p, stale, span)| Op::Extend { p, stale, span }),
        6 => (p.clone(), stale(), found())
            .prop_map(|(p, stale, found)| Op::Session { p, stale, found }),
        1 => (p.clone(), stale()).prop_map(|(p, stale)| Op::Broken { p, stale }),
        40 => offer().prop_map(Op::Offer),
        1 => (p.clone(), stale(), any::<u8>())
            .prop_map(|(p, stale, ahead)| Op::Advance { p, stale, ahead }),
        1 => (p.clone(), stale(), any::<u8>())
            .prop_map(|(p, stale, span)| Op::Revoke { p, stale, span }),
        1 => (p.clone(), stale()).prop_map(|(p, stale)| Op::Lose { p, stale }),
        2 => (p.clone(), 0u8..3).prop_map(|(p, to)| Op::Reset { p, to }),
        2 => Just(Op::Confirm),
        5 => (p, stale(), 0u8..12)
            .prop_map(|(p, stale, result)| Op::Commit { p, stale, result }),
        3 => (any::<u8>(), proptest::bool::weighted(0.1), 0u8..6)
            .prop_map(|(which, stale, result)| Op::Burial { which, stale, result }),
        24 => (any::<u8>(), proptest::bool::weighted(0.1), 0u8..10)
            .prop_map(|(which, stale, outcome)| Op::Settle { which, stale, outcome }),
        1 => (0u8..9, 0u16..500, 0u8..9, 0u16..500).prop_map(
            |(messages, bytes, partition_messages, partition_bytes)| Op::Limits {
                messages, bytes, partition_messages, partition_bytes,
            }
        ),
        1 => (0u8..3, prop_oneof![1u16..8, Just(1_000), any::<u16>()])
            .prop_map(|(p, weight)| Op::Weight { p, weight }),
        1 => prop_oneof![9 => Just(None), 1 => any::<u8>().prop_map(Some)]
            .prop_map(|span| span.map_or(Op::Collect, |span| Op::Drain { span })),
        3 => (any::<u8>(), 0u8..6).prop_map(|(which, how)| Op::Parked { which, how }),
        2 => (0u8..2, 0u8..4).prop_map(|(p, key)| Op::PassGap { p, key }),
        1 => (any::<u8>(), 0u8..6).prop_map(|(after, kept)| Op::Restart { after, kept }),
        6 => any::<u8>().prop_map(|span| Op::Tick { span }),
        10 => Just(Op::Dispatch),
        8 => Just(Op::Collect),
        8 => Just(Op::Live),
    ]
}

/// Operations that make processes die while messages run whose record is stored.
fn lives() -> impl Strategy<Value = Op> {
    prop_oneof![
        20 => ops(),
        16 => (offer(), prop_oneof![3 => Just(24u8), 1 => 0u8..2]).prop_map(|(offer, step)| {
            Op::Offer(Offer { stale: Stale::No, delivery: 1, step, ..offer })
        }),
        8 => Just(Op::Confirm),
        4 => (any::<u8>(), 0u8..4)
            .prop_map(|(which, result)| Op::Burial { which, stale: false, result }),
        10 => Just(Op::Dispatch),
        10 => Just(Op::Live),
        2 => (0u8..2, any::<u8>())
            .prop_map(|(p, span)| Op::Extend { p, stale: Stale::No, span }),
        4 => (any::<u8>(), 2u8..6).prop_map(|(after, kept)| Op::Restart { after, kept }),
    ]
}

/// A process that lives on and handles what comes, mostly.
fn steady() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => (0u8..2, 0u8..8).prop_map(|(p, result)| Op::Commit { p, stale: Stale::No, result }),
        20 => offer().prop_map(|offer| {
            let key = offer.key.filter(|_| offer.identity > 127);
            Op::Offer(Offer { stale: Stale::No, delivery: 1, step: 0, bytes: 1, key, ..offer })
        }),
        2 => any::<u8>()
            .prop_map(|which| Op::Settle { which, stale: false, outcome: which % 9 }),
        10 => any::<u8>().prop_map(|span| Op::Tick { span }),
        2 => Just(Op::Dispatch),
        20 => prop_oneof![2 => Just(0u8), 1 => 5u8..7]
            .prop_map(|outcome| Op::Round { outcome }),
    ]
}

/// Deaths, and then a life that is long enough for its suspicions to end.
pub fn deaths() -> impl Strategy<Value = Vec<Op>> {
    let long = (
        collection::vec(lives(), 1..40),
        collection::vec(steady(), 100..300),
    );
    prop_oneof![
        4 => collection::vec(lives(), 1..300),
        1 => long.prop_map(|(lives, steady)| {
            let death = Op::Restart { after: 9, kept: 4 };
            [lives, vec![death], steady].concat()
        }),
    ]
}
