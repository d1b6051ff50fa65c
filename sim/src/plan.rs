//! The configuration of one run, drawn from its seed.

use procession_core::{
    Backoff, CommitCadence, Config, Dedupe, Expired, Keyless, Limits, OnGap, OnHung, OnReset,
    Order, Retry, SequenceOrder, Span,
};

use crate::fate::{Decision, Fate, hash, log_uniform};
use crate::item::Item;
use crate::site::{SITES, Site};

/// How faults are chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Profile {
    /// 85 % swarm, 10 % everything on, 5 % clean.
    #[default]
    Mixed,
    /// Each fault site on with probability one half, each with a chance of its own.
    Swarm,
    /// Every fault site on.
    AllOn,
    /// No faults at all; every message must then be handled exactly once.
    Clean,
    /// One fault site on, often.
    OneFault,
}

/// Which broker the world resembles.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flavour {
    /// Log mode on JetStream: numbered deliveries, sessions with overlap, leases.
    JetStream,
    /// Kafka: no delivery numbers, no leases, the client pushes until it is paused.
    Kafka,
}

/// One run's configuration.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// What it was drawn from.
    pub seed: u64,
    /// Never `Mixed`.
    pub profile: Profile,
    /// The broker.
    pub flavour: Flavour,
    /// Processes of the group.
    pub members: u32,
    /// The core's configuration, the same in every process.
    pub config: Config,
    /// Messages that are published. Where the run has its length in events, they are its pace: as many
    /// in the time until `heal_at`.
    pub messages: u32,
    /// Keys in use.
    pub keys: u32,
    /// Lanes that keys are folded into; 0 for none.
    pub lanes: u32,
    /// When faults stop, in nanoseconds, unless the run has its length in events.
    pub heal_at: u64,
    /// How long after that everything must be finished (L1), in nanoseconds.
    pub patience: u64,
    /// Ticks of world-level faults.
    pub ticks: u32,
    /// All times are multiples of this, so that events meet.
    pub quantum: u64,
    /// Length of a lease.
    pub lease: u64,
    /// Handlers that the process runs at once.
    pub concurrency: u32,
    /// Largest batch that a feed takes from the log.
    pub batch: u32,
    /// Mean time between heartbeats.
    pub beat: u64,
    /// A process dies right before this event of the run.
    pub crash_at: Option<u64>,
    /// A hand-over, loss or drain hits right before this event of the run.
    pub shake_at: Option<u64>,
    /// With this event of the run faults stop and nothing more is published, so that runs are of one
    /// length, or nearly. As many messages are published as keep it busy until then, and a little longer.
    pub calm_at: Option<u64>,
    /// The core is asked about its own invariants after every event. Without, whatever is found the
    /// checker found by itself.
    pub audit: bool,
    /// All latencies are this, where it is given.
    pub latency: Option<u64>,
    /// Whichever process starts this publish dies of it. Healing does not stop that.
    pub killer: Option<u64>,
    /// Chance of each site.
    pub chances: [u16; SITES],
    /// Exactly these faults happen, where a list is given; then no chance is looked at.
    pub faults: Option<Vec<Decision>>,
    /// Exactly this is published, where it is given; then none is drawn.
    pub workload: Option<Vec<Item>>,
}

