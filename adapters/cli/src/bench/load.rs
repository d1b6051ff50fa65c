//! The messages of a bench.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::StreamExt as _;

/// Partitions of each topic.
pub(super) const PARTITIONS: u32 = 3;
/// The source and the type of every message.
pub(super) const SOURCE: &str = "/bench";
pub(super) const TYPE: &str = "OrderPlaced";
pub(super) const CONTENT_TYPE: &str = "application/json";

/// What is published and consumed.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) count: u64,
    pub(super) keys: u64,
    pub(super) payload: Bytes,
}

impl Load {
    /// The id of a message: of each run others, so that no copy is recognised. As long as a UUID.
    pub(super) fn ids() -> impl Fn(u64) -> String {
        static RUNS: AtomicU64 = AtomicU64::new(0);
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        move |number| format!("0190163d-8694-739b-{run:04x}-{number:012x}")
    }

    pub(super) fn key(&self, number: u64) -> String {
        format!("order-{}", number % self.keys)
    }
}

/// Publishes with so many on their way at once, each result awaited: the loop of the bus and of the raw
/// client alike.
pub(super) async fn publish_each<F, E>(
    count: u64,
    at_once: usize,
    publish: impl FnMut(u64) -> F,
) -> Result<(), E>
where
    F: Future<Output = Result<(), E>>,
{
    let publishes = futures_util::stream::iter(0..count).map(publish);
    let mut results = publishes.buffer_unordered(at_once);
    while let Some(result) = results.next().await {
        result?;
    }
    Ok(())
}

/// What a program would make of a message that it keeps.
#[derive(Default)]
pub(super) struct Owned {
    pub(super) id: String,
    pub(super) source: String,
    pub(super) kind: String,
    pub(super) key: String,
    pub(super) time: String,
    pub(super) content_type: String,
    pub(super) others: Vec<(String, String)>,
    pub(super) payload: Bytes,
}

impl Owned {
    /// Takes a header field in.
    pub(super) fn field(&mut self, name: &str, value: &str) {
        let place = match name {
            "ce-id" | "ce_id" => &mut self.id,
            "ce-source" | "ce_source" => &mut self.source,
            "ce-type" | "ce_type" => &mut self.kind,
            "ce-partitionkey" | "ce_partitionkey" => &mut self.key,
            "ce-time" | "ce_time" => &mut self.time,
            "ce-datacontenttype" | "content-type" => &mut self.content_type,
            "ce-specversion" | "ce_specversion" => return,
            _ => return self.others.push((name.to_owned(), value.to_owned())),
        };
        value.clone_into(place);
    }

    /// Whether it is a message of a bench, whole.
    pub(super) fn is_whole(&self, load: &Load) -> bool {
        self.source == SOURCE
            && self.kind == TYPE
            && self.content_type == CONTENT_TYPE
            && self.payload.len() == load.payload.len()
            && !(self.id.is_empty() || self.key.is_empty() || self.time.is_empty())
    }
}

/// The handler of the raw sides, which does nothing.
#[inline(never)]
pub(super) fn handle<T>(message: T) {
    black_box(message);
}
