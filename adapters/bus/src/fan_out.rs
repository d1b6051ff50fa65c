//! Several observers of one bus.

use std::sync::Arc;

use crate::Envelope;
use crate::observe::{Observe, Observer, PublishObserver};

/// Tells each of them everything, in the order in which they were given.
pub(crate) struct FanOut(pub(crate) Vec<Arc<dyn Observe>>);

impl Observe for FanOut {
    fn subscription(&self, topic: &str, group: &str) -> Box<dyn Observer<Envelope>> {
        let all = self.0.iter().map(|o| o.subscription(topic, group));
        let wanting: Vec<_> = all.filter(|observer| observer.wants()).collect();
        Box::new(wanting)
    }

    fn publisher(&self) -> Box<dyn PublishObserver> {
        let all = self.0.iter().map(|o| o.publisher());
        let wanting: Vec<_> = all.filter(|observer| observer.wants()).collect();
        Box::new(wanting)
    }
}