const MILLI: u64 = 1_000_000;

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn new(seed: u64, profile: Profile) -> Self {
        Self::on(seed, profile, None)
    }

    /// The plan of a seed, on a broker of this kind; `None`: as the seed says.
    #[must_use]
    pub fn on(seed: u64, profile: Profile, flavour: Option<Flavour>) -> Self {
        let d = Draw { seed };
        let profile = match profile {
            Profile::Mixed => match d.even(0, 0, 99) {
                0..85 => Profile::Swarm,
                85..95 => Profile::AllOn,
                _ => Profile::Clean,
            },
            Profile::Swarm | Profile::AllOn | Profile::Clean | Profile::OneFault => profile,
        };
        let chances = d.chances(profile);
        let drawn = if d.even(1, 0, 9) < 6 {
            Flavour::JetStream
        } else {
            Flavour::Kafka
        };
        let flavour = flavour.unwrap_or(drawn);
        let partitions = d.log(2, 1, 3) as u32;
        let on = |site: Site| chances[site as usize] > 0;
        let messages = d.log(3, 16, 96) as u32 + d.even(4, 0, 24) as u32;
        let keys = if d.even(5, 0, 9) < 8 {
            d.log(6, 1, 4)
        } else {
            d.log(6, 1, 24)
        } as u32;
        let heal_at = d.log(7, 220, 1_100) * MILLI;
        // Where a crash is followed by a wait for a lease, a run takes a third longer.
        let ticks = match flavour {
            Flavour::Kafka => d.log(11, 4, 16),
            Flavour::JetStream => d.log(11, 3, 12),
        };
        let lanes = if on(Site::LaneCollision) {
            d.even(8, 1, 2) as u32
        } else {
            0
        };
        let at_event = |n, site| on(site).then(|| d.log(n, 10, 1_200));
        Self {
            seed,
            profile,
            flavour,
            members: if d.even(9, 0, 1) == 0 {
                1
            } else {
                d.even(10, 2, 3) as u32
            },
            config: d.config(profile, partitions, messages),
            messages,
            keys,
            lanes,
            heal_at,
            patience: 120_000 * MILLI,
            ticks: ticks as u32,
            quantum: [1, 1_000, 100_000, MILLI][d.even(12, 0, 3) as usize],
            lease: d.log(13, 20, 600) * MILLI,
            concurrency: if d.even(14, 0, 1) == 0 {
                u32::MAX
            } else {
                d.log(15, 1, 8) as u32
            },
            batch: d.log(16, 1, 16) as u32,
            beat: d.log(17, 10, 100) * MILLI,
            crash_at: at_event(18, Site::CrashAtEvent),
            shake_at: at_event(19, Site::ShakeAtEvent),
            calm_at: d.storm(),
            audit: true,
            latency: None,
            killer: d.killer(profile, messages),
            chances,
            faults: None,
            workload: None,
        }
    }

    /// What a partition is weighed with at the `n`th time, 0 being a process's start; `None` in a run in
    /// which nobody speaks of weights.
    pub(crate) fn weight(&self, partition: u32, n: u64) -> Option<u32> {
        let d = Draw { seed: self.seed };
        let weighs = self.config.partitions > 1 && d.even(160, 0, 2) == 0;
        let bits = hash(
            self.seed,
            Site::Plan.code(),
            161 + (n << 8),
            partition.into(),
        );
        weighs.then(|| [1, 1, 2, 3, 8, 100, 1_000][(bits % 7) as usize])
    }

    /// Whether a world can be made of it, for plans that come from a file.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        // A run holds all that it publishes, and ends a while after it healed.
        let hour = 3_600_000_000_000;
        let fine = (1..=16).contains(&self.members)
            && self.config.partitions <= 64
            && self.messages <= 20_000
            && self.keys > 0
            && (1..=hour).contains(&self.heal_at)
            && (1_000 * MILLI..=hour).contains(&self.patience)
            && self.ticks <= 10_000
            && self.calm_at.is_none_or(|n| n <= 20_000)
            && (1..=1_000_000_000).contains(&self.quantum)
            && (1..=hour).contains(&self.lease)
            && self.concurrency > 0
            && self.batch > 0
            && (1_000_000..=hour).contains(&self.beat)
            && self.latency.is_none_or(|l| l <= hour);
        let workload = self.workload.as_deref().unwrap_or_default();
        let numbers = workload.is_sorted_by_key(|i| i.number)
            && workload.len() == self.messages as usize
            && workload.iter().all(|i| i.at <= hour);
        if fine && numbers {
            Ok(())
        } else {
            Err("a figure is out of range")
        }
    }

    /// The decisions of the run.
    pub(crate) fn fate(&self) -> Fate {
        let fate = Fate::new(self.seed, self.chances);
        match &self.faults {
            Some(faults) => fate.only(faults.iter().copied()),
            None => fate,
        }
    }
}

/// Draws of the plan, each by its own number.
struct Draw {
    seed: u64,
}

