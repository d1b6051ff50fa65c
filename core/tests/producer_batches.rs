//! Several messages of one key in one request: what goes together, and what becomes of each.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use procession_core::{
    Answer, Backoff, Producer, ProducerConfig, Publish, Published, Span, Time, Token, Unsent,
};

const STORED: Published = Published::Stored;

fn at(seconds: u64) -> Time {
    Time::from_nanos(seconds * 1_000_000_000)
}

fn config() -> ProducerConfig {
    let backoff = Backoff {
        first: Span::from_secs(1),
        max: Span::from_secs(4),
        jitter_percent: 0,
    };
    ProducerConfig {
        messages: 16,
        bytes: 1_000,
        in_flight: 2,
        batch: 3,
        backoff,
        ..ProducerConfig::default()
    }
}

/// A producer of numbered messages, checked after every step. Odd hundreds go by themselves.
struct Bench {
    producer: Producer<u32>,
    now: Time,
    tokens: Vec<(u32, Token)>,
}

impl Bench {
    fn new(config: &ProducerConfig) -> Self {
        Self {
            producer: Producer::new(config).unwrap(),
            now: at(0),
            tokens: Vec::new(),
        }
    }

    fn of(config: &ProducerConfig, lane: u64, messages: &[u32]) -> Self {
        let mut bench = Self::new(config);
        for &message in messages {
            bench.publish(lane, message);
        }
        bench
    }

    fn check(&self) {
        assert_eq!(self.producer.check_invariants(), Ok(()));
    }

    fn publish(&mut self, lane: u64, message: u32) {
        let publish = Publish {
            lane,
            bytes: 1,
            deadline: at(30),
            message,
        };
        let token = self.producer.publish(self.now, publish).unwrap();
        self.tokens.push((message, token));
        self.check();
    }

    /// The requests that are made now.
    fn requests(&mut self) -> Vec<Vec<u32>> {
        let mut requests = Vec::new();
        while let Some(first) = self.producer.poll_send(self.now) {
            let (token, mut request) = (first.token, vec![*first.message]);
            let even = |m: &u32| (m / 100).is_multiple_of(2);
            let fits = |a: &u32, b: &u32| even(a) && even(b);
            while let Some(next) = self.producer.poll_follow(self.now, token, fits) {
                request.push(*next.message);
            }
            requests.push(request);
            self.check();
        }
        requests
    }

    fn token(&self, message: u32) -> Token {
        self.tokens.iter().find(|(m, _)| *m == message).unwrap().1
    }

