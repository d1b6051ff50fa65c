//! The rules of publishing, one by one, named after the promise that they keep.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use procession_core::{
    Answer, Backoff, NoRoom, Producer, ProducerConfig, Publish, Published, Room, Span, Time, Token,
    Unsent,
};

const SECOND: u64 = 1_000_000_000;

fn at(seconds: u64) -> Time {
    Time::from_nanos(seconds * SECOND)
}

fn config() -> ProducerConfig {
    ProducerConfig {
        messages: 8,
        bytes: 1_000,
        in_flight: 8,
        low_water_percent: 50,
        pipelining: false,
        batch: 1,
        backoff: Backoff {
            first: Span::from_secs(1),
            max: Span::from_secs(4),
            jitter_percent: 0,
        },
        seed: 1,
    }
}

/// A producer of numbered messages, checked after every step.
struct Bench {
    producer: Producer<u32>,
    now: Time,
}

impl Bench {
    fn new(config: &ProducerConfig) -> Self {
        Self {
            producer: Producer::new(config).unwrap(),
            now: at(0),
        }
    }

    fn check(&self) {
        assert_eq!(self.producer.check_invariants(), Ok(()));
    }

    fn try_publish(&mut self, lane: u64, bytes: u32, message: u32) -> Result<Token, NoRoom> {
        let publish = Publish {
            lane,
            bytes,
            deadline: at(30),
            message,
        };
        let result = self.producer.publish(self.now, publish).map_err(|full| {
            assert_eq!(
                full.publish.message, message,
                "a refusal gives the message back"
            );
            full.why
        });
        self.check();
        result
    }

    fn publish(&mut self, lane: u64, message: u32) -> Token {
        self.try_publish(lane, 1, message).unwrap()
    }

    /// The messages that are sent now, with their attempts.
    fn sends(&mut self) -> Vec<(u32, u32)> {
        let mut sent = Vec::new();
        while let Some(transmit) = self.producer.poll_send(self.now) {
            sent.push((*transmit.message, transmit.attempt));
        }
        self.check();
        sent
    }

    fn settle(&mut self, token: Token, attempt: u32, answer: Answer) -> bool {
        let settled = self
            .producer
            .settle(self.now, token, attempt, answer)
            .is_ok();
        self.check();
        settled
    }

    fn results(&mut self) -> Vec<(u32, Published)> {
        let mut results = Vec::new();
        while let Some(done) = self.producer.poll_receipt() {
            results.push((done.message, done.result));
        }
        self.check();
        results
    }

    fn wait(&mut self, until: u64) {
        self.now = at(until);
        self.producer.handle_timeout(self.now);
        self.check();
    }

    fn lose(&mut self) {
        self.producer.connection_lost(self.now);
        self.check();
    }

    fn restore(&mut self) {
        self.producer.connection_restored(self.now);
        self.check();
    }
}

#[test]
fn s8_one_of_a_key_is_on_its_way_and_many_keys_are() {
    let mut bench = Bench::new(&config());
    let a1 = bench.publish(1, 11);
    bench.publish(1, 12);
    bench.publish(2, 21);
    assert_eq!(bench.sends(), [(11, 1), (21, 1)]);
    assert!(bench.settle(a1, 1, Answer::Stored));
    assert_eq!(bench.sends(), [(12, 1)]);
    assert_eq!(bench.results(), [(11, Published::Stored)]);
}

#[test]
fn s8_a_broker_that_keeps_order_gets_several_of_a_key() {
    let mut bench = Bench::new(&ProducerConfig {
        pipelining: true,
        ..config()
    });
    bench.publish(1, 11);
    bench.publish(1, 12);
    bench.publish(2, 21);
    assert_eq!(
        bench.sends(),
        [(11, 1), (21, 1), (12, 1)],
        "keys take turns"
    );
}

#[test]
fn s8_pipelined_successors_wait_for_a_failed_one_and_go_again_behind_it() {
    let mut bench = Bench::new(&ProducerConfig {
        pipelining: true,
        ..config()
    });
    let (a, b) = (bench.publish(1, 11), bench.publish(1, 12));
    assert_eq!(bench.sends(), [(11, 1), (12, 1)]);
    bench.publish(1, 13);
    assert!(bench.settle(a, 1, Answer::Retry));
    bench.wait(1);
    assert_eq!(bench.sends(), [], "12 is still on its way");
    assert!(bench.settle(b, 1, Answer::Retry));
    assert_eq!(bench.sends(), [(11, 2)]);
    bench.wait(2);
    assert_eq!(bench.sends(), [], "what is sent again goes one by one");
    assert!(bench.settle(a, 2, Answer::Stored));
    assert_eq!(bench.sends(), [(12, 2), (13, 1)]);
}

