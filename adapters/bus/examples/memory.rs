//! A whole service in one process: an order is published, and billed.
#![allow(clippy::print_stdout)]
use procession::{Bus, Envelope, json};
use std::{sync::Arc, time::Duration};

#[derive(serde::Serialize, serde::Deserialize)]
struct Order {
    total: u32,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bus = Bus::connect("memory://").await?;
    let billed = Arc::new(tokio::sync::Notify::new());
    let done = billed.clone();
    let bill = json(move |order: Order, cx| {
        println!("{:?} owes {}", cx.envelope().key(), order.total);
        done.notify_one();
        async { Ok(()) }
    });
    let subscription = bus.subscribe("orders", "billing", bill).await?;
    let order = Envelope::builder("OrderPlaced")
        .key("order-42")
        .json(&Order { total: 3 })?;
    bus.publish("orders", order).await?;
    billed.notified().await;
    subscription.drain(Duration::from_secs(10)).await?;
    Ok(())
}
