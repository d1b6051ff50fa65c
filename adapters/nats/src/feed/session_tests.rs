//! Sessions on hand-made frames: what a real server does too seldom to wait for it.

use core::time::Duration;

use procession_core::{Continuity, Epoch, PartitionId, Position, Session as Number, Start};
use procession_runtime::port::{BreakReason, FeedEvent};
use tokio::time::Instant;

use super::session::{Place, Session};
use crate::wire::{Message, Outbox};

const STAMP: u64 = 1_700_000_000_000_000_000;

/// A session, what it sent, and the names that it chose.
struct Bench {
    session: Session,
    out: Outbox,
    inbox: String,
    consumer: String,
    events: Vec<FeedEvent>,
    now: Instant,
}

impl Bench {
    /// A session that runs, with credit, and its first pull on the way.
    fn running() -> Self {
        let place = Place {
            stream: "s".into(),
            filter: "t.0".into(),
            max_payload: 1 << 20,
            pull_bytes_max: 1 << 20,
            heartbeat: Duration::from_millis(500),
        };
        let start = Start {
            partition: PartitionId(0),
            epoch: Epoch(1),
            session: Number(1),
            at: Position(1),
            expect: None,
        };
        let (now, mut out) = (Instant::now(), Outbox::default());
        let session = Session::begin(start, &place, 7, now, &mut out);
        let sent = String::from_utf8(out.pending().to_vec()).unwrap();
        let between = |a: &str, b: &str| {
            let from = sent.find(a).unwrap() + a.len();
            sent[from..from + sent[from..].find(b).unwrap()].to_owned()
        };
        let mut this = Self {
            inbox: between("SUB ", "*"),
            consumer: between("CONSUMER.CREATE.s.", "."),
            session,
            out,
            events: Vec::new(),
            now,
        };
        let created = br#"{"num_pending":5,"delivered":{"consumer_seq":0,"stream_seq":0}}"#;
        assert_eq!(this.answer("create", created), Ok(()));
        assert!(matches!(
            this.events.pop(),
            Some(FeedEvent::Session {
                continuity: Continuity::Continues,
                ..
            })
        ));
        this.session.pulls.grant(100, 1 << 20);
        this.session.turn(now, true, &mut this.out).unwrap();
        assert!(this.sent().contains("CONSUMER.MSG.NEXT.s."));
        this
    }

    /// Everything that was sent since the last call.
    fn sent(&mut self) -> String {
        let sent = String::from_utf8(self.out.pending().to_vec()).unwrap();
        self.out.clear();
        sent
    }

    fn message(&mut self, message: &Message<'_>) -> Result<(), BreakReason> {
        self.session
            .message(self.now, message, &mut self.out, &mut self.events)
    }

    fn answer(&mut self, token: &str, payload: &[u8]) -> Result<(), BreakReason> {
        let subject = format!("{}{token}", self.inbox);
        self.message(&Message {
            subject: subject.as_bytes(),
            sid: 7,
            payload,
            ..Message::default()
        })
    }

    fn status(&mut self, pull: u64, block: &str) -> Result<(), BreakReason> {
        let subject = format!("{}{pull}", self.inbox);
        self.message(&Message {
            subject: subject.as_bytes(),
            sid: 7,
            header: format!("NATS/1.0 {block}\r\n\r\n").as_bytes(),
            ..Message::default()
        })
    }

    fn deliver_from(&mut self, consumer: &str, stream: u64, number: u64) {
        let reply = format!("$JS.ACK.s.{consumer}.1.{stream}.{number}.{STAMP}.0");
        let message = Message {
            subject: b"t.0",
            sid: 7,
            reply: reply.as_bytes(),
            header: b"",
            payload: b"x",
        };
        self.message(&message).unwrap();
    }

    fn deliver(&mut self, stream: u64, number: u64) {
        let consumer = self.consumer.clone();
        self.deliver_from(&consumer, stream, number);
    }

