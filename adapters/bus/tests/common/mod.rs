//! What the tests of the bus share.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use procession::settings::SubscribeSettings;
use procession::{Bus, Context, Envelope, Handler, raw};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Longer than anything here may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A bus on a broker of its own.
pub async fn bus() -> Bus {
    Bus::connect("memory://").await.unwrap()
}

/// The `sequence`th message of a key.
pub fn order(key: &str, sequence: u64) -> Envelope {
    Envelope::builder("OrderPlaced")
        .id(format!("{key}-{sequence}"))
        .key(key)
        .sequence(sequence)
        .json(&serde_json::json!({ "total": sequence }))
        .unwrap()
}

/// Retries and leases at the speed of a test.
pub fn quick(settings: &mut SubscribeSettings) {
    settings.backoff_first = Duration::from_millis(1);
    settings.backoff_max = Duration::from_millis(2);
    settings.lease = Duration::from_secs(1);
    settings.commit_every = Duration::from_millis(5);
}

/// Where handlers report what they did: key and sequence.
#[derive(Clone)]
pub struct Seen(UnboundedSender<(String, u64)>);

/// What they reported.
pub struct Arrived(UnboundedReceiver<(String, u64)>);

impl Seen {
    pub fn new() -> (Self, Arrived) {
        let (sender, receiver) = unbounded_channel();
        (Self(sender), Arrived(receiver))
    }

    pub fn push(&self, key: &str, sequence: u64) {
        self.0.send((key.to_owned(), sequence)).unwrap();
    }

    /// A handler that reports and is done.
    pub fn handler(&self) -> impl Handler {
        let seen = self.clone();
        raw(move |envelope: Envelope, _cx: Context| {
            seen.push(envelope.key().unwrap(), envelope.sequence().unwrap());
            async { Ok(()) }
        })
    }
}

impl Arrived {
    /// One that is there already.
    pub fn next_now(&mut self) -> Option<(String, u64)> {
        self.0.try_recv().ok()
    }

    /// The next `count` reports.
    pub async fn take(&mut self, count: usize) -> Vec<(String, u64)> {
        let mut all = Vec::new();
        let fill = async {
            while all.len() < count {
                all.push(self.0.recv().await.unwrap());
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, fill).await.is_ok();
        assert!(in_time, "only {} of {count} arrived: {all:?}", all.len());
        all
    }
}

/// The sequences of each key, as they came.
pub fn by_key(all: &[(String, u64)]) -> BTreeMap<String, Vec<u64>> {
    let mut keys: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (key, sequence) in all {
        keys.entry(key.clone()).or_default().push(*sequence);
    }
    keys
}

/// Waits until a state that one can only look at has come about.
pub async fn until(mut reached: impl FnMut() -> bool) {
    let wait = async {
        while !reached() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("it did not come about in time");
}