impl Draw {
    fn bits(&self, number: u64) -> u64 {
        hash(self.seed, Site::Plan.code(), number, 0)
    }

    fn even(&self, number: u64, low: u64, high: u64) -> u64 {
        low + self.bits(number) % (high - low + 1)
    }

    fn log(&self, number: u64, low: u64, high: u64) -> u64 {
        log_uniform(self.bits(number), low, high)
    }

    /// The number of events after which faults stop. Nearly half of the runs are short, each doubling
    /// equally likely: they find most faults in less time, and long ones find the rest (ADR 0009). One of
    /// 128 is as long as it gets.
    fn storm(&self) -> Option<u64> {
        match self.even(190, 0, 127) {
            0 => None,
            1..=60 => Some(self.log(191, 64, 640)),
            _ => Some(self.even(191, 688, 736)),
        }
    }

    /// Deaths after which a message is given up, in every fourth run; else nobody looks.
    fn suspects(&self) -> u32 {
        if self.even(170, 0, 3) == 0 {
            self.log(171, 1, 3) as u32
        } else {
            0
        }
    }

    /// In most of those runs, a message kills.
    fn killer(&self, profile: Profile, messages: u32) -> Option<u64> {
        let kills = self.suspects() > 0 && profile != Profile::Clean && self.even(172, 0, 3) > 0;
        kills.then(|| self.even(173, 0, u64::from(messages) - 1))
    }

    fn chances(&self, profile: Profile) -> [u16; SITES] {
        let mut chances = [0; SITES];
        if profile == Profile::Clean {
            return chances;
        }
        if profile == Profile::OneFault {
            let site = self.even(200, 0, Site::FIRST_DRAW as u64 - 1);
            chances[site as usize] = self.log(201, 1_024, 32_768) as u16;
            return chances;
        }
        for site in Site::ALL.into_iter().filter(|s| s.is_fault()) {
            let bits = hash(self.seed, Site::Plan.code(), 1_000 + site as u64, 0);
            if profile == Profile::AllOn || bits & 1 == 0 {
                // 1/1,024 to 1/2, every doubling equally likely.
                chances[site as usize] = log_uniform(bits >> 1, 64, 32_768) as u16;
            }
        }
        chances
    }

    fn backoff(&self, number: u64, first_ms: u64, max_ms: u64) -> Backoff {
        let first = self.log(number, 0, first_ms);
        Backoff {
            first: Span::from_millis(first),
            max: Span::from_millis(first.max(self.log(number + 1, 1, max_ms))),
            jitter_percent: [0, 20, 100][self.even(number + 2, 0, 2) as usize],
        }
    }