    /// Positions and delivery numbers that were handed over.
    fn records(&mut self) -> Vec<(u64, u64)> {
        self.session.flush(&mut self.events);
        let mut all = Vec::new();
        for event in self.events.drain(..) {
            if let FeedEvent::Records { records, .. } = event {
                all.extend(records.iter().map(|r| (r.position.0, r.delivery.unwrap())));
            }
        }
        all
    }
}

#[test]
fn a_heartbeat_that_is_ahead_means_a_lost_tail() {
    // F-LM3: the last deliveries vanish and nothing follows.
    let mut bench = Bench::running();
    bench.deliver(3, 1);
    let level = "100 Idle Heartbeat\r\nNats-Last-Consumer: 1\r\nNats-Last-Stream: 5";
    assert_eq!(bench.status(1, level), Ok(()));
    // Records before the advance, so that the core sees them in order.
    assert!(matches!(bench.events[0], FeedEvent::Records { .. }));
    assert!(matches!(
        bench.events[1],
        FeedEvent::Advance {
            position: Position(6),
            ..
        }
    ));
    let ahead = "100 Idle Heartbeat\r\nNats-Last-Consumer: 2\r\nNats-Last-Stream: 6";
    assert_eq!(bench.status(1, ahead), Err(BreakReason::TailLost));
}

#[test]
fn a_jump_is_the_cores_to_judge() {
    // F-LM1: the numbers are handed over as they came.
    let mut bench = Bench::running();
    bench.deliver(3, 1);
    bench.deliver(9, 4);
    assert_eq!(bench.records(), [(3, 1), (9, 4)]);
}

#[test]
fn deliveries_of_other_consumers_are_dropped() {
    // F-LM9: old pulls survive a quick reconnect.
    let mut bench = Bench::running();
    bench.deliver_from("pother", 3, 1);
    assert_eq!(bench.records(), []);
}

#[test]
fn every_status_is_accounted() {
    let gone = Err(BreakReason::Gone);
    for (block, result) in [
        (
            "408 Request Timeout\r\nNats-Pending-Messages: 100\r\nNats-Pending-Bytes: 9",
            Ok(()),
        ),
        (
            "409 Batch Completed\r\nNats-Pending-Messages: 0\r\nNats-Pending-Bytes: 5",
            Ok(()),
        ),
        ("409 Message Size Exceeds MaxBytes", Ok(())),
        ("409 Exceeded MaxWaiting", Ok(())),
        ("409 Exceeded MaxRequestBatch of 10", Ok(())),
        ("404 No Messages", Ok(())),
        ("400 Bad Request", Ok(())),
        ("409 Consumer Deleted", gone),
        ("409 Server Shutdown", gone),
        ("409 Leadership Change", gone),
        ("503", gone),
    ] {
        let mut bench = Bench::running();
        assert_eq!(bench.status(1, block), result, "{block}");
        if result.is_ok() {
            // The pull is over: another one is sent, at once or after the waiting time.
            let later = bench.now + Duration::from_millis(150);
            bench.session.turn(later, true, &mut bench.out).unwrap();
            assert!(bench.sent().contains("CONSUMER.MSG.NEXT"), "{block}");
        }
        // Statuses of pulls that are not known change nothing.
        let mut bench = Bench::running();
        let _ = bench.status(99, block);
        bench.session.turn(bench.now, true, &mut bench.out).unwrap();
        assert!(!bench.sent().contains("CONSUMER.MSG.NEXT"), "{block}");
    }
}

#[test]
fn silence_ends_a_session_unless_it_is_ours() {
    let mut bench = Bench::running();
    let late = bench.now + bench.session.pulls.silence();
    // Not everything that the server has sent was read.
    assert_eq!(bench.session.turn(late, false, &mut bench.out), Ok(()));
    let silent = bench.session.turn(late, true, &mut bench.out);
    assert_eq!(silent, Err(BreakReason::Silence));
}
