//! The producer before a broker whose log is the truth: sends land late or never, answers get lost,
//! connections break. Whatever happens, the first copies of a key reach the log in the order of
//! acceptance (S8), and every publish gets exactly one result, which is true (S10, L2).
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;

use procession_core::{
    Answer, Backoff, Producer, ProducerConfig, Publish, Published, Span, Time, Token,
};
use proptest::prelude::*;

/// One send on its way, or at its end.
#[derive(Clone, Copy, Debug)]
struct Copy {
    message: usize,
    lane: u64,
    token: Token,
    attempt: u32,
    /// It can still land.
    flies: bool,
    landed: bool,
    /// The port has told its one answer, or never will.
    answered: bool,
}

/// A log that recognises copies by identity.
struct World {
    producer: Producer<usize>,
    keeps_order: bool,
    now: u64,
    lanes: Vec<u64>,
    copies: Vec<Copy>,
    /// First copies, in the order of the log.
    log: Vec<usize>,
    results: BTreeMap<usize, Published>,
    connected: bool,
}

#[derive(Clone, Debug)]
enum Op {
    Publish { lane: u64, ttl: u64 },
    Send,
    Land { which: u8 },
    Answer { which: u8, kind: Kind },
    Lose,
    Restore,
    Wait { seconds: u64 },
    Receipts,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    Truth,
    RefuseForGood,
    Fail,
    Nothing,
}

fn at(seconds: u64) -> Time {
    Time::from_nanos(seconds * 1_000_000_000)
}

impl World {
    fn new(keeps_order: bool) -> Self {
        let config = ProducerConfig {
            messages: 12,
            bytes: 100,
            in_flight: 8,
            pipelining: keeps_order,
            backoff: Backoff {
                first: Span::from_secs(1),
                max: Span::from_secs(3),
                jitter_percent: 20,
            },
            ..ProducerConfig::default()
        };
        Self {
            producer: Producer::new(&config).unwrap(),
            keeps_order,
            now: 0,
            lanes: Vec::new(),
            copies: Vec::new(),
            log: Vec::new(),
            results: BTreeMap::new(),
            connected: true,
        }
    }

    fn act(&mut self, op: &Op) {
        match *op {
            Op::Publish { lane, ttl } => {
                let message = self.lanes.len();
                let publish = Publish {
                    lane,
                    bytes: 1,
                    deadline: at(self.now + ttl),
                    message,
                };
                if self.producer.publish(at(self.now), publish).is_ok() {
                    self.lanes.push(lane);
                }
            }
            Op::Send => self.send(),
            Op::Land { which } => {
                let flying = self.indices(|copy| copy.flies);
                if let Some(&index) = pick(&flying, which) {
                    self.land(index);
                }
            }
            Op::Answer { which, kind } => {
                let open = self.indices(|copy| !copy.answered);
                if let Some(&index) = pick(&open, which) {
                    self.answer(index, kind);
                }
            }
            Op::Lose => {
                self.connected = false;
                self.producer.connection_lost(at(self.now));
            }
            Op::Restore => {
                if !self.connected {
                    for copy in &mut self.copies {
                        (copy.flies, copy.answered) = (false, true);
                    }
                }
                self.connected = true;
                self.producer.connection_restored(at(self.now));
            }
            Op::Wait { seconds } => {
                self.now += seconds;
                self.producer.handle_timeout(at(self.now));
            }
            Op::Receipts => self.receipts(),
        }
        self.producer.check_invariants().unwrap();
    }

    fn indices(&self, test: impl Fn(&Copy) -> bool) -> Vec<usize> {
        (0..self.copies.len())
            .filter(|&i| test(&self.copies[i]))
            .collect()
    }

    fn send(&mut self) {
        while let Some(transmit) = self.producer.poll_send(at(self.now)) {
            assert!(self.connected, "nothing is sent without a connection");
            assert!(transmit.deadline > at(self.now), "nor after its deadline");
            let message = *transmit.message;
            self.copies.push(Copy {
                message,
                lane: self.lanes[message],
                token: transmit.token,
                attempt: transmit.attempt,
                flies: true,
                landed: false,
                answered: false,
            });
        }
    }

    /// Where the broker keeps order, the oldest copy of the lane that can still land lands first.
    fn land(&mut self, index: usize) {
        let lane = self.copies[index].lane;
        let oldest = self.indices(|copy| copy.flies && copy.lane == lane)[0];
        let index = if self.keeps_order { oldest } else { index };
        let copy = &mut self.copies[index];
        (copy.flies, copy.landed) = (false, true);
        let message = copy.message;
        if self.log.contains(&message) {
            return;
        }
        let newest = self
            .log
            .iter()
            .rev()
            .find(|&&other| self.lanes[other] == lane);
        assert!(
            newest < Some(&message),
            "S8: {message} lands behind {newest:?}"
        );
        assert!(
            !matches!(self.results.get(&message), Some(Published::Refused(_))),
            "S10: {message} was refused and lands"
        );
        self.log.push(message);
    }

