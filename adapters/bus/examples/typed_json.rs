//! Payloads of one's own types, errors by `?`, and what becomes of them.
//!
//! `cargo run -p procession --example typed_json [URL]`, by default `memory://`.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::num::ParseIntError;
use std::time::Duration;

use procession::{Bus, Envelope, HandlerError, TopicMode, json};
use tokio::sync::mpsc;

#[derive(serde::Serialize, serde::Deserialize, Debug)]
struct Order {
    total: String,
}

/// Any error of the standard kind will do.
fn amount(total: &str) -> Result<u32, ParseIntError> {
    total.parse()
}

async fn bill(order: Order) -> Result<u32, HandlerError> {
    if order.total.is_empty() {
        // Not worth another attempt: to the dead-letter topic at once.
        return Err(HandlerError::new("an order without a total").reject());
    }
    // Tried again with growing pauses, and a dead letter after the last attempt.
    Ok(amount(&order.total)?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1);
    let bus = Bus::builder(url.as_deref().unwrap_or("memory://"))
        .with(|settings| {
            settings.bus.topics = Some(TopicMode::Create);
            settings.subscribe.attempts = 3;
        })
        .connect()
        .await?;
    let (billed, mut bills) = mpsc::unbounded_channel();
    // Captured state is cloned into the `async move` block.
    let handler = json(move |order: Order, cx| {
        let billed = billed.clone();
        async move {
            let key = cx.envelope().key().unwrap_or_default().to_owned();
            let amount = bill(order).await?;
            // The receiver is gone only when the program ends.
            let _ = billed.send((key, amount));
            Ok(())
        }
    });
    let subscription = bus.subscribe("typed-orders", "billing", handler).await?;
    for (key, total) in [("order-1", "7"), ("order-2", ""), ("order-3", "11")] {
        let order = Order {
            total: total.to_owned(),
        };
        let envelope = Envelope::builder("OrderPlaced").key(key).json(&order)?;
        bus.publish("typed-orders", envelope).await?;
    }
    let mut total = 0;
    for _ in 0..2 {
        let (key, amount) = bills.recv().await.ok_or("the handler is gone")?;
        println!("{key}: {amount}");
        total += amount;
    }
    println!("billed {total}");
    subscription.drain(Duration::from_secs(10)).await?;
    for (_, _, letter) in bus.audit("typed-orders-dlq-billing").await? {
        let why = letter.header("procession-dlq-error").unwrap_or_default();
        let why = String::from_utf8_lossy(why);
        println!("dead: {} ({why})", letter.key().unwrap_or_default());
    }
    bus.close(Duration::from_secs(10)).await?;
    Ok(())
}
