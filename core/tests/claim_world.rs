//! Several members and a store that compares and sets, with lost, late and unknown answers, broken
//! connections, paused processes and a store that goes back. At any time at most one member believes
//! that it owns a partition (S1), nobody writes over another's record (S6), what a commit is told is
//! true (S3), and once faults stop one member owns everything (L4).
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use procession_core::{
    ClaimConfig, ClaimRecord, ClaimState, ClaimWrite, Claims, CommitResult, Epoch, MemberId,
    PartitionId, Revision, Span, Time, WriteKind, WriteResult,
};
use proptest::prelude::*;

const MEMBERS: usize = 3;
const PARTITIONS: usize = 2;
const LEASE: u64 = 10_000;

/// A record in the store.
#[derive(Clone, Copy, Debug, Default)]
struct Register {
    record: Option<ClaimRecord>,
    revision: u64,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Call {
    Read,
    Write(ClaimWrite),
}

/// A call on its way. A write can be carried out long after its caller gave up on it.
#[derive(Clone, Copy, Debug)]
struct Request {
    member: usize,
    partition: usize,
    call: Call,
    /// What the store did.
    found: Option<Register>,
    result: Option<WriteResult>,
    /// Nobody waits for an answer any more.
    is_forgotten: bool,
}

struct Member {
    claims: Claims,
    /// Its clock has an origin of its own.
    origin: u64,
    is_paused: bool,
    is_connected: bool,
    /// The commit that its consumer waits for, per partition, and the next number.
    waiting: [Option<(Epoch, u64)>; PARTITIONS],
    epochs: [Option<Epoch>; PARTITIONS],
    asked: [bool; PARTITIONS],
    number: u64,
}

struct World {
    now: u64,
    members: Vec<Member>,
    store: [Register; PARTITIONS],
    older: Vec<[Register; PARTITIONS]>,
    requests: Vec<Request>,
    /// (member, partition, epoch, commit) of every write that was carried out.
    carried_out: Vec<(usize, usize, Epoch, Option<u64>)>,
    /// After the store went back, two may believe to own until a lease has passed.
    doubtful_until: u64,
}

#[derive(Clone, Debug)]
enum Op {
    Step {
        member: usize,
    },
    CarryOut {
        which: u8,
    },
    Answer {
        which: u8,
        kind: Kind,
    },
    Commit {
        member: usize,
        partition: usize,
        counts_up: bool,
    },
    Pause {
        member: usize,
    },
    Wake {
        member: usize,
    },
    Lose {
        member: usize,
    },
    Restore {
        member: usize,
    },
    Leave {
        member: usize,
    },
    Close {
        member: usize,
    },
    Wait {
        millis: u64,
    },
    /// Everything works for a while.
    Run {
        millis: u64,
    },
    Rollback {
        which: u8,
    },
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Truth,
    Lost,
    Failed,
}

impl World {
    fn new() -> Self {
        let member = |index: usize| {
            let config = ClaimConfig {
                member: MemberId(index as u128),
                lease: Span::from_millis(LEASE),
                margin: Span::from_millis(1_000),
                leave_within: Span::from_millis(4_000),
                seed: index as u64,
            };
            Member {
                claims: Claims::new(&config, PARTITIONS as u32).unwrap(),
                origin: 1_000_000 * (3 - index as u64),
                is_paused: false,
                is_connected: true,
                waiting: [None; PARTITIONS],
                epochs: [None; PARTITIONS],
                asked: [false; PARTITIONS],
                number: 0,
            }
        };
        Self {
            now: 0,
            members: (0..MEMBERS).map(member).collect(),
            store: [Register::default(); PARTITIONS],
            older: Vec::new(),
            requests: Vec::new(),
            carried_out: Vec::new(),
            doubtful_until: 0,
        }
    }

    fn clock(&self, member: usize) -> Time {
        Time::from_nanos((self.now + self.members[member].origin) * 1_000_000)
    }