#[test]
fn s8_nothing_new_follows_while_what_flew_with_a_failed_one_is_out() {
    let mut bench = Bench::new(&ProducerConfig {
        pipelining: true,
        ..config()
    });
    let publish = Publish {
        lane: 1,
        bytes: 1,
        deadline: at(1),
        message: 11,
    };
    let a = bench.producer.publish(at(0), publish).unwrap();
    let b = bench.publish(1, 12);
    assert_eq!(bench.sends(), [(11, 1), (12, 1)]);
    assert!(bench.settle(a, 1, Answer::Retry));
    bench.wait(1);
    assert_eq!(
        bench.results(),
        [(11, Published::Refused(Unsent::Deadline))]
    );
    bench.publish(1, 13);
    assert_eq!(
        bench.sends(),
        [],
        "the broker may have dropped 12 together with 11"
    );
    assert!(bench.settle(b, 1, Answer::Retry));
    bench.wait(2);
    assert_eq!(bench.sends(), [(12, 2), (13, 1)]);
}

#[test]
fn s8_what_was_overtaken_is_never_sent_again() {
    let mut bench = Bench::new(&ProducerConfig {
        pipelining: true,
        ..config()
    });
    let (a, b, c) = (
        bench.publish(1, 11),
        bench.publish(1, 12),
        bench.publish(1, 13),
    );
    assert_eq!(bench.sends().len(), 3);
    assert!(bench.settle(a, 1, Answer::Retry));
    assert!(bench.settle(c, 1, Answer::Stored));
    assert_eq!(
        bench.results(),
        [
            (13, Published::Stored),
            (11, Published::Refused(Unsent::Overtaken))
        ]
    );
    assert!(bench.settle(b, 1, Answer::Retry));
    assert_eq!(
        bench.results(),
        [(12, Published::Refused(Unsent::Overtaken))]
    );
}

#[test]
fn s8_a_passing_failure_is_repeated_under_the_same_token_until_the_deadline() {
    let mut bench = Bench::new(&config());
    let a = bench.publish(1, 11);
    bench.publish(1, 12);
    assert_eq!(bench.sends(), [(11, 1)]);
    assert!(bench.settle(a, 1, Answer::Retry));
    assert_eq!(bench.sends(), [], "the backoff is not over, and 12 waits");
    assert_eq!(bench.producer.poll_timeout(), Some(at(1)));
    bench.wait(1);
    assert_eq!(bench.sends(), [(11, 2)]);
    assert!(bench.settle(a, 2, Answer::Retry));
    bench.wait(3);
    assert_eq!(bench.sends(), [(11, 3)]);
    assert!(bench.settle(a, 3, Answer::Retry));
    bench.wait(30);
    assert_eq!(
        bench.results(),
        [
            (11, Published::Refused(Unsent::Deadline)),
            (12, Published::Refused(Unsent::Deadline))
        ],
        "every send surely failed, or there was none"
    );
}

#[test]
fn s8_an_unknown_outcome_is_repeated_and_nothing_newer_is_sent() {
    let mut bench = Bench::new(&config());
    let a = bench.publish(1, 11);
    bench.publish(1, 12);
    assert_eq!(bench.sends(), [(11, 1)]);
    assert!(bench.settle(a, 1, Answer::Unknown));
    bench.wait(1);
    assert_eq!(bench.sends(), [(11, 2)]);
    assert!(bench.settle(a, 2, Answer::Stored));
    assert_eq!(bench.sends(), [(12, 1)]);
}

#[test]
fn s8_an_unknown_end_refuses_its_successors_in_order_and_blocks_its_key() {
    let mut bench = Bench::new(&config());
    let a = bench.publish(1, 11);
    assert_eq!(bench.sends(), [(11, 1)]);
    bench.now = at(1);
    for message in [12, 13] {
        let publish = Publish {
            lane: 1,
            bytes: 1,
            deadline: at(60),
            message,
        };
        bench.producer.publish(bench.now, publish).unwrap();
    }
    bench.wait(30);
    assert_eq!(
        bench.results(),
        [
            (11, Published::Unknown),
            (12, Published::Refused(Unsent::Predecessor)),
            (13, Published::Refused(Unsent::Predecessor)),
        ]
    );
    let publish = Publish {
        lane: 1,
        bytes: 1,
        deadline: at(60),
        message: 14,
    };
    bench.producer.publish(bench.now, publish).unwrap();
    assert_eq!(bench.sends(), [], "11 may still land");
    assert!(
        bench.settle(a, 1, Answer::Stored),
        "a late answer frees the key"
    );
    assert_eq!(bench.results(), [], "and changes no result");
    assert_eq!(bench.sends(), [(14, 1)]);
    assert!(!bench.settle(a, 1, Answer::Stored), "once");
}

