//! S8, S10, L2: publishes.

use std::collections::BTreeMap;

use super::{Checker, Found, breach};
use crate::event::{Stored, Told, What};

/// What is known of one publish.
#[derive(Clone, Copy, Default)]
struct Known {
    message: u32,
    deadline: u64,
    /// Counts the acceptances, from 1.
    accepted: Option<u64>,
    resolved: Option<Told>,
    heard: Option<Told>,
    /// Where it is in the log.
    stored: Option<(u32, u64)>,
    /// It was called while the logs were full, for the time with this number.
    full: Option<u32>,
    /// The process that called it died before it heard of it.
    orphan: bool,
}

impl Checker<'_> {
    /// Everything about publishes, once the log is known.
    pub(super) fn publishing(&self) -> Found {
        let publishes = self.known()?;
        for (number, known) in &publishes {
            Self::one_result(*number, known)?;
            if let Some(Told::Stored {
                partition,
                position,
            }) = known.resolved.or(known.heard)
                && !self.was_at(partition, position, known.message)
            {
                return breach(
                    "S10",
                    format!("publish {number} is not at {partition}/{position}"),
                );
            }
        }
        self.order(&publishes)
    }

    /// Whether a message was ever there, copies included.
    fn was_at(&self, partition: u32, position: u64, message: u32) -> bool {
        let mut there = self.log.at(partition, position).iter();
        there.any(|entry| entry.message == message)
    }

    /// Whether it brought the record that its result names, and that is no older copy.
    fn is_its_own(&self, publish: u32, result: Told) -> bool {
        let Told::Stored {
            partition,
            position,
        } = result
        else {
            return false;
        };
        self.log.find((partition, position, publish)).is_some()
    }

    fn known(&self) -> Result<BTreeMap<u32, Known>, (&'static str, String)> {
        let mut publishes: BTreeMap<u32, Known> = BTreeMap::new();
        let mut accepted_so_far = 0;
        // Which time it is that the logs are full, and whether they are.
        let mut full = (0, false);
        for event in &self.story.events {
            match event.what {
                What::Called {
                    publish,
                    message,
                    deadline,
                } => {
                    let known = publishes.entry(publish).or_default();
                    (known.message, known.deadline) = (message, deadline);
                    known.full = full.1.then_some(full.0);
                    let life = self.lives.get(&event.life);
                    known.orphan = life.is_some_and(|life| life.crashed);
                }
                What::Accepted { publish, .. } => {
                    accepted_so_far += 1;
                    let known = publishes.entry(publish).or_default();
                    if known.accepted.replace(accepted_so_far).is_some() {
                        return breach("S10", format!("publish {publish} is accepted twice"));
                    }
                }
                What::Resolved { publish, result } => {
                    let known = publishes.entry(publish).or_default();
                    if known.resolved.replace(result).is_some() || known.accepted.is_none() {
                        return breach("S10", format!("publish {publish} has a result too many"));
                    }
                    let unbroken = full.1 && known.full == Some(full.0);
                    if unbroken && self.is_its_own(publish, result) {
                        let text = format!("publish {publish} is stored, and the logs were full");
                        return breach("S10", text);
                    }
                    if known.deadline + self.story.slack < event.at {
                        return breach("L2", format!("publish {publish} ends after its deadline"));
                    }
                }
                What::Full { full: is } => full = (full.0 + u32::from(is && !full.1), is),
                What::Heard { publish, result } => {
                    let known = publishes.entry(publish).or_default();
                    if known.heard.replace(result).is_some() {
                        return breach("S10", format!("publish {publish} is answered twice"));
                    }
                }
                _ => {}
            }
        }
        for entry in self.log.all() {
            let (partition, position, publish) = entry.place;
            let known = publishes.entry(publish).or_default();
            known.stored.get_or_insert((partition, position));
        }
        Ok(publishes)
    }

    fn one_result(number: u32, known: &Known) -> Found {
        let stored = known.stored.is_some();
        match (known.accepted, known.resolved) {
            (Some(_), None) if known.orphan => Ok(()),
            (Some(_), None) => breach("L2", format!("publish {number} has no result")),
            (Some(_), Some(Told::Refused | Told::Full | Told::Closed)) if stored => breach(
                "S10",
                format!("publish {number} is refused, and in the log"),
            ),
            (None, _) if stored => breach("S10", format!("publish {number} was never accepted")),
            (None, _) if matches!(known.heard, Some(Told::Stored { .. } | Told::Unknown)) => {
                breach(
                    "S10",
                    format!("publish {number} has a result and was never accepted"),
                )
            }
            (Some(_), resolved) if known.heard.is_some() && known.heard != resolved => breach(
                "S10",
                format!("publish {number} is answered otherwise than it ended"),
            ),
            _ => Ok(()),
        }
    }

    /// S8: a key's publishes are accepted in the order of their calls, and stored in that order.
    fn order(&self, publishes: &BTreeMap<u32, Known>) -> Found {
        let mut called: BTreeMap<u32, u64> = BTreeMap::new();
        for (number, known) in publishes {
            if let (Some(key), Some(accepted)) = (self.key(known.message), known.accepted) {
                let last = called.entry(key).or_default();
                if accepted < *last {
                    return breach("S8", format!("publish {number} is accepted out of turn"));
                }
                *last = accepted;
            }
        }
        let lost = self.story.events.iter();
        let lost = lost.filter_map(|event| match &event.what {
            What::TailLost { lost, .. } => Some(lost),
            _ => None,
        });
        for log in lost.chain([&self.story.log]) {
            self.in_the_order_of_acceptance(publishes, log)?;
        }
        Ok(())
    }

    fn in_the_order_of_acceptance(
        &self,
        publishes: &BTreeMap<u32, Known>,
        log: &[Stored],
    ) -> Found {
        let mut by_key: BTreeMap<u32, (u64, u32)> = BTreeMap::new();
        for record in log {
            let accepted = publishes
                .get(&record.publish)
                .and_then(|known| known.accepted);
            if let (Some(key), Some(accepted)) = (self.key(record.message), accepted) {
                let last = by_key.entry(key).or_default();
                if accepted < last.0 {
                    return breach(
                        "S8",
                        format!("publish {} is in the log behind {}", record.publish, last.1),
                    );
                }
                *last = (accepted, record.publish);
            }
        }
        Ok(())
    }
}