    fn settle(&mut self, message: u32, attempt: u32, answer: Answer) {
        let token = self.token(message);
        let settled = self.producer.settle(self.now, token, attempt, answer);
        assert!(settled.is_ok(), "{message} {attempt} {answer:?}");
        self.check();
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
}

#[test]
fn s8_what_waits_of_a_key_goes_together_and_the_rest_when_that_is_over() {
    let mut bench = Bench::of(&config(), 1, &[1, 2, 3, 4, 5]);
    bench.publish(2, 6);
    assert_eq!(bench.requests(), [vec![1, 2, 3], vec![6]]);
    let stats = bench.producer.stats();
    assert_eq!((stats.in_flight, stats.sent, stats.requests), (2, 4, 2));
    for message in [1, 3] {
        bench.settle(message, 1, Answer::Stored);
        assert_eq!(bench.requests(), [[0; 0]; 0], "2 has no answer yet");
    }
    assert_eq!(bench.producer.stats().in_flight, 2);
    bench.settle(2, 1, Answer::Stored);
    assert_eq!(bench.requests(), [[4, 5]]);
    assert_eq!(bench.results(), [(1, STORED), (3, STORED), (2, STORED)]);
}

#[test]
fn one_of_a_key_without_the_setting_or_where_the_broker_keeps_order() {
    let mut one = config();
    one.batch = 1;
    let mut bench = Bench::of(&one, 1, &[1, 2, 3]);
    assert_eq!(bench.requests(), [[1]]);
    let mut pipelining = config();
    pipelining.pipelining = true;
    let mut bench = Bench::of(&pipelining, 1, &[1, 2, 3]);
    assert_eq!(bench.requests(), [[1], [2]], "`in_flight` is 2");
}

#[test]
fn what_does_not_fit_goes_by_itself_in_its_turn() {
    let mut bench = Bench::of(&config(), 1, &[1, 2, 100, 3, 4]);
    assert_eq!(bench.requests(), [[1, 2]]);
    bench.settle(1, 1, Answer::Stored);
    bench.settle(2, 1, Answer::Stored);
    assert_eq!(bench.requests(), [[100]]);
    bench.settle(100, 1, Answer::Stored);
    assert_eq!(bench.requests(), [[3, 4]]);
}

#[test]
fn nothing_follows_once_something_was_said_of_a_request() {
    let mut bench = Bench::of(&config(), 1, &[1, 2, 3]);
    let token = bench.producer.poll_send(bench.now).unwrap().token;
    let any = |_: &u32, _: &u32| true;
    let other = bench.token(2);
    assert!(
        bench.producer.poll_follow(bench.now, other, any).is_none(),
        "2 began nothing"
    );
    assert!(bench.producer.poll_follow(bench.now, token, any).is_some());
    bench.settle(2, 1, Answer::Stored);
    assert!(bench.producer.poll_follow(bench.now, token, any).is_none());
    bench.settle(1, 1, Answer::Stored);
    assert!(bench.producer.poll_follow(bench.now, token, any).is_none());
    assert_eq!(bench.requests(), [[3]]);
}

#[test]
fn what_failed_together_goes_together_again() {
    let mut bench = Bench::of(&config(), 1, &[1, 2, 3]);
    assert_eq!(bench.requests(), [[1, 2, 3]]);
    bench.settle(1, 1, Answer::Stored);
    bench.settle(2, 1, Answer::Retry);
    bench.settle(3, 1, Answer::Retry);
    assert_eq!(bench.requests(), [[0; 0]; 0]);
    bench.publish(1, 4);
    bench.wait(1);
    assert_eq!(bench.requests(), [[2, 3, 4]]);
}

/// Refused as a whole, for what one of them is: each then has its own answer, in order, and without a
/// wait. A port that says so of one alone cannot make it spin.
#[test]
fn s10_what_is_refused_as_a_whole_goes_one_by_one() {
    let mut bench = Bench::of(&config(), 1, &[1, 2, 3, 4, 5]);
    assert_eq!(bench.requests(), [[1, 2, 3]]);
    for message in [1, 2, 3] {
        bench.settle(message, 1, Answer::Apart);
    }
    assert_eq!(bench.requests(), [[1]]);
    bench.settle(1, 2, Answer::Apart);
    assert_eq!(bench.requests(), [[0; 0]; 0]);
    bench.wait(2);
    assert_eq!(bench.requests(), [[1]]);
    bench.settle(1, 3, Answer::Stored);
    assert_eq!(bench.requests(), [[2]]);
    bench.settle(2, 2, Answer::NotStored);
    assert_eq!(bench.requests(), [[3]]);
    bench.settle(3, 2, Answer::Stored);
    assert_eq!(bench.requests(), [[4, 5]], "they were not part of it");
    let refused = Published::Refused(Unsent::Broker);
    assert_eq!(bench.results(), [(1, STORED), (2, refused), (3, STORED)]);
}

/// What may be in the log would have the whole request refused, or be stored twice.
#[test]
fn s8_what_may_be_in_the_log_goes_one_by_one() {
    let mut bench = Bench::of(&config(), 1, &[1, 2, 3]);
    assert_eq!(bench.requests(), [[1, 2, 3]]);
    bench.producer.connection_lost(bench.now);
    bench.publish(1, 4);
    bench.producer.connection_restored(bench.now);
    assert_eq!(bench.requests(), [[1]]);
    bench.settle(1, 2, Answer::Stored);
    assert_eq!(bench.requests(), [[2]]);
    bench.settle(2, 2, Answer::Retry);
    bench.wait(2);
    assert_eq!(
        bench.requests(),
        [[2]],
        "an earlier send of it may have landed"
    );
    bench.settle(2, 3, Answer::Stored);
    assert_eq!(bench.requests(), [[3]]);
    bench.settle(3, 2, Answer::Stored);
    assert_eq!(bench.requests(), [[4]]);
}

/// The deadline of one passes while all are on their way: its result is unknown, the others have theirs.
#[test]
fn s8_s10_deadlines_within_a_request() {
    let mut bench = Bench::new(&config());
    for (message, deadline) in [(1, 5), (2, 30), (3, 30), (4, 30)] {
        let publish = Publish {
            lane: 1,
            bytes: 1,
            deadline: at(deadline),
            message,
        };
        let token = bench.producer.publish(bench.now, publish).unwrap();
        bench.tokens.push((message, token));
    }
    assert_eq!(bench.requests(), [[1, 2, 3]]);
    bench.wait(5);
    let predecessor = Published::Refused(Unsent::Predecessor);
    assert_eq!(
        bench.results(),
        [(1, Published::Unknown), (4, predecessor)],
        "4 was never sent"
    );
    for message in [1, 2, 3] {
        bench.settle(message, 1, Answer::Stored);
    }
    assert_eq!(bench.results(), [(2, STORED), (3, STORED)]);
    assert_eq!(bench.producer.stats().held, 0);
}

#[test]
fn limits() {
    for (batch, ok) in [(0, false), (1, true), (256, true), (257, false)] {
        let mut config = config();
        config.batch = batch;
        assert_eq!(config.validate().is_ok(), ok, "{batch}");
    }
}
