//! The producer against a naive model, with arbitrary operations, illegal ones included.
//!
//! The model keeps every publish that ever was, and what is known of each of its sends, in plain
//! vectors, and finds everything by searching. It shares no code with the producer.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::VecDeque;

use procession_core::{
    Answer, Backoff, NoRoom, Producer, ProducerConfig, Publish, Published, Room, Span, Time, Token,
    Unsent,
};
use proptest::prelude::*;

/// What is known of one send.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Fate {
    Flying,
    Failed,
    MayLand,
    MayBeIn,
}

#[derive(Debug)]
struct Entry {
    token: Token,
    lane: u64,
    bytes: u64,
    deadline: u64,
    due: u64,
    sends: Vec<Fate>,
    end: Option<Published>,
    blocks: bool,
    fetched: bool,
}

impl Entry {
    fn live(&self) -> bool {
        self.end.is_none()
    }
    fn in_lane(&self) -> bool {
        self.live() || self.blocks
    }
    fn maybe_in(&self) -> bool {
        self.sends.iter().any(|&fate| fate != Fate::Failed)
    }
    fn can_land(&self) -> bool {
        self.sends
            .iter()
            .any(|fate| matches!(fate, Fate::Flying | Fate::MayLand))
    }
    fn flying(&self) -> bool {
        self.in_lane() && self.sends.last() == Some(&Fate::Flying)
    }
    fn holds_message(&self) -> bool {
        self.live() || !self.fetched
    }
    fn held(&self) -> bool {
        self.holds_message() || self.blocks
    }
}

#[derive(Debug)]
struct Model {
    config: ProducerConfig,
    now: u64,
    all: Vec<Entry>,
    results: VecDeque<(usize, Published)>,
    connected: bool,
    draining: bool,
    closed: bool,
    wanted: Option<u64>,
    /// Per lane, the newest publish that was answered as stored while the lane was in use.
    stored: std::collections::BTreeMap<u64, usize>,
    /// Lanes of which a send failed while others of it were flying.
    stalled: std::collections::BTreeSet<u64>,
}

impl Model {
    fn new(config: ProducerConfig) -> Self {
        Self {
            config,
            now: 0,
            all: Vec::new(),
            results: VecDeque::new(),
            connected: true,
            draining: false,
            closed: false,
            wanted: None,
            stored: std::collections::BTreeMap::new(),
            stalled: std::collections::BTreeSet::new(),
        }
    }

    fn count(&self, test: impl Fn(&Entry) -> bool) -> u64 {
        self.all.iter().filter(|entry| test(entry)).count() as u64
    }

    fn bytes(&self) -> u64 {
        self.all
            .iter()
            .filter(|entry| entry.holds_message())
            .map(|entry| entry.bytes)
            .sum()
    }

    fn end(&mut self, index: usize, result: Published) {
        assert!(self.all[index].live());
        self.all[index].end = Some(result);
        self.results.push_back((index, result));
        self.tidy();
    }

    /// A lane that nobody uses is forgotten, and a stall ends when nothing flies.
    fn tidy(&mut self) {
        let all = &self.all;
        self.stalled
            .retain(|lane| all.iter().any(|e| e.lane == *lane && e.flying()));
        self.stored
            .retain(|lane, _| all.iter().any(|e| e.lane == *lane && e.in_lane()));
    }

    fn unblock(&mut self, index: usize) {
        self.all[index].blocks = false;
        self.tidy();
    }

    fn end_unknown(&mut self, index: usize) {
        if !self.all[index].can_land() {
            self.end(index, Published::Unknown);
            return;
        }
        self.all[index].blocks = true;
        self.end(index, Published::Unknown);
        for newer in index + 1..self.all.len() {
            let same = self.all[newer].lane == self.all[index].lane;
            if same && self.all[newer].live() && !self.all[newer].maybe_in() {
                self.end(newer, Published::Refused(Unsent::Predecessor));
            }
        }
    }

    fn time(&mut self, now: u64) {
        self.now = self.now.max(now);
        loop {
            let over = |(_, entry): &(usize, &Entry)| entry.live() && entry.deadline <= self.now;
            let first = self
                .all
                .iter()
                .enumerate()
                .filter(over)
                .min_by_key(|(i, e)| (e.deadline, *i));
            let Some((index, entry)) = first else { return };
            if entry.maybe_in() {
                self.end_unknown(index);
            } else {
                self.end(index, Published::Refused(Unsent::Deadline));
            }
        }
    }

