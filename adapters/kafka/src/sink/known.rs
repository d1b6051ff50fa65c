//! How many partitions a topic has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Most topics that are remembered; more are looked up again.
pub(super) const TOPICS_MAX: usize = 4_096;

/// Partition counts of topics, shared by all parts of a broker.
///
/// A count stays as it was first seen, so that keys keep their partitions while this process runs:
/// order per key is not promised over a change of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    topics: Arc<Mutex<HashMap<Arc<str>, u32>>>,
}

impl Known {
    pub(crate) fn insert(&self, topic: Arc<str>, partitions: u32) {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        if TOPICS_MAX <= topics.len() {
            topics.clear();
        }
        topics.insert(topic, partitions);
    }

    pub(crate) fn get(&self, topic: &str) -> Option<u32> {
        let topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        topics.get(topic).copied()
    }

    /// The topic is not what it was: it is looked up again.
    pub(crate) fn forget(&self, topic: &str) {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        topics.remove(topic);
    }
}
