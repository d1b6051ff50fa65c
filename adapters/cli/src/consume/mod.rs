//! `consume`: one member of a group.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use procession::observe::Observe;
use procession::settings::TopicSettings;
use procession::{
    Bus, Drained, Envelope, Error, KafkaGroupProtocol, PortErrorKind, Settings, State,
    Subscription, TopicMode, dead_letter_topic, raw,
};
use serde_json::{Value, json};
use tokio::time::Instant;

use self::watch::Watch;
use crate::args::{ConsumeArgs, GroupProtocol};
use crate::failure::Failure;
use crate::history::History;
use crate::picks::Picks;
use crate::signals::Stop;
use crate::terminal;
use crate::work::{PickedToFail, failure_of};

mod watch;

/// How long a missing topic is waited for before it is created.
const TOPIC_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks for a missing topic.
const TOPIC_EVERY: Duration = Duration::from_millis(200);
/// Draining and closing may take this long.
const DRAIN_WITHIN: Duration = Duration::from_secs(10);
/// How often it is looked whether the end has come. `--count` does not wait for it.
const TICK: Duration = Duration::from_millis(20);

/// What this member has done.
#[derive(Debug, Default)]
pub(crate) struct Consumed {
    topic: String,
    group: String,
    member: String,
    effective: u64,
    attempts: u64,
    failed: u64,
    recognised: u64,
    dead: u64,
    handed_back: u64,
    abandoned: u64,
    seconds: f64,
    /// `count`, `idle`, `signal` or `ended`.
    reason: &'static str,
    trouble: Option<String>,
}

/// Figures that the observer keeps.
#[derive(Default)]
pub(crate) struct Figures {
    attempts: AtomicU64,
    effective: AtomicU64,
    failed: AtomicU64,
    recognised: AtomicU64,
    dead: AtomicU64,
    owned: AtomicI64,
    running: AtomicI64,
    /// Counts everything that happens: silence is when it stands still.
    events: AtomicU64,
    enough: tokio::sync::Notify,
}

/// Consumes until enough has come, it is silent, or the process is asked to end.
pub(crate) async fn consume(
    args: &ConsumeArgs,
    url: &str,
    member: &str,
    history: Option<&Arc<History>>,
    stop: Stop,
) -> Result<Consumed, Failure> {
    let figures = Arc::new(Figures::default());
    let watch = Arc::new(Watch {
        figures: Arc::clone(&figures),
        history: history.cloned(),
        count: args.count.unwrap_or(u64::MAX),
    });
    let mut consumed = Consumed {
        topic: args.topic.clone(),
        group: args.group.clone(),
        member: member.to_owned(),
        reason: "signal",
        ..Consumed::default()
    };
    let ready = tokio::select! {
        bus = connect(args, url, member, watch) => Some(bus?),
        () = stop.asked() => None,
    };
    let Some(bus) = ready else {
        return Ok(consumed);
    };
    let subscription = subscribe(args, &bus)
        .await
        .map_err(|e| failure_of(url, &e))?;
    let begun = Instant::now();
    consumed.reason = wait(args, &subscription, &figures, &stop).await;
    match subscription.drain(DRAIN_WITHIN).await {
        Ok(Drained {
            handed_back,
            abandoned,
        }) => {
            consumed.handed_back = handed_back;
            consumed.abandoned = abandoned;
        }
        Err(error) => consumed.trouble = Some(error.to_string()),
    }
    consumed.seconds = begun.elapsed().as_secs_f64();
    drop(subscription);
    if let Err(error) = bus.close(DRAIN_WITHIN).await {
        consumed.trouble.get_or_insert_with(|| error.to_string());
    }
    let read = |counter: &AtomicU64| counter.load(Relaxed);
    consumed.attempts = read(&figures.attempts);
    consumed.effective = read(&figures.effective);
    consumed.failed = read(&figures.failed);
    consumed.recognised = read(&figures.recognised);
    consumed.dead = read(&figures.dead);
    Ok(consumed)
}

/// Connects, and waits for the topic; creates it when nobody else does.
async fn connect(
    args: &ConsumeArgs,
    url: &str,
    member: &str,
    watch: Arc<dyn Observe>,
) -> Result<Bus, Failure> {
    let connect = |mode| {
        Bus::builder(url)
            .settings(settings(args, member, mode))
            .observer(Arc::clone(&watch))
            .connect()
    };
    // In the memory of this process there is nobody else who could create it.
    let waits = !url.starts_with("memory:");
    let mode = if waits {
        TopicMode::Validate
    } else {
        TopicMode::Create
    };
    let bus = connect(mode).await.map_err(|e| failure_of(url, &e))?;
    let deadline = Instant::now() + TOPIC_WITHIN;
    let progress = terminal::spinner(&format!("waiting for topic {}", args.topic));
    loop {
        match bus.topic(&args.topic).await {
            Ok(_) => break,
            Err(Error::Broker(error)) if error.kind == PortErrorKind::Missing => {
                if Instant::now() < deadline {
                    tokio::time::sleep(TOPIC_EVERY).await;
                    continue;
                }
                let _nothing_was_begun = bus.close(DRAIN_WITHIN).await;
                let bus = connect(TopicMode::Create)
                    .await
                    .map_err(|e| failure_of(url, &e))?;
                bus.topic(&args.topic)
                    .await
                    .map_err(|e| failure_of(url, &e))?;
                progress.finish_and_clear();
                return Ok(bus);
            }
            Err(error) => return Err(failure_of(url, &error)),
        }
    }
    progress.finish_and_clear();
    Ok(bus)
}

