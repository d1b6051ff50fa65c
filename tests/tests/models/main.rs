//! Real brokers against the models of the simulator: what a broker was seen to answer is written down as a
//! trace, and the model must give the same answers (faults.md, layer L-C: without this, models rot).
//!
//! The traces in `sim/traces` are replayed without a broker by the tests of the simulator. Here they are
//! recorded anew and compared; `PROCESSION_TRACES=write` writes them.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod ground;
mod scribe;
mod script;

use std::path::Path;
use std::process::ExitCode;

use procession_tests::runner::{self, Case, Skip};

use ground::{Ground, Which};
use scribe::Scribe;

fn main() -> ExitCode {
    let cases = Which::ALL.map(|which| Case {
        name: format!("models::{}", which.name()),
        run: Box::new(move || compare(which)),
    });
    runner::main(cases.into(), 2)
}

fn compare(which: Which) -> Result<(), Skip> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().unwrap();
    let trace: String = runtime.block_on(async {
        let ground = Ground::open(which).await?;
        let mut scribe = Scribe::new(ground).await;
        script::run(&mut scribe).await;
        Ok(scribe.finish().await)
    })?;
    if let Err(disagreement) = procession_sim::trace::replay(&trace) {
        panic!(
            "the model disagrees with {}: {disagreement}\n{trace}",
            which.name()
        );
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../sim/traces")
        .join(format!("{}.trace", which.name()));
    if std::env::var("PROCESSION_TRACES").is_ok_and(|value| value == "write") {
        std::fs::write(&path, &trace).unwrap();
        return Ok(());
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        kept,
        trace,
        "{} answers otherwise than it did; see what has changed, and write the trace anew with \
         PROCESSION_TRACES=write",
        which.name()
    );
    Ok(())
}
