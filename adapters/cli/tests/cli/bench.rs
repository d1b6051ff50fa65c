//! `bench`: figures of the raw clients and of the bus, from few messages; and of the core.

use serde_json::Value;

use super::support::{nats_or_skip, procession, run, status, stderr, stdout};

fn number(value: &Value, name: &str) -> f64 {
    let number = value[name].as_f64();
    number.unwrap_or_else(|| panic!("{name} is no number in {value}"))
}

#[test]
fn both_sides_are_measured_in_pairs() {
    if !nats_or_skip("both_sides_are_measured_in_pairs") {
        return;
    }
    let output = procession()
        .args(["bench", "--on", "nats", "--messages", "500", "--keys", "20"])
        .args(["--payload", "16", "--json", "-"])
        .output()
        .unwrap();
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let json: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(json["version"], 1);
    assert_eq!(json["conditions"]["payload_bytes"], 16);
    let results = json["results"].as_array().unwrap();
    let names: Vec<_> = results
        .iter()
        .map(|r| r["what"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["consume", "publish"]);
    for result in results {
        assert_eq!(result["broker"], "nats");
        assert_eq!(result["pairs"], 10);
        assert_eq!(result["runs"].as_array().unwrap().len(), 10);
        for name in ["ours_per_s", "raw_equal_per_s", "bare_per_s"] {
            assert!(number(result, name) > 0.0, "{name}: {result}");
        }
        for name in ["cpu_ns_ours", "cpu_ns_raw_equal"] {
            assert!(number(result, name) > 0.0, "{name}: {result}");
        }
        let [low, ratio, high] = ["ratio_low", "ratio", "ratio_high"].map(|n| number(result, n));
        assert!(0.0 < low && low <= ratio && ratio <= high, "{result}");
    }
}

#[test]
fn the_core_allocates_nothing_and_keeps_its_budget_of_memory() {
    let output = run(&["bench", "--core", "--json", "-"]);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let json: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let core = &json["core"];
    assert_eq!(number(core, "allocations_per_message"), 0.0);
    let bytes = number(core, "bytes_per_message");
    assert!((40.0..=64.0).contains(&bytes), "{core}");
    let [low, nanos, high] = ["ns_low", "ns_per_message", "ns_high"].map(|n| number(core, n));
    assert!(0.0 < low && low <= nanos && nanos <= high, "{core}");
    // What grows with keys or partitions would be hundreds of times dearer.
    for ratio in ["keys_ratio", "partitions_ratio"] {
        assert!((0.0..20.0).contains(&number(core, ratio)), "{core}");
    }
}

#[test]
fn wrong_use_is_status_2_and_a_broker_that_is_not_there_status_3() {
    for (arguments, expected, says) in [
        (&["bench", "--on", "memory"][..], 2, "no raw client"),
        (&["bench", "--pairs", "9"], 2, "9"),
        (&["bench", "--core", "--on", "nats"], 2, "--core"),
        (&["bench", "--on", "nats://127.0.0.1:1"], 3, "127.0.0.1:1"),
    ] {
        let output = run(arguments);
        assert_eq!(status(&output), expected, "{arguments:?}");
        let message = stderr(&output);
        assert!(message.contains(says), "{arguments:?}: {message}");
    }
}