    fn act(&mut self, op: &Op) {
        match *op {
            Op::Step { member } => self.step(member),
            Op::CarryOut { which } => {
                if !self.requests.is_empty() {
                    self.carry_out(usize::from(which) % self.requests.len());
                }
            }
            Op::Answer { which, kind } => {
                if !self.requests.is_empty() {
                    self.answer(usize::from(which) % self.requests.len(), kind);
                }
            }
            Op::Commit {
                member,
                partition,
                counts_up,
            } => {
                self.commit(member, partition, counts_up, false);
            }
            Op::Pause { member } => self.members[member].is_paused = true,
            Op::Wake { member } => self.members[member].is_paused = false,
            Op::Lose { member } => self.lose(member),
            Op::Restore { member } => {
                let now = self.clock(member);
                self.members[member].is_connected = true;
                self.members[member].claims.connection_restored(now);
            }
            Op::Leave { member } => {
                // The consumer gives partition 0 up by itself.
                self.commit(member, 0, false, true);
            }
            Op::Close { member } => {
                // Member 0 stays, so that there is somebody left.
                if member > 0 {
                    let now = self.clock(member);
                    self.members[member]
                        .claims
                        .release_all(now, now + Span::from_millis(3_000));
                }
            }
            Op::Wait { millis } => self.now += millis,
            Op::Run { millis } => self.run(millis),
            Op::Rollback { which } => self.roll_back(which),
        }
        self.check();
    }

    /// A turn of a member's adapter.
    fn step(&mut self, member: usize) {
        if self.members[member].is_paused {
            return;
        }
        let now = self.clock(member);
        self.members[member].claims.handle_timeout(now);
        self.hear(member);
        while let Some(PartitionId(partition)) = self.members[member].claims.poll_read(now) {
            self.send(member, partition as usize, Call::Read);
        }
        while let Some((partition, write)) = self.members[member].claims.poll_write(now) {
            self.send(member, partition.0 as usize, Call::Write(write));
        }
    }

    fn send(&mut self, member: usize, partition: usize, call: Call) {
        assert!(self.members[member].is_connected);
        let open = |r: &&Request| (r.member, r.partition) == (member, partition) && !r.is_forgotten;
        assert_eq!(
            self.requests.iter().filter(open).count(),
            0,
            "one call at a time"
        );
        let (found, result) = (None, None);
        let request = Request {
            member,
            partition,
            call,
            found,
            result,
            is_forgotten: false,
        };
        self.requests.push(request);
    }

    /// What the consumer of a member hears, and does.
    fn hear(&mut self, member: usize) {
        let now = self.clock(member);
        let mut revoked = Vec::new();
        let this = &mut self.members[member];
        while let Some((partition, state)) = this.claims.poll_state() {
            let p = partition.0 as usize;
            match state {
                ClaimState::Owner { epoch, .. } | ClaimState::Leaving { epoch, .. } => {
                    assert!(this.epochs[p].is_none_or(|old| old <= epoch), "epochs grow");
                    this.epochs[p] = Some(epoch);
                    if matches!(state, ClaimState::Leaving { .. }) && !this.asked[p] {
                        this.asked[p] = true;
                        revoked.push(p);
                    }
                }
                ClaimState::Lapsed { epoch } => this.epochs[p] = Some(epoch),
                ClaimState::Standby { .. } => {
                    (this.epochs[p], this.asked[p]) = (None, false);
                }
                ClaimState::Released { .. } => {
                    (this.epochs[p], this.asked[p]) = (None, false);
                    this.claims.watch(now, partition);
                }
            }
        }
        while let Some((partition, epoch, number, result)) = this.claims.poll_commit_result() {
            let p = partition.0 as usize;
            assert_eq!(
                this.waiting[p].take(),
                Some((epoch, number)),
                "the result of its commit"
            );
            let wrote = (member, p, epoch, Some(number));
            if result == CommitResult::Stored {
                assert!(
                    self.carried_out.contains(&wrote),
                    "S3: stored, but never written"
                );
            }
            if result == CommitResult::Refused {
                assert!(!self.carried_out.contains(&wrote), "refused, but written");
            }
        }
        for partition in revoked {
            self.commit(member, partition, false, true);
        }
    }

