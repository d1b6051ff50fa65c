//! `docs/scenarios.md`: every acceptance scenario, what answers it, and how that ended on each broker.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use procession_tests::venue::Kind;

use crate::NOT_ON;

/// Scenarios that are answered elsewhere than by a case that is named after them, and how.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "G1",
        "elastic groups are Kafka's own (`chaos`: `kafka::members_come_and_go_*`); on NATS one member owns all",
    ),
    ("G2", "as G1"),
    (
        "G3",
        "as G1: the mapping is the broker's or the client library's",
    ),
    (
        "N1",
        "log mode has no acknowledgements: P1 and P5 replay the givens",
    ),
    (
        "N3",
        "as N1; order over redeliveries is `sessions_break_fifty_times` and P6",
    ),
    ("N4", "as N1; what may be under way is H3 and P15"),
    ("N5", "as N1; the last attempt ends in A1 and P17"),
    (
        "N6",
        "as N1; waiting times are the core's (`core/tests/consumer_reference.rs`)",
    ),
    (
        "N7",
        "as N1; leaders that change are server restarts (`chaos`: `the_server_is_*`)",
    ),
    ("P7", "case p15_a_full_window_stops_intake_and_resumes"),
    (
        "P8",
        "Kafka: `adapters/kafka/tests/feed.rs`; NATS: `adapters/nats/tests/{sessions,rewritten}.rs`",
    ),
    (
        "P13",
        "the callback only notes a rebalance: `chaos`, `kafka::members_come_and_go_*`",
    ),
    (
        "P14",
        "`adapters/kafka/src/errors.rs` (tests) and `chaos`, `kafka::members_come_and_go_*`",
    ),
];

/// All rows that the suites of comparable systems ask for.
const ALL: &str = "A1 G1 G2 G3 H2 H3 N1 N2 N3 N4 N5 N6 N7 N8 P1 P2 P3 P4 P5 P6 P7 P8 P9 P12 P13 P14 P15 P16 P17 \
                   P18 P19 S1 S3 W1 W2 W3 W4 W5 W6 W8 W10 W11 W12 W13 W14 W16";

/// Compares the page with what was run; writes it anew where `PROCESSION_SCENARIOS=write` is set.
pub(crate) fn check(ends: &BTreeMap<String, &'static str>) -> bool {
    let page = page(ends);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/scenarios.md");
    if std::env::var("PROCESSION_SCENARIOS").is_ok_and(|value| value == "write") {
        std::fs::write(&path, &page).unwrap();
        return true;
    }
    if ends.values().any(|end| *end != "ok") {
        // Said already, each by itself.
        return true;
    }
    let same = std::fs::read_to_string(&path).is_ok_and(|kept| kept == page);
    if !same {
        println!("docs/scenarios.md is not what was run; write it with PROCESSION_SCENARIOS=write");
    }
    same
}

fn page(ends: &BTreeMap<String, &'static str>) -> String {
    let names: BTreeSet<&str> = ends
        .keys()
        .filter_map(|name| Some(name.split_once("::")?.1))
        .collect();
    let mut page = String::from(
        "# Acceptance scenarios\n\nWritten by `PROCESSION_SCENARIOS=write cargo test -p procession-tests --test \
         conformance`, and compared by\nevery run of that suite. Rows are those of comparable systems' suites; \
         what is about one broker only says so.\n\n| row | case | memory | nats | kafka |\n|---|---|---|---|---|\n",
    );
    let mut notes = Vec::new();
    let mut named = BTreeSet::new();
    for row in ALL.split_whitespace() {
        let prefix = format!("{}_", row.to_lowercase());
        let mut any = false;
        for name in names.iter().filter(|name| name.starts_with(&prefix)) {
            any = true;
            named.insert(*name);
            line(&mut page, row, name, ends, &mut notes);
        }
        if !any {
            let elsewhere = ELSEWHERE.iter().find(|(id, _)| *id == row);
            let elsewhere = elsewhere.map_or("**nothing**", |(_, how)| how);
            let _ = writeln!(page, "| {row} | {elsewhere} | | | |");
        }
    }
    for name in names.difference(&named) {
        line(&mut page, "", name, ends, &mut notes);
    }
    for (number, why) in notes.iter().enumerate() {
        let _ = write!(page, "\n{}. {why}\n", number + 1);
    }
    page
}

fn line(
    page: &mut String,
    row: &str,
    name: &str,
    ends: &BTreeMap<String, &'static str>,
    notes: &mut Vec<&'static str>,
) {
    let _ = write!(page, "| {row} | `{name}` |");
    for kind in Kind::ALL {
        let end = ends.get(&format!("{}::{name}", kind.name()));
        let excepted = NOT_ON
            .iter()
            .find(|(on, case, _)| (*on, *case) == (kind, name));
        let cell = match (end, excepted) {
            (Some(end), _) => (*end).to_owned(),
            (None, Some((_, _, why))) => {
                notes.push(why);
                format!("not asked ({})", notes.len())
            }
            (None, None) => {
                "does harm that only the in-process broker can be told to do".to_owned()
            }
        };
        let _ = write!(page, " {cell} |");
    }
    page.push('\n');
}
