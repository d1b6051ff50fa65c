//! What was written comes back, whatever it is.

use procession_core::{
    Admit, Arrival, Config, Consumer, Continuity, Dispatch, Epoch, Outcome, PartitionId, Position,
    Refusal, Resume, Session, Stamp, Time, Why,
};

use super::buffer::Buffer;
use super::segment::Segment;
use super::unroll::Rows;
use super::*;
use crate::mix;

/// Numbers that follow from a seed.
struct Draw(u64);

impl Draw {
    fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    fn below(&mut self, most: u64) -> u64 {
        self.any() % most
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    fn choice<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    /// Often small, often at an edge.
    fn number(&mut self) -> u64 {
        let edges = [0, 1, 0xFFFF, 0x1_0000, 0xFFFF_FFFF, 1 << 32, u64::MAX];
        match self.below(4) {
            0 => self.choice(&edges),
            1 => self.any(),
            _ => self.below(300),
        }
    }
}

/// A core that has a partition, and a first message of it.
fn core() -> (Consumer<u32>, Arrival<u32>) {
    let (now, partition, epoch) = (Time::ZERO, PartitionId(0), Epoch(1));
    let mut core = Consumer::new(&Config::default()).unwrap();
    let resume = Resume {
        log_end: Position(9),
        ..Resume::default()
    };
    core.open(now, partition, epoch, &resume, None);
    let session = core.poll_session(now).unwrap().session;
    core.session(now, partition, epoch, session, Continuity::Continues);
    let mut arrival = arrival(&mut Draw(1), &mut [(0, 0, 0); 70]);
    (arrival.partition, arrival.epoch, arrival.session) = (partition, epoch, session);
    (arrival.position, arrival.delivery, arrival.bytes) = (Position(0), None, 300);
    (arrival.expires, arrival.sequence, arrival.quarantine) = (None, None, None);
    (core, arrival)
}

/// A token: only a core makes them.
fn token() -> Token {
    let (mut core, arrival) = core();
    assert_eq!(core.offer(Time::ZERO, arrival).ok(), Some(Admit::Queued));
    core.poll_dispatch(Time::ZERO).unwrap().token
}

/// `last`: position, stamp and delivery of each partition.
fn arrival(draw: &mut Draw, last: &mut [(u64, u64, u64); 70]) -> Arrival<u32> {
    let partition = draw.below(70);
    let (position, stamp, delivery) = &mut last[partition as usize];
    *position = if draw.one_in(9) {
        draw.number()
    } else {
        position.wrapping_add(1)
    };
    *stamp = if draw.one_in(9) {
        draw.number()
    } else {
        stamp.wrapping_add(draw.below(9_000))
    };
    let mut delivered = None;
    if draw.one_in(2) {
        let next = delivery.wrapping_add(1);
        *delivery = if draw.one_in(9) { draw.number() } else { next };
        delivered = Some(*delivery);
    }
    let maybe = |draw: &mut Draw, number: u64| draw.one_in(5).then_some(number);
    let wide = |draw: &mut Draw| u128::from(draw.any()) << 64 | u128::from(draw.any());
    let (key, number) = (wide(draw), draw.number());
    Arrival {
        partition: PartitionId(partition as u32),
        epoch: Epoch(if draw.one_in(20) { draw.number() } else { 1 }),
        session: Session(if draw.one_in(20) { draw.number() } else { 1 }),
        delivery: delivered,
        position: Position(*position),
        stamp: Stamp(*stamp),
        lane: draw.any(),
        key: (!draw.one_in(5)).then_some(if draw.one_in(9) { 0 } else { key }),
        identity: wide(draw),
        bytes: draw.number() as u32,
        expires: maybe(draw, number).map(Time::from_nanos),
        sequence: maybe(draw, number),
        quarantine: maybe(draw, 0).map(|_| draw.choice(&[Why::Malformed, Why::Suspect])),
        message: *position as u32,
    }
}

/// As it can come back: a number for people, 64 bits of an identity, and of a key as much as the core
/// looks at.
fn kept(mut arrival: Arrival<u32>, keyed: bool) -> Arrival<u32> {
    arrival.identity = Mask::short_identity(arrival.identity).into();
    arrival.key = arrival.key.map(|key| match keyed {
        true => Mask::short_key(key).into(),
        false => arrival.lane.max(1).into(),
    });
    arrival
}

/// Calls and answers, told to a segment and to nobody else.
struct Told<'a> {
    draw: &'a mut Draw,
    keyed: bool,
    token: Token,
    now: u64,
    /// The token that was given out last.
    begun: u64,
    last: [(u64, u64, u64); 70],
    answers: Answers,
    expected: Vec<(Step, u32)>,
}

