//! The producer against a naive model, with arbitrary operations, illegal ones included.
//!
//! The model keeps every publish that ever was, and what is known of each of its sends, in plain
//! vectors, and finds everything by searching. It shares no code with the producer.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod producer_naive;

use procession_core::{Answer, Backoff, Producer, ProducerConfig, Publish, Span, Time};
use producer_naive::*;
use proptest::prelude::*;

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
    Follow {
        which: u8,
        fits: bool,
    },
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
        4 => Just(Answer::Conflict),
        4 => Just(Answer::Retry),
        4 => Just(Answer::Apart),
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
        900 => (prop_oneof![3 => Just(0u8), 1 => any::<u8>()], prop::bool::weighted(0.9))
            .prop_map(|(which, fits)| Op::Follow { which, fits }),
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

fn config(pipelining: bool, in_flight: u32, batch: u32) -> ProducerConfig {
    ProducerConfig {
        messages: 6,
        bytes: 100,
        in_flight,
        low_water_percent: 60,
        pipelining,
        batch,
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
    // What was sent last.
    let mut sent = Vec::new();
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
                            request: 0,
                            alone: false,
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
                        model.all[index].request = model.requests;
                        model.requests += 1;
                        sent.push(index);
                        assert_eq!(transmit.attempt as usize, model.all[index].sends.len());
                    }
                }
            }
            Op::Follow { which, fits } => {
                // Mostly what was sent last, else anything.
                let last = sent
                    .len()
                    .checked_sub(1 + usize::from(which) % sent.len().max(1));
                let Some(first) = last.map(|i| sent[i]) else {
                    continue;
                };
                model.time(clock);
                let expected = model.follower(first).filter(|_| fits);
                let token = model.all[first].token;
                let joined = producer.poll_follow(now, token, |a, b| {
                    assert_eq!(*a, first);
                    assert!(a < b);
                    fits
                });
                assert_eq!(
                    joined.as_ref().map(|t| *t.message),
                    expected,
                    "behind {first}"
                );
                if let (Some(transmit), Some(index)) = (joined, expected) {
                    assert_eq!(transmit.token, model.all[index].token);
                    model.all[index].sends.push(Fate::Flying);
                    model.all[index].request = model.all[first].request;
                    assert_eq!(transmit.attempt as usize, model.all[index].sends.len());
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
        assert_eq!(u64::from(stats.in_flight), model.out());
        assert_eq!(stats.requests, model.requests as u64);
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
        run(config(false, 4, 1), &ops);
    }

    #[test]
    fn pipelined(ops in prop::collection::vec(op(), 1..300)) {
        run(config(true, 5, 1), &ops);
    }

    #[test]
    fn several_of_a_key_in_a_request(ops in prop::collection::vec(op(), 1..300), batch in 2..5u32) {
        run(config(false, 2, batch), &ops);
    }

    #[test]
    fn nothing_follows_where_the_broker_keeps_order(ops in prop::collection::vec(op(), 1..100)) {
        run(config(true, 5, 4), &ops);
    }
}
