//! Topics that were looked at.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use procession_core::Span;
use procession_runtime::check_topic_name;
use procession_runtime::port::{Broker, PortError, PortErrorKind, TopicInfo, TopicMode, TopicSpec};
use tokio::sync::OnceCell;

use crate::Error;
use crate::settings::Settings;

/// Most topics that one bus uses.
const TOPICS_MAX: usize = 10_000;

/// The topics that this bus has used, each looked at once.
#[derive(Default)]
pub(crate) struct Topics {
    seen: Mutex<HashMap<Arc<str>, Arc<Topic>>>,
}

/// A topic, looked at or about to be.
pub(crate) struct Topic {
    pub(crate) name: Arc<str>,
    info: OnceCell<TopicInfo>,
}

impl Topics {
    /// The topic of this name.
    pub(crate) fn entry(&self, name: &str) -> Result<Arc<Topic>, Error> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(topic) = seen.get(name) {
            return Ok(Arc::clone(topic));
        }
        check_topic_name(name)?;
        if TOPICS_MAX <= seen.len() {
            let message = format!(
                "topic `{name}` would be number {} of this bus: use fewer topics, or another bus",
                TOPICS_MAX + 1
            );
            return Err(PortError::new(PortErrorKind::Refused, message).into());
        }
        let name: Arc<str> = name.into();
        let topic = Arc::new(Topic {
            name: Arc::clone(&name),
            info: OnceCell::new(),
        });
        seen.insert(name, Arc::clone(&topic));
        Ok(topic)
    }
}

impl Topic {
    /// Whether it was looked at.
    pub(crate) fn is_ready(&self) -> bool {
        self.info.initialized()
    }

    /// Creates or checks the topic, the first time; a failure is forgotten and tried again by the
    /// next caller.
    pub(crate) async fn ready(
        &self,
        broker: &dyn Broker,
        settings: &Settings,
        mode: TopicMode,
    ) -> Result<&TopicInfo, Error> {
        if let Some(info) = self.info.get() {
            return Ok(info);
        }
        let own = settings.topic(&self.name)?;
        let spec = TopicSpec {
            name: Arc::clone(&self.name),
            partitions: own.partitions,
            storage: own.storage,
            mode: own.mode.unwrap_or(mode),
            duplicate_window: Span::from(settings.publish.duplicate_window()),
        };
        let look = || async {
            let info = broker.topic(spec).await?;
            for warning in &info.warnings {
                tracing::warn!(topic = &*info.name, "{warning}");
            }
            Ok::<_, Error>(info)
        };
        self.info.get_or_try_init(look).await
    }
}