impl Told<'_> {
    fn expect(&mut self, call: Call, answer: &impl Answer) {
        let mut words = Vec::new();
        answer.words(&mut words);
        self.answers.take(&words);
        let step = Step {
            at: self.now,
            member: 0,
            call,
        };
        self.expected.push((step, self.answers.short()));
    }

    fn one(&mut self, segment: &mut Segment) {
        if self.draw.one_in(3) {
            let later = self.draw.number();
            self.now = self
                .now
                .wrapping_add(if later > 1 << 33 { 7 } else { later });
        }
        let at = Time::from_nanos(self.now);
        match self.draw.below(6) {
            0 | 1 => {
                let arrival = arrival(self.draw, &mut self.last);
                segment.at(at);
                segment.offer(&arrival);
                let admit = match self.draw.below(6) {
                    0 => Ok(self
                        .draw
                        .choice(&[Admit::Duplicate, Admit::Replayed, Admit::Void])),
                    1 => Err(self.draw.choice(&[Refusal::Credit, Refusal::Window])),
                    _ => Ok(Admit::Queued),
                };
                segment.offered(admit);
                let call = Call::Offer(Box::new(kept(arrival, self.keyed)));
                self.expect(call, &admit);
            }
            2 => {
                let poll = self.draw.choice(&Poll::LETTERS).1;
                segment.at(at);
                segment.poll(poll);
                let call = Call::Polls(vec![poll]);
                if self.draw.one_in(2) {
                    segment.answered();
                    return self.expect(call, &None::<Token>);
                }
                let words = Words(
                    (0..self.draw.below(20))
                        .map(|_| self.draw.number())
                        .collect(),
                );
                segment.words(&words.0);
                self.expect(call, &words);
            }
            3 => self.dispatch(segment, at),
            4 => {
                let token = if self.draw.one_in(3) {
                    self.draw.any()
                } else {
                    self.begun
                };
                self.settle(segment, at, token);
            }
            _ => {
                segment.at(at);
                let call = Call::SetWeight(PartitionId(3), self.draw.any() as u32);
                segment.call(call.clone());
                segment.words(&[2, 1]);
                self.expect(call, &true);
            }
        }
    }

    fn dispatch(&mut self, segment: &mut Segment, at: Time) {
        segment.dispatch(at);
        let call = Call::Polls(vec![Poll::Dispatch]);
        if self.draw.one_in(4) {
            segment.answered();
            return self.expect(call, &None::<Token>);
        }
        let partition = self.draw.below(70);
        let position = self.last[partition as usize].0;
        let before = if self.draw.one_in(5) {
            self.draw.number()
        } else {
            self.draw.below(300)
        };
        let deadline = match self.draw.below(9) {
            0 => self.draw.number(),
            // Most are that of the attempt before.
            1..4 => 30_000_000_000,
            4..7 => u64::MAX,
            _ => self.now.wrapping_add(30_000_000_000),
        };
        let dispatch = Dispatch {
            token: self.token,
            partition: PartitionId(partition as u32),
            epoch: Epoch(if self.draw.one_in(9) {
                self.draw.number()
            } else {
                1
            }),
            position: Position(position.wrapping_sub(before)),
            attempt: if self.draw.one_in(5) {
                self.draw.number() as u32
            } else {
                1
            },
            deadline: Time::from_nanos(deadline),
            message: (),
        };
        let slot = if self.draw.one_in(5) { 1 << 20 } else { 70 };
        let token = self.draw.any() << 32 | self.draw.below(slot);
        self.begun = token;
        segment.dispatched(token, &dispatch);
        let words = crate::answer::dispatch_words([
            token,
            partition,
            dispatch.epoch.0,
            dispatch.position.0,
            dispatch.attempt.into(),
            deadline,
        ]);
        self.expect(call, &Words(words.to_vec()));
        if self.draw.one_in(2) {
            self.now = self.now.wrapping_add(self.draw.below(100_000));
            self.settle(segment, Time::from_nanos(self.now), token);
        }
    }

    fn settle(&mut self, segment: &mut Segment, at: Time, token: u64) {
        let others = [
            Settled::Retry,
            Settled::Reject,
            Settled::Cancelled,
            Settled::Handled,
        ];
        let settled = match self.draw.one_in(4) {
            true => self.draw.choice(&others),
            false => Settled::Done,
        };
        let taken = !self.draw.one_in(4);
        segment.settle(at, token, settled);
        segment.settled(taken);
        self.expect(Call::Settle(token, settled, 0), &taken);
    }
}

