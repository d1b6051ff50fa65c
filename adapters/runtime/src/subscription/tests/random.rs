//! Many short lives of a driver: random deliveries, handlers, cuts, losses and pauses, and then the
//! log is read as a checker of histories would.

use std::collections::{BTreeMap, BTreeSet};

use procession_core::{Epoch, PartitionId, Span};

use super::{World, small};
use crate::port::{BreakReason, FeedEvent};
use crate::subscription::Ending;
use crate::testing::{Event, ScriptFeed};

const SEEDS: u64 = 300;
const MESSAGES: u64 = 40;

/// Numbers from a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// One life: what the log of the broker holds, and how far the session has delivered.
struct Life {
    world: World,
    dice: Dice,
    plans: String,
    next: u64,
    epoch: u64,
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..8 {
            dice.roll(2);
        }
        let plans = (0..MESSAGES)
            .map(|_| char::from(b"dddrRjxwwwWAAkkz"[dice.roll(16) as usize]))
            .collect();
        let mut options = small(8);
        options.concurrency = 3;
        options.core.retry.attempts = 3;
        options.core.handler_timeout = Span::from_millis(700);
        let world = World::with(ScriptFeed::default(), options);
        world.feed.assign(1, None);
        world.shell.run();
        Self {
            world,
            dice,
            plans,
            next: 1,
            epoch: 1,
        }
    }

    /// Delivers some of what may be delivered, in the latest session.
    fn deliver(&mut self, most: u64) {
        if let Some(start) = self.world.feed.take_start() {
            // With an overlap the first delivery is compared and dropped.
            self.next = start.at.0 + u64::from(start.expect.is_some());
        }
        let count = self
            .world
            .feed
            .room()
            .min(most)
            .min(MESSAGES + 1 - self.next);
        if 0 < count {
            let from = self.next as usize - 1;
            let plans = &self.plans[from..from + count as usize];
            self.world.deliver(self.next, plans);
            self.next += count;
        }
    }

    fn step(&mut self) {
        match self.dice.roll(12) {
            0..=4 => {
                let most = 1 + self.dice.roll(6);
                self.deliver(most);
            }
            5..=7 => {
                let position = 1 + self.dice.roll(MESSAGES);
                self.world.work.open(position);
                self.world.shell.run();
            }
            8 | 9 => {
                let millis = 1 + self.dice.roll(300);
                self.world.millis(millis);
            }
            10 => {
                self.world.feed.break_session(BreakReason::Disconnected);
                self.world.shell.run();
            }
            _ => self.hand_over(),
        }
    }

    /// Lost, and taken again from what the last commit says.
    fn hand_over(&mut self) {
        self.world.feed.send(FeedEvent::Lost {
            partition: PartitionId(0),
            epoch: Epoch(self.epoch),
        });
        self.epoch += 1;
        let record = self.world.feed.commits().last().cloned();
        self.world.feed.resume(self.epoch, record.as_ref(), None);
        self.world.shell.run();
    }

    /// All faults are over: everything is finished, and the drain leaves nothing.
    fn heal(&mut self) {
        for position in 1..=MESSAGES {
            self.world.work.open(position);
        }
        self.world.shell.run();
        for _ in 0..200 {
            self.deliver(MESSAGES);
            self.world.millis(100);
        }
        self.world.handle.drain(self.world.in_millis(1_000));
        self.world.shell.run();
        for _ in 0..10 {
            self.world.millis(100);
        }
    }
}

/// The key of a message, as the test's handlers have it.
fn key(plans: &str, position: u64) -> u64 {
    match plans.as_bytes()[position as usize - 1] {
        b'A' | b'k' => 0,
        _ => position,
    }
}