    fn commit(&mut self, member: usize, partition: usize, counts_up: bool, last: bool) {
        let now = self.clock(member);
        let this = &mut self.members[member];
        let Some(epoch) = this.epochs[partition] else {
            return;
        };
        if this.is_paused || this.waiting[partition].is_some() {
            return;
        }
        let epoch = Epoch(epoch.0 + u64::from(counts_up));
        this.number += 1;
        let id = PartitionId(partition as u32);
        this.claims
            .commit(now, id, epoch, this.number, last)
            .unwrap();
        this.waiting[partition] = Some((epoch, this.number));
        if counts_up {
            this.epochs[partition] = Some(epoch);
        }
    }

    /// The store carries a call out, if it was not yet.
    fn carry_out(&mut self, index: usize) {
        let request = self.requests[index];
        let register = &mut self.store[request.partition];
        match request.call {
            Call::Read => self.requests[index].found = Some(*register),
            Call::Write(_) if request.result.is_some() => {}
            Call::Write(write) if Revision(register.revision) != write.expect => {
                self.requests[index].result = Some(WriteResult::Refused);
            }
            Call::Write(write) => {
                let before = register.record;
                let me = MemberId(request.member as u128);
                let epoch = before.map_or(Epoch(0), |record| record.epoch);
                if write.kind == WriteKind::Take {
                    assert!(write.record.epoch > epoch, "a take-over begins a new epoch");
                } else {
                    let owner = before.and_then(|record| record.owner);
                    assert_eq!(
                        owner,
                        Some(me),
                        "S6: a record of somebody else is written over"
                    );
                    assert!(write.record.epoch >= epoch, "epochs never go back");
                }
                register.record = Some(write.record);
                register.revision += 1;
                self.requests[index].result =
                    Some(WriteResult::Stored(Revision(register.revision)));
                let (member, partition) = (request.member, request.partition);
                self.carried_out
                    .push((member, partition, write.record.epoch, write.commit));
                self.older.push(self.store);
            }
        }
    }

    fn answer(&mut self, index: usize, kind: Kind) {
        let request = self.requests[index];
        if self.members[request.member].is_paused || request.is_forgotten {
            return;
        }
        let now = self.clock(request.member);
        let claims = &mut self.members[request.member].claims;
        let id = PartitionId(request.partition as u32);
        let mut stays = false;
        match (request.call, kind) {
            (Call::Read, Kind::Truth) => match request.found {
                Some(found) => claims.observed(now, id, found.record, Revision(found.revision)),
                None => return,
            },
            (Call::Read, Kind::Lost | Kind::Failed) => claims.read_failed(now, id),
            (Call::Write(write), Kind::Truth) => match request.result {
                Some(result) => claims.written(now, id, write.record.write, result),
                None => return,
            },
            (Call::Write(write), Kind::Lost) => {
                stays = request.result.is_none();
                claims.written(now, id, write.record.write, WriteResult::Unknown);
            }
            (Call::Write(write), Kind::Failed) => {
                if request.result.is_some() {
                    return;
                }
                claims.written(now, id, write.record.write, WriteResult::Retry);
            }
        }
        if stays {
            self.requests[index].is_forgotten = true;
        } else {
            self.requests.swap_remove(index);
        }
    }

    fn lose(&mut self, member: usize) {
        let now = self.clock(member);
        self.members[member].is_connected = false;
        self.members[member].claims.connection_lost(now);
        for request in self
            .requests
            .iter_mut()
            .filter(|request| request.member == member)
        {
            request.is_forgotten = true;
        }
    }

    /// An older copy of the store comes back: revisions repeat, what was on its way is gone.
    fn roll_back(&mut self, which: u8) {
        if self.older.is_empty() {
            return;
        }
        for member in 0..MEMBERS {
            self.lose(member);
        }
        self.requests.clear();
        let index = usize::from(which) % self.older.len();
        self.store = self.older[index];
        self.older.truncate(index + 1);
        self.doubtful_until = self.now + LEASE;
    }

    fn check(&self) {
        for member in &self.members {
            member.claims.check_invariants().unwrap();
        }
        for partition in 0..PARTITIONS {
            let owners = self.owners(partition);
            assert!(
                owners.len() <= 1 || self.now < self.doubtful_until,
                "S1: members {owners:?} believe to own partition {partition}"
            );
        }
    }

