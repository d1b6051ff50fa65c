//! What all parts of a broker know of topics.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::topic::TOPICS_MAX;
use crate::shape::Shape;

/// Shapes of topics, shared by all parts of a broker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    topics: Arc<Mutex<HashMap<Arc<str>, Shape>>>,
}

impl Known {
    pub(crate) fn insert(&self, topic: Arc<str>, shape: Shape) {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        if TOPICS_MAX <= topics.len() {
            topics.clear();
        }
        topics.insert(topic, shape);
    }

    pub(crate) fn get(&self, topic: &str) -> Option<Shape> {
        let topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        topics.get(topic).copied()
    }
}
