//! Messages that kill their process: lives of one process after another, over records that survive.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use procession_core::*;
use proptest::prelude::*;

/// SplitMix64: the choices of one case.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (x ^ (x >> 31)) % sides
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.roll(100) < percent
    }
}

#[derive(Clone, Default)]
struct Record {
    frontier: u64,
    map: Vec<u8>,
    known: bool,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    seed: u64,
    suspects: u32,
    partitions: u32,
    messages: u64,
    keys: u64,
    killers: u64,
    map_bytes: u32,
    /// Besides killers, percent a step.
    crashes: u64,
    /// Commits that fail, and handlers, percent.
    fails: u64,
    parked: u32,
}

struct World {
    case: Case,
    dice: Dice,
    now: u64,
    records: Vec<Record>,
    /// By partition and position.
    killers: BTreeSet<(u32, u64)>,
    starts: BTreeMap<(u32, u64), u32>,
    /// Processes that died while it ran alone, or was about to.
    deaths: BTreeMap<(u32, u64), u32>,
    suspects: BTreeSet<(u32, u64)>,
    ended: BTreeSet<(u32, u64)>,
    epoch: u64,
    commits: u32,
}

/// How a life ended.
#[derive(PartialEq, Eq)]
enum End {
    Killed,
    Crashed,
    Drained,
    /// Everything is finished and recorded.
    Finished,
}

fn config(case: &Case) -> Config {
    let backoff = Backoff {
        first: Span::from_millis(1),
        max: Span::from_millis(2),
        jitter_percent: 0,
    };
    Config {
        partitions: case.partitions,
        suspects: case.suspects,
        parked_keys: case.parked,
        map_bytes: case.map_bytes,
        limits: Limits {
            messages: 40,
            bytes: 1 << 20,
            partition_messages: 40,
            partition_bytes: 1 << 20,
            low_water_percent: 75,
        },
        window: 64,
        window_pool: 64 * 8,
        retry: Retry {
            attempts: 100,
            backoff,
        },
        commit: CommitCadence {
            every: Span::from_millis(5),
            messages: 8,
            backoff,
        },
        dead_letter_backoff: backoff,
        ..Config::default()
    }
}

impl World {
    fn new(case: Case) -> Self {
        let mut dice = Dice(case.seed);
        let mut killers = BTreeSet::new();
        for _ in 0..case.killers {
            let p = dice.roll(case.partitions.into()) as u32;
            killers.insert((p, dice.roll(case.messages)));
        }
        Self {
            case,
            dice,
            now: 0,
            records: vec![Record::default(); case.partitions as usize],
            killers,
            starts: BTreeMap::new(),
            deaths: BTreeMap::new(),
            suspects: BTreeSet::new(),
            ended: BTreeSet::new(),
            epoch: 0,
            commits: 0,
        }
    }

    fn arrival(&self, start: &Start, position: u64) -> Arrival<u64> {
        let key = position.wrapping_mul(7) % self.case.keys;
        let of = u64::from(start.partition.0) * 1_000 + key;
        Arrival {
            partition: start.partition,
            epoch: start.epoch,
            session: start.session,
            delivery: None,
            position: Position(position),
            stamp: Stamp(position),
            lane: of,
            key: Some(u128::from(of) + 1),
            identity: u128::from(start.partition.0) << 80 | u128::from(position) << 8 | 1,
            bytes: 1,
            expires: None,
            sequence: None,
            quarantine: None,
            message: position,
        }
    }

    /// Whether the record that is stored says that this may run.
    fn is_recorded(&self, partition: u32, position: u64) -> bool {
        let record = &self.records[partition as usize];
        let told = decode_suspects(&record.map, Position(record.frontier));
        let (anything, named) = told.unwrap_or_default();
        let mut named = named.iter();
        anything || named.any(|a| a.running && a.position.0 == position)
    }

