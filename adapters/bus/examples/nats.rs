//! The same service on NATS JetStream.
//!
//! `cargo run -p procession --example nats [URL]`, by default `nats://127.0.0.1:4222`. Start it twice:
//! one works, the other one stands by and takes over when the first one ends.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::time::Duration;

use procession::{Bus, Envelope, TopicMode, raw};
use tokio::sync::mpsc;

const KEYS: u64 = 3;
const MESSAGES: u64 = 10;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1);
    let bus = Bus::builder(url.as_deref().unwrap_or("nats://127.0.0.1:4222"))
        // In production leave this out: a missing topic is an error then, with the command that
        // creates it.
        .with(|settings| settings.bus.topics = Some(TopicMode::Create))
        .connect()
        .await?;
    println!("connected to {} {}", bus.info().kind, bus.info().version);
    let (handled, mut done) = mpsc::unbounded_channel();
    let handler = raw(move |order: Envelope, cx| {
        let handled = handled.clone();
        async move {
            let fence = cx.fence();
            println!(
                "{} {} (partition {}, position {})",
                order.key().unwrap_or("-"),
                order.sequence().unwrap_or(0),
                fence.partition.0,
                fence.position.0
            );
            // The receiver is gone only when the program ends.
            let _ = handled.send(order.id().to_owned());
            Ok(())
        }
    });
    let subscription = bus.subscribe("example-orders", "printing", handler).await?;
    let mut ids = std::collections::BTreeSet::new();
    for sequence in 1..=MESSAGES {
        for key in 0..KEYS {
            let envelope = Envelope::builder("OrderChanged")
                .key(format!("order-{key}"))
                .sequence(sequence)
                .json(&serde_json::json!({ "version": sequence }))?;
            ids.insert(envelope.id().to_owned());
            bus.publish("example-orders", envelope).await?;
        }
    }
    // Messages of earlier runs that nobody handled come, too.
    while !ids.is_empty() {
        let id = done.recv().await.ok_or("the handler is gone")?;
        ids.remove(&id);
    }
    subscription.drain(Duration::from_secs(10)).await?;
    bus.close(Duration::from_secs(10)).await?;
    Ok(())
}
