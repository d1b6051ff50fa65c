//! `brokers up|status|down`.

use std::path::Path;

use serde_json::{Value, json};

use crate::args::{Action, BrokerKind, BrokersArgs};
use crate::brokers::{
    BrokerRecord, CannotBeHad, Nats, NatsOptions, default_dir, ensure_nats_in, find_records,
};
use crate::failure::Failure;
use crate::terminal;

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
    for kind in kinds {
        match args.action {
            Action::Up => up(args, &dir, kind, &mut rows)?,
            Action::Status => status(args, &dir, kind, &mut rows),
            Action::Down => down(args, &dir, kind, &mut rows),
        }
    }
    args.output.write(&json!({ "brokers": rows }))
}

fn up(
    args: &BrokersArgs,
    dir: &Path,
    kind: BrokerKind,
    rows: &mut Vec<Value>,
) -> Result<(), Failure> {
    if kind == BrokerKind::Kafka {
        // Asked for by name it must be had; as one of all it may be missing.
        if args.brokers.is_empty() {
            args.output.say("kafka  not run: not built yet");
            return Ok(());
        }
        return Err(Failure::unavailable(
            "kafka: not run: not built yet; use `procession brokers up nats`",
        ));
    }
    if args.storage_only {
        let path = ensure_nats_in(dir, args.offline)?;
        args.output
            .say(&format!("nats  {} is in place", path.display()));
        rows.push(json!({"kind": "nats", "url": null, "pid": null, "version": null, "dir": dir}));
        return Ok(());
    }
    let record = running(dir, kind).map_or_else(|| start_nats(args, dir), Ok)?;
    args.output.say(&format!(
        "nats  {}  (pid {}, {})",
        record.url, record.process.pid, record.version
    ));
    rows.push(row(&record));
    Ok(())
}

fn start_nats(args: &BrokersArgs, dir: &Path) -> Result<BrokerRecord, CannotBeHad> {
    let progress = terminal::spinner("starting nats-server");
    let server = Nats::start(NatsOptions {
        brokers_dir: Some(dir.to_owned()),
        dir: Some(dir.join("nats")),
        port: args.nats_port,
        offline: args.offline,
        arguments: Vec::new(),
    });
    progress.finish_and_clear();
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
