//! The whole life of a message through a consumer, for both benches: offered, recognised as new,
//! put in order, dispatched, settled out of order, passed by the frontier, committed.

use procession_core::*;

/// A consumer that delivers, and the numbers that make its next message.
pub struct Life {
    bus: Consumer<u64>,
    partitions: u64,
    keys: u64,
    next: u64,
    now: u64,
    running: Vec<Token>,
    map: Vec<u8>,
    /// Messages finished.
    pub finished: u64,
}

fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

impl Life {
    /// `in_flight` messages are with handlers at any time; they are settled in random order.
    pub fn new(partitions: u64, keys: u64, in_flight: usize) -> Self {
        let config = Config {
            partitions: partitions as u32,
            window_pool: 262_144,
            ..Config::default()
        };
        let mut bus = Consumer::new(&config).expect("the configuration is valid");
        let resume = Resume {
            log_end: Position(1),
            ..Resume::default()
        };
        for partition in 0..partitions {
            bus.open(
                Time::ZERO,
                PartitionId(partition as u32),
                Epoch(1),
                &resume,
                None,
            );
        }
        while let Some(start) = bus.poll_session(Time::ZERO) {
            let continues = Continuity::Continues;
            bus.session(
                Time::ZERO,
                start.partition,
                start.epoch,
                start.session,
                continues,
            );
        }
        Self {
            bus,
            partitions,
            keys,
            next: 0,
            now: 0,
            running: Vec::with_capacity(2 * in_flight.max(256)),
            map: vec![0; 3_072],
            finished: 0,
        }
    }

    /// One batch: 64 messages come, what may run starts, and handlers end until `in_flight` are left.
    pub fn batch(&mut self, in_flight: usize) {
        self.now += 4_000;
        let now = Time::from_nanos(self.now);
        for _ in 0..64 {
            let n = self.next;
            self.next += 1;
            let key = mix(n) % self.keys;
            let arrival = Arrival {
                partition: PartitionId((n % self.partitions) as u32),
                epoch: Epoch(1),
                session: Session(1),
                delivery: Some(n / self.partitions + 1),
                position: Position(n + 1),
                stamp: Stamp(n),
                lane: mix(key ^ 0xA5A5),
                key: Some(u128::from(key)),
                identity: u128::from(mix(n)) << 64 | u128::from(mix(!n)),
                bytes: 300,
                quarantine: None,
                message: n,
            };
            if self.bus.offer(now, arrival).is_err() {
                self.next -= 1;
                break;
            }
        }
        self.dispatch(now);
        while self.running.len() > in_flight {
            for _ in 0..32.min(self.running.len()) {
                let pick = mix(self.finished) as usize % self.running.len();
                let token = self.running.swap_remove(pick);
                self.bus
                    .settle(now, token, Outcome::Done)
                    .expect("the token is fresh");
                self.finished += 1;
            }
            self.dispatch(now);
        }
        self.bus.handle_timeout(now);
        while let Some(commit) = self.bus.poll_commit(now, &mut self.map) {
            let stored = CommitResult::Stored;
            self.bus
                .commit_result(now, commit.partition, commit.epoch, commit.write, stored);
        }
    }

    fn dispatch(&mut self, now: Time) {
        while let Some(dispatch) = self.bus.poll_dispatch(now) {
            self.running.push(dispatch.token);
        }
    }
}
