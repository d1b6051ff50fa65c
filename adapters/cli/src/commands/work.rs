//! `produce` and `consume`.

use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Runtime;

use crate::args::{ConsumeArgs, On, Output, ProduceArgs};
use crate::failure::{Failure, Status};
use crate::history::{History, Meta};
use crate::signals::Stop;
use crate::{consume, produce, runtime, terminal};

pub(super) fn produce(args: &ProduceArgs) -> Result<(), Failure> {
    args.output.prepare()?;
    let url = url_of(&args.on)?;
    if let Some(rate) = args.rate.filter(|r| !r.is_finite() || *r <= 0.0) {
        return Err(Failure::usage(format!(
            "--rate {rate}: messages a second must be more than 0; leave it out for no limit"
        )));
    }
    let config = format!("{args:?}");
    let (runtime, stop) = begin()?;
    let history = history(args.history.as_deref(), "produce", "", "", &config)?;
    let produced = runtime.block_on(produce::produce(args, url, history.as_ref(), stop));
    let ended = produced.map(|p| (p.json(), p.say(), p.fault()));
    end(&args.output, history.as_deref(), ended)
}

pub(super) fn consume(args: &ConsumeArgs) -> Result<(), Failure> {
    args.output.prepare()?;
    let url = url_of(&args.on)?;
    let member = args
        .member
        .clone()
        .unwrap_or_else(|| terminal::random_name("consume"));
    let config = format!("{args:?}");
    let (runtime, stop) = begin()?;
    let history = history(
        args.history.as_deref(),
        "consume",
        &member,
        &args.group,
        &config,
    )?;
    let consumed = consume::consume(args, url, &member, history.as_ref(), stop);
    let ended = runtime
        .block_on(consumed)
        .map(|c| (c.json(), c.say(), c.fault()));
    end(&args.output, history.as_deref(), ended)
}

fn url_of(on: &On) -> Result<&str, Failure> {
    match on {
        On::Memory | On::Nats(_) | On::Kafka(_) | On::MockKafka => on.url().ok_or_else(|| {
            Failure::usage(format!(
                "--on {on}: a URL is needed here; start a server with `procession brokers up {on}`, \
                 which prints its URL, and write --on nats://127.0.0.1:PORT"
            ))
        }),
    }
}

fn history(
    path: Option<&Path>,
    role: &str,
    member: &str,
    group: &str,
    config: &str,
) -> Result<Option<Arc<History>>, Failure> {
    let meta = Meta {
        role,
        member,
        group,
        config: config.into(),
    };
    path.map(|path| History::create(path, &meta).map(Arc::new))
        .transpose()
}

/// Signals are listened to before the history begins: whoever sees that may send one.
fn begin() -> Result<(Runtime, Stop), Failure> {
    let runtime = runtime::build()?;
    let stop = runtime.block_on(async { Stop::listen() });
    let stop = stop.map_err(|e| Failure::usage(format!("signals cannot be listened to: {e}")))?;
    Ok((runtime, stop))
}

/// Closes the history with the status, and says how it ended: to machines, to people, as a status.
fn end(
    output: &Output,
    history: Option<&History>,
    ended: Result<(serde_json::Value, String, Option<String>), Failure>,
) -> Result<(), Failure> {
    let status = match &ended {
        Ok((.., None)) => Status::Fine,
        Ok((.., Some(_))) => Status::Fault,
        Err(failure) => failure.status,
    };
    let closed = history.map_or(Ok(()), |h| h.close(status as u8));
    let (json, said, fault) = ended?;
    closed?;
    output.write(&json)?;
    if !output.takes_stdout() {
        output.say(&said);
    }
    match fault {
        None => Ok(()),
        Some(text) => {
            output.last_line(&text);
            Err(Failure::fault(text))
        }
    }
}
