//! `brokers up|status|down`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::args::{Action, BrokerKind, BrokersArgs};
use crate::brokers::{
    BrokerRecord, CannotBeHad, Kafka, KafkaOptions, Nats, NatsOptions, default_dir,
    ensure_kafka_in, ensure_nats_in, find_records,
};
use crate::failure::Failure;

pub(super) fn run(args: &BrokersArgs) -> Result<(), Failure> {
    args.output.prepare()?;
    if args.storage_only && args.action != Action::Up {
        return Err(Failure::usage(
            "--storage-only goes with `up`, where it puts the binaries in place and starts nothing; \
             leave it out here",
        ));
    }
    let dir = args.dir.clone().unwrap_or_else(default_dir);
    let mut kinds = args.brokers.clone();
    if kinds.is_empty() {
        kinds = vec![BrokerKind::Nats, BrokerKind::Kafka];
    }
    let mut rows = Vec::new();
    // What can be had is there also when another broker is not.
    let mut missing = Vec::new();
    for kind in kinds {
        match args.action {
            Action::Up => match up(args, &dir, kind) {
                Ok(row) => rows.push(row),
                Err(cannot) => missing.push(format!("{}: {cannot}", kind.name())),
            },
            Action::Status => status(args, &dir, kind, &mut rows),
            Action::Down => down(args, &dir, kind, &mut rows),
        }
    }
    args.output.write(&json!({ "brokers": rows }))?;
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::unavailable(missing.join("; ")))
}

fn up(args: &BrokersArgs, dir: &Path, kind: BrokerKind) -> Result<Value, CannotBeHad> {
    let name = kind.name();
    if args.storage_only {
        let (path, version) = ensure(args, dir, kind)?;
        args.output
            .say(&format!("{name}  {} is in place", path.display()));
        return Ok(json!({"kind": name, "url": null, "pid": null, "version": version, "dir": dir}));
    }
    let record = running(dir, kind).map_or_else(|| start(args, dir, kind), Ok)?;
    args.output.say(&format!(
        "{name}  {}  (pid {}, {})",
        record.url, record.process.pid, record.version
    ));
    Ok(row(&record))
}

/// Where the program is, and its version where that is known without a start.
fn ensure(
    args: &BrokersArgs,
    dir: &Path,
    kind: BrokerKind,
) -> Result<(PathBuf, Option<String>), CannotBeHad> {
    match kind {
        BrokerKind::Nats => Ok((ensure_nats_in(dir, args.offline)?, None)),
        BrokerKind::Kafka => {
            let program = ensure_kafka_in(dir, args.offline)?;
            Ok((program.libs, Some(program.version)))
        }
    }
}

fn start(args: &BrokersArgs, dir: &Path, kind: BrokerKind) -> Result<BrokerRecord, CannotBeHad> {
    let brokers_dir = Some(dir.to_owned());
    let own_dir = Some(dir.join(kind.name()));
    let offline = args.offline;
    let server = match kind {
        BrokerKind::Nats => Nats::start(NatsOptions {
            brokers_dir,
            dir: own_dir,
            port: args.nats_port,
            offline,
            arguments: Vec::new(),
        }),
        BrokerKind::Kafka => Kafka::start(KafkaOptions {
            brokers_dir,
            dir: own_dir,
            port: args.kafka_port,
            offline,
            ..KafkaOptions::default()
        }),
    };
    server?.detach()
}

fn status(args: &BrokersArgs, dir: &Path, kind: BrokerKind, rows: &mut Vec<Value>) {
    match running(dir, kind) {
        Some(record) => {
            let (url, pid) = (&record.url, record.process.pid);
            args.output.say(&format!(
                "{}  {url}  (pid {pid}, {})",
                kind.name(),
                record.version
            ));
            rows.push(row(&record));
        }
        None => args.output.say(&format!("{}  not running", kind.name())),
    }
}

fn down(args: &BrokersArgs, dir: &Path, kind: BrokerKind, rows: &mut Vec<Value>) {
    let all = find_records(dir);
    let ours = all.iter().filter(|r| r.kind == kind.name());
    // A broker that belongs to a running `compare` or test is that one's to stop.
    let mut stopped = 0;
    for record in ours.filter(|r| r.owner.is_none() || r.is_orphan()) {
        if record.stop() {
            stopped += 1;
            args.output
                .say(&format!("{}  {} stopped", kind.name(), record.url));
            rows.push(row(record));
        }
    }
    if stopped == 0 {
        args.output.say(&format!("{}  not running", kind.name()));
    }
}

fn running(dir: &Path, kind: BrokerKind) -> Option<BrokerRecord> {
    BrokerRecord::read(&dir.join(kind.name())).filter(BrokerRecord::is_alive)
}

fn row(record: &BrokerRecord) -> Value {
    json!({
        "kind": record.kind,
        "url": record.url,
        "pid": record.process.pid,
        "version": record.version,
        "dir": record.dir,
    })
}
