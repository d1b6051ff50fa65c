//! Reads a whole log, for audits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use procession_runtime::port::{PortError, PortErrorKind, Record};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

use crate::context::Context;
use crate::control::{Admin, WITHIN};
use crate::errors;
use crate::feed::reading::Seen;
use crate::ffi::queue::{Batch, Queue, c_string};
use crate::options::KafkaOptions;
use crate::thread::Bell;
use crate::topics;

/// Without anything new for this long, the audit fails.
const PATIENCE: Duration = Duration::from_secs(10);
const BATCH: usize = 1_000;

/// Reads what the log of a topic holds at this moment: log order within each partition. Blocks.
pub(crate) fn read_log(
    admin: &Admin,
    options: &KafkaOptions,
    topic: &str,
) -> Result<Vec<(u32, Record)>, PortError> {
    let failed = |error| errors::port_error(&format!("audit of topic `{topic}`"), &error);
    let Some(partitions) = topics::look(admin, topic)? else {
        return Err(PortError::new(
            PortErrorKind::Missing,
            format!("audit: topic `{topic}` does not exist at {}", options.shown),
        ));
    };
    let reader: BaseConsumer<Context> = options
        .reader()
        .create_with_context(Context::default())
        .map_err(failed)?;
    let reader = Arc::new(reader);
    let bell = Arc::new(Bell::default());
    bell.adopt();
    let name = c_string(topic);
    let mut parts = Vec::new();
    let mut list = TopicPartitionList::new();
    for partition in 0..i32::try_from(partitions).unwrap_or(i32::MAX) {
        let (low, high) = reader
            .fetch_watermarks(topic, partition, WITHIN)
            .map_err(failed)?;
        if high <= low {
            continue;
        }
        let queue = Queue::of_partition(&reader, &name, partition, &bell).ok_or_else(|| {
            PortError::new(
                PortErrorKind::Refused,
                "no queue for a partition of an audit",
            )
        })?;
        list.add_partition_offset(topic, partition, Offset::Offset(low))
            .map_err(failed)?;
        parts.push((
            partition.unsigned_abs(),
            u64::try_from(high).unwrap_or(0),
            queue,
        ));
    }
    let mut log = Vec::new();
    if parts.is_empty() {
        return Ok(log);
    }
    reader.assign(&list).map_err(failed)?;
    let mut batch = Batch::with_capacity(BATCH);
    let mut news = Instant::now();
    while !parts.is_empty() {
        let mut idle = true;
        parts.retain(|(partition, end, queue)| {
            let mut seen = Seen::default();
            idle &= queue.batch(&mut batch, BATCH, |message| seen.take(&message)) == 0;
            let last = seen.records.last().map(|record| record.position.0 + 1);
            let over = last.max(seen.end).is_some_and(|next| *end <= next);
            let before = seen
                .records
                .into_iter()
                .filter(|record| record.position.0 < *end);
            log.extend(before.map(|record| (*partition, record)));
            !over
        });
        if !idle {
            news = Instant::now();
            continue;
        }
        if PATIENCE < news.elapsed() {
            return Err(PortError::new(
                PortErrorKind::TimedOut,
                format!(
                    "audit of topic `{topic}`: nothing came for {} s",
                    PATIENCE.as_secs()
                ),
            ));
        }
        // Lets the client report what is wrong.
        while reader.poll(Duration::ZERO).is_some() {}
        std::thread::park_timeout(Duration::from_millis(50));
    }
    reader.context().close();
    log.sort_by_key(|(partition, record)| (*partition, record.position));
    Ok(log)
}
