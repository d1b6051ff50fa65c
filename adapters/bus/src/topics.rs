//! Topics that were looked at.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};

use procession_core::Span;
use procession_runtime::check_topic_name;
use procession_runtime::port::{Broker, PortError, PortErrorKind, TopicInfo, TopicMode, TopicSpec};
use tokio::sync::{Mutex, OnceCell, OwnedMutexGuard};

use crate::settings::Settings;
use crate::{Error, Form};

/// Most topics that one bus uses.
const TOPICS_MAX: usize = 10_000;

/// The topics that this bus has used, each looked at once.
#[derive(Default)]
pub(crate) struct Topics {
    seen: std::sync::Mutex<HashMap<Arc<str>, Arc<Topic>>>,
}

/// A topic, looked at or about to be.
pub(crate) struct Topic {
    pub(crate) name: Arc<str>,
    info: OnceCell<(TopicInfo, Form)>,
    /// Publishes that came before the topic was looked at stand in line, and those behind them as
    /// long as there is a line: else one that comes when the topic is ready would overtake them (S8).
    line: Arc<Mutex<()>>,
    in_line: AtomicUsize,
}

/// A place at the head of a topic's line. Dropping it lets the next one go on.
pub(crate) struct Turn {
    _head: OwnedMutexGuard<()>,
    _place: Place,
}

/// A place in a topic's line.
struct Place(Arc<Topic>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_line.fetch_sub(1, Ordering::AcqRel);
    }
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
            line: Arc::default(),
            in_line: AtomicUsize::new(0),
        });
        seen.insert(name, Arc::clone(&topic));
        Ok(topic)
    }
}

impl Topic {
    /// Whether a publish may go on at once: the topic was looked at, and nobody stands in line.
    pub(crate) fn is_open(&self) -> bool {
        self.info.initialized() && self.in_line.load(Ordering::Acquire) == 0
    }

    /// Stands in line from its first poll on, and resolves at the head of the line.
    pub(crate) async fn turn(self: Arc<Self>) -> Turn {
        self.in_line.fetch_add(1, Ordering::AcqRel);
        let line = Arc::clone(&self.line);
        let place = Place(self);
        // The lock is fair, but a task that has used up its budget would not even stand in line.
        let head = tokio::task::unconstrained(line.lock_owned()).await;
        Turn {
            _head: head,
            _place: place,
        }
    }

    /// Creates or checks the topic, the first time; a failure is forgotten and tried again by the
    /// next caller.
    pub(crate) async fn ready(
        &self,
        broker: &dyn Broker,
        settings: &Settings,
        mode: TopicMode,
    ) -> Result<&TopicInfo, Error> {
        if let Some((info, _)) = self.info.get() {
            return Ok(info);
        }
        let own = settings.topic(&self.name)?;
        let spec = TopicSpec {
            name: Arc::clone(&self.name),
            partitions: own.partitions,
            storage: own.storage,
            mode: own.mode.unwrap_or(mode),
            duplicate_window: Span::from(settings.publish.duplicate_window()),
            layout: own.layout,
            batches: settings.publish.batch > 1,
        };
        let look = || async {
            let info = broker.topic(spec).await?;
            for warning in &info.warnings {
                tracing::warn!(topic = &*info.name, "{warning}");
            }
            Ok::<_, Error>((info, own.form))
        };
        let (info, _) = self.info.get_or_try_init(look).await?;
        Ok(info)
    }

    /// Why publishes to it cannot come together; known once it was looked at.
    pub(crate) fn no_batches(&self) -> Option<&PortError> {
        self.info.get()?.0.no_batches.as_ref()
    }

    /// The form in which messages are published to it; known once it was looked at.
    pub(crate) fn form(&self) -> Form {
        self.info
            .get()
            .map_or_else(Form::default, |(_, form)| *form)
    }
}
