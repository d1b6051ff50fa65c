//! What real brokers were seen to do, and what the models say to it.

use std::path::Path;

use procession_sim::trace::replay;

fn trace(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("traces/{name}.trace"));
    std::fs::read_to_string(path).expect("a trace")
}

#[test]
fn the_models_answer_as_the_brokers_did() {
    for name in ["kafka", "memory", "mock", "nats"] {
        if let Err(disagreement) = replay(&trace(name)) {
            panic!("{name}: {disagreement}");
        }
    }
}

/// Every answer counts: a broker that gave another one would be noticed.
#[test]
fn another_answer_is_a_disagreement() {
    for name in ["kafka", "memory", "mock", "nats"] {
        let text = trace(name);
        for (number, line) in text.lines().enumerate().skip(2) {
            let (done, answer) = line.split_once(" ->").expect("an answer");
            let other = format!("{done} ->{answer} 4711");
            let changed: Vec<&str> = text
                .lines()
                .enumerate()
                .map(|(n, line)| if n == number { &other[..] } else { line })
                .collect();
            let found = replay(&changed.join("\n")).expect_err(&other);
            assert_eq!(found.line, number + 1, "{found}");
        }
    }
}

#[test]
fn what_is_no_trace_is_told_by_its_line() {
    let head = "procession-trace 1\nbroker nats\n";
    for (text, line) in [
        ("", 1),
        ("procession-trace 2\n", 1),
        ("procession-trace 1\nbroker rabbit\n", 2),
        (&format!("{head}publish\n")[..], 3),
        (&format!("{head}publish -> 1\njump -> 2\n"), 4),
        (&format!("{head}publish -> 1\ndelete 7 -> done\n"), 4),
        (&format!("{head}publish -> 1\n"), 0),
    ] {
        assert_eq!(replay(text).map_err(|d| d.line), Err(line), "{text}");
    }
}