    fn admits(&mut self, bytes: u64) -> Result<(), NoRoom> {
        if self.closed {
            return Err(NoRoom::Closed);
        }
        if self.draining {
            return Err(NoRoom::Draining);
        }
        if bytes > self.config.bytes {
            return Err(NoRoom::TooLarge);
        }
        let full = self.count(Entry::held) >= u64::from(self.config.messages)
            || self.bytes() + bytes > self.config.bytes;
        if full {
            self.wanted = self.wanted.max(Some(bytes));
            return Err(NoRoom::Window);
        }
        Ok(())
    }

    /// Everything that may be sent now: per lane at most one.
    fn sendable(&self) -> Vec<usize> {
        if !self.connected || self.count(Entry::flying) >= u64::from(self.config.in_flight) {
            return Vec::new();
        }
        let mut lanes: Vec<u64> = self.all.iter().map(|entry| entry.lane).collect();
        lanes.sort_unstable();
        lanes.dedup();
        let mut found = Vec::new();
        for lane in lanes {
            let members: Vec<usize> = (0..self.all.len())
                .filter(|&i| self.all[i].lane == lane && self.all[i].in_lane())
                .collect();
            let first = members
                .iter()
                .find(|&&i| !(self.all[i].live() && self.all[i].flying()));
            let Some(&first) = first else { continue };
            let entry = &self.all[first];
            let alone = !members.iter().any(|&i| self.all[i].flying());
            let flows = self.config.pipelining && !self.stalled.contains(&lane);
            let fresh = flows && entry.sends.is_empty();
            if entry.live() && entry.due <= self.now && (alone || fresh) {
                found.push(first);
            }
        }
        found
    }

    fn overtaken(&mut self, index: usize) {
        if self.all[index].maybe_in() {
            self.end_unknown(index);
        } else {
            self.end(index, Published::Refused(Unsent::Overtaken));
        }
    }

    fn back(&mut self, index: usize) {
        let lane = self.all[index].lane;
        self.stalled.insert(lane);
        self.tidy();
        if self.all[index].live() {
            if self.stored.get(&lane).is_some_and(|&newest| newest > index) {
                self.overtaken(index);
                return;
            }
            let tries = self.all[index].sends.len() as u32;
            let wait = (0..tries - 1).fold(1u64, |wait, _| (2 * wait).min(4));
            self.all[index].due = self.now + wait;
        } else if !self.all[index].can_land() {
            self.unblock(index);
        }
    }

    fn settle(&mut self, index: usize, attempt: u32, answer: Answer) -> bool {
        if answer == Answer::Fatal {
            self.fail();
            return true;
        }
        let entry = &mut self.all[index];
        let attempts = entry.sends.len() as u32;
        if !entry.in_lane() || attempt == 0 || attempt > attempts {
            return false;
        }
        if answer == Answer::Stored {
            let lane = entry.lane;
            let newest = self.stored.get(&lane).copied().unwrap_or(0).max(index);
            self.stored.insert(lane, newest);
            if self.all[index].live() {
                self.end(index, Published::Stored);
            } else {
                self.unblock(index);
            }
            for older in 0..index {
                let entry = &self.all[older];
                if entry.lane == lane && entry.live() && !entry.flying() {
                    self.overtaken(older);
                }
            }
            return true;
        }
        let last = entry.sends.len() - 1;
        if attempt < attempts || entry.sends[last] == Fate::Failed {
            return false;
        }
        let flew = entry.sends[last] == Fate::Flying;
        let lane = entry.lane;
        match answer {
            Answer::NotStored => {
                self.stalled.insert(lane);
                let entry = &self.all[index];
                let earlier = entry.sends[..last].iter().any(|&fate| fate != Fate::Failed);
                if !entry.live() {
                    self.unblock(index);
                } else if earlier {
                    self.end(index, Published::Unknown);
                } else {
                    self.end(index, Published::Refused(Unsent::Broker));
                }
            }
            Answer::Retry => {
                entry.sends[last] = Fate::Failed;
                if flew {
                    self.back(index);
                } else if !entry.live() && !entry.can_land() {
                    self.unblock(index);
                }
            }
            Answer::Unknown if flew => {
                entry.sends[last] = Fate::MayLand;
                self.back(index);
            }
            Answer::Unknown | Answer::Stored | Answer::Fatal => return false,
        }
        true
    }

    fn lose(&mut self) {
        if !core::mem::replace(&mut self.connected, false) {
            return;
        }
        for index in 0..self.all.len() {
            if self.all[index].flying() {
                *self.all[index].sends.last_mut().unwrap() = Fate::MayLand;
                self.back(index);
            }
        }
    }