/// Any answer.
struct Words(Vec<u64>);

impl Answer for Words {
    fn words(&self, out: &mut Vec<u64>) {
        out.extend(&self.0);
    }
}

/// Two segments, one after the other; the last call of all is not answered.
fn round(seed: u64, token: Token) {
    let draw = &mut Draw(seed);
    let keyed = draw.one_in(2);
    let mut told = Told {
        draw,
        keyed,
        token,
        now: 0,
        begun: 0,
        last: [(0, 0, 0); 70],
        answers: Answers::default(),
        expected: Vec::new(),
    };
    let mut segments = Vec::new();
    for _ in 0..2 {
        let mut segment = Segment::new(told.now, keyed, (Buffer::new(100), Vec::new()));
        // Some are longer than what is written before it is brought to where it is kept.
        let most = if told.draw.one_in(20) { 3_000 } else { 300 };
        for _ in 0..told.draw.below(most) {
            told.one(&mut segment);
        }
        segments.push(segment);
    }
    let last = segments.last_mut().unwrap();
    last.settle(Time::from_nanos(told.now), 77, Settled::Reject);
    let mut expected = told.expected.into_iter();
    let mut count = expected.len() + 1;
    let mut each = |step: &Step, digest: Option<u32>| {
        let polls = if let Call::Polls(polls) = &step.call {
            polls.iter().map(|p| Call::Polls(vec![*p])).collect()
        } else {
            vec![step.call.clone()]
        };
        count -= polls.len();
        let mut after = None;
        for call in polls {
            let single = Step {
                call,
                ..step.clone()
            };
            let Some((step, digest)) = expected.next() else {
                assert_eq!(
                    single.call,
                    Call::Settle(77, Settled::Reject, 0),
                    "seed {seed}"
                );
                continue;
            };
            assert_eq!(single, step, "seed {seed}");
            after = Some(digest);
        }
        assert_eq!(digest, after, "seed {seed}");
    };
    let mut answers = Answers::default();
    let mut rows = Rows::new(&mut answers, &mut each);
    for segment in &segments {
        rows.segment(&segment.clone());
    }
    rows.end();
    assert_eq!(count, 0, "seed {seed}");
}

#[test]
fn what_is_written_comes_back() {
    let token = token();
    for seed in 0..2_000 {
        round(seed, token);
    }
}

/// A message that goes the usual way takes few bytes: with a core, whose answers they are.
#[test]
fn the_usual_way_is_short() {
    let (mut core, mut offered) = core();
    let mut flight = Flight::new(&Config::default(), 1 << 20);
    let mut now = Time::from_nanos(1_000_000);
    let later = |now: &mut Time, nanos| *now = Time::from_nanos(now.as_nanos() + nanos);
    for n in 0..1_000 {
        (offered.position, offered.identity) = (Position(n), u128::from(mix(n)) << 64);
        offered.stamp.0 += 900;
        later(&mut now, 400);
        flight.offer(now, &offered);
        let admit = core.offer(now, offered.clone());
        flight.offered(admit.map_err(|refused| refused.why));
        later(&mut now, 100);
        flight.dispatch(now);
        let dispatch = core.poll_dispatch(now).unwrap();
        flight.dispatched(&dispatch);
        later(&mut now, 300);
        flight.settle(now, dispatch.token, Settled::Done);
        flight.settled(core.settle(now, dispatch.token, Outcome::Done).is_ok());
    }
    let each = flight.now.bytes() / 1_000;
    assert!(each <= 48, "{each} bytes a message");
}