    fn live(&mut self) -> End {
        let config = config(&self.case);
        let mut bus: Consumer<u64> = Consumer::new(&config).unwrap();
        let mut feeds: Vec<Option<(Start, u64)>> = vec![None; self.case.partitions as usize];
        let mut running: Vec<Dispatch<u64>> = Vec::new();
        let mut write: Option<(Commit, Vec<u8>)> = None;
        let mut letter: Option<(Token, u32, u64, Why)> = None;
        let mut draining = false;
        let anchored = |r: &Record| Resume {
            frontier: r.known.then_some(Position(r.frontier)),
            recorded: r.known.then_some(Incarnation(0)),
            ..Resume::default()
        };
        for p in 0..self.case.partitions {
            self.epoch += 1;
            let record = self.records[p as usize].clone();
            let resume = Resume {
                map: &record.map,
                log_end: Position(self.case.messages),
                ..anchored(&record)
            };
            bus.open(
                self.time(),
                PartitionId(p),
                Epoch(self.epoch),
                &resume,
                None,
            );
        }
        for _ in 0..20_000 {
            self.now += self.dice.roll(400_000);
            let now = self.time();
            if self.dice.roll(16) == 0 {
                bus.check_invariants().unwrap();
            }
            if self.dice.roll(128) == 0 {
                // It goes on from a snapshot as if nothing had been.
                let mut bytes = Vec::new();
                bus.snapshot(None, |m, out| out.extend(m.to_le_bytes()), &mut bytes);
                let read = |b: &[u8]| Some(u64::from_le_bytes(b.try_into().ok()?));
                bus = Consumer::restore(&config, &bytes, read).unwrap();
            }
            while let Some(start) = bus.poll_session(now) {
                let found = Continuity::Continues;
                bus.session(now, start.partition, start.epoch, start.session, found);
                let at = start.at.0 + u64::from(start.expect.is_some());
                feeds[start.partition.0 as usize] = Some((start, at));
            }
            if self.dice.roll(1_000) < self.case.crashes {
                self.die();
                return End::Crashed;
            }
            match self.dice.roll(6) {
                0 => {
                    let p = self.dice.roll(self.case.partitions.into()) as usize;
                    if let Some((start, at)) = feeds[p]
                        && at < self.case.messages
                        && bus.offer(now, self.arrival(&start, at)).is_ok()
                    {
                        feeds[p] = Some((start, at + 1));
                    }
                }
                1 => {
                    if running.len() < 6
                        && let Some(dispatch) = bus.poll_dispatch(now)
                    {
                        let (p, at) = (dispatch.partition.0, dispatch.message);
                        assert!(self.is_recorded(p, at), "{p} {at} starts unrecorded");
                        // Where a record names few, what was given up may be forgotten, and be given up anew.
                        let named = self.case.map_bytes - 27 * self.case.parked > 150;
                        let given_up = named && self.suspects.contains(&(p, at));
                        assert!(!given_up, "{p} {at} was given up");
                        *self.starts.entry((p, at)).or_default() += 1;
                        running.push(dispatch);
                        if self.killers.contains(&(p, at)) {
                            self.die();
                            return End::Killed;
                        }
                    }
                }
                2 if !running.is_empty() => {
                    let which = self.dice.roll(running.len() as u64) as usize;
                    let dispatch = running.swap_remove(which);
                    let outcome = if self.dice.chance(self.case.fails) {
                        Outcome::Retry(dispatch.message)
                    } else {
                        self.ended.insert((dispatch.partition.0, dispatch.message));
                        Outcome::Done
                    };
                    bus.settle(now, dispatch.token, outcome).unwrap();
                }
                3 => match write.take() {
                    None => {
                        bus.handle_timeout(now);
                        let mut map = vec![0; self.case.map_bytes as usize];
                        write = bus
                            .poll_commit(now, &mut map)
                            .map(|c| (c, map[..c.map_len].to_vec()));
                    }
                    Some((commit, map)) => {
                        self.commits += 1;
                        let lost = self.dice.chance(self.case.fails);
                        let lands = !lost || self.dice.chance(50);
                        if lands {
                            self.records[commit.partition.0 as usize] = Record {
                                frontier: commit.frontier.0,
                                map,
                                known: true,
                            };
                        }
                        let result = match (lost, lands) {
                            (false, _) => CommitResult::Stored,
                            (true, true) => CommitResult::Unknown,
                            (true, false) => CommitResult::Retry,
                        };
                        let (p, e) = (commit.partition, commit.epoch);
                        bus.commit_result(now, p, e, commit.write, result);
                    }
                },
                4 => match letter.take() {
                    None => {
                        letter = bus
                            .poll_dead_letter()
                            .map(|l| (l.token, l.partition.0, *l.message, l.why));
                    }
                    Some((token, p, at, why)) => {
                        let stored = !self.dice.chance(self.case.fails);
                        let receipt = if stored {
                            Receipt::Stored
                        } else {
                            Receipt::NotStored
                        };
                        bus.dead_letter_result(now, token, receipt);
                        if why == Why::Suspect {
                            let died = self.deaths.get(&(p, at)).copied().unwrap_or(0);
                            assert!(died >= self.case.suspects, "{p} {at} died {died} times");
                            self.suspects.insert((p, at));
                        } else {
                            assert_eq!(why, Why::Parked, "{p} {at}");
                        }
                        if stored {
                            self.ended.insert((p, at));
                        }
                    }
                },
                _ => {
                    bus.handle_timeout(now);
                    while bus.poll_notice().is_some() {}
                    if !draining && self.dice.roll(4_000) == 0 {
                        draining = true;
                        bus.drain(now, now + Span::from_secs(60));
                    }
                    while bus.poll_release().is_some() {}
                    if let Some(drained) = bus.poll_drained() {
                        assert_eq!(drained.abandoned, 0);
                        return End::Drained;
                    }
                }
            }
            if self
                .records
                .iter()
                .all(|r| r.frontier >= self.case.messages)
                && !draining
            {
                return End::Finished;
            }
        }
        panic!("stuck: {:?} {:?}", bus.health(), bus.stats());
    }

