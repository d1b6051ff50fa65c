//! A producer before a log that is the truth: sends land late or never, answers get lost, come late
//! or twice, connections break, the process starts again, messages are published twice, and several go in
//! one request, which the log takes as a row, or as a whole or not at all. Whatever happens, the first copies of a key
//! reach the log in the order of acceptance (S8), every publish gets exactly one result, and it is
//! true (S10, L2).

use procession_core::{
    Answer, Backoff, Producer, ProducerConfig, Publish, Published, Span, Time, Token, Unsent,
};

use super::dice::Dice;
use super::{Held, Told, hold, sound};

/// One send on its way, or at its end.
#[derive(Clone, Copy, Debug)]
struct Send {
    message: usize,
    lane: u64,
    token: Token,
    attempt: u32,
    /// The request that it went in: the number of its first send.
    request: usize,
    /// It can still land.
    flies: bool,
    landed: bool,
    /// It came to the log, and another message than the expected one was the last of its key.
    collided: bool,
    /// Its request was refused as a whole.
    apart: bool,
    /// The port has told its one answer, or never will.
    answered: bool,
    /// The life of the process that sent it.
    life: u64,
}

/// What a publish has come to.
#[derive(Clone, Copy, Debug, Default)]
struct Fate {
    lane: u64,
    life: u64,
    in_log: bool,
    /// The publish that it is a copy of: itself, if it is none.
    original: usize,
    /// It may go in only behind this message of its key, or as the first one.
    expects: Option<Option<usize>>,
    /// The producer was told that it came too late.
    conflict: bool,
    result: Option<Published>,
}

struct World<'a> {
    dice: Dice,
    told: &'a mut Told,
    config: ProducerConfig,
    producer: Producer<usize>,
    keeps_order: bool,
    /// A request of several is taken as a whole, or not at all, and not if a copy is in it.
    atomic: bool,
    now: u64,
    life: u64,
    all: Vec<Fate>,
    sends: Vec<Send>,
    /// First copies, in the order of the log.
    log: Vec<usize>,
    connected: bool,
    keys: u64,
}

/// What can happen, as often as its weight says.
const WEIGHTS: [u64; 9] = [8, 8, 4, 8, 1, 2, 4, 4, 1];

fn at(millis: u64) -> Time {
    Time::from_nanos(millis * 1_000_000)
}

pub(super) fn run(mut dice: Dice, told: &mut Told) -> Held {
    let weights = dice.swarm(WEIGHTS);
    let kinds = dice.swarm([4, 1, 2, 2, 1]);
    let keeps_order = dice.below(2) == 0;
    let (batch, atomic) = (dice.log(1, 6) as u32, dice.below(2) == 0);
    let messages = dice.log(1, 24) as u32;
    let first = dice.log(1, 2_000);
    let config = ProducerConfig {
        messages,
        bytes: dice.log(8, 200),
        in_flight: dice.log(1, messages.into()) as u32,
        low_water_percent: dice.log(1, 100) as u8,
        pipelining: keeps_order,
        batch,
        backoff: Backoff {
            first: Span::from_millis(first),
            max: Span::from_millis(first + dice.log(1, 3_000)),
            jitter_percent: 20,
        },
        seed: dice.below(u64::MAX),
    };
    let steps = dice.log(20, 400);
    let keys = dice.log(1, 6);
    let producer = Producer::new(&config).map_err(|e| super::Broken {
        promise: "core",
        what: e.to_string(),
    })?;
    let mut world = World {
        dice,
        told,
        producer,
        config,
        keeps_order,
        atomic,
        now: 0,
        life: 0,
        all: Vec::new(),
        sends: Vec::new(),
        log: Vec::new(),
        connected: true,
        keys,
    };
    for _ in 0..steps {
        let what = world.dice.pick(&weights);
        world.step(what, &kinds)?;
        world.told.steps += 1;
        sound(|| world.producer.check_invariants())?;
    }
    world.heal()
}