fn check(log: &[Event], plans: &str) -> Result<(), String> {
    let mut running: BTreeMap<u64, u64> = BTreeMap::new();
    let mut finished: BTreeSet<u64> = BTreeSet::new();
    let mut first_done: BTreeMap<u64, u64> = BTreeMap::new();
    let mut done_in_epoch: BTreeSet<u64> = BTreeSet::new();
    let (mut owned, mut released) = (true, false);
    let mut committed = 0;
    for event in log {
        match *event {
            Event::Assigned(..) => {
                done_in_epoch.clear();
                committed = 0;
                owned = true;
            }
            Event::Lost(_) => owned = false,
            Event::Released(_) => released = true,
            Event::Start(position, _) => {
                if !owned || released {
                    return Err(format!("S5: {position} started after the end of its epoch"));
                }
                if let Some(other) = running.insert(key(plans, position), position) {
                    return Err(format!("S1: {position} started beside {other}"));
                }
                if done_in_epoch.contains(&position) {
                    return Err(format!("S4: {position} ran again in one epoch"));
                }
            }
            Event::End(position, _, ending) => {
                if running.remove(&key(plans, position)) != Some(position) {
                    return Err(format!("{position} ended without running"));
                }
                if ending == Ending::Done {
                    done_in_epoch.insert(position);
                    if finished.insert(position) {
                        let last = first_done.insert(key(plans, position), position);
                        if last.is_some_and(|last| position < last) {
                            return Err(format!("S2: {position} first done after {last:?}"));
                        }
                    }
                }
            }
            Event::Buried(position, _) => {
                finished.insert(position);
            }
            Event::Commit(_, frontier) | Event::Committed(_, frontier) => {
                if let Some(hole) = (1..frontier).find(|p| !finished.contains(p)) {
                    return Err(format!("S3: {frontier} committed, {hole} is not finished"));
                }
                if matches!(event, Event::Commit(..)) {
                    if frontier < committed {
                        return Err(format!("S3: {committed} and then {frontier} committed"));
                    }
                    committed = frontier;
                }
            }
            Event::Polled(_)
            | Event::Dropped(_)
            | Event::Duplicate(_)
            | Event::Incident(_)
            | Event::Drained(_)
            | Event::Revoked(_) => {}
        }
    }
    if !running.is_empty() {
        return Err(format!("started and never ended: {running:?}"));
    }
    match (1..=MESSAGES).find(|p| !finished.contains(p)) {
        Some(position) => Err(format!("L1: {position} was never finished")),
        None if committed <= MESSAGES => Err(format!("L1: only {committed} was committed")),
        None => Ok(()),
    }
}

#[test]
fn many_short_lives_keep_the_promises() {
    let mut hand_overs = 0;
    for seed in 1..=SEEDS {
        let mut life = Life::new(seed);
        for _ in 0..150 {
            life.step();
        }
        life.heal();
        let log = life.world.log.all();
        if let Err(breach) = check(&log, &life.plans) {
            panic!("seed {seed}: {breach}\n{}\n{log:?}", life.plans);
        }
        assert!(
            life.world.end().is_some_and(|end| end.is_ok()),
            "seed {seed}: L5"
        );
        assert_eq!(life.world.shell.tasks(), 0, "seed {seed}");
        hand_overs += life.epoch - 1;
    }
    assert!(SEEDS < hand_overs, "hardly anything happened");
}

/// The checker finds what it is for.
#[test]
fn the_checker_can_fail() {
    let plans = "d".repeat(MESSAGES as usize);
    let done = |position| {
        [
            Event::Start(position, 1),
            Event::End(position, 1, Ending::Done),
        ]
    };
    let whole: Vec<Event> = (1..=MESSAGES).flat_map(done).collect();
    let end = Event::Commit(1, MESSAGES + 1);
    let with = |extra: &[Event]| [&whole[..], core::slice::from_ref(&end), extra].concat();
    assert_eq!(check(&with(&[]), &plans), Ok(()));
    for (extra, breach) in [
        (&[Event::Start(1, 1)][..], "S4"),
        (&[Event::Lost(1), Event::Start(1, 1)], "S5"),
        (&[Event::Commit(1, 3)], "S3"),
        (&[Event::Commit(1, MESSAGES + 2)], "S3"),
    ] {
        let found = check(&with(extra), &plans).unwrap_err();
        assert!(found.starts_with(breach), "{found}");
    }
    assert!(check(&whole, &plans).unwrap_err().starts_with("L1"));
    let beside = [Event::Start(1, 1), Event::Start(2, 1)];
    let same = "A".repeat(MESSAGES as usize);
    assert!(check(&beside, &same).unwrap_err().starts_with("S1"));
    let turned = [done(2), done(1)].concat();
    assert!(check(&turned, &same).unwrap_err().starts_with("S2"));
}
