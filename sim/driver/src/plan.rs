//! What a seed stands for: settings, messages and everything that goes wrong.

use procession_core::{Backoff, Config, Expired, OnReset, ProducerConfig, Span};
use procession_runtime::port::LeaseSpec;

use crate::dice::{Dice, Site};
use crate::executor::Unfair;

pub(crate) const MILLI: u64 = 1_000_000;
/// How long a driver waits for its feed and for cancelled handlers when it ends.
pub(crate) const CLOSE_GRACE: Span = Span::from_millis(500);

/// Which faults are on; each is with a chance of one half.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is on or off by itself")]
pub(crate) struct Faults {
    pub(crate) fails: bool,
    pub(crate) panics: bool,
    pub(crate) hangs: bool,
    pub(crate) slow: bool,
    pub(crate) poison: bool,
    pub(crate) breaks: bool,
    pub(crate) loses: bool,
    pub(crate) cuts: bool,
    pub(crate) crashes: bool,
    pub(crate) pauses: bool,
    pub(crate) hand_overs: bool,
    pub(crate) copies: bool,
    pub(crate) drops: bool,
    pub(crate) unfair: bool,
    pub(crate) hurries: bool,
    pub(crate) lags: bool,
    pub(crate) hung_ports: bool,
    pub(crate) publisher_crashes: bool,
    pub(crate) expiry: bool,
    pub(crate) kills: bool,
    pub(crate) calls: bool,
    pub(crate) lost_tails: bool,
    pub(crate) purges: bool,
    pub(crate) full: bool,
}

/// One message of the plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Message {
    /// `None` without a key.
    pub(crate) key: Option<u32>,
    /// No attempt ever succeeds.
    pub(crate) poison: bool,
    /// From then on, in nanoseconds, it is not to be handled any more.
    pub(crate) expires: Option<u64>,
    /// Whoever handles it dies of it.
    pub(crate) kills: bool,
}

/// How a caller publishes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum How {
    /// It waits for the result.
    Wait,
    /// It waits for acceptance, and hears of the result beside the next ones.
    Enqueue,
    /// It drops the future before the driver has seen it.
    DropEarly,
    /// It drops the future once it is accepted.
    DropLate,
}

/// One publish, in the order of its key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Publish {
    pub(crate) message: u32,
    pub(crate) copy: u8,
    /// Pause before it, in nanoseconds.
    pub(crate) pause: u64,
    pub(crate) within: Span,
    pub(crate) how: How,
}

/// What happens to members and connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Chaos {
    Start(u32),
    Break(u32),
    Lose {
        partition: u32,
        count: u32,
    },
    /// The broker loses the last records of a partition.
    LoseTail {
        partition: u32,
        count: u32,
    },
    /// Retention takes the first records of a partition.
    Purge {
        partition: u32,
        count: u32,
    },
    /// The logs are full for a while: the port lets publishes wait, or refuses them.
    Full {
        refuses: bool,
        long: u64,
    },
    Room,
    /// An owner says where a partition goes on that has stopped.
    Decide {
        life: u32,
        partition: u32,
        latest: bool,
    },
    Cut {
        lands: bool,
    },
    /// The publisher's connection is gone for a while.
    Outage {
        long: u64,
    },
    Online,
    /// The publisher's process dies; what it has sent lands, or never does.
    KillPublisher {
        lands: bool,
        back: u64,
    },
    StartPublisher,
    /// The port of a member hangs for a while, and its driver does not.
    Hang {
        seat: u32,
        long: u64,
    },
    Answer {
        life: u32,
    },
    Crash {
        seat: u32,
        back: u64,
    },
    Pause {
        seat: u32,
        long: u64,
    },
    Resume {
        seat: u32,
        life: u32,
    },
    Drain {
        seat: u32,
        within: u64,
        retire: bool,
        back: u64,
    },
    Abort {
        seat: u32,
        back: u64,
    },
    Heal,
}

