//! Publishing: order, dedupe, room.

use procession_core::Span;
use procession_memory::Settings;
use procession_runtime::port::{
    Broker, Outgoing, PortErrorKind, SinkCommand, SinkEvent, SinkReceipt,
};

use crate::member::{Member, Publisher, broker, create, message, name, now};

#[test]
fn stores_in_order_and_answers_each() {
    let (broker, _) = broker(Settings::default());
    create(&broker, "t", 1);
    let mut publisher = Publisher::new(&broker);
    for id in 0..100 {
        publisher.send(message("t", id, 10));
    }
    let expected: Vec<_> = (1..=100).map(|position| (position, false)).collect();
    assert_eq!(publisher.stored(), expected);
    let log = now(broker.audit(name("t"))).unwrap();
    assert_eq!(log.len(), 100);
    for pair in log.windows(2) {
        assert!(
            pair[0].1.stamp < pair[1].1.stamp,
            "stamps grow and are unique"
        );
    }
    let (_, record) = &log[41];
    assert_eq!(record.key.as_deref(), Some(b"key-41".as_slice()));
    assert_eq!(record.headers.get("NAME"), Some(b"value".as_slice()));
    assert_eq!(record.payload.len(), 10);
}

#[test]
fn keys_choose_partitions_and_fixed_partitions_win() {
    let (broker, _) = broker(Settings::default());
    create(&broker, "t", 7);
    let mut publisher = Publisher::new(&broker);
    for id in 0..50 {
        publisher.send(Outgoing {
            partition: None,
            ..message("t", id, 1)
        });
    }
    assert_eq!(publisher.poll().len(), 50);
    for (partition, record) in now(broker.audit(name("t"))).unwrap() {
        let key = record.key.unwrap();
        assert_eq!(partition, procession_runtime::partition_of(&key, 7));
    }
    publisher.send(Outgoing {
        partition: Some(7),
        ..message("t", 99, 1)
    });
    let [
        SinkEvent::Result {
            receipt: SinkReceipt::NotStored(error),
            ..
        },
    ] = &publisher.poll()[..]
    else {
        panic!("stored in a partition that does not exist");
    };
    assert!(
        error.message.contains("partition 7 of topic `t`"),
        "{error}"
    );
}

/// SC-N8: a second publish of an identity is answered with the first one's place, inside the window
/// and over connections; a copy past the dedupe, and one outside the window, is stored anew.
#[test]
fn recognises_identities_within_the_window() {
    let (broker, hand) = broker(Settings::default());
    create(&broker, "t", 1);
    let mut publisher = Publisher::new(&broker);
    publisher.send(message("t", 1, 1));
    publisher.send(message("t", 1, 1));
    publisher.send(Outgoing {
        copy: 1,
        ..message("t", 1, 1)
    });
    assert_eq!(publisher.stored(), [(1, false), (1, true), (2, false)]);
    drop(publisher);
    let mut publisher = Publisher::new(&broker);
    hand.pass(Span::from_secs(119));
    publisher.send(message("t", 1, 1));
    assert_eq!(publisher.stored(), [(1, true)]);
    hand.pass(Span::from_secs(2));
    publisher.send(message("t", 1, 1));
    assert_eq!(publisher.stored(), [(3, false)]);
}

#[test]
fn refuses_what_cannot_be_stored() {
    let (broker, _) = broker(Settings::default());
    create(&broker, "t", 1);
    let mut publisher = Publisher::new(&broker);
    publisher.send(message("nowhere", 1, 1));
    publisher.send(message("t", 2, 1 << 20));
    let kinds: Vec<_> = publisher
        .poll()
        .into_iter()
        .map(|event| match event {
            SinkEvent::Result {
                receipt: SinkReceipt::NotStored(error),
                ..
            } => error.kind,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kinds, [PortErrorKind::Missing, PortErrorKind::TooLarge]);
}

/// S7, S10: a full log makes publishers wait; closing says that what waited was not stored.
#[test]
fn a_full_log_makes_publishers_wait_and_close_answers_them() {
    let (broker, _) = broker(Settings {
        log_bytes: 64 << 10,
        ..Settings::default()
    });
    create(&broker, "t", 1);
    // A group that commits nothing holds everything back.
    let member = Member::new(&broker, "t", "g", "a");
    let mut publisher = Publisher::new(&broker);
    for id in 0..100 {
        publisher.send(message("t", id, 1_000));
    }
    let stored = publisher.stored().len();
    assert!((30..100).contains(&stored), "{stored} of 100 found room");
    assert!(broker.log_bytes() <= 64 << 10);
    assert!(publisher.poll().is_empty(), "the others wait");
    publisher.sink.submit(SinkCommand::Close);
    let events = publisher.poll();
    assert_eq!(events.len(), 100 - stored + 1);
    let refused = events.iter().filter(|event| {
        matches!(event, SinkEvent::Result { receipt: SinkReceipt::NotStored(error), .. }
            if error.kind == PortErrorKind::Disconnected)
    });
    assert_eq!(refused.count(), 100 - stored);
    assert!(matches!(events.last(), Some(SinkEvent::Closed)));
    drop(member);
}

/// S10: what waits for room is stored once there is some, and not before.
#[test]
fn what_waits_for_room_is_stored_once_there_is_some() {
    let (broker, _) = broker(Settings::default());
    create(&broker, "t", 1);
    let mut publisher = Publisher::new(&broker);
    broker.hooks().fill(true);
    publisher.send(message("t", 1, 1));
    assert!(publisher.poll().is_empty(), "it waits");
    assert!(now(broker.audit(name("t"))).unwrap().is_empty());
    broker.hooks().fill(false);
    assert_eq!(publisher.stored(), [(1, false)]);
}

/// S8: what was sent before a cut either is in the log or never will be; its answer is lost.
#[test]
fn a_cut_loses_answers() {
    let (broker, _) = broker(Settings::default());
    create(&broker, "t", 1);
    let mut publisher = Publisher::new(&broker);
    for (id, lands) in [(1, true), (2, false)] {
        publisher.send(message("t", id, 1));
        broker.hooks().cut_sinks(lands);
        let events = publisher.poll();
        assert!(
            matches!(events[..], [SinkEvent::Disconnected, SinkEvent::Connected]),
            "{events:?}"
        );
    }
    publisher.send(message("t", 1, 1));
    publisher.send(message("t", 2, 1));
    assert_eq!(publisher.stored(), [(1, true), (2, false)]);
}
