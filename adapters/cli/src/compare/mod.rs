//! `compare`: the same loads on several brokers, measured honestly.
//!
//! Distinct ids are counted, not deliveries; the clock stops at the last first effective processing,
//! not after a fixed wait; delivery, loss and duplication are told apart; order is judged by
//! positions; what the process uses is sampled from a side thread before, at the peak, and after
//! everything was closed. The negative controls (`--without`) are there to see the harness fail.

mod controls;
mod latency;
mod message;
mod plan;
mod report;
mod result;
mod run;
mod senders;
mod setting;
mod side;
mod table;
mod tally;
mod watch;

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Instant;

use controls::Control;
pub(crate) use latency::Latency;
use message::Stamp;
use plan::Plan;
use report::Report;
use result::{NotRun, RunResult};
use run::Run;
use tally::Tally;
use tokio::runtime::Runtime;

use crate::args::{CompareArgs, Form, Load, On, StorageArg, Without};
use crate::failure::{Failure, Status};
use crate::history::{History, Meta};
use crate::picks::Picks;
use crate::runtime;
use crate::signals::Stop;
use crate::sites::{self, Site};
use crate::terminal;

/// So many topics are put on a broker that was started here.
const TOPICS_MAX: u32 = 200;
/// So many messages, about: of a kilobyte, some gigabytes.
const MESSAGES_MAX: u64 = 5_000_000;
/// So many runs keep how tasks and memory went; later ones keep the outline, so that the report of
/// thousands stays small.
const CURVES_MAX: usize = 100;

/// Runs everything that was asked for.
///
/// # Errors
/// Wrong use, or a broker that was asked for and cannot be had.
pub(crate) fn run(args: &CompareArgs) -> Result<Report, Failure> {
    refuse_what_cannot_be(args)?;
    let runtime = runtime::build()?;
    let stop = runtime.block_on(async { Stop::listen() });
    let stop = stop.map_err(|e| Failure::usage(format!("signals cannot be listened to: {e}")))?;
    let history = args.history.as_ref().map(|path| {
        let config = format!("{args:?}");
        let meta = Meta {
            role: "compare",
            member: "compare",
            group: side::GROUP,
            config: serde_json::Value::from(config),
        };
        History::create(path, &meta).map(Arc::new)
    });
    let session = Session {
        args,
        history: history.transpose()?,
        runtime,
        stop,
        began: Instant::now(),
    };
    let report = session.run_all();
    if let Some(history) = &session.history {
        let status = match &report {
            Ok(report) if report.first_fault().is_none() => Status::Fine,
            Ok(_) => Status::Fault,
            Err(failure) => failure.status,
        };
        history.close(status as u8)?;
    }
    report
}

/// What all runs of one `compare` share.
struct Session<'a> {
    args: &'a CompareArgs,
    history: Option<Arc<History>>,
    runtime: Runtime,
    stop: Stop,
    began: Instant,
}

