//! A service that dies of one message: `mortal-under-test URL TOPIC`. It says what it starts and what it has
//! finished, line by line, aborts when it starts the message whose id is `killer`, and ends well when nothing
//! has been left to do for a while.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::io::Write as _;
use std::time::Duration;

use procession::{Context, Envelope, raw};
use procession_tests::venue::builder;

/// Deaths after which a suspect is given up.
const SUSPECTS: u32 = 2;

fn say(what: &str, id: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever listens may be gone.
    let _ = writeln!(out, "{what} {id}");
    let _ = out.flush();
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let (url, topic) = words.next().zip(words.next()).ok_or("URL TOPIC")?;
    let bus = builder(&url).with(|settings| {
        settings.subscribe.suspects = SUSPECTS;
        settings.bus.kafka.session_timeout = Duration::from_secs(6);
    });
    let bus = bus.connect().await?;
    let handler = raw(|envelope: Envelope, _: Context| async move {
        say("start", envelope.id());
        if envelope.id() == "killer" {
            std::process::abort();
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
        say("done", envelope.id());
        Ok(())
    });
    let subscription = bus.subscribe(&topic, "g", handler).await?;
    let mut quiet = 0;
    let mut before = None;
    while quiet < 40 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let health = subscription.health();
        let now = (health.stats.done, health.stats.dead);
        // It owns something, has handled it, and nothing more has come.
        let idle = health.stats.held == 0 && health.stats.done > 0 && before == Some(now);
        quiet = if idle { quiet + 1 } else { 0 };
        before = Some(now);
    }
    subscription.drain(Duration::from_secs(10)).await?;
    bus.close(Duration::from_secs(10)).await?;
    Ok(())
}