    /// This copy will never land; where the broker keeps order, nothing newer that is on its way does.
    fn drop_copy(&mut self, index: usize) {
        let dropped = self.copies[index];
        self.copies[index].flies = false;
        for copy in self.copies.iter_mut().skip(index + 1) {
            if self.keeps_order && copy.lane == dropped.lane && copy.message > dropped.message {
                copy.flies = false;
            }
        }
    }

    fn answer(&mut self, index: usize, kind: Kind) {
        let copy = self.copies[index];
        let stored = copy.landed || self.log.contains(&copy.message);
        let answer = match kind {
            Kind::Nothing if !self.connected => return,
            Kind::Nothing => Answer::Unknown,
            Kind::Truth | Kind::RefuseForGood | Kind::Fail if stored => Answer::Stored,
            Kind::RefuseForGood if copy.flies => {
                // A repeated send that is answered comes after all earlier ones.
                for other in self.copies[..=index].iter_mut() {
                    other.flies &= other.message != copy.message;
                }
                Answer::NotStored
            }
            Kind::Truth if copy.flies => {
                self.land(index);
                if !self.copies[index].landed {
                    return;
                }
                Answer::Stored
            }
            Kind::Truth | Kind::RefuseForGood | Kind::Fail => {
                self.drop_copy(index);
                Answer::Retry
            }
        };
        self.copies[index].answered = true;
        self.copies[index].flies &= answer != Answer::Stored;
        let _may_be_stale = self
            .producer
            .settle(at(self.now), copy.token, copy.attempt, answer);
    }

    fn receipts(&mut self) {
        while let Some(done) = self.producer.poll_receipt() {
            let twice = self.results.insert(done.message, done.result);
            assert_eq!(twice, None, "S10: one result each");
            let in_log = self.log.contains(&done.message);
            match done.result {
                Published::Stored => assert!(in_log, "S10: stored is in the log"),
                Published::Refused(why) => assert!(!in_log, "S10: refused ({why:?}) is not"),
                Published::Unknown => assert!(done.attempts > 0, "S10: unknown was sent"),
            }
        }
    }

    /// Faults stop: everything resolves, and new publishes of every key get through.
    fn heal(&mut self) {
        self.act(&Op::Lose);
        self.act(&Op::Restore);
        self.receipts();
        let first = self.lanes.len();
        for lane in 0..3 {
            self.act(&Op::Publish { lane, ttl: 60 });
        }
        for _ in 0..60 {
            self.send();
            for index in self.indices(|copy| !copy.answered) {
                self.answer(index, Kind::Truth);
            }
            self.receipts();
            self.act(&Op::Wait { seconds: 1 });
        }
        self.receipts();
        for message in 0..self.lanes.len() {
            assert!(
                self.results.contains_key(&message),
                "L2: {message} has no result"
            );
        }
        for message in first..self.lanes.len() {
            assert_eq!(self.results[&message], Published::Stored, "L2: {message}");
        }
        assert!(self.producer.is_idle());
        assert_eq!(self.producer.stats().held, 0, "nothing leaks");
    }
}

fn pick(among: &[usize], which: u8) -> Option<&usize> {
    among.get(usize::from(which) % among.len().max(1))
}

fn op() -> impl Strategy<Value = Op> {
    let kind = prop_oneof![
        4 => Just(Kind::Truth),
        1 => Just(Kind::RefuseForGood),
        2 => Just(Kind::Fail),
        2 => Just(Kind::Nothing),
    ];
    prop_oneof![
        8 => (0..3u64, 1..12u64).prop_map(|(lane, ttl)| Op::Publish { lane, ttl }),
        8 => Just(Op::Send),
        4 => any::<u8>().prop_map(|which| Op::Land { which }),
        8 => (any::<u8>(), kind).prop_map(|(which, kind)| Op::Answer { which, kind }),
        1 => Just(Op::Lose),
        2 => Just(Op::Restore),
        4 => (0..4u64).prop_map(|seconds| Op::Wait { seconds }),
        4 => Just(Op::Receipts),
    ]
}

fn run(keeps_order: bool, ops: &[Op]) {
    let mut world = World::new(keeps_order);
    for op in ops {
        world.act(op);
    }
    world.heal();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn s8_s10_one_of_a_key_at_a_time(ops in prop::collection::vec(op(), 1..200)) {
        run(false, &ops);
    }

    #[test]
    fn s8_s10_pipelined(ops in prop::collection::vec(op(), 1..200)) {
        run(true, &ops);
    }
}