    fn restore(&mut self) {
        if core::mem::replace(&mut self.connected, true) {
            return;
        }
        for index in 0..self.all.len() {
            let entry = &mut self.all[index];
            if !entry.in_lane() {
                continue;
            }
            for fate in &mut entry.sends {
                if *fate == Fate::MayLand {
                    *fate = Fate::MayBeIn;
                }
            }
            if entry.blocks {
                self.unblock(index);
            } else if entry.maybe_in() {
                entry.due = self.now;
            }
        }
    }

    fn fail(&mut self) {
        self.closed = true;
        for index in 0..self.all.len() {
            if self.all[index].blocks {
                self.unblock(index);
            } else if self.all[index].live() {
                let result = if self.all[index].maybe_in() {
                    Published::Unknown
                } else {
                    Published::Refused(Unsent::Closed)
                };
                self.end(index, result);
            }
        }
    }

    fn room(&mut self) -> Option<Room> {
        let wanted = self.wanted?;
        let held = self.count(Entry::held);
        let free = u64::from(self.config.messages) - held;
        let load = held - self.count(|entry| entry.blocks);
        let low = |most: u64| most * u64::from(self.config.low_water_percent) / 100;
        let messages_low = low(u64::from(self.config.messages));
        let fits = free > 0
            && load <= messages_low.min(u64::from(self.config.messages) - 1)
            && self.bytes() <= low(self.config.bytes)
            && self.bytes() + wanted <= self.config.bytes;
        if !fits && !self.draining && !self.closed {
            return None;
        }
        self.wanted = None;
        Some(Room {
            messages: free as u32,
            bytes: self.config.bytes - self.bytes(),
        })
    }

    fn timeout(&self) -> Option<Time> {
        let next = |entry: &Entry| {
            if entry.due > self.now {
                entry.due.min(entry.deadline)
            } else {
                entry.deadline
            }
        };
        self.all
            .iter()
            .filter(|entry| entry.live())
            .map(next)
            .min()
            .map(seconds)
    }
}

fn seconds(seconds: u64) -> Time {
    Time::from_nanos(seconds * 1_000_000_000)
}

#[derive(Clone, Debug)]
enum Op {
    Publish {
        lane: u64,
        bytes: u32,
        ttl: u64,
    },
    Send,
    Settle {
        which: u8,
        behind: u8,
        answer: Answer,
    },
    Lose,
    Restore,
    Fail,
    Drain {
        ttl: u64,
    },
    Wait {
        seconds: u64,
    },
    Back {
        seconds: u64,
    },
    Receipt,
    Room,
}

fn op() -> impl Strategy<Value = Op> {
    let answer = prop_oneof![
        8 => Just(Answer::Stored),
        4 => Just(Answer::NotStored),
        4 => Just(Answer::Retry),
        6 => Just(Answer::Unknown),
    ];
    let answer = prop_oneof![200 => answer, 1 => Just(Answer::Fatal)];
    let behind = prop_oneof![6 => Just(0u8), 1 => Just(1), 1 => Just(2), 1 => Just(255)];
    prop_oneof![
        600 => (0..3u64, 1..40u32, 0..25u64)
            .prop_map(|(lane, bytes, ttl)| Op::Publish { lane, bytes, ttl }),
        10 => (0..3u64, 90..130u32, 9..25u64)
            .prop_map(|(lane, bytes, ttl)| Op::Publish { lane, bytes, ttl }),
        800 => Just(Op::Send),
        800 => (any::<u8>(), behind, answer)
            .prop_map(|(which, behind, answer)| Op::Settle { which, behind, answer }),
        60 => Just(Op::Lose),
        120 => Just(Op::Restore),
        2 => Just(Op::Fail),
        4 => (0..20u64).prop_map(|ttl| Op::Drain { ttl }),
        250 => (0..4u64).prop_map(|seconds| Op::Wait { seconds }),
        10 => (0..4u64).prop_map(|seconds| Op::Back { seconds }),
        500 => Just(Op::Receipt),
        200 => Just(Op::Room),
    ]
}

fn config(pipelining: bool, in_flight: u32) -> ProducerConfig {
    ProducerConfig {
        messages: 6,
        bytes: 100,
        in_flight,
        low_water_percent: 60,
        pipelining,
        backoff: Backoff {
            first: Span::from_secs(1),
            max: Span::from_secs(4),
            jitter_percent: 0,
        },
        seed: 3,
    }
}