impl Session<'_> {
    fn run_all(&self) -> Result<Report, Failure> {
        let mut report = Report::new(self.args.clone());
        let required = !self.args.on.is_empty();
        let brokers = if required {
            self.args.on.clone()
        } else {
            vec![On::Memory, On::Nats(None), On::Kafka(None)]
        };
        for on in &brokers {
            let broker = on.kind();
            if let Some(reason) = unsuited(on, self.args) {
                if required {
                    return Err(Failure::usage(reason));
                }
                report.not_run.push(NotRun { broker, reason });
                continue;
            }
            match sites::open(on, self.args.offline) {
                Ok(site) => {
                    let site = self.run_on(on, site, &mut report)?;
                    if self.args.controls || self.args.html.is_some() {
                        self.control(&site, &mut report)?;
                    }
                }
                Err(cannot) if required => {
                    return Err(Failure::unavailable(format!("{broker}: not run: {cannot}")));
                }
                Err(cannot) => {
                    let reason = cannot.to_string();
                    report.not_run.push(NotRun { broker, reason });
                }
            }
        }
        report.end();
        Ok(report)
    }

    /// All loads on one broker, as often as asked for. A broker that was started here is replaced
    /// by a fresh one now and then: what it holds of runs that are over would fill disks, and make
    /// the thousandth run slower than the first.
    fn run_on(&self, on: &On, mut site: Site, report: &mut Report) -> Result<Site, Failure> {
        let begun = Instant::now();
        let (mut topics, mut messages) = (0, 0);
        for round in 0.. {
            let enough = match self.args.duration {
                Some(duration) => round > 0 && begun.elapsed() >= duration,
                None => round >= self.args.repeat,
            };
            if enough {
                break;
            }
            for load in self.args.loads() {
                if self.stop.is_asked() {
                    return Ok(site);
                }
                if site.is_own() && (topics >= TOPICS_MAX || messages >= MESSAGES_MAX) {
                    drop(site);
                    site = sites::open(on, self.args.offline).map_err(|cannot| {
                        Failure::unavailable(format!("{}: no longer: {cannot}", on.kind()))
                    })?;
                    terminal::say(&format!(
                        "{}: a fresh server after {topics} topics and {messages} messages",
                        on.kind()
                    ));
                    (topics, messages) = (0, 0);
                }
                topics += self.args.topics;
                messages += u64::from(load.messages);
                let mut run = self.run_load(self.args, &site, &load, self.history.as_ref())?;
                if report.results.len() >= CURVES_MAX {
                    run.usages.course.shorten();
                }
                report.results.push(run);
            }
        }
        Ok(site)
    }

    /// The negative controls on one broker. What they break on purpose is in no history.
    fn control(&self, site: &Site, report: &mut Report) -> Result<(), Failure> {
        if self.args.without.is_some() {
            return Ok(());
        }
        for without in controls::ALL {
            if self.stop.is_asked() {
                return Ok(());
            }
            let mut args = controls::arguments(self.args, without).map_err(Failure::usage)?;
            let on = self.run_load(&args, site, &Load::low(), None)?;
            args.without = Some(without);
            let mut off = self.run_load(&args, site, &Load::low(), None)?;
            // Whether messages of one key meet is chance where a broker is slow.
            for _again in 1..controls::TRIES {
                if controls::shows(without, &off) || self.stop.is_asked() {
                    break;
                }
                off = self.run_load(&args, site, &Load::low(), None)?;
            }
            report.controls.push(Control { without, off, on });
        }
        Ok(())
    }

    fn run_load(
        &self,
        args: &CompareArgs,
        site: &Site,
        load: &Load,
        history: Option<&Arc<History>>,
    ) -> Result<RunResult, Failure> {
        let payload = args.payload as usize;
        let plan = Plan::new(
            &random_name(),
            site.kind,
            load,
            args.topics,
            payload,
            picks(args),
        );
        let run = Run {
            args,
            url: &url_of(site, &plan),
            version: site.version.as_deref(),
            plan: Arc::new(plan),
            history,
            began: self.began,
            stop: &self.stop,
        };
        self.runtime.block_on(run.run())
    }
}

/// What was asked for that this broker does not have.
fn unsuited(on: &On, args: &CompareArgs) -> Option<String> {
    let kafka = matches!(on, On::Kafka(_) | On::MockKafka);
    (kafka && args.storage == StorageArg::Memory).then(|| {
        format!(
            "--storage memory: {on} keeps every log in files; use --storage file or another broker"
        )
    })
}

fn refuse_what_cannot_be(args: &CompareArgs) -> Result<(), Failure> {
    if args.form == Form::Raw && !args.republish_rate.is_zero() {
        return Err(Failure::usage(format!(
            "--republish-rate {}: raw messages have no identity by which a copy could be known; use \
             --form envelope",
            args.republish_rate.get()
        )));
    }
    let restart = args.restart_at.filter(|r| !r.is_zero() && r.get() < 1.0);
    if let (Some(at), None) = (args.restart_at, restart) {
        return Err(Failure::usage(format!(
            "--restart-at {}: must lie between 0 and 1, as in 0.5",
            at.get()
        )));
    }
    // A control that cannot fail controls nothing.
    let missing = match args.without {
        Some(Without::Acks) if args.restart_at.is_none() => "--restart-at 0.5",
        Some(Without::Lanes) if args.handler_time.is_none() => "--handler-time 5ms",
        Some(Without::Dedupe) if args.republish_rate.is_zero() => "--republish-rate 0.05",
        _ => return Ok(()),
    };
    let without = args.without.map(Without::name).unwrap_or_default();
    Err(Failure::usage(format!(
        "--without {without}: shows nothing by itself; add {missing}"
    )))
}

fn picks(args: &CompareArgs) -> Picks {
    Picks {
        seed: args.seed,
        fail: args.fail_rate,
        poison: args.poison_rate,
        republish: args.republish_rate,
        time: args.handler_time.unwrap_or_default(),
    }
}

/// An in-process broker is one for each run, shared by its two sides.
fn url_of(site: &Site, plan: &Plan) -> String {
    if site.kind == "memory" {
        format!("memory://compare-{}-{}", plan.run, plan.load.name)
    } else {
        site.url.clone()
    }
}

/// A name that no other run has.
fn random_name() -> String {
    format!(
        "{:08x}",
        RandomState::new().hash_one(std::process::id()) >> 32
    )
}
