//! Every metric of docs/metrics.md is there, and nothing else; the figures are right.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::{PATIENCE, order, quick, until};
use metrics_exporter_prometheus::PrometheusBuilder;
use procession::metrics::Metrics;
use procession::{Bus, Context, Envelope, HandlerError, raw};

const PAGE: &str = include_str!("../../../docs/metrics.md");

#[tokio::test]
async fn what_a_bus_does_is_counted_under_the_names_of_the_page() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let rendered = recorder.handle();
    metrics::set_global_recorder(recorder).unwrap();
    let bus = Bus::builder("memory://").observer(Arc::new(Metrics::new()));
    let bus = bus.connect().await.unwrap();
    let handler = raw(|envelope: Envelope, cx: Context| async move {
        match (envelope.id(), cx.attempt()) {
            ("a-2", 1) => panic!("on purpose"),
            ("a-3", _) => Err(HandlerError::new("no").reject()),
            _ => Ok(()),
        }
    });
    let subscription = bus.subscribe("orders", "g", handler).with(quick);
    let subscription = subscription.await.unwrap();
    for sequence in 1..=3 {
        bus.publish("orders", order("a", sequence)).await.unwrap();
    }
    bus.publish("orders", order("a", 1)).await.unwrap();
    bus.publish_copy("orders", order("a", 1), 1).await.unwrap();
    until(|| {
        let stats = subscription.health().stats;
        stats.dead == 1 && stats.duplicates == 1
    })
    .await;
    let owned = "procession_partitions_owned{topic=\"orders\",group=\"g\"}";
    assert!(rendered.render().contains(&format!("{owned} 3")));
    subscription.drain(PATIENCE).await.unwrap();
    bus.close(PATIENCE).await.unwrap();
    let text = rendered.render();
    let value = |line: &str| {
        let start = format!("{line} ");
        let found = text.lines().find_map(|l| l.strip_prefix(&start));
        found
            .unwrap_or_else(|| panic!("{line} is not in\n{text}"))
            .to_owned()
    };
    let both = "topic=\"orders\",group=\"g\"";
    let table = [
        (
            "procession_publish_accepted_total{topic=\"orders\"}".to_owned(),
            "5",
        ),
        (
            "procession_publish_results_total{topic=\"orders\",result=\"stored\"}".to_owned(),
            "4",
        ),
        (
            "procession_publish_results_total{topic=\"orders\",result=\"duplicate\"}".to_owned(),
            "1",
        ),
        (
            "procession_publish_outstanding{topic=\"orders\"}".to_owned(),
            "0",
        ),
        (
            "procession_publish_duration_seconds_count{topic=\"orders\"}".to_owned(),
            "5",
        ),
        (
            format!("procession_handle_attempts_total{{{both},ending=\"done\"}}"),
            "2",
        ),
        (
            format!("procession_handle_attempts_total{{{both},ending=\"panic\"}}"),
            "1",
        ),
        (
            format!("procession_handle_attempts_total{{{both},ending=\"reject\"}}"),
            "1",
        ),
        (
            format!("procession_handle_duration_seconds_count{{{both}}}"),
            "4",
        ),
        (
            format!("procession_handle_delay_seconds_count{{{both}}}"),
            "3",
        ),
        (format!("procession_handlers_running{{{both}}}"), "0"),
        (format!("procession_duplicates_total{{{both}}}"), "1"),
        (
            format!("procession_dead_letters_total{{{both},why=\"rejected\"}}"),
            "1",
        ),
        (owned.to_owned(), "0"),
    ];
    for (line, expected) in table {
        assert_eq!(value(&line), expected, "{line}");
    }
    let commits: u64 = value(&format!("procession_commits_total{{{both}}}"))
        .parse()
        .unwrap();
    assert!(0 < commits);
    let listed: BTreeSet<&str> = PAGE
        .lines()
        .filter_map(|line| line.strip_prefix("| `procession_")?.split('`').next())
        .collect();
    let told: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE procession_")?.split(' ').next())
        .collect();
    assert_eq!(told, listed);
}