#[test]
fn l2_a_key_that_only_a_new_connection_can_free_is_told() {
    let mut bench = Bench::new(&config());
    let a = bench.publish(1, 11);
    assert_eq!(bench.sends(), [(11, 1)]);
    bench.wait(30);
    assert_eq!(bench.producer.stats().stuck, 0, "a late answer can come");
    assert!(bench.settle(a, 1, Answer::Unknown));
    assert_eq!(bench.producer.stats().stuck, 1);
    bench.lose();
    bench.restore();
    assert_eq!(bench.producer.stats().stuck, 0);
}

#[test]
fn s8_a_new_connection_frees_a_blocked_key() {
    let mut bench = Bench::new(&config());
    bench.publish(1, 11);
    assert_eq!(bench.sends(), [(11, 1)]);
    bench.wait(30);
    assert_eq!(bench.results(), [(11, Published::Unknown)]);
    let publish = Publish {
        lane: 1,
        bytes: 1,
        deadline: at(60),
        message: 12,
    };
    bench.producer.publish(bench.now, publish).unwrap();
    bench.lose();
    assert_eq!(bench.sends(), []);
    bench.restore();
    assert_eq!(bench.sends(), [(12, 1)]);
    assert_eq!(bench.producer.stats().uncertain, 0);
}

#[test]
fn s8_what_was_on_its_way_goes_again_first_after_a_reconnect() {
    let mut bench = Bench::new(&config());
    bench.publish(1, 11);
    bench.publish(1, 12);
    assert_eq!(bench.sends(), [(11, 1)]);
    bench.lose();
    bench.publish(2, 21);
    assert_eq!(bench.sends(), [], "nothing is sent without a connection");
    bench.restore();
    assert_eq!(bench.sends(), [(21, 1), (11, 2)]);
}

#[test]
fn s10_uncertain_before_the_reconnect_and_refused_after_it_is_unknown() {
    let mut bench = Bench::new(&config());
    let a = bench.publish(1, 11);
    bench.publish(1, 12);
    assert_eq!(bench.sends(), [(11, 1)]);
    bench.lose();
    bench.restore();
    assert_eq!(bench.sends(), [(11, 2)]);
    assert!(bench.settle(a, 2, Answer::NotStored));
    assert_eq!(
        bench.results(),
        [(11, Published::Unknown)],
        "the first send may be in the log"
    );
    assert_eq!(bench.sends(), [(12, 1)], "but it cannot land any more");
}

#[test]
fn s10_refused_for_good_is_refused_and_the_key_goes_on() {
    let mut bench = Bench::new(&config());
    let a = bench.publish(1, 11);
    bench.publish(1, 12);
    assert_eq!(bench.sends(), [(11, 1)]);
    assert!(bench.settle(a, 1, Answer::NotStored));
    assert_eq!(bench.results(), [(11, Published::Refused(Unsent::Broker))]);
    assert_eq!(bench.sends(), [(12, 1)]);
}

#[test]
fn s10_a_retry_that_surely_failed_does_not_make_the_first_send_certain() {
    let mut bench = Bench::new(&config());
    let a = bench.publish(1, 11);
    assert_eq!(bench.sends(), [(11, 1)]);
    assert!(bench.settle(a, 1, Answer::Unknown));
    bench.wait(1);
    assert_eq!(bench.sends(), [(11, 2)]);
    assert!(bench.settle(a, 2, Answer::Retry));
    bench.wait(30);
    assert_eq!(bench.results(), [(11, Published::Unknown)]);
    assert_eq!(bench.producer.stats().uncertain, 1);
}

#[test]
fn s10_stale_answers_change_nothing() {
    let mut bench = Bench::new(&config());
    let a = bench.publish(1, 11);
    assert!(!bench.settle(a, 0, Answer::Stored));
    assert!(!bench.settle(a, 1, Answer::Stored), "it was never sent");
    assert_eq!(bench.sends(), [(11, 1)]);
    assert!(bench.settle(a, 1, Answer::Retry));
    assert!(!bench.settle(a, 1, Answer::NotStored), "answered before");
    bench.wait(1);
    assert_eq!(bench.sends(), [(11, 2)]);
    assert!(
        !bench.settle(a, 1, Answer::NotStored),
        "only good news counts for an older send"
    );
    assert!(bench.settle(a, 1, Answer::Stored));
    assert!(!bench.settle(a, 2, Answer::NotStored));
    assert_eq!(bench.results(), [(11, Published::Stored)]);
    assert_eq!(bench.producer.stats().stale, 5);
}

