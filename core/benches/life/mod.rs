//! The whole life of a message through a consumer, for both benches: offered, recognised as new,
//! put in order, dispatched, settled out of order, passed by the frontier, committed.
//!
//! What the driver of the bench itself costs is measured with [`Nothing`] in the place of the core
//! and subtracted.
#![allow(dead_code, unreachable_pub, unnameable_types)]

use procession_core::*;

/// What the bench drives.
pub trait Bus {
    type Token: Copy;
    /// Whether the message was taken in.
    fn offer(&mut self, now: Time, arrival: Arrival<u64>) -> bool;
    fn dispatch(&mut self, now: Time) -> Option<Self::Token>;
    fn settle(&mut self, now: Time, token: Self::Token);
    fn commit(&mut self, now: Time, map: &mut [u8]);
}

impl Bus for Consumer<u64> {
    type Token = Token;

    fn offer(&mut self, now: Time, arrival: Arrival<u64>) -> bool {
        Self::offer(self, now, arrival).is_ok()
    }

    fn dispatch(&mut self, now: Time) -> Option<Token> {
        let dispatch = self.poll_dispatch(now)?;
        core::hint::black_box((dispatch.position, dispatch.message));
        Some(dispatch.token)
    }

    fn settle(&mut self, now: Time, token: Token) {
        Self::settle(self, now, token, Outcome::Done).expect("the token is fresh");
    }

    fn commit(&mut self, now: Time, map: &mut [u8]) {
        self.handle_timeout(now);
        while let Some(commit) = self.poll_commit(now, map) {
            let Commit {
                partition,
                epoch,
                write,
                ..
            } = commit;
            self.commit_result(now, partition, epoch, write, CommitResult::Stored);
        }
    }
}

/// A bus that does nothing: what is left is the cost of driving it.
#[derive(Default)]
pub struct Nothing(u64);

impl Bus for Nothing {
    type Token = u64;

    fn offer(&mut self, _now: Time, arrival: Arrival<u64>) -> bool {
        core::hint::black_box(&arrival);
        self.0 += 1;
        true
    }

    fn dispatch(&mut self, _now: Time) -> Option<u64> {
        self.0 = self.0.checked_sub(1)?;
        Some(self.0)
    }

    fn settle(&mut self, _now: Time, token: u64) {
        core::hint::black_box(token);
    }

    fn commit(&mut self, _now: Time, _map: &mut [u8]) {}
}

/// Keys are drawn before the run: a place of this many, used round and round.
const DRAWN: usize = 1 << 20;

/// A bus that delivers, and the numbers that make its next message.
pub struct Life<B: Bus> {
    bus: B,
    partitions: u32,
    partition: u32,
    round: u64,
    next: u64,
    lanes: Vec<u64>,
    random: u64,
    now: u64,
    running: Vec<B::Token>,
    map: Vec<u8>,
    /// Messages finished.
    pub finished: u64,
}

const fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// A consumer with the default settings whose partitions are all open and deliver.
pub fn consumer(partitions: u32) -> Consumer<u64> {
    let config = Config {
        partitions,
        ..Config::default()
    };
    let mut bus = Consumer::new(&config).expect("the configuration is valid");
    let resume = Resume {
        log_end: Position(1),
        ..Resume::default()
    };
    for partition in (0..partitions).map(PartitionId) {
        bus.open(Time::ZERO, partition, Epoch(1), &resume, None);
    }
    while let Some(start) = bus.poll_session(Time::ZERO) {
        let (partition, epoch, session) = (start.partition, start.epoch, start.session);
        bus.session(Time::ZERO, partition, epoch, session, Continuity::Continues);
    }
    bus
}

impl<B: Bus> Life<B> {
    /// `in_flight` messages are with handlers at any time; they are settled in random order.
    pub fn new(bus: B, partitions: u32, keys: u64, in_flight: usize) -> Self {
        Self {
            bus,
            partitions,
            partition: 0,
            round: 1,
            next: 1,
            lanes: (0..DRAWN as u64)
                .map(|n| mix(0xA5A5 ^ (mix(n) % keys)))
                .collect(),
            random: 1,
            now: 1_000_000,
            running: Vec::with_capacity(in_flight + 10_000),
            map: vec![0; 4_096],
            finished: 0,
        }
    }

    /// One batch: 64 messages come, what may run starts, and handlers end until `in_flight` are left.
    pub fn batch(&mut self, in_flight: usize) {
        self.now += 4_000;
        let now = Time::from_nanos(self.now);
        for _ in 0..64 {
            let lane = self.lanes[self.next as usize % DRAWN];
            let arrival = Arrival {
                partition: PartitionId(self.partition),
                epoch: Epoch(1),
                session: Session(1),
                delivery: Some(self.round),
                position: Position(self.next),
                stamp: Stamp(self.next),
                lane,
                key: Some(lane.into()),
                identity: u128::from(lane) << 64 | u128::from(self.next),
                bytes: 300,
                expires: None,
                sequence: None,
                quarantine: None,
                message: self.next,
            };
            if !self.bus.offer(now, arrival) {
                break;
            }
            self.next += 1;
            self.partition += 1;
            if self.partition == self.partitions {
                self.partition = 0;
                self.round += 1;
            }
        }
        self.dispatch(now);
        while self.running.len() > in_flight {
            for _ in 0..32.min(self.running.len()) {
                self.random = self.random.wrapping_mul(0x5851_F42D_4C95_7F2D) + 1;
                let pick = (self.random >> 32) * self.running.len() as u64;
                let token = self.running.swap_remove((pick >> 32) as usize);
                self.bus.settle(now, token);
                self.finished += 1;
            }
            self.dispatch(now);
        }
        self.bus.commit(now, &mut self.map);
    }

    #[inline]
    fn dispatch(&mut self, now: Time) {
        while let Some(token) = self.bus.dispatch(now) {
            self.running.push(token);
        }
    }
}
