//! One run: a load on a broker, from before the first connection to after the last close.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use procession::settings::TopicSettings;
use procession::{BrokerInfo, Bus, Settings, Storage, TopicMode};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::senders::{self, Sending};
use super::side::{Side, SideSpec};
use super::watch::Watch;
use super::{Plan, RunResult, Tally};
use crate::args::{CompareArgs, Share, StorageArg};
use crate::failure::Failure;
use crate::history::{History, Line, monotonic_nanos};
use crate::sample::Sampler;
use crate::signals::Stop;
use crate::terminal;
use crate::work::failure_of;

/// Closing may take this long.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);
/// A restart may take this long.
const RESTART_WITHIN: Duration = Duration::from_secs(5);
/// What header fields, key and bookkeeping of a message weigh at most.
const ENVELOPE_BYTES: usize = 1_024;
/// How often progress is looked at. Nothing is measured with it: times come from the events.
const TICK: Duration = Duration::from_millis(5);

/// Runs a plan.
pub(super) struct Run<'a> {
    pub(super) args: &'a CompareArgs,
    pub(super) plan: Arc<Plan>,
    pub(super) url: &'a str,
    /// When the comparison began.
    pub(super) began: std::time::Instant,
    /// The broker's version, where it was started here and cannot be asked.
    pub(super) version: Option<&'a str>,
    pub(super) history: Option<&'a Arc<History>>,
    pub(super) stop: &'a Stop,
}

/// How the waiting ended.
#[derive(Default)]
struct Outcome {
    started: u64,
    interrupted: bool,
    trouble: Option<String>,
    version: String,
}