fn run(config: ProducerConfig, ops: &[Op]) {
    let mut producer = Producer::<usize>::new(&config).unwrap();
    let mut model = Model::new(config);
    let mut clock = 0;
    for op in ops {
        let now = seconds(clock);
        match *op {
            Op::Publish { lane, bytes, ttl } => {
                model.time(clock);
                let publish = Publish {
                    lane,
                    bytes,
                    deadline: seconds(clock + ttl),
                    message: model.all.len(),
                };
                let admitted = model.admits(bytes.into());
                match producer.publish(now, publish) {
                    Ok(token) => {
                        assert_eq!(admitted, Ok(()));
                        assert!(
                            model.all.iter().all(|entry| entry.token != token),
                            "tokens are not used twice"
                        );
                        model.all.push(Entry {
                            token,
                            lane,
                            bytes: bytes.into(),
                            deadline: clock + ttl,
                            due: 0,
                            sends: Vec::new(),
                            end: None,
                            blocks: false,
                            fetched: false,
                        });
                        model.time(clock);
                    }
                    Err(full) => assert_eq!(admitted, Err(full.why)),
                }
            }
            Op::Send => {
                model.time(clock);
                let sendable = model.sendable();
                match producer.poll_send(now) {
                    None => assert_eq!(sendable, Vec::<usize>::new(), "something may be sent"),
                    Some(transmit) => {
                        let index = *transmit.message;
                        assert!(
                            sendable.contains(&index),
                            "{index} is not among {sendable:?}"
                        );
                        assert_eq!(transmit.token, model.all[index].token);
                        model.all[index].sends.push(Fate::Flying);
                        assert_eq!(transmit.attempt as usize, model.all[index].sends.len());
                    }
                }
            }
            Op::Settle {
                which,
                behind,
                answer,
            } => {
                if model.all.is_empty() {
                    continue;
                }
                // Mostly one of the youngest, and its latest send.
                let index = model.all.len() - 1 - usize::from(which) % model.all.len().min(12);
                let attempt = (model.all[index].sends.len() as u32)
                    .wrapping_sub(behind.into())
                    .wrapping_add(if behind == 255 { 256 } else { 0 });
                let token = model.all[index].token;
                model.time(clock);
                let expected = model.settle(index, attempt, answer);
                let settled = producer.settle(now, token, attempt, answer).is_ok();
                assert_eq!(settled, expected, "{index} attempt {attempt} {answer:?}");
            }
            Op::Lose => {
                model.time(clock);
                model.lose();
                producer.connection_lost(now);
            }
            Op::Restore => {
                model.time(clock);
                model.restore();
                producer.connection_restored(now);
            }
            Op::Fail => {
                model.time(clock);
                model.fail();
                producer.fail(now);
            }
            Op::Drain { ttl } => {
                model.time(clock);
                model.draining = true;
                for entry in model.all.iter_mut().filter(|entry| entry.live()) {
                    entry.deadline = entry.deadline.min(clock + ttl);
                }
                model.time(clock);
                producer.drain(now, seconds(clock + ttl));
            }
            Op::Wait { seconds: wait } => {
                clock += wait;
                model.time(clock);
                producer.handle_timeout(seconds(clock));
            }
            Op::Back { seconds: back } => {
                producer.handle_timeout(seconds(clock.saturating_sub(back)));
            }
            Op::Receipt => {
                let expected = model.results.pop_front();
                let done = producer.poll_receipt();
                assert_eq!(
                    done.as_ref().map(|done| (done.message, done.result)),
                    expected
                );
                if let Some(done) = done {
                    let entry = &mut model.all[done.message];
                    assert_eq!(done.token, entry.token);
                    assert_eq!(done.attempts as usize, entry.sends.len());
                    entry.fetched = true;
                }
            }
            Op::Room => assert_eq!(producer.poll_room(), model.room()),
        }
        producer.check_invariants().unwrap();
        let stats = producer.stats();
        assert_eq!(u64::from(stats.held), model.count(Entry::held));
        assert_eq!(stats.held_bytes, model.bytes());
        assert_eq!(u64::from(stats.in_flight), model.count(Entry::flying));
        assert_eq!(
            u64::from(stats.uncertain),
            model.count(|entry| entry.blocks)
        );
        let stuck = |entry: &Entry| entry.blocks && !entry.flying();
        assert_eq!(u64::from(stats.stuck), model.count(stuck));
        assert_eq!(producer.poll_timeout(), model.timeout());
        let idle = model.all.iter().all(|entry| !entry.holds_message());
        assert_eq!(producer.is_idle(), idle);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn one_of_a_key_at_a_time(ops in prop::collection::vec(op(), 1..300)) {
        run(config(false, 4), &ops);
    }

    #[test]
    fn pipelined(ops in prop::collection::vec(op(), 1..300)) {
        run(config(true, 5), &ops);
    }
}