    fn owners(&self, partition: usize) -> Vec<usize> {
        let id = PartitionId(partition as u32);
        (0..MEMBERS)
            .filter(|&i| self.members[i].claims.owns(self.clock(i), id))
            .collect()
    }

    /// Everything that is on its way arrives, for a while.
    fn run(&mut self, millis: u64) {
        let end = self.now + millis;
        while self.now < end {
            for member in 0..MEMBERS {
                self.step(member);
            }
            for index in (0..self.requests.len()).rev() {
                self.carry_out(index);
                if self.requests[index].is_forgotten {
                    self.requests.swap_remove(index);
                } else {
                    self.answer(index, Kind::Truth);
                }
            }
            for member in 0..MEMBERS {
                if !self.members[member].is_paused {
                    self.hear(member);
                }
            }
            self.check();
            self.now += 100;
        }
    }

    /// Faults stop: one member owns everything, and goes on doing so.
    fn heal(&mut self) {
        for member in 0..MEMBERS {
            self.act(&Op::Wake { member });
            self.act(&Op::Lose { member });
            self.act(&Op::Restore { member });
        }
        self.run(4 * LEASE);
        let owners: Vec<Vec<usize>> = (0..PARTITIONS).map(|p| self.owners(p)).collect();
        assert!(
            owners[0].len() == 1 && owners.iter().all(|o| *o == owners[0]),
            "{owners:?}"
        );
        let epochs = self.store.map(|register| register.record.unwrap().epoch);
        for member in 0..MEMBERS {
            for partition in 0..PARTITIONS {
                self.act(&Op::Commit {
                    member,
                    partition,
                    counts_up: false,
                });
            }
        }
        self.run(2 * LEASE);
        assert_eq!(self.owners(0), owners[0], "ownership is kept");
        assert_eq!(
            self.store.map(|register| register.record.unwrap().epoch),
            epochs
        );
        let waiting = self.members.iter().flat_map(|member| member.waiting);
        assert_eq!(waiting.flatten().count(), 0, "every commit has its result");
        assert_eq!(self.requests.len(), 0);
    }
}

fn op(rolls_back: bool) -> impl Strategy<Value = Op> {
    let kind = prop_oneof![6 => Just(Kind::Truth), 2 => Just(Kind::Lost), 1 => Just(Kind::Failed)];
    let member = 0..MEMBERS;
    prop_oneof![
        300 => member.clone().prop_map(|member| Op::Step { member }),
        250 => any::<u8>().prop_map(|which| Op::CarryOut { which }),
        250 => (any::<u8>(), kind).prop_map(|(which, kind)| Op::Answer { which, kind }),
        60 => (member.clone(), 0..PARTITIONS, prop::bool::weighted(0.1)).prop_map(
            |(member, partition, counts_up)| Op::Commit { member, partition, counts_up }
        ),
        15 => member.clone().prop_map(|member| Op::Pause { member }),
        30 => member.clone().prop_map(|member| Op::Wake { member }),
        15 => member.clone().prop_map(|member| Op::Lose { member }),
        30 => member.clone().prop_map(|member| Op::Restore { member }),
        8 => member.clone().prop_map(|member| Op::Leave { member }),
        1 => member.prop_map(|member| Op::Close { member }),
        100 => (0..4_000u64).prop_map(|millis| Op::Wait { millis }),
        10 => (8_000..16_000u64).prop_map(|millis| Op::Wait { millis }),
        40 => (0..3_000u64).prop_map(|millis| Op::Run { millis }),
        u32::from(rolls_back) * 10 + 1 => any::<u8>().prop_map(move |which| {
            if rolls_back { Op::Rollback { which } } else { Op::CarryOut { which } }
        }),
    ]
}

fn run(ops: &[Op]) {
    let mut world = World::new();
    for op in ops {
        world.act(op);
    }
    world.heal();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn s1_s6_at_most_one_owner(ops in prop::collection::vec(op(false), 1..250)) {
        run(&ops);
    }

    #[test]
    fn lm12_a_store_that_goes_back(ops in prop::collection::vec(op(true), 1..250)) {
        run(&ops);
    }
}