/// Everything that follows from a seed.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) dice: Dice,
    pub(crate) faults: Faults,
    pub(crate) unfair: Unfair,
    /// How long commands and events of ports take at most, in nanoseconds.
    pub(crate) lag: u64,
    pub(crate) members: u32,
    pub(crate) partitions: u32,
    pub(crate) keys: u32,
    pub(crate) messages: Vec<Message>,
    /// By caller: one a key, and one for messages without a key.
    pub(crate) callers: Vec<Vec<Publish>>,
    pub(crate) config: Config,
    pub(crate) concurrency: usize,
    pub(crate) lease: LeaseSpec,
    pub(crate) producer: ProducerConfig,
    /// In order of time, in nanoseconds.
    pub(crate) schedule: Vec<(u64, Chaos)>,
}

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        let dice = Dice::new(seed);
        let set = |number, low, high| dice.draw(Site::Setting, number, 0, low, high);
        let on = |number| dice.chance(Site::Fault, number, 0, 50);
        let faults = Faults {
            fails: on(0),
            panics: on(1),
            hangs: on(2),
            slow: on(3),
            poison: on(4),
            breaks: on(5),
            loses: on(6),
            cuts: on(7),
            crashes: on(8),
            pauses: on(9),
            hand_overs: on(10),
            copies: on(11),
            drops: on(12),
            unfair: on(13),
            hurries: on(14),
            lags: on(15),
            hung_ports: on(16),
            publisher_crashes: on(17),
            expiry: on(18),
            kills: on(19),
            calls: on(20),
            lost_tails: on(21),
            purges: on(22),
            full: on(23),
        };
        let config = config(dice, faults, partitions(dice));
        let keys = set(0, 1, 12) as u32;
        let count = set(1, 50, 300) as u32;
        let keyless = set(2, 0, 3) == 0;
        let messages = (0..u64::from(count)).map(|number| {
            let key = dice.draw(Site::Message, number, 0, 0, u64::from(keys) - 1) as u32;
            let none = keyless && dice.chance(Site::Message, number, 1, 10);
            let expires = faults.expiry && dice.chance(Site::Message, number, 3, 10);
            Message {
                key: (!none).then_some(key),
                poison: faults.poison && dice.chance(Site::Message, number, 2, 4),
                expires: expires
                    .then(|| dice.draw(Site::Message, number, 4, 1_000, 10_000) * MILLI),
                // One of them at most: each costs some lives, and each life a lease.
                kills: 0 < config.suspects && number == u64::from(count / 3),
            }
        });
        let messages: Vec<_> = messages.collect();
        let (members, partitions) = (set(3, 1, 3) as u32, partitions(dice));
        let lease = Span::from_millis(set(5, 1_000, 4_000));
        let mut plan = Self {
            dice,
            faults,
            unfair: if faults.unfair {
                Unfair {
                    late: set(6, 0, 10) * MILLI,
                    stall: set(7, 0, 30) * MILLI,
                }
            } else {
                Unfair::default()
            },
            lag: if faults.lags {
                set(9, 1, 20) * MILLI
            } else {
                0
            },
            members,
            partitions,
            keys,
            callers: callers(dice, faults, keys, &messages),
            messages,
            config,
            concurrency: set(8, 1, 8) as usize,
            lease: LeaseSpec {
                lease,
                margin: lease.div(5),
            },
            producer: producer(dice),
            schedule: Vec::new(),
        };
        plan.schedule = plan.chaos();
        plan
    }

    /// What goes wrong, and when.
    fn chaos(&self) -> Vec<(u64, Chaos)> {
        let (dice, faults) = (self.dice, self.faults);
        let roll = |n, what, low, high| dice.draw(Site::Chaos, n, what, low, high);
        let begin = 1_000 * MILLI;
        let mut schedule: Vec<_> = (0..self.members)
            .map(|seat| {
                let late = roll(u64::from(seat), 100, 0, 1_500) * MILLI;
                (begin + late, Chaos::Start(seat))
            })
            .collect();
        let lease = self.lease.lease.as_nanos();
        let long = roll(0, 101, 4_000, 12_000) * MILLI;
        let kinds = [
            (faults.breaks, 0),
            (faults.loses, 1),
            (faults.cuts, 2),
            (faults.crashes, 3),
            (faults.pauses, 4),
            (faults.hand_overs, 5),
            (faults.hung_ports, 6),
            (faults.publisher_crashes, 7),
            (faults.lost_tails, 8),
            (faults.purges, 9),
            (faults.full, 10),
        ];
        for kind in kinds.into_iter().filter(|kind| kind.0).map(|kind| kind.1) {
            let times = if kind < 3 {
                roll(kind, 102, 1, 12)
            } else {
                roll(kind, 102, 1, 4)
            };
            for time in 0..times {
                let n = 1_000 * kind + time;
                let at = begin + roll(n, 103, 0, long / MILLI) * MILLI + roll(n, 104, 0, MILLI);
                let seat = roll(n, 105, 0, u64::from(self.members) - 1) as u32;
                let partition = roll(n, 106, 0, u64::from(self.partitions) - 1) as u32;
                let back = roll(n, 107, 0, 2 * lease / MILLI) * MILLI;
                let chaos = match kind {
                    0 => Chaos::Break(seat),
                    1 => Chaos::Lose {
                        partition,
                        count: roll(n, 108, 1, 4) as u32,
                    },
                    2 if roll(n, 114, 0, 3) == 0 => Chaos::Outage {
                        long: roll(n, 115, 1, 3_000) * MILLI,
                    },
                    2 => Chaos::Cut {
                        lands: roll(n, 109, 0, 1) == 0,
                    },
                    3 if roll(n, 110, 0, 3) == 0 => Chaos::Abort { seat, back },
                    3 => Chaos::Crash { seat, back },
                    10 => Chaos::Full {
                        refuses: roll(n, 121, 0, 1) == 0,
                        long: roll(n, 122, 50, 3_000) * MILLI,
                    },
                    9 => Chaos::Purge {
                        partition,
                        count: roll(n, 120, 1, 80) as u32,
                    },
                    8 => Chaos::LoseTail {
                        partition,
                        count: roll(n, 119, 1, 40) as u32,
                    },
                    7 => Chaos::KillPublisher {
                        lands: roll(n, 117, 0, 1) == 0,
                        back: roll(n, 118, 0, 1_000) * MILLI,
                    },
                    6 => Chaos::Hang {
                        seat,
                        long: roll(n, 116, lease / 4 / MILLI, 2 * lease / MILLI) * MILLI,
                    },
                    4 => Chaos::Pause {
                        seat,
                        long: roll(n, 111, lease / 4 / MILLI, 3 * lease / MILLI) * MILLI,
                    },
                    _ => Chaos::Drain {
                        seat,
                        within: roll(n, 112, 10, 1_500) * MILLI,
                        retire: roll(n, 113, 0, 3) == 0,
                        back,
                    },
                };
                schedule.push((at, chaos));
            }
        }
        schedule.push((begin + long + 1_600 * MILLI, Chaos::Heal));
        schedule.sort_by_key(|(at, _)| *at);
        schedule
    }
}

