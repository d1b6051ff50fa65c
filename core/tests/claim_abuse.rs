//! Claims under calls that no adapter should make: answers to nothing, wrong numbers, records out of
//! nowhere, time that goes back. Nothing breaks, every invariant holds, at most one call and one
//! commit of a partition are outstanding, and equal inputs give equal outputs (S11).
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use procession_core::{
    ClaimConfig, ClaimRecord, ClaimState, ClaimWrite, Claims, CommitResult, Epoch, MemberId,
    PartitionId, Revision, Span, Time, WriteResult,
};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    Observed {
        partition: u32,
        record: Option<(Option<u8>, u64, u64)>,
        revision: u64,
    },
    ReadFailed {
        partition: u32,
    },
    Written {
        partition: u32,
        back: u64,
        result: WriteResult,
    },
    Commit {
        partition: u32,
        epoch: u64,
        last: bool,
    },
    Release {
        partition: u32,
        within: u64,
    },
    Watch {
        partition: u32,
    },
    ReleaseAll {
        within: u64,
    },
    Lose,
    Restore,
    Time {
        forth: u64,
        back: u64,
    },
    Poll,
}

fn op() -> impl Strategy<Value = Op> {
    // Partition 2 does not exist; member 0 is us.
    let record = prop::option::of((prop::option::of(0..3u8), 0..5u64, 0..6u64));
    let result = prop_oneof![
        4 => (0..12u64).prop_map(|revision| WriteResult::Stored(Revision(revision))),
        1 => Just(WriteResult::Refused),
        1 => Just(WriteResult::Retry),
        1 => Just(WriteResult::Unknown),
        1 => Just(WriteResult::Denied),
        1 => Just(WriteResult::TooLarge),
    ];
    prop_oneof![
        20 => (0..3u32, record, 0..12u64).prop_map(|(partition, record, revision)| {
            Op::Observed { partition, record, revision }
        }),
        3 => (0..3u32).prop_map(|partition| Op::ReadFailed { partition }),
        20 => (0..3u32, prop_oneof![8 => Just(0u64), 1 => 1..3u64], result)
            .prop_map(|(partition, back, result)| Op::Written { partition, back, result }),
        8 => (0..3u32, 0..7u64, prop::bool::weighted(0.2))
            .prop_map(|(partition, epoch, last)| Op::Commit { partition, epoch, last }),
        2 => (0..3u32, 0..9u64).prop_map(|(partition, within)| Op::Release { partition, within }),
        2 => (0..3u32).prop_map(|partition| Op::Watch { partition }),
        1 => (0..9u64).prop_map(|within| Op::ReleaseAll { within }),
        2 => Just(Op::Lose),
        3 => Just(Op::Restore),
        10 => (0..12u64, 0..3u64).prop_map(|(forth, back)| Op::Time { forth, back }),
        30 => Just(Op::Poll),
    ]
}

/// What a pair of claims said to one poll of everything.
#[derive(Default, PartialEq, Debug)]
struct Said {
    reads: Vec<PartitionId>,
    writes: Vec<(PartitionId, ClaimWrite)>,
    states: Vec<(PartitionId, ClaimState)>,
    results: Vec<(PartitionId, Epoch, u64, CommitResult)>,
    timeout: Option<Time>,
}

struct Bench {
    claims: Claims,
    now: Time,
    /// The last write number of each partition, and the last commit's.
    writes: [u64; 3],
    number: u64,
    waiting: [Option<u64>; 3],
}

impl Bench {
    fn new() -> Self {
        let config = ClaimConfig {
            member: MemberId(0),
            lease: Span::from_secs(10),
            margin: Span::from_secs(1),
            leave_within: Span::from_secs(3),
            seed: 5,
        };
        let claims = Claims::new(&config, 2).unwrap();
        Self {
            claims,
            now: Time::ZERO,
            writes: [0; 3],
            number: 0,
            waiting: [None; 3],
        }
    }

    fn act(&mut self, op: &Op) -> Said {
        let now = self.now;
        let soon = |within: u64| now + Span::from_secs(within);
        match *op {
            Op::Observed {
                partition,
                record,
                revision,
            } => {
                let record = record.map(|(owner, epoch, write)| ClaimRecord {
                    owner: owner.map(|owner| MemberId(owner.into())),
                    epoch: Epoch(epoch),
                    write,
                });
                self.claims
                    .observed(now, PartitionId(partition), record, Revision(revision));
            }
            Op::ReadFailed { partition } => self.claims.read_failed(now, PartitionId(partition)),
            Op::Written {
                partition,
                back,
                result,
            } => {
                let write = self.writes[partition as usize].saturating_sub(back);
                self.claims
                    .written(now, PartitionId(partition), write, result);
            }
            Op::Commit {
                partition,
                epoch,
                last,
            } => {
                self.number += 1;
                let id = PartitionId(partition);
                let waiting = &mut self.waiting[partition as usize];
                let is_taken = self
                    .claims
                    .commit(now, id, Epoch(epoch), self.number, last)
                    .is_ok();
                assert_eq!(
                    is_taken,
                    waiting.is_none() && partition < 2,
                    "one commit at a time"
                );
                if is_taken {
                    *waiting = Some(self.number);
                }
            }
            Op::Release { partition, within } => {
                self.claims
                    .release(now, PartitionId(partition), soon(within));
            }
            Op::Watch { partition } => self.claims.watch(now, PartitionId(partition)),
            Op::ReleaseAll { within } => self.claims.release_all(now, soon(within)),
            Op::Lose => self.claims.connection_lost(now),
            Op::Restore => self.claims.connection_restored(now),
            Op::Time { forth, back } => {
                self.now = now + Span::from_secs(forth);
                self.claims.handle_timeout(self.now - Span::from_secs(back));
            }
            Op::Poll => return self.poll(),
        }
        Said::default()
    }

    fn poll(&mut self) -> Said {
        let mut said = Said::default();
        while let Some(state) = self.claims.poll_state() {
            said.states.push(state);
        }
        while let Some(result) = self.claims.poll_commit_result() {
            let waiting = self.waiting[result.0.0 as usize].take();
            assert_eq!(
                waiting,
                Some(result.2),
                "the result of the commit that waits"
            );
            said.results.push(result);
        }
        while let Some(partition) = self.claims.poll_read(self.now) {
            said.reads.push(partition);
        }
        while let Some((partition, write)) = self.claims.poll_write(self.now) {
            let last = &mut self.writes[partition.0 as usize];
            assert!(write.record.write > *last, "write numbers never come again");
            *last = write.record.write;
            said.writes.push((partition, write));
        }
        assert!(
            said.reads.len() + said.writes.len() <= 2,
            "one call of a partition at a time"
        );
        said.timeout = self.claims.poll_timeout();
        said
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn nothing_breaks_and_equal_inputs_give_equal_outputs(
        ops in prop::collection::vec(op(), 1..300)
    ) {
        let (mut one, mut other) = (Bench::new(), Bench::new());
        for op in &ops {
            assert_eq!(one.act(op), other.act(op));
            one.claims.check_invariants().unwrap();
            assert_eq!(one.claims.stats(), other.claims.stats());
        }
    }
}
