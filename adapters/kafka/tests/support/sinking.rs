//! Drives a sink by hand, as the publisher would.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use procession_kafka::KafkaBroker;
use procession_runtime::port::{
    Broker as _, Outgoing, Record, Sink, SinkCommand, SinkEvent, SinkReceipt, SinkTicket,
};

/// Longest wait for an event.
const WITHIN: Duration = Duration::from_secs(30);

/// A sink, its results one by one.
pub struct Sinking {
    pub sink: Box<dyn Sink>,
    events: VecDeque<SinkEvent>,
    tickets: u64,
}

impl Sinking {
    pub async fn begin(broker: &KafkaBroker) -> Self {
        let mut this = Self {
            sink: broker.sink().await.expect("a sink"),
            events: VecDeque::new(),
            tickets: 0,
        };
        assert!(matches!(this.next().await, SinkEvent::Connected));
        this
    }

    pub async fn next(&mut self) -> SinkEvent {
        self.next_within(WITHIN).await.expect("an event in time")
    }

    /// The next event, if it comes in time.
    pub async fn next_within(&mut self, within: Duration) -> Option<SinkEvent> {
        if self.events.is_empty() {
            let mut batch = Vec::new();
            let event = poll_fn(|cx| self.sink.poll_events(cx, &mut batch));
            tokio::time::timeout(within, event).await.ok()?;
            self.events.extend(batch);
        }
        self.events.pop_front()
    }

    /// Sends; the ticket.
    pub fn send(&mut self, message: Outgoing) -> u64 {
        self.tickets += 1;
        let ticket = SinkTicket {
            token: self.tickets,
            attempt: 1,
        };
        let message = message.into();
        self.sink.submit(SinkCommand::Send { ticket, message });
        self.tickets
    }

    /// The next result.
    pub async fn result(&mut self) -> (u64, SinkReceipt) {
        loop {
            if let SinkEvent::Result { ticket, receipt } = self.next().await {
                return (ticket.token, receipt);
            }
        }
    }

    /// The results of `count` sends, by ticket.
    pub async fn results(&mut self, count: usize) -> BTreeMap<u64, SinkReceipt> {
        let mut results = BTreeMap::new();
        while results.len() < count {
            let (ticket, receipt) = self.result().await;
            let before = results.insert(ticket, receipt);
            assert_eq!(before, None, "two results for one send (S10)");
        }
        results
    }

    /// Sends, and waits until it is stored: partition and position.
    pub async fn store(&mut self, message: Outgoing) -> (u32, u64) {
        let sent = self.send(message);
        let (ticket, receipt) = self.result().await;
        assert_eq!(ticket, sent);
        stored(&receipt).unwrap_or_else(|| panic!("not stored: {receipt:?}"))
    }

    /// Closes the sink with sends under way: their results, by ticket.
    pub async fn results_at_close(mut self) -> BTreeMap<u64, SinkReceipt> {
        self.sink.submit(SinkCommand::Close);
        let mut results = BTreeMap::new();
        loop {
            match self.next().await {
                SinkEvent::Result { ticket, receipt } => {
                    let before = results.insert(ticket.token, receipt);
                    assert_eq!(before, None, "two results for one send (S10)");
                }
                SinkEvent::Closed => return results,
                other => panic!("{other:?}"),
            }
        }
    }

    pub async fn close(mut self) {
        self.sink.submit(SinkCommand::Close);
        while !matches!(self.next().await, SinkEvent::Closed) {}
    }
}

/// Partition and position, if it was stored.
pub fn stored(receipt: &SinkReceipt) -> Option<(u32, u64)> {
    match receipt {
        SinkReceipt::Stored {
            partition,
            position,
            duplicate: false,
        } => Some((*partition, position.0)),
        SinkReceipt::Stored { .. }
        | SinkReceipt::NotStored(_)
        | SinkReceipt::Conflict(_)
        | SinkReceipt::Retry(_)
        | SinkReceipt::Apart(_)
        | SinkReceipt::Unknown(_) => None,
    }
}

/// A message of a numbered identity.
pub fn outgoing(topic: &str, key: &str, number: u64) -> Outgoing {
    let id: Arc<str> = number.to_string().into();
    Outgoing {
        topic: topic.into(),
        key: Some(Bytes::copy_from_slice(key.as_bytes())),
        identity: number.into(),
        copy: 0,
        headers: [
            ("ce_id", id.as_bytes()),
            ("ce_partitionkey", key.as_bytes()),
            ("ce_type", b"Test"),
        ]
        .into_iter()
        .collect(),
        payload: Bytes::from(format!("payload of {number}")),
        partition: None,
        id,
        expect: None,
    }
}

/// The number of a message that was read back.
pub fn number(record: &Record) -> u64 {
    let id = record.headers.get("ce_id").expect("an id");
    let id = std::str::from_utf8(id).expect("text");
    id.parse().expect("a number")
}

/// Checks a log: every key in one partition, its numbers growing (S8), none twice. The numbers, with
/// their places.
pub fn in_order(log: &[(u32, Record)]) -> BTreeMap<u64, (u32, u64)> {
    let mut last: BTreeMap<&[u8], (u32, u64)> = BTreeMap::new();
    let mut places = BTreeMap::new();
    for (partition, record) in log {
        let number = number(record);
        let place = (*partition, record.position.0);
        assert_eq!(
            places.insert(number, place),
            None,
            "{number} is there twice"
        );
        let key = record.key.as_deref().expect("a key");
        if let Some((before, smaller)) = last.insert(key, (*partition, number)) {
            assert_eq!(before, *partition, "a key in two partitions");
            assert!(smaller < number, "S8: {number} came behind {smaller}");
        }
    }
    places
}
