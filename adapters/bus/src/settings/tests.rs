use std::path::PathBuf;
use std::time::Duration;

use procession_core::{Config, ProducerConfig};
use procession_runtime::port::{Storage, TopicMode};

use super::*;

fn environment(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let own = |(n, v): &(&str, &str)| ((*n).to_owned(), (*v).to_owned());
    Settings::from_parts(None, variables.iter().map(own))
}

#[test]
fn the_defaults_are_those_of_the_core() {
    let settings = Settings::from_toml("").unwrap();
    assert_eq!(
        settings,
        environment(&[])
            .map(|s| Settings {
                sources: settings.sources.clone(),
                ..s
            })
            .unwrap()
    );
    assert_eq!(settings.subscribe.to_core(64, 64, 0), Config::default());
    assert_eq!(settings.publish.to_core(0), ProducerConfig::default());
    assert_eq!(
        settings.publish.duplicate_window(),
        Duration::from_secs(120)
    );
}

#[test]
fn every_table_is_read_and_the_more_special_one_wins() {
    let settings = Settings::from_toml(
        r#"
        [bus]
        source = "shop"
        topics = "create_or_update"
        credit_bytes = "1MiB"
        nkey_file = "/run/secrets/nkey"
        [bus.tls]
        ca_file = "/etc/shop/ca.pem"
        cert_file = "/etc/shop/cert.pem"
        key_file = "/etc/shop/key.pem"
        handshake_first = true
        [publish]
        deadline = "10s"
        when_full = "fail"
        [subscribe]
        attempts = 3
        handler_timeout = "never"
        [subscribe.billing]
        attempts = "forever"
        lease = "3s"
        [topics."orders.eu"]
        partitions = 12
        storage = "memory"
        mode = "skip"
        "#,
    )
    .unwrap();
    assert_eq!(settings.bus.source.as_deref(), Some("shop"));
    assert_eq!(settings.bus.topics, Some(TopicMode::CreateOrUpdate));
    assert_eq!(settings.bus.credit_bytes, 1 << 20);
    assert_eq!(
        settings.bus.nkey_file,
        Some(PathBuf::from("/run/secrets/nkey"))
    );
    let tls = TlsSettings {
        ca_file: Some("/etc/shop/ca.pem".into()),
        cert_file: Some("/etc/shop/cert.pem".into()),
        key_file: Some("/etc/shop/key.pem".into()),
        handshake_first: true,
    };
    assert_eq!(settings.bus.tls, tls);
    assert_eq!(settings.publish.deadline, Duration::from_secs(10));
    assert_eq!(settings.publish.when_full, WhenFull::Fail);
    assert_eq!(settings.subscription("mailing").unwrap().attempts, 3);
    let billing = settings.subscription("billing").unwrap();
    assert_eq!((billing.attempts, billing.lease.as_secs()), (u32::MAX, 3));
    assert_eq!(billing.handler_timeout, Duration::MAX);
    let orders = settings.topic("orders.eu").unwrap();
    assert_eq!(
        (orders.partitions, orders.storage),
        (Some(12), Storage::Memory)
    );
    assert_eq!(orders.mode, Some(TopicMode::Skip));
    assert_eq!(settings.topic("orders").unwrap(), TopicSettings::default());
}

#[test]
fn the_environment_overrides_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bus.toml");
    std::fs::write(
        &file,
        "[bus.tls]\nca_file = '/a'\n[publish]\ndeadline = '10s'\nin_flight = 7\nbatch = 9\n[subscribe.my-group]\nattempts = 2",
    )
    .unwrap();
    let variables = [
        ("PROCESSION_PUBLISH__DEADLINE", "20s"),
        ("PROCESSION_SUBSCRIBE__MY_GROUP__ATTEMPTS", "9"),
        ("PROCESSION_BUS__TLS__CA_FILE", "/b"),
        (
            "PROCESSION_BUS__CREDENTIALS_FILE",
            "/run/secrets/user.creds",
        ),
        ("PROCESSION_BROKERS", "required"),
        ("PATH", "/bin"),
    ];
    let own = variables.map(|(n, v)| (n.to_owned(), v.to_owned()));
    let settings = Settings::from_parts(Some(&file), own).unwrap();
    assert_eq!(settings.publish.deadline, Duration::from_secs(20));
    assert_eq!(settings.publish.in_flight, 7);
    assert_eq!(settings.publish.batch, 9);
    assert_eq!(settings.bus.tls.ca_file, Some("/b".into()));
    let creds = PathBuf::from("/run/secrets/user.creds");
    assert_eq!(settings.bus.credentials_file, Some(creds));
    assert_eq!(settings.subscription("my-group").unwrap().attempts, 9);
}

