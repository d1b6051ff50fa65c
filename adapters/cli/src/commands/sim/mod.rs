//! `sim`: the simulator.

mod coverage;
mod determinism;
mod mutants;
mod run;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use procession_sim::{Batch, Flavour, Profile, Summary};

use crate::args::{Model, ProfileArg, SeedsArgs, SimAction, SimArgs};
use crate::failure::Failure;
use crate::signals::Stop;
use crate::{runtime, terminal};

pub(super) fn run(args: &SimArgs) -> Result<(), Failure> {
    match &args.action {
        SimAction::Run(args) => run::run(args),
        SimAction::Coverage(args) => coverage::run(args),
        SimAction::Determinism(args) => determinism::run(args),
        SimAction::Mutants(args) => mutants::run(args),
    }
}

impl SeedsArgs {
    fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.map_or_else(cores, usize::from)
    }

    fn model_name(&self) -> &'static str {
        match self.model {
            Some(Model::Kafka) => "kafka",
            Some(Model::Jetstream) => "jetstream",
            None => "both",
        }
    }

    fn batch(&self) -> Batch {
        Batch {
            seeds: (self.seeds.from, self.seeds.to),
            profile: match self.profile {
                ProfileArg::Mixed => Profile::Mixed,
                ProfileArg::Swarm => Profile::Swarm,
                ProfileArg::AllOn => Profile::AllOn,
                ProfileArg::Clean => Profile::Clean,
                ProfileArg::OneFault => Profile::OneFault,
            },
            model: self.model.map(|model| match model {
                Model::Kafka => Flavour::Kafka,
                Model::Jetstream => Flavour::JetStream,
            }),
            threads: self.threads(),
            // Whatever is broken so often needs no more examples.
            most: 1_000,
            coverage: false,
        }
    }
}

/// Runs a batch with a bar beside it. A first Ctrl-C or SIGTERM ends it early, with what there is.
fn with_progress(batch: &Batch, what: &str) -> Result<Summary, Failure> {
    let runtime = runtime::build()?;
    let stop = runtime
        .block_on(async { Stop::listen() })
        .map_err(|e| Failure::usage(format!("signals cannot be listened to: {e}")))?;
    let bar = terminal::bar(what, batch.seeds.1 - batch.seeds.0);
    let summary = batch.run(&|done| {
        bar.set_position(done);
        !stop.is_asked()
    });
    bar.finish_and_clear();
    Ok(summary)
}

/// `failures` in the build directory, unless another one was named.
fn reports_dir(named: Option<&PathBuf>) -> PathBuf {
    named.cloned().unwrap_or_else(|| {
        let brokers = crate::brokers::default_dir();
        brokers
            .parent()
            .map(|target| target.join("failures"))
            .unwrap_or(brokers)
    })
}

/// Panics of a simulated core are verdicts: while this lives they are not printed.
struct Quiet(Arc<AtomicBool>);

impl Quiet {
    fn new() -> Self {
        let on = Arc::new(AtomicBool::new(true));
        let (quiet, before) = (Arc::clone(&on), std::panic::take_hook());
        std::panic::set_hook(Box::new(move |info| {
            if !quiet.load(Ordering::Relaxed) {
                before(info);
            }
        }));
        Self(on)
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
