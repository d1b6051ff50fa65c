//! Layers of `tower` around a handler: at most two at a time, each within 100 ms.
//!
//! `cargo run -p procession --features tower --example tower [URL]`, by default `memory://`.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use procession::{Bus, Context, Envelope, TopicMode, raw, tower as procession_tower};
use tokio::sync::mpsc;
use tower::ServiceBuilder;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1);
    let bus = Bus::builder(url.as_deref().unwrap_or("memory://"))
        .with(|settings| settings.bus.topics = Some(TopicMode::Create))
        .connect()
        .await?;
    let running = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (sender, mut done) = mpsc::unbounded_channel();
    let watched = most.clone();
    let work = raw(move |order: Envelope, cx: Context| {
        let (running, most, sender) = (running.clone(), watched.clone(), sender.clone());
        async move {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // The first attempt at this one hangs, and the layer cuts it off.
            let hangs = order.key() == Some("key-3") && cx.attempt() == 1;
            if hangs {
                running.fetch_sub(1, Ordering::SeqCst);
                core::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            running.fetch_sub(1, Ordering::SeqCst);
            // The receiver is gone only when the program ends.
            let _ = sender.send((order.key().map(str::to_owned), cx.attempt()));
            Ok(())
        }
    });
    let stack = ServiceBuilder::new()
        .concurrency_limit(2)
        .timeout(Duration::from_millis(100))
        .service(procession_tower::service(work));
    let handler = procession_tower::handler(stack);
    let subscription = bus.subscribe("tower-orders", "limited", handler).await?;
    for number in 0..8 {
        let envelope = Envelope::builder("OrderPlaced").key(format!("key-{number}"));
        bus.publish("tower-orders", envelope.json(&number)?).await?;
    }
    for _ in 0..8 {
        let (key, attempt) = done.recv().await.ok_or("the handler is gone")?;
        println!("{} at attempt {attempt}", key.unwrap_or_default());
    }
    println!("at most {} at a time", most.load(Ordering::SeqCst));
    subscription.drain(Duration::from_secs(10)).await?;
    bus.close(Duration::from_secs(10)).await?;
    Ok(())
}
