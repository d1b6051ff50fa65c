//! `check` from outside.

use super::support::{run, status, stderr, stdout};

const META: &str = r#"{"ev":"meta","version":1,"t":1,"wall":1,"pid":1,"boot":"b","role":"compare","member":"m","group":"g","config":{}}
{"ev":"run","t":2,"run":"r","broker":"memory","load":"low"}
{"ev":"accepted","t":3,"topic":"t","key":"a","id":"a-1","seq":1}
{"ev":"stored","t":4,"topic":"t","key":"a","id":"a-1","seq":1,"partition":0,"position":1}
{"ev":"assigned","t":5,"topic":"t","partition":0,"epoch":1,"position":1}
{"ev":"start","t":6,"topic":"t","partition":0,"position":1,"epoch":1,"key":"a","id":"a-1","seq":1,"attempt":1}
"#;
const END: &str = r#"{"ev":"end","t":7,"topic":"t","partition":0,"position":1,"epoch":1,"key":"a","id":"a-1","seq":1,"attempt":1,"outcome":"OUTCOME"}
{"ev":"closed","t":8,"status":0}
"#;

fn history(outcome: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("h");
    std::fs::write(&path, format!("{META}{}", END.replace("OUTCOME", outcome))).unwrap();
    let path = path.to_string_lossy().into_owned();
    (dir, path)
}

#[test]
fn a_clean_history_is_status_0() {
    let (_dir, path) = history("done");
    let output = run(&["check", &path, "--json", "-"]);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let json: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(json["verdict"], "ok");
    assert_eq!(json["runs"][0]["unique"], 1);
    assert_eq!(json["runs"][0]["broker"], "memory");
}

#[test]
fn a_broken_promise_is_status_1_and_named_on_the_last_line() {
    let (_dir, path) = history("retry");
    let output = run(&["check", &path]);
    assert_eq!(status(&output), 1);
    for text in [stdout(&output), stderr(&output)] {
        let last = text.lines().last().unwrap_or_default();
        assert!(last.contains("lost"), "{text}");
    }
}

#[test]
fn a_file_that_is_no_history_is_status_2() {
    let output = run(&["check", env!("CARGO_MANIFEST_DIR").to_owned().as_str()]);
    assert_eq!(status(&output), 2);
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let output = run(&["check", manifest]);
    assert_eq!(status(&output), 2);
    assert!(stderr(&output).contains("line 1"), "{}", stderr(&output));
}
