//! Chaos against a real nats-server and a real Kafka: killed processes, restarted servers, cut and swallowed
//! connections, rewritten logs. Judged by the histories of the command line (`procession check`)
//! or by the promises.
#![allow(clippy::unwrap_used)]

mod connections;
mod desk;
mod groups;
mod killers;
mod processes;
mod publishing;
mod rewritten;
mod servers;

use std::process::ExitCode;

use desk::Desk;
use procession_tests::runner::{self, Case};
use procession_tests::venue::Kind;

/// What a case does.
type Run = fn(&mut Desk);

fn main() -> ExitCode {
    let nats: [(&str, Run); 12] = [
        (
            "a_killed_consumer_is_replaced",
            processes::a_killed_consumer_is_replaced,
        ),
        (
            "a_stopped_consumer_hands_over",
            processes::a_stopped_consumer_hands_over,
        ),
        (
            "a_paused_consumer_is_fenced",
            processes::a_paused_consumer_is_fenced,
        ),
        (
            "the_server_is_stopped_and_restarted",
            servers::stopped_and_restarted,
        ),
        (
            "the_server_is_killed_and_restarted",
            servers::killed_and_restarted,
        ),
        (
            "connections_are_cut_fifty_times",
            connections::cut_fifty_times,
        ),
        (
            "a_server_that_hangs_leaves_publishes_unknown",
            publishing::a_server_that_hangs_leaves_publishes_unknown,
        ),
        (
            "what_goes_together_is_cut_off",
            publishing::what_goes_together_is_cut_off,
        ),
        (
            "the_last_deliveries_are_dropped",
            connections::the_last_deliveries_are_dropped,
        ),
        ("connections_are_swallowed", connections::swallowed),
        ("rewritten_logs_are_reported", rewritten::reported),
        (
            "a_message_that_kills_is_given_up",
            killers::a_message_that_kills_is_given_up,
        ),
    ];
    let kafka: [(&str, Run); 9] = [
        (
            "a_killed_consumer_is_replaced",
            processes::a_killed_consumer_is_replaced,
        ),
        (
            "a_paused_consumer_loses_what_it_had",
            groups::a_paused_consumer_loses_what_it_had,
        ),
        (
            "members_come_and_go_cooperative",
            groups::members_come_and_go_cooperative,
        ),
        (
            "members_come_and_go_eager",
            groups::members_come_and_go_eager,
        ),
        (
            "members_come_and_go_consumer",
            groups::members_come_and_go_consumer,
        ),
        (
            "strange_metadata_is_ignored_and_counted",
            groups::strange_metadata_is_ignored_and_counted,
        ),
        (
            "the_server_is_stopped_and_restarted",
            servers::kafka_stopped_and_restarted,
        ),
        (
            "the_server_is_killed_and_restarted",
            servers::kafka_killed_and_restarted,
        ),
        (
            "a_message_that_kills_is_given_up",
            killers::a_message_that_kills_is_given_up,
        ),
    ];
    let nats = nats.map(|(name, run)| (Kind::Nats, name, run));
    let kafka = kafka.map(|(name, run)| (Kind::Kafka, name, run));
    let cases = nats.into_iter().chain(kafka);
    let cases = cases.map(|(kind, name, run)| Case {
        name: format!("{}::{name}", kind.name()),
        run: Box::new(move || {
            let mut desk = Desk::open(kind, name)?;
            run(&mut desk);
            Ok(())
        }),
    });
    // Each case has a server and processes of its own; two at a time keep two cores busy.
    runner::main(cases.collect(), 2)
}