    fn time(&self) -> Time {
        Time::from_nanos(self.now)
    }

    /// The process dies: what a record names as running, and alone, was running, or about to.
    fn die(&mut self) {
        for (record, p) in self.records.iter().zip(0..) {
            let told = decode_suspects(&record.map, Position(record.frontier));
            let (_, mut named) = told.unwrap_or_default();
            named.retain(|a| a.running);
            if let [alone] = named[..] {
                *self.deaths.entry((p, alone.position.0)).or_default() += 1;
            }
        }
    }
}

fn run(case: Case) -> World {
    let mut world = World::new(case);
    for _ in 0..300 {
        if world.live() == End::Finished {
            let all = u64::from(case.partitions) * case.messages;
            assert_eq!(world.ended.len() as u64, all, "{case:?}");
            return world;
        }
    }
    panic!("L3: it goes on for ever: {case:?} {:?}", world.starts);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn l3_whatever_happens_killers_are_given_up_and_all_else_is_handled(
        seed in any::<u64>(), suspects in 1u32..4, partitions in 1u32..4, messages in 1u64..80, keys in 1u64..12,
        killers in 0u64..4, map_bytes in 42u32..200, crashes in 0u64..2, fails in 0u64..40, parks in any::<bool>(),
    ) {
        let parked = 12 * u32::from(parks);
        let map_bytes = map_bytes + 27 * parked;
        let case = Case {
            seed, suspects, partitions, messages, keys, killers, map_bytes, crashes, fails, parked,
        };
        run(case);
    }

    #[test]
    fn l3_without_other_deaths_a_killer_starts_twice_and_as_often_as_it_is_suspected(
        seed in any::<u64>(), suspects in 1u32..4, messages in 1u64..60, map_bytes in 42u32..500,
    ) {
        let case = Case {
            seed, suspects, partitions: 1, messages, keys: 8, killers: 1, map_bytes, crashes: 0, fails: 0,
            parked: 0,
        };
        let world = run(case);
        let killer = world.killers.first().unwrap();
        // Among everything, among its lot, and then alone.
        prop_assert!(world.starts[killer] <= suspects + 2, "{:?}", world.starts);
        prop_assert!(world.suspects.len() == 1 && world.suspects.contains(killer));
    }
}
