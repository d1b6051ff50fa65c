//! `sim`, `replay` and `shrink` from outside.

use super::support::{run, status, stderr, stdout};

fn golden(name: &str) -> String {
    format!("{}/../../sim/golden/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A report in a folder of its own, changed by `change`.
fn changed(name: &str, change: impl Fn(String) -> String) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.procfail");
    let text = std::fs::read_to_string(golden(name)).unwrap();
    std::fs::write(&path, change(text)).unwrap();
    let path = path.to_string_lossy().into_owned();
    (dir, path)
}

#[test]
fn a_clean_run_of_the_simulator_is_status_0_with_its_figures() {
    let output = run(&[
        "sim", "run", "--model", "kafka", "--seeds", "0..200", "--json", "-",
    ]);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let json: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(json["version"], 1);
    assert_eq!(json["model"], "kafka");
    assert_eq!(json["level"], "core");
    assert_eq!(json["runs"], 200);
    assert_eq!(json["violations"], serde_json::json!([]));
    for figure in ["schedules_per_s", "events_per_s", "events_median"] {
        assert!(json[figure].as_f64().unwrap() > 0.0, "{json}");
    }
}

#[test]
fn seeds_that_are_no_range_and_a_level_that_is_not_there_are_status_2() {
    for seeds in ["5", "9..3", "a..b", "-1..4"] {
        let output = run(&["sim", "run", &format!("--seeds={seeds}")]);
        assert_eq!(status(&output), 2, "{seeds}");
    }
    let output = run(&["sim", "run", "--level", "driver"]);
    assert_eq!(status(&output), 2);
    assert!(
        stderr(&output).contains("--level core"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn determinism_and_coverage_hold_for_the_seeds_of_a_moment() {
    let output = run(&["sim", "determinism", "--seeds", "0..150"]);
    assert_eq!(status(&output), 0, "{}{}", stdout(&output), stderr(&output));
    // So few seeds cannot see everything: what is missing is named.
    let output = run(&["sim", "coverage", "--seeds", "0..3"]);
    assert_eq!(status(&output), 1);
    let last = stdout(&output)
        .lines()
        .last()
        .unwrap_or_default()
        .to_owned();
    assert!(last.contains("reached less than 20 times"), "{last}");
    assert!(stdout(&output).contains("rule S1 two of a key"));
}

#[test]
fn a_report_that_leads_where_it_led_is_status_0_and_tells_its_story() {
    let file = golden("clean-kafka-swarm.procfail");
    let output = run(&["replay", &file]);
    assert_eq!(status(&output), 0, "{}{}", stdout(&output), stderr(&output));
    let output = run(&["replay", &file, "--explain", "--until", "120"]);
    assert_eq!(status(&output), 0);
    assert!(
        stdout(&output).contains("starts, attempt 1"),
        "{}",
        stdout(&output)
    );
    let output = run(&["replay", &file, "--trace", "--until", "7"]);
    let text = stdout(&output);
    assert!(
        text.contains("     6 ") && !text.contains("\n     7 "),
        "{text}"
    );
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("x.html");
    let output = run(&["replay", &file, "--html", &page.to_string_lossy()]);
    assert_eq!(status(&output), 0);
    let page = std::fs::read_to_string(page).unwrap();
    assert!(
        page.contains("<svg") && !page.contains("http"),
        "self-contained"
    );
}

#[test]
fn another_answer_is_status_3_and_the_first_difference_is_shown() {
    let (_dir, path) = changed("clean-kafka-swarm.procfail", |text| {
        // The log is said to end earlier: the core opens the partition otherwise.
        text.replacen("frontier=- ", "frontier=7 ", 1)
    });
    let output = run(&["replay", &path]);
    assert_eq!(status(&output), 3, "{}", stdout(&output));
    assert!(
        stdout(&output).contains("first difference, at input"),
        "{}",
        stdout(&output)
    );
    assert!(
        stderr(&output).contains("was changed"),
        "{}",
        stderr(&output)
    );
    let (_dir, path) = changed("clean-kafka-swarm.procfail", |text| {
        text.replacen("detail ", "detail perhaps ", 1)
            .replacen("seed ", "# seed\nseed ", 1)
    });
    assert_eq!(status(&run(&["replay", &path])), 3);
}

#[test]
fn another_version_is_status_4_and_no_report_is_status_2() {
    let (_dir, path) = changed("mutant-05.procfail", |text| {
        text.replacen("procession-failure 1", "procession-failure 9", 1)
    });
    assert_eq!(status(&run(&["replay", &path])), 4);
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    for file in [manifest, "/nowhere/at/all.procfail"] {
        let output = run(&["replay", file]);
        assert_eq!(status(&output), 2);
        assert!(stderr(&output).contains(file), "{}", stderr(&output));
    }
}

/// The report of a deliberate fault does not come again from a core without it; the test that is
/// written for it is the one that is kept among the tests of the simulator.
#[cfg(not(feature = "mutants"))]
#[test]
fn a_report_of_a_deliberate_fault_does_not_come_again_from_a_sound_core() {
    let file = golden("mutant-05.procfail");
    let output = run(&["replay", &file]);
    assert!([1, 3].contains(&status(&output)), "{}", stdout(&output));
    let output = run(&["shrink", &file]);
    assert_eq!(status(&output), 1, "{}", stdout(&output));
    let output = run(&["replay", &file, "--emit-test"]);
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/../../sim/tests/emitted.rs");
    assert_eq!(stdout(&output), std::fs::read_to_string(kept).unwrap());
}

#[test]
fn what_went_well_cannot_be_shrunk() {
    let output = run(&["shrink", &golden("clean-kafka-swarm.procfail")]);
    assert_eq!(status(&output), 2);
    assert!(
        stderr(&output).contains("nothing was wrong"),
        "{}",
        stderr(&output)
    );
}
