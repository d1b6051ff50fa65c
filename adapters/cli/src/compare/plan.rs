//! One run: which messages there are, and which number each has.

use std::sync::Arc;

use crate::args::Load;
use crate::picks::Picks;

use super::Stamp;

/// One run on one broker.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The run's random name.
    pub(crate) run: String,
    /// `memory`, `nats` or `kafka`.
    pub(crate) broker: &'static str,
    /// The load.
    pub(crate) load: Load,
    /// Topics; aggregates are dealt out to them.
    pub(crate) topics: Vec<Arc<str>>,
    /// Bytes of each payload.
    pub(crate) payload: usize,
    /// Which messages fail, are slow or are published twice.
    pub(crate) picks: Picks,
}

impl Plan {
    pub(crate) fn new(
        run: &str,
        broker: &'static str,
        load: &Load,
        topics: u32,
        payload: usize,
        picks: Picks,
    ) -> Self {
        Self {
            run: run.into(),
            broker,
            load: load.clone(),
            topics: (0..topics)
                .map(|i| format!("cmp-{run}-{broker}-{}-{i}", load.name).into())
                .collect(),
            payload,
            picks,
        }
    }

    /// The topic of an aggregate.
    pub(crate) fn topic(&self, aggregate: u32) -> &Arc<str> {
        &self.topics[aggregate as usize % self.topics.len()]
    }

    /// The number of a message, from 0; `None` when it is none of this run's.
    pub(crate) fn index(&self, stamp: Stamp) -> Option<usize> {
        let load = &self.load;
        let known = stamp.aggregate < load.aggregates
            && (1..=load.versions(stamp.aggregate)).contains(&stamp.seq);
        known.then(|| self.first(stamp.aggregate) + stamp.seq as usize - 1)
    }

    /// The number of an aggregate's first message.
    pub(crate) fn first(&self, aggregate: u32) -> usize {
        let (each, more) = (
            self.load.messages / self.load.aggregates,
            self.load.messages % self.load.aggregates,
        );
        aggregate as usize * each as usize + aggregate.min(more) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_has_a_number_of_its_own() {
        let load: Load = "1003x100".parse().unwrap();
        let plan = Plan::new("r", "memory", &load, 5, 16, Picks::default());
        let mut next = 0;
        for aggregate in 0..100 {
            for seq in 1..=load.versions(aggregate) {
                let stamp = Stamp {
                    aggregate,
                    seq,
                    published: 0,
                };
                assert_eq!(plan.index(stamp), Some(next));
                next += 1;
            }
        }
        assert_eq!(next, 1003);
        assert_eq!(
            plan.index(Stamp {
                aggregate: 100,
                seq: 1,
                published: 0
            }),
            None
        );
        assert_eq!(
            plan.index(Stamp {
                aggregate: 99,
                seq: 11,
                published: 0
            }),
            None
        );
        assert_eq!(
            plan.index(Stamp {
                aggregate: 0,
                seq: 0,
                published: 0
            }),
            None
        );
        assert_eq!(&**plan.topic(7), "cmp-r-memory-1003x100-2");
    }
}