    fn config(&self, profile: Profile, partitions: u32, messages: u32) -> Config {
        let clean = profile == Profile::Clean;
        let held = self.log(100, 1, 24) as u32;
        let window = if self.even(101, 0, 3) < 3 {
            64
        } else {
            self.log(102, 64, 256) as u32
        };
        let timeout = if clean || self.even(103, 0, 4) == 0 {
            Span::MAX
        } else {
            Span::from_millis(self.log(104, 4, 200))
        };
        let order = if self.even(105, 0, 7) == 0 {
            Order::Unordered
        } else {
            Order::Key
        };
        let map_bytes = if self.even(123, 0, 3) == 0 {
            0
        } else {
            self.log(124, 8, 400) as u32
        };
        // Where there is room for them, in every other run.
        let parks = !clean && order == Order::Key && self.even(136, 0, 1) == 0;
        let places = if parks { self.log(137, 1, 4) as u32 } else { 0 };
        let parked_keys = places.min(map_bytes.saturating_sub(24) / 25);
        // In every fourth run in order of keys. Few keys are remembered in some.
        let sequenced = order == Order::Key && self.even(146, 0, 3) == 0;
        let sequence = sequenced.then(|| SequenceOrder {
            keys: if self.even(147, 0, 3) == 0 {
                self.log(148, 1, 8) as u32
            } else {
                128
            },
            hold_messages: self.log(149, 1, u64::from(held)) as u32,
            gap_timeout: Span::from_millis(self.log(150, 1, 400)),
            on_gap: match self.even(151, 0, 3) {
                0 | 1 if parked_keys > 0 => OnGap::Park,
                2 => OnGap::Stop,
                _ => OnGap::GoOn,
            },
        });
        // They need room of their own.
        let suspects = self.suspects();
        let map_bytes = if suspects > 0 {
            map_bytes + 42 + self.log(174, 0, 300) as u32
        } else {
            map_bytes
        };
        // In every other run, and there is room for some.
        let map_digests = self.even(202, 0, 1) == 0;
        let map_bytes = if map_digests && map_bytes > 0 {
            map_bytes + self.log(203, 4, 200) as u32
        } else {
            map_bytes
        };
        Config {
            order,
            sequence,
            keyless: [Keyless::Unordered, Keyless::Shared, Keyless::Refuse]
                [self.even(106, 0, 2) as usize],
            partitions,
            limits: Limits {
                messages: held,
                bytes: self.log(107, 1, 4_000),
                partition_messages: self.log(108, 1, u64::from(held)) as u32,
                partition_bytes: self.log(109, 1, 4_000),
                low_water_percent: self.log(110, 1, 100) as u8,
            },
            // In every fourth run in which one call may get several messages of a key.
            batch_key: match (order, sequence) {
                (Order::Key, None) if self.even(162, 0, 3) == 0 => self.log(163, 2, 8) as u32,
                (Order::Key, Some(_)) if self.even(204, 0, 1) == 0 => self.log(205, 2, 8) as u32,
                (Order::Key | Order::Unordered, _) => 1,
            },
            key_messages: if self.even(138, 0, 1) == 0 {
                u32::MAX
            } else {
                self.log(139, 1, 6) as u32
            },
            message_bytes_max: self.log(111, 16, 256) as u32,
            window,
            window_pool: 64 * partitions
                + if self.even(134, 0, 1) == 0 {
                    1_200
                } else {
                    self.log(112, 0, 200) as u32
                },
            retry: Retry {
                attempts: self.log(113, 1, 6) as u32,
                backoff: self.backoff(114, 20, 60),
            },
            handler_timeout: timeout,
            cancel_grace: Span::from_millis(self.log(117, 1, 50)),
            on_hung: if self.even(141, 0, 2) == 0 {
                OnHung::Abandon
            } else {
                OnHung::Wait
            },
            stall_after: Span::from_millis(self.log(135, 1, 2_000)),
            commit: CommitCadence {
                every: Span::from_millis(self.log(118, 0, 60)),
                messages: self.log(119, 1, 32) as u32,
                backoff: self.backoff(120, 10, 40),
            },
            expired: if clean {
                Expired::Run
            } else {
                [Expired::Run, Expired::Report, Expired::DeadLetter][self.even(140, 0, 2) as usize]
            },
            parked_keys,
            suspects,
            on_reset: [
                OnReset::Stop,
                OnReset::Stop,
                OnReset::Earliest,
                OnReset::Latest,
            ][self.even(145, 0, 3) as usize],
            map_bytes,
            map_digests,
            dedupe: Dedupe {
                ids: if clean {
                    4 * messages
                } else {
                    self.log(125, 0, 48) as u32
                },
                age: Span::from_millis(if clean {
                    600_000
                } else {
                    self.log(126, 10, 100_000)
                }),
            },
            dead_letter_backoff: self.backoff(127, 10, 40),
            session_backoff: self.backoff(130, 10, 40),
            seed: self.bits(133),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plan_is_a_valid_configuration() {
        for seed in 0..5_000 {
            let plan = Plan::new(seed, Profile::Mixed);
            plan.config
                .validate()
                .unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        }
    }

    #[test]
    fn profiles_come_in_their_shares() {
        let mut clean = 0;
        let mut all_on = 0;
        for seed in 0..2_000 {
            match Plan::new(seed, Profile::Mixed).profile {
                Profile::Clean => clean += 1,
                Profile::AllOn => all_on += 1,
                Profile::Swarm | Profile::Mixed | Profile::OneFault => {}
            }
        }
        assert!((50..160).contains(&clean), "{clean}");
        assert!((140..270).contains(&all_on), "{all_on}");
    }
}