#[test]
fn each_bad_setting_has_its_own_clear_error() {
    let table = [
        (
            "[publsh]\ndeadline='1s'",
            "publsh",
            "did you mean [publish]?",
        ),
        ("deadline = '1s'", "deadline", "tables are"),
        (
            "[publish]\ndeadlin = '1s'",
            "publish.deadlin",
            "did you mean `deadline`?",
        ),
        (
            "[publish]\ndeadline = 30",
            "publish.deadline",
            "needs a unit",
        ),
        (
            "[publish]\ndeadline = '30 parsecs'",
            "publish.deadline",
            "\"30 parsecs\" (TOML)",
        ),
        (
            "[publish]\ndeadline = '0s'",
            "publish.deadline",
            "more than 0",
        ),
        (
            "[publish]\nduplicate_window = '10s'",
            "publish.duplicate_window",
            "at least twice",
        ),
        (
            "[publish]\nwindow_messages = 0",
            "publish.window_messages",
            "1 to 4000000",
        ),
        (
            "[publish]\nwindow_bytes = '64 MBytes'",
            "publish.window_bytes",
            "not a size",
        ),
        (
            "[publish]\nmessage_bytes_max = '1GiB'",
            "publish.message_bytes_max",
            "larger than",
        ),
        (
            "[publish]\nwhen_full = 'wiat'",
            "publish.when_full",
            "did you mean `wait`?",
        ),
        (
            "[bus]\ntopics = 'creat'",
            "bus.topics",
            "did you mean `create`?",
        ),
        ("[bus]\nsource = ''", "bus.source", "not empty"),
        (
            "[bus]\ncredit_messages = 0",
            "bus.credit_messages",
            "at least 1",
        ),
        (
            "[subscribe]\ncredit_messages = -1",
            "subscribe.credit_messages",
            "whole number",
        ),
        (
            "[subscribe]\nattempts = 0",
            "subscribe.attempts",
            "1 to 1000000",
        ),
        (
            "[subscribe]\non_reset = 'newest'",
            "subscribe.on_reset",
            "stop, earliest, latest",
        ),
        (
            "[subscribe]\nflight_recorder = '1KiB'",
            "subscribe.flight_recorder",
            "64KiB",
        ),
        (
            "[subscribe]\nflight_directory = '/tmp'",
            "subscribe.flight_directory",
            "needs `flight_recorder`",
        ),
        (
            "[subscribe]\non_hung = 'leave'",
            "subscribe.on_hung",
            "wait, abandon",
        ),
        (
            "[subscribe]\non_expired = 'drop'",
            "subscribe.on_expired",
            "run, report, dead-letter",
        ),
        (
            "[subscribe]\non_give_up = 'parked'",
            "subscribe.on_give_up",
            "`park`",
        ),
        (
            "[subscribe]\non_give_up = 'park'\nparked_keys = 121",
            "subscribe.parked_keys",
            "1 to 120",
        ),
        (
            "[subscribe]\non_give_up = 'park'\norder = 'unordered'",
            "subscribe.on_give_up",
            "needs `order",
        ),
        (
            "[subscribe]\norder = 'sequences'",
            "subscribe.order",
            "key, sequence, unordered",
        ),
        (
            "[subscribe]\norder = 'sequence'\non_gap = 'wait'",
            "subscribe.on_gap",
            "go_on, park, stop",
        ),
        (
            "[subscribe]\norder = 'sequence'\non_gap = 'park'",
            "subscribe.on_gap",
            "needs `on_give_up",
        ),
        (
            "[subscribe]\norder = 'sequence'\ngap_timeout = '0s'",
            "subscribe.gap_timeout",
            "more than 0",
        ),
        (
            "[subscribe]\norder = 'sequence'\nhold_messages = 0",
            "subscribe.hold_messages",
            "1 to",
        ),
        (
            "[subscribe]\norder = 'sequence'\nsequence_keys = 0",
            "subscribe.sequence_keys",
            "1 to 16000000",
        ),
        (
            "[subscribe]\nkey_credit_messages = 0",
            "subscribe.key_credit_messages",
            "at least 1",
        ),
        (
            "[subscribe]\njitter_percent = 300",
            "subscribe.jitter_percent",
            "too large",
        ),
        (
            "[subscribe]\nbackoff_first = '1h'",
            "subscribe.backoff_first",
            "at most max",
        ),
        ("[subscribe]\nlease = '10ms'", "subscribe.lease", "1s to 1h"),
        (
            "[subscribe]\nlease_margin = '14s'",
            "subscribe.lease_margin",
            "half of `lease`",
        ),
        (
            "[subscribe]\nconcurrency = 0",
            "subscribe.concurrency",
            "1 to 1000000",
        ),
        (
            "[subscribe]\ndedupe_ids = 99_000_000",
            "subscribe.dedupe_ids",
            "0 (off) to",
        ),
        (
            "[subscribe.b]\nattemps = 1",
            "subscribe.b.attemps",
            "did you mean `attempts`?",
        ),
        (
            "[subscribe.b]\nwindow = 1",
            "subscribe.b.window",
            "64 to 4194304",
        ),
        (
            "[topics.orders]\npartitions = 0",
            "topics.orders.partitions",
            "1 to 4096",
        ),
        ("[topics]\norders = 3", "topics.orders", "[topics.NAME]"),
        (
            "[topics.orders]\nform = 'predecesor'",
            "topics.orders.form",
            "did you mean `predecessor`?",
        ),
        (
            "[topics.orders]\nfrom = 'binary'",
            "topics.orders.from",
            "did you mean `form`?",
        ),
        ("[publish", "file", "must be TOML"),
        (
            "[bus.tls]\ncafile = '/a'",
            "bus.tls.cafile",
            "did you mean `ca_file`?",
        ),
        ("[bus.tls]\nca_file = 1", "bus.tls.ca_file", "not a path"),
        ("[bus.tls]\nca_file = ''", "bus.tls.ca_file", "not a path"),
        (
            "[bus.tls]\ncert_file = '/a'",
            "bus.tls.cert_file",
            "`bus.tls.key_file` is not set; set both or none",
        ),
        (
            "[bus.tls]\nkey_file = '/a'",
            "bus.tls.key_file",
            "`bus.tls.cert_file` is not set",
        ),
        (
            "[bus.tls]\nhandshake_first = 'perhaps'",
            "bus.tls.handshake_first",
            "true or false",
        ),
        ("[bus]\ntls = true", "bus.tls", "write a table [bus.tls]"),
        ("[bus.tsl]\nx = 1", "bus.tsl", "did you mean [bus.tls]?"),
        (
            "[bus]\nnkey_file = true",
            "bus.nkey_file",
            "the path of a file",
        ),
        (
            "[bus]\ncredentials_file = ''",
            "bus.credentials_file",
            "not a path",
        ),
        (
            "[bus]\ncredential_file = '/a'",
            "bus.credential_file",
            "did you mean `credentials_file`?",
        ),
        (
            "[bus]\ncredentials_file = '/a'\nnkey_file = '/b'",
            "bus.nkey_file",
            "`bus.credentials_file` is set, too",
        ),
    ];
    for (text, field, expected) in table {
        let error = Settings::from_toml(text).expect_err(text);
        assert_eq!(error.field(), field, "{text}");
        let message = error.to_string();
        assert!(message.contains(expected), "{text}: {message}");
        assert!(
            !message.contains('\n') && !error.fix().is_empty(),
            "{message}"
        );
    }
}

