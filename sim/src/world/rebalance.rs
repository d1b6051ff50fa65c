//! Kafka's groups: rebalances by all three protocols, and generations.

use super::World;
use crate::checker::Checked;
use crate::coverage::Mark;
use crate::event::Event;
use crate::plan::Flavour;
use crate::site::Site;

/// How a group hands partitions over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Protocol {
    /// Everybody gives everything up; nobody gets anything before all have (K1).
    Eager,
    /// Only what moves is given up; the rest flows on (K2).
    Cooperative,
    /// The broker takes one by one, without a barrier (K3).
    BrokerDriven,
}

impl World {
    /// A rebalance of the group, by the protocol of this run.
    pub(super) fn rebalance(&mut self, n: u64) -> Checked {
        if self.plan.flavour != Flavour::Kafka || !self.fate.decide(Site::Rebalance, 0, n) {
            return Ok(());
        }
        // A group does not change its protocol from one rebalance to the next.
        let protocol = match self.fate.draw(Site::Rebalance, 1, 0, 0, 2) {
            0 => Protocol::Eager,
            1 => Protocol::Cooperative,
            _ => Protocol::BrokerDriven,
        };
        self.hit(match protocol {
            Protocol::Eager => Mark::Eager,
            Protocol::Cooperative => Mark::Cooperative,
            Protocol::BrokerDriven => Mark::BrokerDriven,
        });
        let draw = |what, low, high| self.fate.draw(Site::Rebalance, what, n, low, high);
        let (grace, moved) = (draw(2, 0, 60_000_000), draw(3, 1, 7));
        let partitions = self.plan.config.partitions;
        let concerned: Vec<u32> = (0..partitions)
            .filter(|p| match protocol {
                Protocol::Eager => true,
                Protocol::Cooperative => moved >> (p % 3) & 1 == 1,
                Protocol::BrokerDriven => *p == moved as u32 % partitions,
            })
            .collect();
        self.note(|w, out| out.push_str(&format!("{:>12} {protocol:?} {concerned:?}\n", w.now)));
        if protocol == Protocol::Eager {
            self.barrier = self.now + grace + 2_000_000;
        }
        for partition in concerned {
            self.revoke(partition, grace)?;
        }
        if protocol != Protocol::BrokerDriven {
            // From the end of the rebalance on, commits of before are fenced (K5).
            self.push_in(grace + 2_000_000, Event::Generation);
        }
        Ok(())
    }

    /// A generation ends: writes of before it are refused from now on, whoever owns the partition.
    #[inline(never)]
    pub(super) fn next_generation(&mut self) {
        self.generation += 1;
    }

    /// Whether nobody gets a partition yet: an eager rebalance waits for all.
    pub(super) fn behind_barrier(&self) -> bool {
        self.now < self.barrier && self.seats.iter().any(Option::is_some)
    }
}
