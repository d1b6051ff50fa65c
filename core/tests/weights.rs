//! Shares by weight: in proportion under load, nobody starves, and what is at a frontier gets in.
#![allow(missing_docs, clippy::unwrap_used)]

use procession_core::*;
use proptest::prelude::*;

const BYTES: u32 = 100;

/// So many messages of 100 bytes, all partitions open and delivering.
struct World {
    bus: Consumer<u64>,
    /// The next position of each partition.
    next: Vec<u64>,
    epoch: u64,
}

impl World {
    fn new(messages: u32, partitions: u32) -> Self {
        let config = Config {
            partitions,
            message_bytes_max: BYTES,
            limits: Limits {
                messages,
                bytes: u64::from(BYTES) * u64::from(messages),
                partition_messages: messages,
                partition_bytes: u64::from(BYTES) * u64::from(messages),
                low_water_percent: 100,
            },
            ..Config::default()
        };
        let mut new = Self {
            bus: Consumer::new(&config).unwrap(),
            next: vec![1; partitions as usize],
            epoch: 0,
        };
        for p in 0..partitions {
            new.open(p);
        }
        new
    }

    fn open(&mut self, p: u32) {
        let (bus, now) = (&mut self.bus, Time::ZERO);
        self.epoch += 1;
        let epoch = Epoch(self.epoch);
        let resume = Resume {
            frontier: Some(Position(self.next[p as usize])),
            log_end: Position(u64::MAX),
            ..Resume::default()
        };
        bus.open(now, PartitionId(p), epoch, &resume, None);
        while let Some(start) = bus.poll_session(now) {
            let epoch = start.epoch;
            let found = Continuity::Continues;
            bus.session(now, start.partition, epoch, start.session, found);
        }
    }

    fn weigh(&mut self, p: u32, weight: u32) {
        let told = self.bus.set_weight(Time::ZERO, PartitionId(p), weight);
        told.unwrap();
    }

    /// Offers the next one of a partition; whether it got in.
    fn offer(&mut self, p: u32) -> bool {
        let position = self.next[p as usize];
        let arrival = Arrival {
            partition: PartitionId(p),
            epoch: self.bus.epoch(PartitionId(p)).unwrap(),
            session: Session(1),
            delivery: None,
            position: Position(position),
            stamp: Stamp(0),
            lane: u64::from(p) << 32 | position,
            key: Some(1),
            identity: u128::from(position) << 64 | u128::from(p),
            bytes: BYTES,
            expires: None,
            sequence: None,
            quarantine: None,
            message: u64::from(p),
        };
        let came = self.bus.offer(Time::ZERO, arrival).is_ok();
        self.next[p as usize] += u64::from(came);
        came
    }

    /// Everybody offers in turn until nobody gets anything in.
    fn fill(&mut self) {
        let partitions = self.next.len() as u32;
        let mut full = 0;
        while full < partitions {
            full = 0;
            for p in 0..partitions {
                full += u32::from(!self.offer(p));
            }
        }
    }

    /// The oldest of those that are ready is handled.
    fn handle(&mut self) -> Option<u64> {
        let dispatch = self.bus.poll_dispatch(Time::ZERO)?;
        let settled = self.bus.settle(Time::ZERO, dispatch.token, Outcome::Done);
        settled.unwrap();
        while self.bus.poll_flow().is_some() {}
        Some(dispatch.message)
    }

    fn held(&self, p: u32) -> usize {
        self.bus.held().filter(|h| h.0 == PartitionId(p)).count()
    }
}

/// One greedy partition takes all that it can; what the others can still take are their shares.
#[test]
fn s7_shares_are_in_proportion_to_weights() {
    let mut world = World::new(1_000, 4);
    for (p, weight) in [(1, 2), (2, 3), (3, 4)] {
        world.weigh(p, weight);
    }
    while world.offer(0) {}
    assert_eq!(
        world.held(0),
        550,
        "its share of 50, and the half for whoever comes first"
    );
    for p in 1..4 {
        while world.offer(p) {}
    }
    let held: Vec<_> = (0..4).map(|p| world.held(p)).collect();
    assert_eq!(held, [550, 100, 150, 200]);
    world.bus.check_invariants().unwrap();
}

#[test]
fn l1_what_is_at_a_frontier_gets_in_with_weight_1_beside_1_000() {
    let mut world = World::new(20, 4);
    for p in 0..3 {
        world.weigh(p, WEIGHT_MAX);
    }
    for p in 0..3 {
        while world.offer(p) {}
    }
    assert_eq!(world.bus.credit(PartitionId(3)).messages, 1);
    assert!(world.offer(3), "one message is kept for it");
    assert!(!world.offer(3));
    world.bus.check_invariants().unwrap();
}

