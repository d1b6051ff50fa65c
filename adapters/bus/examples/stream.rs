//! Messages as a stream that one asks, several at a time, each settled by hand.
//!
//! `cargo run -p procession --example stream [URL]`, by default `memory://`.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::time::Duration;

use futures_util::StreamExt as _;
use procession::{Bus, Envelope, HandlerError, TopicMode};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1);
    let bus = Bus::builder(url.as_deref().unwrap_or("memory://"))
        .with(|settings| {
            settings.bus.topics = Some(TopicMode::Create);
            settings.subscribe.backoff_first = Duration::from_millis(10);
        })
        .connect()
        .await?;
    let deliveries = bus.consume("stream-orders", "asking").await?;
    // One result for each, in order.
    let batch = (0..6u32).map(|number| {
        let builder = Envelope::builder("OrderPlaced").key(format!("key-{}", number % 3));
        builder.json(&number)
    });
    let batch = batch.collect::<Result<Vec<_>, _>>()?;
    for result in bus.publish_all("stream-orders", batch).await {
        result?;
    }
    // Three at a time; deliveries of one key come one after the other all the same.
    let mut settled = Box::pin(
        deliveries
            .map(|delivery| async move {
                let (number, attempt) = (delivery.json::<u32>()?, delivery.context().attempt());
                if number == 4 && attempt == 1 {
                    delivery.fail(HandlerError::new("not yet"))?;
                    return Ok(None);
                }
                delivery.done()?;
                Ok::<_, Box<dyn Error>>(Some((number, attempt)))
            })
            .buffer_unordered(3),
    );
    let mut done = 0;
    while done < 6 {
        let next = settled.next().await.ok_or("the subscription has ended")?;
        if let Some((number, attempt)) = next? {
            println!("order {number} at attempt {attempt}");
            done += 1;
        }
    }
    // Dropping the stream ends the subscription; closing the bus drains what is left.
    bus.close(Duration::from_secs(10)).await?;
    Ok(())
}
