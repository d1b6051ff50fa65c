//! The page of `compare --html` and of `report`: made of the very data of `--json`, whole, and safe.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::support::{procession, run, status, stderr, stdout};

/// A comparison on the in-process broker: its JSON, and the page that was written with it.
struct Compared {
    dir: tempfile::TempDir,
    json: Value,
    page: String,
}

impl Compared {
    fn new(arguments: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (json, html) = (dir.path().join("json"), dir.path().join("html"));
        let output = procession()
            .args(["compare", "--on", "memory"])
            .args(arguments.split_whitespace())
            .args([Path::new("--json"), &json, Path::new("--html"), &html])
            .output()
            .unwrap();
        assert_eq!(status(&output), 0, "{}", stderr(&output));
        let json = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
        let page = std::fs::read_to_string(html).unwrap();
        Self { dir, json, page }
    }

    fn write(&self, name: &str, json: &Value) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, json.to_string()).unwrap();
        path
    }

    /// The page of `report` on these files.
    fn report(&self, files: &[&Value]) -> String {
        let html = self.dir.path().join("again.html");
        let files = files.iter().enumerate();
        let files = files.map(|(i, json)| self.write(&format!("{i}.json"), json));
        let mut command = procession();
        command.arg("report").args(files).arg("--html").arg(&html);
        let output = command.output().unwrap();
        assert_eq!(status(&output), 0, "{}", stderr(&output));
        std::fs::read_to_string(html).unwrap()
    }
}

/// Nothing is loaded, run or left open.
fn assert_whole(page: &str) {
    assert!(page.starts_with("<!doctype html>\n<html lang=\"en\">"));
    assert!(page.trim_end().ends_with("</html>"));
    let lower = page.to_lowercase();
    for outside in [
        "<script",
        "src=",
        "url(",
        "@import",
        "<link",
        "javascript:",
        "onload",
    ] {
        assert!(!lower.contains(outside), "{outside}");
    }
    // The only address is the name of SVG.
    let addresses = lower.matches("://").count();
    assert_eq!(
        addresses,
        lower
            .matches("xmlns=\"http://www.w3.org/2000/svg\"")
            .count()
    );
    assert!(page.contains("default-src 'none'"));
    assert!(page.contains("name=\"viewport\""));
    for tag in [
        "table", "tr", "td", "th", "section", "figure", "svg", "ul", "li", "dl", "div",
    ] {
        let (open, closed) = (format!("<{tag}"), format!("</{tag}>"));
        let opened = page
            .match_indices(&open)
            .filter(|(at, _)| page[at + open.len()..].starts_with([' ', '>']));
        assert_eq!(opened.count(), page.matches(&closed).count(), "{tag}");
    }
    // Each picture has words.
    let pictures = page.matches("<svg ").count();
    assert!(pictures > 0);
    assert_eq!(page.matches("role=\"img\"").count(), pictures);
    assert_eq!(page.matches("<title id=").count(), pictures);
    assert_eq!(page.matches("<desc id=").count(), pictures);
    // Each name is one, and each word of a picture is found by its name.
    let ids = page
        .split(" id=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next());
    let mut ids: Vec<_> = ids.collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all);
    for named in page.split(" aria-labelledby=\"").skip(1) {
        for id in named.split('"').next().unwrap().split(' ') {
            assert!(ids.binary_search(&id).is_ok(), "{id}");
        }
    }
    for link in page.split("href=\"#").skip(1) {
        let id = link.split('"').next().unwrap();
        assert!(ids.binary_search(&id).is_ok(), "{id}");
    }
}

#[test]
fn the_page_is_whole_and_made_of_the_json_alone() {
    let compared = Compared::new("--load low --load medium");
    assert_whole(&compared.page);
    assert!(
        compared.page == compared.report(&[&compared.json]),
        "another page"
    );
    for section in ["throughput", "latency", "time", "controls", "predecessor"] {
        let id = format!("<section id=\"{section}\"");
        assert!(compared.page.contains(&id), "{section}");
    }
    assert!(compared.page.contains("All promises were kept in 2 runs"));
    for run in compared.json["runs"].as_array().unwrap() {
        let at = run["over_time"]["at_s"].as_array().unwrap();
        assert!(at.len() > 1, "{run}");
        for figure in ["tasks", "threads", "sockets", "rss_bytes"] {
            let samples = run["over_time"][figure].as_array().unwrap();
            assert_eq!(samples.len(), at.len());
            // Before, peak and after are those of the samples.
            let highest = samples.iter().filter_map(Value::as_u64).max();
            assert!(highest <= run[figure]["peak"].as_u64(), "{figure} of {run}");
            assert_eq!(
                samples.last(),
                Some(&run[figure]["after"]),
                "{figure} of {run}"
            );
        }
        let finest = run["end_to_end_distribution_us"].as_array().unwrap();
        assert!(finest.contains(&json!([0.5, run["end_to_end_latency_us"]["p50"]])));
        assert_eq!(
            finest.last(),
            Some(&json!([1.0, run["end_to_end_latency_us"]["max"]]))
        );
    }
}