/// A waiting time between things that fail.
const fn backoff(first: u64, max: u64) -> Backoff {
    Backoff {
        first: Span::from_millis(first),
        max: Span::from_millis(max),
        jitter_percent: 20,
    }
}

fn partitions(dice: Dice) -> u32 {
    dice.draw(Site::Setting, 4, 0, 1, 4) as u32
}

fn config(dice: Dice, faults: Faults, partitions: u32) -> Config {
    let set = |number, low, high| dice.draw(Site::Setting, number, 1, low, high);
    let mut config = Config {
        partitions,
        window: 64 * set(0, 1, 3) as u32,
        // Room for every window and for a resumed map of the whole log beside it: where there is less, a
        // core forgets what does not fit (S7), and that would run again.
        window_pool: 64 * 64,
        handler_timeout: Span::from_millis(set(1, 100, 1_500)),
        cancel_grace: Span::from_millis(50),
        map_bytes: [0, 64, 3_072, 3_072][set(2, 0, 3) as usize],
        dead_letter_backoff: backoff(20, 200),
        session_backoff: backoff(10, 200),
        seed: set(3, 0, u64::MAX - 1),
        stall_after: Span::from_secs(10),
        ..Config::default()
    };
    config.limits.messages = set(4, 1, 100) as u32;
    config.limits.partition_messages = set(5, 1, 60) as u32;
    config.limits.low_water_percent = set(6, 1, 100) as u8;
    config.key_messages = [u32::MAX, 2, 8][set(7, 0, 2) as usize];
    config.retry.attempts = set(8, 1, 5) as u32;
    config.retry.backoff = backoff(set(9, 0, 30), 200);
    config.commit.every = Span::from_millis(set(10, 5, 200));
    config.commit.messages = set(11, 1, 50) as u32;
    config.commit.backoff = backoff(20, 200);
    config.dedupe.ids = [0, 4_096, 4_096][set(12, 0, 2) as usize];
    if 3_072 == config.map_bytes && set(13, 0, 1) == 0 {
        config.parked_keys = set(14, 1, 4) as u32;
    }
    if faults.expiry {
        config.expired =
            [Expired::Report, Expired::DeadLetter, Expired::Run][set(15, 0, 2) as usize];
    }
    if faults.kills && 3_072 == config.map_bytes {
        config.suspects = set(16, 2, 3) as u32;
    }
    if faults.calls {
        config.batch_key = set(17, 2, 8) as u32;
    }
    if faults.purges {
        config.on_reset =
            [OnReset::Stop, OnReset::Earliest, OnReset::Latest][set(19, 0, 2) as usize];
    }
    config.map_digests = config.map_bytes == 3_072 && set(18, 0, 1) == 0;
    config
}

