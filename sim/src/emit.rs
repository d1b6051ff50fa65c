//! A report as a Rust test.

use std::fmt::Write as _;

use crate::report::{Failure, print};

/// The text of a Rust test that lets the world of a report happen again, and fails while the
/// promise is broken. For `sim/tests/`.
#[must_use]
pub fn emit_test(failure: &Failure) -> String {
    let mut out = String::new();
    let id = failure.verdict_id();
    let name = test_name(&id, failure.seed);
    let text = print(failure);
    // As many hashes as no line of the text has.
    let mut fence = "#".to_owned();
    while text.contains(&format!("\"{fence}")) {
        fence.push('#');
    }
    let _ = writeln!(
        out,
        "//! {id}, seed {}. Written by `procession replay --emit-test`.",
        failure.seed
    );
    let _ = writeln!(out, "\n#[test]\nfn {name}() {{");
    let _ = writeln!(out, "    procession_sim::must_hold(REPORT);\n}}\n");
    let _ = writeln!(out, "const REPORT: &str = r{fence}\"{text}\"{fence};");
    out
}

fn test_name(id: &str, seed: u64) -> String {
    let word = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '_'
        }
    };
    let id: String = id.chars().map(word).collect();
    format!("{id}_seed_{seed}")
}