#[test]
fn with_a_page_the_negative_controls_run() {
    let compared = Compared::new("--load low");
    let controls = compared.json["controls"].as_array().unwrap();
    let shown: Vec<_> = controls
        .iter()
        .map(|control| {
            assert_eq!(control["as_it_must_be"], true, "{control}");
            assert_eq!(control["switched_on"]["verdict"], "ok");
            let faults = &control["switched_off"]["verdict"];
            (control["without"].clone(), faults[0].clone())
        })
        .collect();
    let expected = [
        ("acks", "duplicates"),
        ("lanes", "inversions"),
        ("dedupe", "duplicates"),
    ];
    assert_eq!(
        shown,
        expected.map(|(without, fault)| (json!(without), json!(fault)))
    );
    assert_eq!(compared.page.matches("data-label=\"must show\"").count(), 3);
    // They are in no run and in no history.
    assert_eq!(compared.json["runs"].as_array().unwrap().len(), 1);
}

#[test]
fn nothing_in_the_data_is_taken_for_markup() {
    let compared = Compared::new("--load low");
    let evil = "\"'><script>alert(1)</script><img src=x onerror=y>&amp;";
    let mut json = compared.json.clone();
    for field in ["procession", "started", "command"] {
        json[field] = evil.into();
    }
    json["machine"]["system"] = evil.into();
    let mut broken = json["runs"][0].clone();
    for field in ["broker", "broker_version", "storage", "form", "load"] {
        broken[field] = evil.into();
    }
    broken["verdict"] = json!([evil]);
    broken["why"] = json!([evil]);
    json["controls"][0]["without"] = evil.into();
    json["controls"][0]["expected"] = evil.into();
    json["controls"][0]["switched_off"] = broken.clone();
    let runs = json["runs"].as_array_mut().unwrap();
    runs.push(broken);
    runs.push(json!({ "broker": evil, "not_run": evil }));
    let page = compared.report(&[&json]);
    for wrong in ["<script", "<img", "&amp;amp;lt", "'><"] {
        assert!(!page.contains(wrong), "{wrong}");
    }
    assert!(page.contains("Promises were broken in 1 of 2 runs"));
    assert!(page.contains("not run: "));
}

#[test]
fn comparisons_under_other_conditions_are_told_apart() {
    let compared = Compared::new("--load low");
    let mut raw = compared.json.clone();
    raw["runs"][0]["form"] = "raw".into();
    let page = compared.report(&[&compared.json, &raw]);
    assert_whole(&page);
    assert!(page.contains("memory, envelope") && page.contains("memory, raw"));
    // The same conditions are runs of one series, and have a spread.
    let page = compared.report(&[&compared.json, &compared.json]);
    assert_whole(&page);
    assert!(page.contains("<section id=\"spread\"") && !page.contains("memory, envelope form,"));
}

#[test]
fn what_is_no_comparison_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    };
    let html = dir.path().join("x.html").to_string_lossy().into_owned();
    for (file, word) in [
        ("/nonexistent/x.json".to_owned(), "cannot be read"),
        (file("a", "never"), "not JSON"),
        (file("b", "{\"version\":1}"), "compare --json"),
        (file("c", "{\"version\":2,\"runs\":[]}"), "version 2"),
        (
            file(
                "d",
                "{\"version\":1,\"procession\":\"x\",\"runs\":[{\"broker\":3}]}",
            ),
            "compare --json",
        ),
    ] {
        let output = run(&["report", &file, "--html", &html]);
        let message = stderr(&output);
        assert_eq!(status(&output), 2, "{message}");
        assert!(
            message.contains(&file) && message.contains(word),
            "{message}"
        );
        assert_eq!(stdout(&output), "");
    }
}