/// With less credit than one message each, they take turns beyond it, whatever they weigh.
#[test]
fn l1_with_less_credit_than_partitions_nobody_starves() {
    let mut world = World::new(4, 6);
    world.weigh(0, WEIGHT_MAX);
    world.fill();
    let mut handled = [0; 6];
    for turn in 0..600 {
        let p = world.handle().unwrap();
        handled[p as usize] += 1;
        for i in 0..6 {
            let _ = world.offer((turn + i) % 6);
        }
        world.bus.check_invariants().unwrap();
    }
    assert!(handled.iter().all(|n| *n > 10), "{handled:?}");
}

#[test]
fn weights_outlive_epochs_and_snapshots_and_wrong_ones_are_refused() {
    let mut world = World::new(100, 3);
    world.weigh(1, 8);
    let (bus, now) = (&mut world.bus, Time::ZERO);
    assert_eq!(
        bus.set_weight(now, PartitionId(3), 1),
        Err(NotWeighed::Partition)
    );
    for weight in [0, WEIGHT_MAX + 1, u32::MAX] {
        let told = bus.set_weight(now, PartitionId(0), weight);
        assert_eq!(told, Err(NotWeighed::Weight));
    }
    bus.lose(now, PartitionId(1), Epoch(2));
    assert_eq!(
        bus.credit(PartitionId(0)).messages,
        75,
        "alone with another of its weight"
    );
    world.open(1);
    let mut bytes = Vec::new();
    world.bus.snapshot(None, |_, _| {}, &mut bytes);
    let config = Config {
        partitions: 3,
        message_bytes_max: BYTES,
        limits: Limits {
            messages: 100,
            bytes: 10_000,
            partition_messages: 100,
            partition_bytes: 10_000,
            low_water_percent: 100,
        },
        ..Config::default()
    };
    let restored = Consumer::restore(&config, &bytes, |_| Some(0)).unwrap();
    for bus in [&world.bus, &restored] {
        assert_eq!(bus.weight(PartitionId(1)), Some(8));
        assert_eq!(bus.weight(PartitionId(3)), None);
        // Of 50, the others may count on 45 together.
        assert_eq!(bus.credit(PartitionId(0)).messages, 55);
        assert_eq!(bus.credit(PartitionId(1)).messages, 90);
    }
}

#[test]
fn a_pause_ends_when_a_partition_has_become_heavier() {
    let mut world = World::new(100, 2);
    world.fill();
    assert!(matches!(world.bus.poll_flow(), Some(Flow::Pause(_))));
    assert!(matches!(world.bus.poll_flow(), Some(Flow::Pause(_))));
    assert_eq!(world.bus.poll_flow(), None);
    let before = world.held(0) as u32;
    // All is held, so a larger share is nothing that could be paid out: what the other one is held
    // beyond its own has to go first.
    world.weigh(0, WEIGHT_MAX);
    while world.held(1) > 2 {
        world.handle();
    }
    while world.offer(0) {}
    assert!(world.held(0) as u32 > before, "{before}");
    assert!(world.held(0) >= 50);
    world.bus.check_invariants().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Whatever is weighed when: after everything that was held has been handled, everybody gets its
    /// share in while one takes all that it can, and until then nobody waits for ever.
    #[test]
    fn s7_l1_shares_hold_while_weights_change(
        messages in 12u32..400,
        partitions in 2u32..7,
        steps in proptest::collection::vec((any::<u32>(), prop_oneof![1u32..8, Just(1), Just(1_000)], 0u32..64), 1..40),
        greedy in any::<u32>(),
    ) {
        let mut world = World::new(messages, partitions);
        world.fill();
        for (which, weight, handled) in steps {
            world.weigh(which % partitions, weight);
            world.bus.check_invariants().unwrap();
            for _ in 0..handled {
                world.handle();
                for p in 0..partitions {
                    let empty = world.held(p) == 0;
                    let came = world.offer(p);
                    prop_assert!(!empty || came, "L1: {p}");
                }
            }
            world.bus.check_invariants().unwrap();
        }
        while world.handle().is_some() {}
        let weights: Vec<u64> = (0..partitions)
            .map(|p| world.bus.weight(PartitionId(p)).unwrap().into())
            .collect();
        let greedy = greedy % partitions;
        while world.offer(greedy) {}
        for p in 0..partitions {
            while p != greedy && world.offer(p) {}
        }
        world.bus.check_invariants().unwrap();
        let (half, sum) = (u64::from(messages / 2), weights.iter().sum::<u64>());
        prop_assert!(world.bus.stats().held <= messages);
        for p in 0..partitions {
            let held = world.held(p) as u64;
            prop_assert!(held >= 1);
            // What the floors of others cost is at most one message each; and bytes are rounded by
            // themselves.
            let share = (half.saturating_sub(partitions.into())) * weights[p as usize] / sum;
            prop_assert!(held >= share, "{p}: {held} of {share}");
            let most = (half * weights[p as usize] / sum).max(1);
            prop_assert!(p == greedy || held <= most + u64::from(partitions), "{p}: {held} beyond {most}");
        }
    }
}