#[test]
fn each_bad_variable_has_its_own_clear_error() {
    let table = [
        (
            "PROCESSION_PUBLISH__DEADLINE",
            "soon",
            "environment variable PROCESSION_PUBLISH__DEADLINE",
        ),
        (
            "PROCESSION_PUBLISH_DEADLINE",
            "1s",
            "write PROCESSION_PUBLISH__...",
        ),
        (
            "PROCESSION_PUBLISHER__DEADLINE",
            "1s",
            "did you mean [publish]?",
        ),
        ("PROCESSION_SUBSCRIBE__A__B__C", "1s", "too many parts"),
        (
            "PROCESSION_BUS__TSL__CA_FILE",
            "/a",
            "did you mean [bus.tls]?",
        ),
        (
            "PROCESSION_BUS__TLS__CA_FIEL",
            "/a",
            "did you mean `ca_file`?",
        ),
        (
            "PROCESSION_BUS__TLS__HANDSHAKE_FIRST",
            "1",
            "write true or false",
        ),
        (
            "PROCESSION_SUBSCRIBE__A__ATTEMPT",
            "1",
            "did you mean `attempts`?",
        ),
    ];
    for (name, value, expected) in table {
        let message = environment(&[(name, value)]).expect_err(name).to_string();
        assert!(message.contains(expected), "{message}");
    }
    let missing = Settings::from_parts(Some(Path::new("/no/such/file.toml")), []).unwrap_err();
    assert!(
        missing.to_string().contains("/no/such/file.toml"),
        "{missing}"
    );
}

#[test]
fn all_partitions_share_no_more_window_than_they_can_use() {
    let settings = Settings::default().subscribe;
    for (partitions, pool) in [(1, 65_536), (3, 196_608), (4, 262_144), (1_000, 262_144)] {
        let core = settings.to_core(partitions, partitions, 0);
        assert_eq!((core.window, core.window_pool), (65_536, pool));
        core.validate().unwrap();
    }
}
