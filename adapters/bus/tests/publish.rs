//! Publishing: receipts, batches, no room, and follow-up events.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{PATIENCE, Seen, bus, order, quick};
use procession::{Bus, Envelope, PublishError, Receipt, Stored, raw};
use tokio::time::timeout;

/// Of these 27 or so fill the log of the test.
fn large(number: u64) -> Envelope {
    let builder = Envelope::builder("T").key(number.to_string());
    let builder = builder.id(number.to_string()).sequence(number);
    builder.payload(vec![b'x'; 2_000], "x/y").unwrap()
}

fn assert_static<T: Send + Unpin + 'static>(receipt: T) -> T {
    receipt
}

#[tokio::test]
async fn acceptance_waits_for_room_and_receipts_for_the_broker() {
    let bus = Bus::builder("memory://").with(|s| {
        s.bus.memory_log_bytes = 64 << 10;
        s.publish.window_messages = 4;
    });
    let bus = bus.connect().await.unwrap();
    let mut receipts: Vec<Receipt> = Vec::new();
    let mut number = 0;
    // Until the log is full, and the window behind it.
    while let Ok(accepted) = timeout(
        Duration::from_millis(200),
        bus.enqueue("orders", large(number)),
    )
    .await
    {
        receipts.push(accepted.unwrap());
        number += 1;
    }
    assert_eq!(bus.outstanding(), 4);
    let error = timeout(PATIENCE, bus.try_publish("orders", large(99)));
    assert_eq!(error.await.unwrap(), Err(PublishError::Full));
    // One is dropped unread: it is published all the same.
    drop(receipts.pop());
    let late = assert_static(receipts.pop().unwrap());
    assert!(timeout(Duration::from_millis(20), late).await.is_err());
    let (seen, mut arrived) = Seen::new();
    let subscription = bus.subscribe("orders", "g", seen.handler()).with(quick);
    let subscription = subscription.await.unwrap();
    for receipt in receipts {
        let in_a_task = tokio::spawn(receipt);
        let stored = timeout(PATIENCE, in_a_task).await.unwrap().unwrap();
        assert!(!stored.unwrap().duplicate);
    }
    let mut all: Vec<_> = arrived.take(usize::try_from(number).unwrap()).await;
    all.sort_by_key(|(_, number)| *number);
    let numbers: Vec<_> = all.into_iter().map(|(_, number)| number).collect();
    assert_eq!(numbers, (0..number).collect::<Vec<_>>());
    bus.try_publish("orders", large(100)).await.unwrap();
    drop(subscription);
    bus.close(PATIENCE).await.unwrap();
    let error = bus.enqueue("orders", large(101)).await.unwrap_err();
    assert_eq!(error, PublishError::Closed);
}

#[tokio::test]
async fn a_batch_has_one_result_for_each_in_order_and_keeps_the_order_of_keys() {
    let bus = Bus::builder("memory://").with(|s| s.publish.window_messages = 16);
    let bus = bus.connect().await.unwrap();
    let mut batch: Vec<_> = (1..=100)
        .map(|n| order(&format!("k{}", n % 3), n))
        .collect();
    let too_large = Envelope::builder("T")
        .id("large")
        .payload(vec![0; 2 << 20], "x/y");
    batch.insert(50, too_large.unwrap());
    batch.push(order("k1", 1));
    let results = bus.publish_all("orders", batch).await;
    assert_eq!(results.len(), 102);
    let mut last: [Option<Stored>; 3] = [None; 3];
    for (number, result) in results.iter().enumerate() {
        match number {
            50 => assert!(matches!(result, Err(PublishError::Invalid(_)))),
            101 => assert!(result.as_ref().unwrap().duplicate),
            _ => {
                let stored = *result.as_ref().unwrap();
                let sequence = number + usize::from(number < 50);
                let before = last[sequence % 3].replace(stored);
                assert!(before.is_none_or(|before| before.position < stored.position));
            }
        }
    }
    assert!(bus.publish_all("orders", []).await.is_empty());
    let results = bus
        .publish_all("or ders", [order("a", 1), order("a", 2)])
        .await;
    assert!(
        results
            .iter()
            .all(|r| matches!(r, Err(PublishError::Topic(_))))
    );
    bus.close(PATIENCE).await.unwrap();
    let results = bus.publish_all("orders", [order("a", 1)]).await;
    assert_eq!(results, [Err(PublishError::Closed)]);
}