impl Run<'_> {
    pub(super) async fn run(&self) -> Result<RunResult, Failure> {
        let plan = &self.plan;
        let started_s = self.began.elapsed().as_secs_f64();
        let sampler = Sampler::start(tokio::runtime::Handle::current());
        if let Some(history) = self.history {
            let line = Line::new("run")
                .text("run", &plan.run)
                .text("broker", plan.broker);
            history.write(line.text("load", &plan.load.name));
        }
        let share = self.args.restart_at.map_or(0.0, Share::get);
        let mark = (share * f64::from(plan.load.messages)).ceil() as u64;
        let tally = Arc::new(Tally::new(plan, mark));
        let outcome = self.measure(&tally).await?;
        let usages = sampler.finish().await;
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Relaxed);
        let (lost, gaps) = tally.lost_and_gaps(plan);
        let took = read(&tally.last_effective).saturating_sub(outcome.started);
        let storage = match (plan.broker, self.args.storage) {
            ("memory", _) => StorageArg::Memory,
            (_, storage) => storage,
        };
        Ok(RunResult {
            broker: plan.broker,
            broker_version: outcome.version,
            storage: storage.name(),
            form: self.args.form.name(),
            load: plan.load.clone(),
            topics: self.args.topics,
            partitions: self.args.partitions,
            payload_bytes: self.args.payload,
            stored: tally.stored_count(),
            unique: read(&tally.unique),
            attempts: read(&tally.attempts),
            lost,
            duplicates: read(&tally.duplicates),
            dead: read(&tally.dead),
            inversions: read(&tally.inversions),
            gaps,
            unresolved: tally.unresolved(plan),
            seconds: Duration::from_nanos(took).as_secs_f64(),
            started_s,
            publish_latency: tally.publish_latency().told(),
            end_to_end_latency: tally.end_to_end_latency().told(),
            usages,
            interrupted: outcome.interrupted,
            trouble: outcome.trouble,
        })
    }

    async fn measure(&self, tally: &Arc<Tally>) -> Result<Outcome, Failure> {
        let plan = &self.plan;
        let watch = Arc::new(Watch {
            plan: Arc::clone(plan),
            tally: Arc::clone(tally),
            history: self.history.cloned(),
            form: self.args.form,
        });
        let publishing = Bus::builder(self.url)
            .settings(self.settings())
            .observer(Arc::clone(&watch) as _)
            .connect()
            .await
            .map_err(|e| failure_of(self.url, &e))?;
        self.refuse_large_payload(publishing.info())?;
        for topic in &plan.topics {
            publishing
                .topic(topic)
                .await
                .map_err(|e| failure_of(self.url, &e))?;
        }
        let spec = SideSpec {
            url: self.url.to_owned(),
            settings: self.settings(),
            plan: Arc::clone(plan),
            tally: Arc::clone(tally),
            watch,
            partitions: self.args.partitions,
            form: self.args.form,
            without: self.args.without,
        };
        let side = spec.start().await?;
        let mut outcome = Outcome {
            started: monotonic_nanos(),
            version: self
                .version
                .map_or_else(|| publishing.info().version.clone(), str::to_owned),
            ..Outcome::default()
        };
        let sending = Sending {
            bus: publishing.clone(),
            plan: Arc::clone(plan),
            tally: Arc::clone(tally),
            form: self.args.form,
            stop: Arc::new(AtomicBool::new(false)),
        };
        let mut senders = senders::start(&sending, self.args.senders);
        let side = self
            .watch_over(&spec, side, &mut senders, &sending, &mut outcome)
            .await;
        sending.stop.store(true, Relaxed);
        senders.shutdown().await;
        // What goes wrong from the first message on belongs into the result, beside its figures.
        let drained = match side {
            Ok(side) => side.drain(CLOSE_WITHIN).await,
            Err(failure) => Err(failure),
        };
        drop(sending);
        let closed = publishing.close(CLOSE_WITHIN).await;
        if let Err(failure) = drained {
            outcome.trouble.get_or_insert(failure.message);
        }
        if let Err(error) = closed {
            outcome.trouble.get_or_insert_with(|| error.to_string());
        }
        Ok(outcome)
    }

    /// Waits until every stored message has ended, restarts the consuming side when its time has
    /// come, and notices when nothing goes on any more.
    async fn watch_over(
        &self,
        spec: &SideSpec,
        mut side: Side,
        senders: &mut JoinSet<Result<(), String>>,
        sending: &Sending,
        outcome: &mut Outcome,
    ) -> Result<Side, Failure> {
        let tally = &sending.tally;
        let messages = u64::from(self.plan.load.messages);
        let mut restart = self.args.restart_at.is_some();
        let name = format!("{} {}", self.plan.broker, self.plan.load.name);
        let bar = terminal::bar(&name, messages);
        let patience = Duration::from_secs(30) + 2 * self.plan.picks.time.around;
        let mut last = (Instant::now(), (0, 0, 0));
        loop {
            tokio::select! {
                () = tally.mark_reached(), if restart => {
                    restart = false;
                    side.retire(RESTART_WITHIN).await?;
                    side = spec.start().await?;
                }
                () = tokio::time::sleep(TICK) => {}
            }
            while let Some(ended) = senders.try_join_next() {
                let trouble = ended.unwrap_or_else(|e| Err(format!("a sender: {e}")));
                outcome.trouble = outcome.trouble.take().or_else(|| trouble.err());
            }
            if self.stop.is_asked() && !outcome.interrupted {
                outcome.interrupted = true;
                sending.stop.store(true, Relaxed);
            }
            bar.set_position(tally.ended());
            let all_sent = senders.is_empty();
            if all_sent
                && tally.ended() >= tally.stored_count()
                && tally.records_ended() >= tally.records.load(Relaxed)
            {
                break;
            }
            if let Some(why) = side.ended().await {
                outcome.trouble = Some(format!("a subscription ended: {why}"));
                break;
            }
            let state = (
                tally.attempts.load(Relaxed),
                tally.records_ended(),
                tally.records.load(Relaxed),
            );
            if state != last.1 {
                last = (Instant::now(), state);
            } else if last.0.elapsed() > patience {
                // What is stored and not handled by now is lost, and counted so.
                if !all_sent {
                    let left = senders.len();
                    outcome.trouble =
                        Some(format!("nothing happened for 30 s, {left} senders wait"));
                }
                break;
            }
        }
        bar.finish_and_clear();
        Ok(side)
    }

    fn refuse_large_payload(&self, broker: &BrokerInfo) -> Result<(), Failure> {
        let most = broker.message_bytes_max.saturating_sub(ENVELOPE_BYTES);
        if self.plan.payload <= most {
            return Ok(());
        }
        Err(Failure::usage(format!(
            "--payload {}: {} takes messages of {} bytes, header fields included; write at most \
             {most}, or raise the broker's limit",
            self.plan.payload, self.plan.broker, broker.message_bytes_max
        )))
    }

    /// The bus's defaults; topics are created as asked for.
    fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        settings.bus.topics = Some(TopicMode::Create);
        settings.bus.source = Some("procession-compare".into());
        let payload = u64::from(self.args.payload) + 4_096;
        settings.publish.message_bytes_max = settings.publish.message_bytes_max.max(payload);
        settings.subscribe.message_bytes_max = settings.subscribe.message_bytes_max.max(payload);
        // One window of recognised ids for the whole run, shared out over its subscriptions.
        settings.subscribe.dedupe_ids =
            (settings.subscribe.dedupe_ids / self.args.topics).max(1_024);
        for topic in &self.plan.topics {
            let mut own = TopicSettings::default();
            own.partitions = Some(self.args.partitions);
            own.storage = match self.args.storage {
                StorageArg::File => Storage::File,
                StorageArg::Memory => Storage::Memory,
            };
            settings.topics.insert(topic.to_string(), own);
        }
        settings
    }
}
