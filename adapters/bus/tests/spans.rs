//! Spans of `tracing`: one for each publish, one for each handling, with the W3C context.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::Write;
use std::sync::{Arc, Mutex};

use common::{PATIENCE, bus, until};
use procession::{Context, Envelope, raw};
use tracing_subscriber::fmt::format::FmtSpan;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn publish_and_handling_have_spans_that_carry_the_trace_on() {
    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_span_events(FmtSpan::NEW)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let bus = bus().await;
    let handler = raw(|_, cx: Context| async move {
        tracing::info!("billing");
        let next = cx.follow_up("OrderBilled").id("o-2").key("k").json(&1)?;
        cx.publish("bills", next).await?;
        Ok(())
    });
    let subscription = bus.subscribe("orders", "g", handler).await.unwrap();
    let placed = Envelope::builder("OrderPlaced").id("o-1").key("k");
    let placed = placed.traceparent(TRACE).json(&1).unwrap();
    bus.publish("orders", placed).await.unwrap();
    until(|| subscription.health().stats.done == 1).await;
    bus.close(PATIENCE).await.unwrap();
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let has = |parts: &[&str]| {
        let found = text
            .lines()
            .any(|l| parts.iter().all(|part| l.contains(part)));
        assert!(found, "{parts:?} is not in\n{text}");
    };
    let trace = format!("traceparent=\"{TRACE}\"");
    has(&["publish{topic=\"orders\"", "id=\"o-1\"", &trace, "new"]);
    let handled = "handle{topic=\"orders\" group=\"g\"";
    has(&[handled, "attempt=1", "id=\"o-1\"", &trace, "new"]);
    // What a handler does happens inside of its span, the follow-up event included.
    has(&[handled, "billing"]);
    has(&[
        handled,
        "publish{topic=\"bills\"",
        "id=\"o-2\"",
        &trace,
        "new",
    ]);
}
