//! Ending in order: stop on a signal, finish what runs, commit, give the partitions up.
//!
//! `cargo run -p procession --example graceful_shutdown [URL]`, by default `memory://`. It ends by itself
//! after a second, or earlier with Ctrl-C.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::time::Duration;

use procession::{Bus, Envelope, TopicMode, raw};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1);
    let bus = Bus::builder(url.as_deref().unwrap_or("memory://"))
        .with(|settings| settings.bus.topics = Some(TopicMode::Create))
        .connect()
        .await?;
    let slow = raw(|order, _cx| async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        println!("handled {}", order.id());
        Ok(())
    });
    let mut subscription = Some(bus.subscribe("shutdown-orders", "slow", slow).await?);
    let publisher = tokio::spawn({
        let bus = bus.clone();
        async move {
            for number in 0u64.. {
                let envelope = Envelope::builder("Tick").key(format!("key-{}", number % 4));
                let envelope = envelope.id(format!("tick-{number}")).json(&number);
                let Ok(envelope) = envelope else { break };
                // Once the bus is closed, it says so and this ends.
                if bus.publish("shutdown-orders", envelope).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    });
    let mut notices = subscription.as_ref().map(procession::Subscription::notices);
    let ended = async {
        match subscription.take() {
            Some(subscription) => subscription.await,
            None => core::future::pending().await,
        }
    };
    let watch = async {
        while let Some(notice) = notices.as_mut()?.next().await {
            println!("notice: {notice}");
        }
        None::<()>
    };
    tokio::pin!(ended);
    tokio::select! {
        // A handler asked for the end, or the broker is gone for good.
        result = &mut ended => println!("the subscription ended by itself: {result:?}"),
        _ = watch => {}
        _ = tokio::signal::ctrl_c() => println!("Ctrl-C"),
        () = tokio::time::sleep(Duration::from_secs(1)) => println!("enough"),
    }
    // Everything that runs gets its time; whatever is left is named, and comes again later.
    let left = bus.close(Duration::from_secs(10)).await?;
    println!(
        "handed back {}, abandoned {}",
        left.handed_back, left.abandoned
    );
    publisher.await?;
    Ok(())
}