impl World<'_> {
    fn step(&mut self, what: usize, kinds: &[u64; 5]) -> Held {
        match what {
            0 => {
                let (lane, lives) = (self.dice.below(self.keys), self.dice.log(1, 12_000));
                let expects = self.expectation(lane);
                let original = match expects {
                    None if self.dice.below(8) == 0 => self.any_of(lane),
                    Some(_) | None => None,
                };
                self.publish(lane, lives, expects, original);
                Ok(())
            }
            1 => self.send(),
            2 => {
                let flying = self.indices(|s| s.flies);
                match self.dice.among(&flying) {
                    Some(index) => self.land(index),
                    None => Ok(()),
                }
            }
            3 => {
                let life = self.life;
                let open = self.indices(|s| !s.answered && s.life == life);
                let kind = self.dice.pick(kinds);
                match self.dice.among(&open) {
                    Some(index) => self.answer(index, kind),
                    None => Ok(()),
                }
            }
            4 => {
                self.lose();
                Ok(())
            }
            5 => {
                self.restore();
                Ok(())
            }
            6 => {
                self.now += self.dice.log(0, 4_000);
                self.producer.handle_timeout(at(self.now));
                Ok(())
            }
            7 => self.receipts(),
            _ => self.restart(),
        }
    }

    /// A process of its own begins; what the old one had on its way lands now, or never.
    fn restart(&mut self) -> Held {
        if self.dice.below(4) > 0 {
            return Ok(());
        }
        for index in self.indices(|s| s.flies) {
            if self.dice.below(2) == 0 && self.sends[index].flies {
                self.land(index)?;
            }
        }
        for send in &mut self.sends {
            (send.flies, send.answered) = (false, true);
        }
        self.life += 1;
        self.connected = true;
        if let Ok(producer) = Producer::new(&self.config) {
            self.producer = producer;
        }
        Ok(())
    }

    fn publish(
        &mut self,
        lane: u64,
        lives: u64,
        expects: Option<Option<usize>>,
        original: Option<usize>,
    ) {
        let message = self.all.len();
        let publish = Publish {
            lane,
            bytes: 1,
            deadline: at(self.now + lives),
            message,
        };
        if self.producer.publish(at(self.now), publish).is_ok() {
            self.all.push(Fate {
                lane,
                life: self.life,
                original: original.unwrap_or(message),
                expects,
                ..Fate::default()
            });
        }
    }

    /// Some expect what is the last of their key now, which another one may be by the time they land.
    fn expectation(&mut self, lane: u64) -> Option<Option<usize>> {
        (self.dice.below(4) == 0).then(|| self.last_of(lane))
    }

    /// A publish of the key to make a copy of, one of the last.
    fn any_of(&mut self, lane: u64) -> Option<usize> {
        let of_lane = |&i: &usize| self.all[i].lane == lane;
        let some: Vec<usize> = (0..self.all.len()).rev().filter(of_lane).take(6).collect();
        let original = self.dice.among(&some)?;
        Some(self.all[original].original)
    }

    /// Whether a publish is in the log, itself or a copy of it.
    fn is_known(&self, message: usize) -> bool {
        let same = |&&other: &&usize| self.all[other].original == self.all[message].original;
        self.log.iter().any(|other| same(&other))
    }

    /// The last message of a key in the log.
    fn last_of(&self, lane: u64) -> Option<usize> {
        let of_lane = |&&other: &&usize| self.all[other].lane == lane;
        self.log.iter().rev().find(of_lane).copied()
    }

    fn indices(&self, test: impl Fn(&Send) -> bool) -> Vec<usize> {
        (0..self.sends.len())
            .filter(|&i| test(&self.sends[i]))
            .collect()
    }

    fn send(&mut self) -> Held {
        while let Some(transmit) = self.producer.poll_send(at(self.now)) {
            let (token, deadline) = (transmit.token, transmit.deadline);
            let sent = (*transmit.message, transmit.attempt);
            let request = self.sends.len();
            self.sent(token, sent, deadline, request)?;
            // Only what expects nothing shares a request.
            let all = &self.all;
            let alone = |m: &usize| all[*m].expects.is_some();
            let fits = |a: &usize, b: &usize| !alone(a) && !alone(b);
            let mut more = Vec::new();
            while let Some(t) = self.producer.poll_follow(at(self.now), token, fits) {
                more.push((t.token, (*t.message, t.attempt), t.deadline));
            }
            for (token, sent, deadline) in more {
                self.sent(token, sent, deadline, request)?;
            }
            self.fitting(request)?;
        }
        Ok(())
    }

    /// One send goes out.
    fn sent(
        &mut self,
        token: Token,
        (message, attempt): (usize, u32),
        deadline: Time,
        request: usize,
    ) -> Held {
        hold("S10", self.connected, || "sent without a connection".into())?;
        let late = deadline <= at(self.now);
        hold("L2", !late, || "sent after its deadline".into())?;
        hold("S10", !self.all[message].conflict, || {
            format!("{message} is sent again after its conflict")
        })?;
        self.told.mark(message as u64, attempt.into());
        self.sends.push(Send {
            message,
            lane: self.all[message].lane,
            token,
            attempt,
            request,
            flies: true,
            landed: false,
            collided: false,
            apart: false,
            answered: false,
            life: self.life,
        });
        Ok(())
    }

    /// What went in one request is of one key, in order, no more than there may be, and fits.
    fn fitting(&self, request: usize) -> Held {
        let sends = &self.sends[request..];
        let most = if self.keeps_order {
            1
        } else {
            self.config.batch
        };
        hold("S7", sends.len() <= most as usize, || {
            format!("{} go in one request of {most}", sends.len())
        })?;
        let alone = |s: &Send| self.all[s.message].expects.is_some();
        let fits = sends.len() == 1 || !sends.iter().any(alone);
        hold("S8", fits, || "what goes by itself went with others".into())?;
        let in_order =
            |pair: &[Send]| pair[0].lane == pair[1].lane && pair[0].message < pair[1].message;
        hold("S8", sends.windows(2).all(in_order), || {
            "a request is out of order".into()
        })
    }

    /// Where the broker keeps order, the oldest send of the key that can still land lands first; else the
    /// oldest of its request, or all of it.
    fn land(&mut self, index: usize) -> Held {
        let Send { lane, request, .. } = self.sends[index];
        let of_request = self.indices(|s| s.flies && s.request == request);
        if self.atomic && of_request.len() > 1 {
            return self.land_all(&of_request);
        }
        let oldest = match self.keeps_order {
            true => self.indices(|s| s.flies && s.lane == lane),
            false => of_request,
        };
        self.land_one(oldest.first().copied().unwrap_or(index))
    }

    /// A request lands as a whole, unless a copy is in it.
    fn land_all(&mut self, request: &[usize]) -> Held {
        let original = |&index: &usize| self.all[self.sends[index].message].original;
        let mut originals: Vec<usize> = request.iter().map(original).collect();
        originals.sort_unstable();
        originals.dedup();
        let known = request
            .iter()
            .any(|&i| self.is_known(self.sends[i].message));
        if known || originals.len() < request.len() {
            for &index in request {
                (self.sends[index].flies, self.sends[index].apart) = (false, true);
            }
            return Ok(());
        }
        request.iter().try_for_each(|&index| self.land_one(index))
    }

    fn land_one(&mut self, index: usize) -> Held {
        let lane = self.sends[index].lane;
        let send = &mut self.sends[index];
        (send.flies, send.landed) = (false, true);
        let message = send.message;
        if self.is_known(message) {
            return Ok(());
        }
        // Copies are looked for first; then the last one is compared.
        if let Some(expected) = self.all[message].expects
            && expected != self.last_of(lane)
        {
            self.sends[index].landed = false;
            self.sends[index].collided = true;
            return Ok(());
        }
        let life = self.all[message].life;
        let same = |&&other: &&usize| self.all[other].lane == lane && self.all[other].life == life;
        let newest = self.log.iter().rev().find(same).copied();
        hold("S8", newest < Some(message), || {
            format!("{message} lands behind {newest:?}")
        })?;
        let refused = matches!(self.all[message].result, Some(Published::Refused(_)));
        hold("S10", !refused, || {
            format!("{message} was refused and lands")
        })?;
        self.all[message].in_log = true;
        self.log.push(message);
        Ok(())
    }

    /// This send will never land; where the broker keeps order, nothing newer that is on its way does, and
    /// nothing behind it in its request. Where requests are taken as a whole, nothing of it does.
    fn lost(&mut self, index: usize) {
        let dropped = self.sends[index];
        self.sends[index].flies = false;
        for send in self.sends.iter_mut().skip(index + 1) {
            let after = self.keeps_order && send.lane == dropped.lane;
            let together = send.request == dropped.request;
            if (after || together) && send.message > dropped.message {
                send.flies = false;
            }
        }
        for send in &mut self.sends[..index] {
            send.flies &= !self.atomic || send.request != dropped.request;
        }
    }

    /// Kinds: the truth, refused for good, failed, nothing known, the answer comes twice.
    fn answer(&mut self, index: usize, kind: usize) -> Held {
        let send = self.sends[index];
        let stored = send.landed || self.is_known(send.message);
        let together = |s: &Send| s.request == send.request;
        let whole = self.atomic && self.sends.iter().filter(|s| together(s)).count() > 1;
        let answer = match kind {
            3 if !self.connected => return Ok(()),
            3 => Answer::Unknown,
            // Of a request that is refused as a whole nobody is told more.
            _ if send.apart => Answer::Apart,
            1 if send.flies && whole => {
                for other in self.sends.iter_mut().filter(|s| together(s)) {
                    (other.flies, other.apart) = (false, other.flies);
                }
                Answer::Apart
            }
            // A repeated send is refused where an earlier one was not; it comes after all earlier ones.
            1 if send.flies => {
                for other in &mut self.sends[..=index] {
                    other.flies &= other.message != send.message;
                }
                Answer::NotStored
            }
            _ if stored => Answer::Stored,
            _ if send.collided => Answer::Conflict,
            0 | 4 if send.flies => {
                self.land(index)?;
                if self.sends[index].collided || self.sends[index].apart {
                    return self.answer(index, kind);
                }
                if !self.sends[index].landed {
                    return Ok(());
                }
                Answer::Stored
            }
            _ => {
                self.lost(index);
                Answer::Retry
            }
        };
        self.sends[index].answered = true;
        self.sends[index].flies &= answer != Answer::Stored;
        let times = 1 + u64::from(kind == 4);
        for _ in 0..times {
            let now = at(self.now);
            let told = self.producer.settle(now, send.token, send.attempt, answer);
            let fate = &mut self.all[send.message];
            fate.conflict |= answer == Answer::Conflict && told.is_ok() && fate.result.is_none();
        }
        Ok(())
    }

    fn lose(&mut self) {
        self.connected = false;
        self.producer.connection_lost(at(self.now));
    }

    /// Nothing that was sent before the connection was lost can land any more.
    fn restore(&mut self) {
        if !self.connected {
            for send in &mut self.sends {
                (send.flies, send.answered) = (false, true);
            }
        }
        self.connected = true;
        self.producer.connection_restored(at(self.now));
    }

    fn receipts(&mut self) -> Held {
        while let Some(done) = self.producer.poll_receipt() {
            self.told.outcomes += 1;
            let fate = &mut self.all[done.message];
            let message = done.message;
            let before = fate.result.replace(done.result);
            let once = before.is_none() && fate.life == self.life;
            hold("S10", once, || format!("{message} has {before:?} already"))?;
            let fate = self.all[message];
            let (in_log, known) = (fate.in_log, self.is_known(message));
            let rightly = !fate.conflict
                || matches!(
                    done.result,
                    Published::Refused(Unsent::Conflict) | Published::Unknown
                );
            hold("S10", rightly, || {
                format!("{message} came too late, and is {:?}", done.result)
            })?;
            let (is_true, code) = match done.result {
                Published::Stored => (known, 1),
                Published::Refused(_) => (!in_log, 2),
                Published::Unknown => (done.attempts > 0, 3),
            };
            self.told.mark(message as u64, code);
            hold("S10", is_true, || {
                format!("{message} is {:?}, in the log: {in_log}", done.result)
            })?;
        }
        Ok(())
    }

    /// Faults stop: everything resolves, and new publishes of every key get through.
    fn heal(&mut self) -> Held {
        self.lose();
        self.restore();
        self.receipts()?;
        let first = self.all.len();
        let asked = self
            .keys
            .min(self.config.messages.into())
            .min(self.config.bytes);
        for lane in 0..asked {
            self.publish(lane, 600_000, None, None);
        }
        // A copy among new ones, all of one key.
        let known = self.last_of(0).map(|last| self.all[last].original);
        for original in [None, known, None] {
            self.publish(0, 600_000, None, original);
        }
        for _ in 0..200 {
            self.send()?;
            let life = self.life;
            for index in self.indices(|s| !s.answered && s.life == life) {
                self.answer(index, 0)?;
            }
            self.receipts()?;
            self.now += 1_000;
            self.producer.handle_timeout(at(self.now));
        }
        self.receipts()?;
        for (message, fate) in self.all.iter().enumerate() {
            let over = fate.life < self.life || fate.result.is_some();
            hold("L2", over, || format!("{message} has no result"))?;
            let through = message < first || fate.result == Some(Published::Stored);
            hold("L2", through, || format!("{message} does not get through"))?;
        }
        let stats = self.producer.stats();
        hold("S7", self.producer.is_idle() && stats.held == 0, || {
            format!("something leaks: {stats:?}")
        })
    }
}