#[tokio::test]
async fn a_batch_is_not_overtaken_while_its_topic_is_looked_at() {
    let bus = bus().await;
    let first = tokio::spawn(bus.publish("orders", order("a", 1)));
    let batch = tokio::spawn(bus.publish_all("orders", (2..=20).map(|n| order("a", n))));
    tokio::task::yield_now().await;
    let last = tokio::spawn(bus.publish("orders", order("a", 21)));
    first.await.unwrap().unwrap();
    assert!(batch.await.unwrap().iter().all(Result::is_ok));
    last.await.unwrap().unwrap();
    let log = bus.audit("orders").await.unwrap();
    let sequences: Vec<_> = log.iter().map(|(.., e)| e.sequence().unwrap()).collect();
    assert_eq!(sequences, (1..=21).collect::<Vec<_>>());
    bus.close(PATIENCE).await.unwrap();
}

/// A publish counts from its first poll: its deadline, and its place among those of its key (S8).
#[tokio::test]
async fn nothing_of_a_publish_happens_before_its_first_poll() {
    let mut settings = procession::Settings::default();
    settings.publish.deadline = Duration::from_millis(300);
    let bus = Bus::builder("memory://").settings(settings);
    let bus = bus.connect().await.unwrap();
    bus.topic("orders").await.unwrap();
    let later = bus.publish("orders", order("a", 2));
    let never = bus.publish("orders", order("a", 3));
    bus.publish("orders", order("a", 1)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    later.await.unwrap();
    drop(never);
    let log = bus.audit("orders").await.unwrap();
    let sequences: Vec<_> = log.iter().map(|(.., e)| e.sequence().unwrap()).collect();
    assert_eq!(sequences, [1, 2]);
    let late = bus.publish("orders", order("a", 4));
    bus.close(PATIENCE).await.unwrap();
    assert_eq!(late.await, Err(PublishError::Closed));
}

#[tokio::test]
async fn follow_up_events_carry_the_conversation_on() {
    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let bus = bus().await;
    let (sender, mut contexts) = tokio::sync::mpsc::unbounded_channel();
    let bill = raw(move |order: Envelope, cx: procession::Context| {
        let sender = sender.clone();
        async move {
            let id = format!("{}-billed", order.id());
            let billed = cx.follow_up("OrderBilled").id(id).key("bill").json(&3)?;
            cx.publish("bills", billed).await?;
            // The first attempt fails after it has published.
            if cx.attempt() == 1 {
                "x".parse::<u32>()?;
            }
            sender.send(cx)?;
            Ok(())
        }
    });
    let subscription = bus.subscribe("orders", "billing", bill).with(quick);
    let subscription = subscription.await.unwrap();
    let placed = Envelope::builder("OrderPlaced").id("o-1").key("order-42");
    let placed = placed.traceparent(TRACE).tracestate("a=b").tenant("t");
    bus.publish("orders", placed.json(&3).unwrap())
        .await
        .unwrap();
    let cx = timeout(PATIENCE, contexts.recv()).await.unwrap().unwrap();
    let bills = bus.audit("bills").await.unwrap();
    assert_eq!(
        bills.len(),
        1,
        "an id of one's own makes the second attempt a copy"
    );
    let bill = &bills[0].2;
    assert_eq!(
        (bill.traceparent(), bill.tracestate()),
        (Some(TRACE), Some("a=b"))
    );
    assert_eq!(
        (bill.correlation(), bill.tenant()),
        (Some("o-1"), Some("t"))
    );
    drop(subscription);
    bus.close(PATIENCE).await.unwrap();
    drop(bus);
    // A context that is kept keeps no bus alive.
    let late = cx.publish("bills", order("a", 1)).await;
    assert_eq!(late, Err(PublishError::Closed));
}