fn producer(dice: Dice) -> ProducerConfig {
    let set = |number, low, high| dice.draw(Site::Setting, number, 2, low, high);
    let messages = set(0, 2, 60) as u32;
    ProducerConfig {
        messages,
        in_flight: set(1, 1, u64::from(messages)) as u32,
        low_water_percent: set(2, 1, 100) as u8,
        backoff: backoff(10, 200),
        seed: set(3, 0, u64::MAX - 1),
        batch: set(4, 1, 5) as u32,
        ..ProducerConfig::default()
    }
}

fn callers(dice: Dice, faults: Faults, keys: u32, messages: &[Message]) -> Vec<Vec<Publish>> {
    let mut callers = vec![Vec::new(); keys as usize + 1];
    let gap = dice.draw(Site::Publish, 0, 100, 0, 2 * u64::from(keys) * 40) * MILLI;
    for (number, message) in (0..).zip(messages) {
        let caller = message.key.unwrap_or(keys) as usize;
        let n = u64::from(number);
        let roll = |what, low, high| dice.draw(Site::Publish, n, what, low, high);
        let publish = Publish {
            message: number,
            copy: 0,
            pause: roll(0, 0, gap),
            within: Span::from_millis(if faults.hurries && roll(1, 0, 3) == 0 {
                roll(2, 1, 100)
            } else {
                roll(3, 2_000, 10_000)
            }),
            how: match roll(4, 0, 9) {
                0 if faults.drops => How::DropEarly,
                1 if faults.drops => How::DropLate,
                2..=5 => How::Enqueue,
                _ => How::Wait,
            },
        };
        callers[caller].push(publish);
        if faults.copies && roll(5, 0, 5) == 0 {
            // Behind a few others of its key, or right after it.
            let copy = Publish {
                copy: roll(6, 0, 1) as u8,
                how: How::Enqueue,
                ..publish
            };
            callers[caller].push(copy);
        }
    }
    callers
}
