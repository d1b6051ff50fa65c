//! Chaos against a real nats-server: killed processes, restarted servers, cut and swallowed
//! connections, rewritten logs. Judged by the histories of the command line (`procession check`)
//! or by the promises.
#![allow(clippy::unwrap_used)]

mod connections;
mod desk;
mod processes;
mod publishing;
mod rewritten;
mod servers;

use std::process::ExitCode;

use desk::Desk;
use procession_tests::runner::{self, Case};

/// What a case does.
type Run = fn(&mut Desk);

fn main() -> ExitCode {
    let cases: [(&str, Run); 10] = [
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
            "the_last_deliveries_are_dropped",
            connections::the_last_deliveries_are_dropped,
        ),
        ("connections_are_swallowed", connections::swallowed),
        ("rewritten_logs_are_reported", rewritten::reported),
    ];
    let cases = cases.into_iter().map(|(name, run)| Case {
        name: format!("nats::{name}"),
        run: Box::new(move || {
            let mut desk = Desk::open(name)?;
            run(&mut desk);
            Ok(())
        }),
    });
    // Each case has a server and processes of its own; two at a time keep two cores busy.
    runner::main(cases.collect(), 2)
}
