//! Reads a whole log, for audits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use procession_runtime::port::{PortError, PortErrorKind, Record};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use crate::context::Context;
use crate::control::{Admin, WITHIN};
use crate::errors;
use crate::feed::reading::Seen;
use crate::ffi::queue::{Batch, Queue, c_string};
use crate::options::KafkaOptions;
use crate::thread::Bell;
use crate::topics;

/// Without anything new for this long, the audit fails. Longer than librdkafka may wait before it connects
/// again (10 s).
const PATIENCE: Duration = Duration::from_secs(30);
const BATCH: usize = 1_000;
/// Waiting time after an error of a partition.
const AGAIN: Duration = Duration::from_millis(200);

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
    for partition in 0..i32::try_from(partitions).unwrap_or(i32::MAX) {
        let (low, high) = extent(&reader, topic, partition).map_err(failed)?;
        if high <= low {
            continue;
        }
        let queue = Queue::of_partition(&reader, &name, partition, &bell).ok_or_else(|| {
            PortError::new(
                PortErrorKind::Refused,
                "no queue for a partition of an audit",
            )
        })?;
        parts.push(Part {
            partition,
            next: u64::try_from(low).unwrap_or(0),
            end: u64::try_from(high).unwrap_or(0),
            queue,
            assigned: false,
            again: Instant::now(),
        });
    }
    let mut log = Vec::new();
    let mut batch = Batch::with_capacity(BATCH);
    let mut news = Instant::now();
    while !parts.is_empty() {
        let mut idle = true;
        for part in &mut parts {
            part.assign(&reader, topic).map_err(failed)?;
            idle &= part.read(&reader, topic, &mut batch, &mut log);
        }
        parts.retain(|part| part.next < part.end);
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

/// How far a log reaches. A leader that is just changing, a topic that was just made, or a broker that is
/// just coming back, is asked again.
fn extent(reader: &BaseConsumer<Context>, topic: &str, partition: i32) -> KafkaResult<(i64, i64)> {
    use RDKafkaErrorCode as E;
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = reader.fetch_watermarks(topic, partition, WITHIN);
        let passing = answer.as_ref().is_err_and(|error| {
            matches!(
                error.rdkafka_error_code(),
                Some(
                    E::NotLeaderForPartition
                        | E::LeaderNotAvailable
                        | E::UnknownTopicOrPartition
                        | E::OperationTimedOut
                        | E::BrokerTransportFailure
                        | E::AllBrokersDown
                )
            )
        });
        if !passing || until <= Instant::now() {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A partition that is read to where it ended when the audit began.
struct Part {
    partition: i32,
    /// All below was read, or is not there.
    next: u64,
    end: u64,
    queue: Queue<Context>,
    assigned: bool,
    /// Not assigned before this time: a broker that just came back may answer with errors.
    again: Instant,
}

impl Part {
    fn assign(&mut self, reader: &BaseConsumer<Context>, topic: &str) -> KafkaResult<()> {
        if self.assigned || Instant::now() < self.again {
            return Ok(());
        }
        self.assigned = true;
        let mut list = TopicPartitionList::new();
        let next = Offset::Offset(i64::try_from(self.next).unwrap_or(i64::MAX));
        list.add_partition_offset(topic, self.partition, next)?;
        reader.incremental_assign(&list)
    }

    /// Returns whether nothing was there.
    fn read(
        &mut self,
        reader: &BaseConsumer<Context>,
        topic: &str,
        batch: &mut Batch,
        log: &mut Vec<(u32, Record)>,
    ) -> bool {
        let mut seen = Seen::default();
        let none = self
            .queue
            .batch(batch, BATCH, |message| seen.take(&message))
            == 0;
        for record in seen.records {
            if record.position.0 < self.next || self.end <= record.position.0 {
                continue;
            }
            self.next = record.position.0 + 1;
            log.push((self.partition.unsigned_abs(), record));
        }
        self.next = self.next.max(seen.end.unwrap_or(0));
        if seen.error.is_some() && self.assigned {
            tracing::debug!(topic, partition = self.partition, "an audit begins again");
            let mut list = TopicPartitionList::new();
            list.add_partition(topic, self.partition);
            // What it says is not worth more than what is tried next.
            let _ = reader.incremental_unassign(&list);
            self.assigned = false;
            self.again = Instant::now() + AGAIN;
        }
        none
    }
}
