//! A hot key cannot take all credit.
#![allow(missing_docs, clippy::unwrap_used)]

use procession_core::*;

fn live(key_messages: u32) -> Consumer<u64> {
    let config = Config {
        partitions: 2,
        key_messages,
        limits: Limits {
            messages: 100,
            low_water_percent: 50,
            ..Config::default().limits
        },
        ..Config::default()
    };
    let mut bus = Consumer::new(&config).unwrap();
    for p in 0..2 {
        bus.open(
            Time::ZERO,
            PartitionId(p),
            Epoch(1),
            &Resume::default(),
            None,
        );
        let start = bus.poll_session(Time::ZERO).unwrap();
        let (partition, found) = (start.partition, Continuity::Continues);
        bus.session(Time::ZERO, partition, start.epoch, start.session, found);
    }
    bus
}

fn offer(bus: &mut Consumer<u64>, p: u32, position: u64, key: u64) -> Result<Admit, Refusal> {
    let arrival = Arrival {
        partition: PartitionId(p),
        epoch: Epoch(1),
        session: Session(1),
        delivery: None,
        position: Position(position),
        stamp: Stamp(position),
        lane: key,
        key: Some(key.into()),
        identity: u128::from(p) << 64 | u128::from(position),
        bytes: 1,
        expires: None,
        sequence: None,
        quarantine: None,
        message: position,
    };
    let admit = bus.offer(Time::ZERO, arrival).map_err(|r| r.why);
    bus.check_invariants().unwrap();
    admit
}

fn finish_next(bus: &mut Consumer<u64>) {
    let token = bus.poll_dispatch(Time::ZERO).unwrap().token;
    bus.settle(Time::ZERO, token, Outcome::Done).unwrap();
    bus.check_invariants().unwrap();
}

#[test]
fn s7_beyond_its_cap_a_key_shuts_the_intake_of_its_partition_only() {
    let mut bus = live(4);
    for position in 1..=4 {
        assert_eq!(offer(&mut bus, 0, position, 7), Ok(Admit::Queued));
    }
    let full = Err(Refusal::Credit);
    assert_eq!(offer(&mut bus, 0, 5, 7), full);
    assert_eq!(bus.poll_flow(), Some(Flow::Pause(PartitionId(0))));
    assert_eq!(bus.credit(PartitionId(0)), Credit::default());
    // Others go on, and one message of the key gets in where its partition holds nothing.
    assert_eq!(offer(&mut bus, 1, 1, 7), Ok(Admit::Queued));
    assert_eq!(offer(&mut bus, 1, 2, 8), Ok(Admit::Queued));
    assert_eq!(offer(&mut bus, 1, 3, 7), full);
    // Five are held of the key; half of four is low enough.
    let _ = bus.poll_flow();
    let mut freed = 0;
    while bus.poll_flow().is_none() {
        finish_next(&mut bus);
        freed += 1;
        assert!(freed < 8);
    }
    assert_eq!(offer(&mut bus, 0, 5, 7), Ok(Admit::Queued));
}

#[test]
fn without_a_cap_a_key_may_take_what_there_is() {
    let mut bus = live(u32::MAX);
    let mut taken = 0;
    while offer(&mut bus, 0, taken + 1, 7).is_ok() {
        taken += 1;
    }
    assert!(taken >= 50, "{taken}");
}