#[test]
fn s10_a_fatal_error_ends_everything() {
    let mut bench = Bench::new(&config());
    let a = bench.publish(1, 11);
    bench.publish(1, 12);
    assert_eq!(bench.sends(), [(11, 1)]);
    assert!(bench.settle(a, 1, Answer::Fatal));
    assert_eq!(
        bench.results(),
        [
            (11, Published::Unknown),
            (12, Published::Refused(Unsent::Closed))
        ]
    );
    assert_eq!(bench.try_publish(1, 1, 13), Err(NoRoom::Closed));
    assert!(bench.producer.is_idle());
}

#[test]
fn s7_the_window_holds_messages_and_bytes_and_wakes_at_the_low_water_mark() {
    let mut bench = Bench::new(&config());
    assert_eq!(bench.try_publish(1, 1_001, 1), Err(NoRoom::TooLarge));
    let tokens: Vec<Token> = (0..8).map(|i| bench.publish(u64::from(i), i)).collect();
    assert_eq!(bench.producer.poll_room(), None, "nobody was refused");
    assert_eq!(bench.try_publish(9, 1, 9), Err(NoRoom::Window));
    assert_eq!(bench.sends().len(), 8);
    for (i, &token) in tokens.iter().enumerate() {
        assert!(bench.settle(token, 1, Answer::Stored));
        assert_eq!(bench.results().len(), 1);
        let room = bench.producer.poll_room();
        let expected = (i == 3).then_some(Room {
            messages: 4,
            bytes: 996,
        });
        assert_eq!(room, expected, "once, at half of the window");
    }
    bench.try_publish(1, 600, 1).unwrap();
    assert_eq!(bench.try_publish(1, 600, 1), Err(NoRoom::Window), "bytes");
    assert_eq!(bench.producer.poll_room(), None);
}

#[test]
fn s7_room_is_told_only_when_the_largest_of_the_refused_fits() {
    let mut bench = Bench::new(&config());
    bench.try_publish(1, 400, 1).unwrap();
    assert_eq!(bench.try_publish(2, 700, 2), Err(NoRoom::Window));
    assert_eq!(
        bench.producer.poll_room(),
        None,
        "below low water, but 700 do not fit"
    );
    bench.wait(30);
    assert_eq!(bench.results().len(), 1);
    assert!(bench.producer.poll_room().is_some());
}

#[test]
fn s7_sends_without_an_answer_are_limited() {
    let mut bench = Bench::new(&ProducerConfig {
        in_flight: 2,
        ..config()
    });
    let a = bench.publish(1, 11);
    bench.publish(2, 21);
    bench.publish(3, 31);
    assert_eq!(bench.sends(), [(11, 1), (21, 1)]);
    assert!(bench.settle(a, 1, Answer::Stored));
    assert_eq!(bench.sends(), [(31, 1)]);
}

#[test]
fn l2_drain_gives_every_publish_its_result_by_its_deadline() {
    let mut bench = Bench::new(&config());
    bench.publish(1, 11);
    bench.publish(1, 12);
    assert_eq!(bench.sends(), [(11, 1)]);
    bench.producer.drain(bench.now, at(5));
    assert_eq!(bench.try_publish(2, 1, 21), Err(NoRoom::Draining));
    assert_eq!(bench.producer.poll_timeout(), Some(at(5)));
    assert!(!bench.producer.is_idle());
    bench.wait(5);
    assert_eq!(
        bench.results(),
        [
            (11, Published::Unknown),
            (12, Published::Refused(Unsent::Predecessor))
        ]
    );
    assert!(bench.producer.is_idle(), "a blocked key holds nothing up");
}

#[test]
fn l2_a_deadline_that_has_passed_is_refused_and_never_sent() {
    let mut bench = Bench::new(&config());
    bench.now = at(30);
    bench.publish(1, 11);
    assert_eq!(bench.sends(), []);
    assert_eq!(
        bench.results(),
        [(11, Published::Refused(Unsent::Deadline))]
    );
}

#[test]
fn every_field_of_the_configuration_is_checked() {
    let field = |config| Producer::<()>::new(&config).unwrap_err().field;
    assert_eq!(
        field(ProducerConfig {
            messages: 0,
            ..config()
        }),
        "messages"
    );
    assert_eq!(
        field(ProducerConfig {
            bytes: 0,
            ..config()
        }),
        "bytes"
    );
    assert_eq!(
        field(ProducerConfig {
            in_flight: 9,
            ..config()
        }),
        "in_flight"
    );
    assert_eq!(
        field(ProducerConfig {
            low_water_percent: 101,
            ..config()
        }),
        "low_water_percent"
    );
    let mut bad = config();
    bad.backoff.max = Span::ZERO;
    assert_eq!(field(bad), "backoff");
}
