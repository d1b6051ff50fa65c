//! Wrong use is status 2 and one message that names the option, its value and the fix.

use super::support::{run, status, stderr, stdout};

/// Arguments, and words that the message must hold.
const WRONG: &[(&[&str], &[&str])] = &[
    (
        &["compare", "--fail-rate", "3"],
        &["--fail-rate", "3", "between 0 and 1"],
    ),
    (
        &["compare", "--load", "huge"],
        &["--load", "huge", "extreme"],
    ),
    (
        &["compare", "--load", "5x6"],
        &["--load", "5x6", "at most as many aggregates"],
    ),
    (&["compare", "--on", "rabbit"], &["--on", "rabbit", "nats"]),
    (
        &["compare", "--on", "nats://"],
        &["--on", "nats://", "HOST:PORT"],
    ),
    (
        &["compare", "--senders", "0"],
        &["--senders", "0", "aggregate"],
    ),
    (
        &["compare", "--handler-time", "5"],
        &["--handler-time", "5", "5ms"],
    ),
    (&["compare", "--payload", "3"], &["--payload", "3"]),
    (
        &["compare", "--without", "love"],
        &["--without", "love", "lanes"],
    ),
    (
        &["compare", "--preset", "seeds", "--load", "low"],
        &["--preset", "--load"],
    ),
    (
        &["compare", "--controls", "--without", "acks"],
        &["--controls", "--without"],
    ),
    (&["report", "x.json"], &["--html"]),
    (&["report", "--html", "x.html"], &["FILE"]),
    (&["completions"], &["SHELL"]),
    (
        &["compare", "--on", "kafka", "--storage", "memory"],
        &["--storage memory", "kafka", "--storage file"],
    ),
    (&["produce", "--on", "memory", "--topic", "a..b"], &["a..b"]),
    (
        &["produce", "--on", "nats", "--topic", "t"],
        &["--on", "nats", "URL"],
    ),
    (&["produce", "--topic", "t"], &["--on"]),
    (&["consume", "--on", "memory", "--topic", "t"], &["--group"]),
    (
        &[
            "consume", "--on", "memory", "--topic", "t", "--group", "g h",
        ],
        &["g h"],
    ),
    (
        &[
            "consume",
            "--on",
            "memory",
            "--topic",
            "t",
            "--group",
            "g",
            "--idle-exit",
            "2",
        ],
        &["--idle-exit", "5ms"],
    ),
    (&["brokers", "fly"], &["fly", "up"]),
    (
        &["brokers", "down", "--storage-only"],
        &["--storage-only", "up"],
    ),
    (&["check"], &["FILE"]),
    (
        &["check", "/nonexistent/h"],
        &["/nonexistent/h", "cannot be read"],
    ),
    (&["nonsense"], &["nonsense"]),
];

#[test]
fn wrong_use_is_status_2_and_says_what_and_how() {
    for (arguments, words) in WRONG {
        let output = run(arguments);
        let message = stderr(&output);
        assert_eq!(status(&output), 2, "{arguments:?}: {message}");
        for word in *words {
            assert!(
                message.contains(word),
                "{arguments:?} must name {word:?}: {message}"
            );
        }
        assert_eq!(stdout(&output), "", "{arguments:?}");
    }
}

#[test]
fn a_payload_over_the_limit_is_wrong_use() {
    for command in [
        vec![
            "produce",
            "--on",
            "memory://",
            "--topic",
            "t",
            "--count",
            "3",
        ],
        vec!["compare", "--on", "memory", "--load", "low"],
    ] {
        let arguments: Vec<_> = command
            .into_iter()
            .chain(["--payload", "2000000"])
            .collect();
        let output = run(&arguments);
        let message = stderr(&output);
        assert_eq!(status(&output), 2, "{message}");
        assert!(message.contains("--payload 2000000"), "{message}");
        assert!(
            message.contains("at most") || message.contains("allowed"),
            "{message}"
        );
    }
}

#[test]
fn an_output_that_cannot_be_written_is_said_before_anything_runs() {
    let dir = tempfile::tempdir().unwrap();
    let begun = dir.path().join("history");
    let begun = begun.to_string_lossy();
    for option in ["--json", "--html", "--history"] {
        let file = "/nonexistent/dir/file";
        let mut arguments = vec!["compare", "--on", "memory", "--load", "low", option, file];
        if option != "--history" {
            arguments.extend(["--history", &*begun]);
        }
        let output = run(&arguments);
        let message = stderr(&output);
        assert_eq!(status(&output), 2, "{message}");
        assert!(
            message.contains(option) && message.contains(file),
            "{message}"
        );
        assert!(!std::fs::exists(&*begun).unwrap(), "{option}: it ran");
    }
}

#[test]
fn help_has_examples_for_every_command() {
    for command in [
        None,
        Some("compare"),
        Some("produce"),
        Some("consume"),
        Some("bench"),
        Some("brokers"),
        Some("check"),
        Some("report"),
        Some("completions"),
        Some("man"),
    ] {
        let arguments: Vec<_> = command.into_iter().chain(["--help"]).collect();
        let output = run(&arguments);
        assert_eq!(status(&output), 0);
        assert!(stdout(&output).contains("Examples:"), "{command:?}");
        assert_eq!(stderr(&output), "");
    }
    assert!(stdout(&run(&["--version"])).starts_with("procession "));
}

#[test]
fn a_broker_that_does_not_answer_is_status_3() {
    // A port that was free a moment ago.
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let url = format!("nats://127.0.0.1:{port}");
    for arguments in [
        vec!["compare", "--load", "low", "--on", &url],
        vec!["produce", "--topic", "t", "--on", &url],
        vec!["consume", "--topic", "t", "--group", "g", "--on", &url],
    ] {
        let output = run(&arguments);
        let message = stderr(&output);
        assert_eq!(status(&output), 3, "{arguments:?}: {message}");
        assert!(
            message.contains(&url) || message.contains(&port.to_string()),
            "{message}"
        );
    }
}
