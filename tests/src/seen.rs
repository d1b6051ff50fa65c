//! Handlers that remember what they saw.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use procession::{Bus, Context, Envelope, Handler, HandlerError, Stored, Subscription, raw};
use tokio::sync::Notify;

/// How long a case waits for what must happen.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What handlers finished, in the order in which they finished it.
#[derive(Clone, Default)]
pub struct Seen {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    finished: Mutex<Vec<Got>>,
    changed: Notify,
}

/// One message that was finished.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Got {
    /// Its key, empty for none.
    pub key: String,
    /// Its id.
    pub id: String,
    /// Its number: what [`envelope`] wrote as the payload.
    pub number: u64,
    /// The attempt that finished it.
    pub attempt: u32,
    /// Its position.
    pub position: u64,
    /// Its partition.
    pub partition: u32,
}

impl Seen {
    /// Nothing seen.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A handler that finishes everything at once.
    #[must_use]
    pub fn handler(&self) -> impl Handler + use<> {
        self.handler_with(|_, _| std::future::ready(Ok(())))
    }

    /// A handler that does `work` first; what fails is not seen.
    pub fn handler_with<F, Fut>(&self, work: F) -> impl Handler + use<F, Fut>
    where
        F: Fn(Envelope, Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        let seen = self.clone();
        raw(move |envelope: Envelope, context: Context| {
            let worked = work(envelope.clone(), context.clone());
            let seen = seen.clone();
            async move {
                worked.await?;
                seen.note(&envelope, &context);
                Ok(())
            }
        })
    }

    /// Remembers a message.
    pub fn note(&self, envelope: &Envelope, context: &Context) {
        let text = String::from_utf8_lossy(envelope.payload());
        let got = Got {
            key: envelope.key().unwrap_or_default().to_owned(),
            id: envelope.id().to_owned(),
            number: text.parse().unwrap_or(u64::MAX),
            attempt: context.attempt(),
            position: context.fence().position.0,
            partition: context.fence().partition.0,
        };
        self.lock().push(got);
        self.inner.changed.notify_waiters();
    }

    /// How many were finished.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Everything that was finished.
    #[must_use]
    pub fn all(&self) -> Vec<Got> {
        self.lock().clone()
    }

    /// Waits until `count` were finished.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn wait_for(&self, count: usize) {
        self.wait_until(&format!("{count} finished messages"), |got| {
            got.len() >= count
        })
        .await;
    }

    /// Waits until `enough` says so of what was finished.
    ///
    /// # Panics
    /// When that takes too long; `what` says what was waited for.
    pub async fn wait_until(&self, what: &str, enough: impl Fn(&[Got]) -> bool) {
        let wait = async {
            loop {
                let changed = self.inner.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if enough(&self.lock()) {
                    break;
                }
                changed.await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, wait).await;
        assert!(
            in_time.is_ok(),
            "no {what} within {PATIENCE:?}: {} were finished",
            self.count()
        );
    }

    /// How many were finished beyond the first time.
    #[must_use]
    pub fn repeated(&self) -> usize {
        let all = self.lock();
        let distinct: BTreeSet<_> = all.iter().map(|got| &got.id).collect();
        all.len() - distinct.len()
    }

    /// Checks that exactly the numbers of `expected` were finished, each once.
    ///
    /// # Panics
    /// When not.
    pub fn assert_once(&self, expected: impl IntoIterator<Item = u64>) {
        let mut counts: BTreeMap<u64, i64> = BTreeMap::new();
        for number in expected {
            *counts.entry(number).or_default() -= 1;
        }
        for got in self.lock().iter() {
            *counts.entry(got.number).or_default() += 1;
        }
        counts.retain(|_, count| *count != 0);
        assert!(
            counts.is_empty(),
            "finished too often (+) or not at all (-): {counts:?}"
        );
    }

    /// Checks S2: per key, first finishes follow the numbers, which the case published in order.
    ///
    /// # Panics
    /// When not.
    pub fn assert_in_order(&self) {
        let mut last: BTreeMap<String, Got> = BTreeMap::new();
        for got in self.lock().iter().filter(|got| !got.key.is_empty()) {
            let before = last.insert(got.key.clone(), got.clone());
            let in_order = before
                .as_ref()
                .is_none_or(|before| before.number < got.number);
            assert!(in_order, "{got:?} came after {before:?}");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Got>> {
        let finished = &self.inner.finished;
        finished.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An envelope whose payload is its number.
#[must_use]
pub fn envelope(key: &str, number: u64) -> Envelope {
    let builder = Envelope::builder("Counted").id(format!("{key}-{number}"));
    let builder = if key.is_empty() {
        builder
    } else {
        builder.key(key)
    };
    let built = builder.payload(number.to_string(), "text/plain");
    built.expect("the envelopes of tests are valid")
}

/// Publishes the numbers `range`, `keys` keys in turn, and waits for all results.
///
/// # Panics
/// When one is not stored.
pub async fn publish(
    bus: &Bus,
    topic: &str,
    range: std::ops::Range<u64>,
    keys: u64,
) -> Vec<Stored> {
    let envelopes = range.map(|number| envelope(&format!("k{}", number % keys), number));
    publish_all(bus, topic, envelopes).await
}

/// Publishes envelopes in order, many at a time, and waits for all results.
///
/// # Panics
/// When one is not stored.
pub async fn publish_all(
    bus: &Bus,
    topic: &str,
    envelopes: impl IntoIterator<Item = Envelope>,
) -> Vec<Stored> {
    use futures_util::stream::{self, StreamExt as _};
    let publishes = envelopes
        .into_iter()
        .map(|envelope| bus.publish(topic, envelope));
    // `buffered` polls its futures for the first time in order: that is the order of acceptance.
    let results = stream::iter(publishes).buffered(1_000);
    results
        .map(|stored| stored.expect("it is stored"))
        .collect()
        .await
}

/// Waits until a subscription owns all partitions of its topic.
///
/// # Panics
/// When that takes too long.
pub async fn owning(subscription: &Subscription) {
    let wait = async {
        loop {
            let partitions = subscription.health().partitions;
            if !partitions.is_empty() && partitions.iter().all(|p| p.epoch.is_some()) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, wait).await;
    assert!(
        in_time.is_ok(),
        "nothing owned: {:?}",
        subscription.health()
    );
}
