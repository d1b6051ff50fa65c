//! The core allocates when it is made, and never again: counted by the allocator itself.
#![allow(clippy::unwrap_used)]

use procession_core::{
    Arrival, CommitResult, Config, Consumer, Continuity, Dedupe, Epoch, Incarnation, Outcome,
    PartitionId, Position, Receipt, Resume, Session, Span, Stamp, Time,
};
use procession_counting::{Allocations, Counting, count};

#[global_allocator]
static ALLOCATOR: Counting = Counting(std::alloc::System);

const PARTITIONS: u32 = 4;
const KEYS: u64 = 1_000;
/// Messages taken in between two rounds of handling, over all partitions.
const BATCH: u64 = 400;

/// A consumer with its inputs: a log per partition, handlers that sometimes fail, commits.
struct Machine {
    core: Consumer<u64>,
    now: Time,
    next: [u64; PARTITIONS as usize],
    map: Vec<u8>,
    done: u64,
}

impl Machine {
    fn new() -> Self {
        let config = Config {
            partitions: PARTITIONS,
            // Small enough that the warm-up fills it and the oldest are pushed out.
            dedupe: Dedupe {
                ids: 8_192,
                age: Span::from_secs(600),
            },
            ..Config::default()
        };
        let mut machine = Self {
            core: Consumer::new(&config).unwrap(),
            now: Time::from_nanos(1_000_000_000),
            next: [1; PARTITIONS as usize],
            map: vec![0; config.map_bytes as usize],
            done: 0,
        };
        for partition in (0..PARTITIONS).map(PartitionId) {
            let resume = Resume {
                incarnation: Incarnation(7),
                log_start: Position(1),
                log_end: Position(1),
                ..Resume::default()
            };
            let core = &mut machine.core;
            core.open(machine.now, partition, Epoch(1), &resume, None);
        }
        while let Some(start) = machine.core.poll_session(machine.now) {
            machine.core.session(
                machine.now,
                start.partition,
                start.epoch,
                start.session,
                Continuity::Continues,
            );
        }
        machine
    }

    /// Takes a batch in, handles everything that is ready, commits.
    fn round(&mut self) {
        for count in 0..BATCH {
            let partition = PartitionId((count % u64::from(PARTITIONS)) as u32);
            let next = &mut self.next[partition.0 as usize];
            let position = *next;
            *next += 1;
            let key = mix(position * 31 + u64::from(partition.0)) % KEYS;
            // Every 50th message is a copy of the one before it in its partition.
            let original = if position.is_multiple_of(50) {
                position - 1
            } else {
                position
            };
            let arrival = Arrival {
                partition,
                epoch: Epoch(1),
                session: Session(1),
                delivery: Some(position),
                position: Position(position),
                stamp: Stamp(position),
                lane: mix(key),
                key: Some(u128::from(key)),
                identity: u128::from(mix(original)) << 64 | u128::from(partition.0),
                bytes: 300,
                expires: None,
                sequence: None,
                quarantine: None,
                message: position,
            };
            // What is refused for want of credit would have to be offered again: there is enough.
            self.core.offer(self.now, arrival).map(drop).unwrap();
        }
        self.handle();
        // Retries fall due, commits fall due.
        self.now = self.now + Span::from_millis(400);
        self.core.handle_timeout(self.now);
        self.handle();
        while let Some(commit) = self.core.poll_commit(self.now, &mut self.map) {
            let (partition, epoch) = (commit.partition, commit.epoch);
            let result = CommitResult::Stored;
            self.core
                .commit_result(self.now, partition, epoch, commit.write, result);
        }
        while self.core.poll_notice().is_some() {}
        while self.core.poll_flow().is_some() {}
        while self.core.poll_cancel().is_some() {}
        while self.core.poll_duplicate(self.now).is_some() {}
        let _due = self.core.poll_timeout();
    }

    fn handle(&mut self) {
        while let Some(dispatch) = self.core.poll_dispatch(self.now) {
            let message = dispatch.message;
            let outcome = match mix(message) % 100 {
                0 if dispatch.attempt == 1 => Outcome::Retry(message),
                1 => Outcome::Reject(message),
                _ => Outcome::Done,
            };
            self.done += u64::from(outcome == Outcome::Done);
            self.core.settle(self.now, dispatch.token, outcome).unwrap();
        }
        while let Some(letter) = self.core.poll_dead_letter() {
            let token = letter.token;
            self.core
                .dead_letter_result(self.now, token, Receipt::Stored);
        }
    }
}

const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[test]
fn the_core_allocates_nothing_per_message() {
    let mut machine = Machine::new();
    for _ in 0..50 {
        machine.round();
    }
    let done = machine.done;
    let counted = count(|| (0..100).for_each(|_| machine.round()));
    let (Allocations { calls, .. }, ()) = counted.unwrap();
    let done = machine.done - done;
    assert!(done > 35_000, "only {done} of 40,000 messages were handled");
    assert_eq!(calls, 0, "{calls} allocations for {done} messages");
    let stats = machine.core.stats();
    assert!(
        stats.failed > 0 && stats.dead > 0 && stats.duplicates > 0,
        "{stats:?}"
    );
}