async fn subscribe(args: &ConsumeArgs, bus: &Bus) -> Result<Subscription, Error> {
    let picks = Picks {
        seed: args.seed,
        fail: args.fail_rate,
        poison: args.poison_rate,
        time: args.handler_time.unwrap_or_default(),
        ..Picks::default()
    };
    let handler = raw(move |envelope: Envelope, context| async move {
        let id = envelope.id();
        let fails = picks.fails(id, context.attempt());
        let time = picks.time(id);
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
        if fails {
            Err(PickedToFail.into())
        } else {
            Ok(())
        }
    });
    let (concurrency, lease) = (args.concurrency, args.lease);
    let subscribe = bus
        .subscribe(&args.topic, &args.group, handler)
        .with(move |settings| {
            if let Some(concurrency) = concurrency {
                settings.concurrency = concurrency as usize;
            }
            if let Some(lease) = lease {
                settings.lease = lease;
            }
        });
    subscribe.await
}

/// Waits for the end; says what it was.
async fn wait(
    args: &ConsumeArgs,
    subscription: &Subscription,
    figures: &Figures,
    stop: &Stop,
) -> &'static str {
    let bar = terminal::spinner(&format!("consuming {}", args.topic));
    let mut silent_since = Instant::now();
    let mut events = 0;
    loop {
        tokio::select! {
            () = stop.asked() => return "signal",
            () = figures.enough.notified() => return "count",
            () = tokio::time::sleep(TICK) => {}
        }
        let health = subscription.health();
        if health.state == State::Ended {
            return "ended";
        }
        let now = figures.events.load(Relaxed);
        let busy = figures.running.load(Relaxed) > 0 || health.stats.held > 0;
        // Who owns nothing cannot tell silence from standing by.
        if now != events || busy || figures.owned.load(Relaxed) <= 0 {
            silent_since = Instant::now();
            events = now;
        }
        if args
            .idle_exit
            .is_some_and(|idle| silent_since.elapsed() >= idle)
        {
            return "idle";
        }
        bar.set_message(format!("{} effective", figures.effective.load(Relaxed)));
    }
}

fn settings(args: &ConsumeArgs, member: &str, mode: TopicMode) -> Settings {
    let mut settings = Settings::default();
    settings.bus.topics = Some(mode);
    settings.bus.member = Some(member.to_owned());
    settings.bus.kafka.group_protocol = match args.group_protocol {
        GroupProtocol::Cooperative => KafkaGroupProtocol::Cooperative,
        GroupProtocol::Eager => KafkaGroupProtocol::Eager,
        GroupProtocol::Consumer => KafkaGroupProtocol::Consumer,
    };
    if let Some(lease) = args.lease {
        settings.bus.kafka.session_timeout = lease;
    }
    // Dead letters need their topic in any case.
    let mut dead_letters = TopicSettings::default();
    dead_letters.mode = Some(TopicMode::Create);
    settings
        .topics
        .insert(dead_letter_topic(&args.topic, &args.group), dead_letters);
    settings
}

impl Consumed {
    pub(crate) fn json(&self) -> Value {
        json!({
            "version": 1, "topic": self.topic, "group": self.group, "member": self.member,
            "effective": self.effective, "attempts": self.attempts, "failed": self.failed,
            "recognised": self.recognised, "dead": self.dead, "handed_back": self.handed_back,
            "abandoned": self.abandoned, "seconds": self.seconds, "reason": self.reason,
        })
    }

    pub(crate) fn say(&self) -> String {
        format!(
            "{} effective of {} attempts ({} failed, {} dead, {} copies recognised) in {:.1} s; \
             ended by {}, {} handed back",
            self.effective,
            self.attempts,
            self.failed,
            self.dead,
            self.recognised,
            self.seconds,
            self.reason,
            self.handed_back
        )
    }

    /// Why it ended other than in order.
    pub(crate) fn fault(&self) -> Option<String> {
        self.trouble.clone().map(|t| format!("unresolved: {t}"))
    }
}
