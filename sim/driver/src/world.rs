//! A publisher, members of one group, the in-process broker, and what happens to them.

mod logs;
mod publishing;

use core::task::{Context, Poll, Waker};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use procession_core::{Expired, OnReset, Span, Time};
use procession_memory::MemoryBroker;
use procession_memory::hooks::Members;
use procession_runtime::Spawner;
use procession_runtime::port::{
    BoxFuture, Broker, FeedSpec, StartAt, Storage, TopicMode, TopicSpec,
};
use procession_runtime::subscription::{DriverOptions, SubscriptionHandle, subscribe};

use crate::callers::Todo;
use crate::event::What;
use crate::executor::{Executor, Spins};
use crate::feed::Watched;
use crate::history::{Reset, Story};
use crate::lag::Lag;
use crate::line::{Line, Refusing};
use crate::observer::Hooks;
use crate::plan::{CLOSE_GRACE, Chaos, MILLI, Plan};
use crate::recorder::{History, Recorder};
use crate::sabotage::Sabotage;
use crate::shell::SimShell;
use crate::work::{Application, Handlers, key_hash};
pub(crate) use crate::world::publishing::LATER_LIVES;
use crate::world::publishing::Publishing;

const TOPIC: &str = "t";
const LETTERS: &str = "t-dlq-g";
const GROUP: &str = "g";
/// How long everything may take, once no fault happens any more.
const HEALED: u64 = 180_000 * MILLI;
/// How long a process that dies of a message lives on at most, and when it starts again.
const KILL_TICK: u64 = 5 * MILLI;
const KILL_BACK: u64 = 20 * MILLI;
/// How long the last drain may take.
const LAST_DRAIN: Span = Span::from_secs(20);

/// A place that a member has; its lives follow each other.
#[derive(Default)]
struct Seat {
    life: Option<Life>,
    paused: bool,
}

/// One start of a member.
struct Life {
    number: u32,
    name: String,
    handle: SubscriptionHandle,
}

pub(crate) struct World {
    plan: Arc<Plan>,
    sabotage: Option<Sabotage>,
    executor: Executor,
    history: History,
    application: Arc<Application>,
    /// Keeps the broker.
    broker: MemoryBroker<SimShell>,
    url: String,
    seats: Vec<Seat>,
    lives: u32,
    publisher: Option<Publishing>,
    publishers: u32,
    /// Numbers publishes.
    next_publish: Arc<AtomicU32>,
    todo: Todo,
    /// Seats and names of all lives.
    names: BTreeMap<u32, (u32, String)>,
    callers_left: Arc<AtomicU32>,
    line: Line,
    refusing: Refusing,
    /// Those of the members, by life.
    lines: Vec<(u32, Line)>,
    /// What is still to happen, in order of time and of their making.
    agenda: Vec<(u64, Chaos)>,
    /// So much of the history has somebody looked through for notices.
    read: usize,
}

/// The result of a future that is ready.
fn now<T>(mut future: BoxFuture<'_, T>) -> T {
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("the in-process broker answers at once"),
    }
}

impl World {
    pub(crate) fn new(plan: Plan, sabotage: Option<Sabotage>) -> Self {
        static WORLDS: AtomicU64 = AtomicU64::new(0);
        let executor = Executor::new(plan.dice, plan.unfair);
        let url = format!("memory://drive-{}", WORLDS.fetch_add(1, Ordering::Relaxed));
        let broker = connect(&url, executor.shell(0));
        for topic in [TOPIC, LETTERS] {
            let made = now(broker.topic(TopicSpec {
                name: topic.into(),
                partitions: Some(plan.partitions),
                storage: Storage::Memory,
                mode: TopicMode::Create,
                duplicate_window: Span::from_secs(3_600),
                layout: None,
                batches: false,
            }));
            assert!(made.is_ok(), "a topic can be made");
        }
        let plan = Arc::new(plan);
        Self {
            application: Arc::new(Application::new(Arc::clone(&plan), sabotage)),
            todo: Todo::new(&plan.callers),
            agenda: plan.schedule.clone(),
            seats: (0..plan.members).map(|_| Seat::default()).collect(),
            plan,
            sabotage,
            executor,
            history: History::default(),
            broker,
            url,
            lives: 0,
            publisher: None,
            publishers: 0,
            next_publish: Arc::default(),
            names: BTreeMap::new(),
            callers_left: Arc::default(),
            line: Line::default(),
            refusing: Refusing::default(),
            lines: Vec::new(),
            read: 0,
        }
    }

    /// From the beginning to the end.
    pub(crate) fn run(mut self) -> Story {
        let spins = self.live().err();
        let tasks_left = self.executor.tasks();
        let log = self.audit(TOPIC);
        let letters = self.audit(LETTERS);
        self.executor.shut_down();
        let mut history = self
            .history
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        Story {
            events: core::mem::take(&mut *history),
            log,
            letters,
            tasks_left,
            spins: spins.map(|spins| spins.entity),
            trace: self.executor.trace(),
            keys: self
                .plan
                .messages
                .iter()
                .map(|message| message.key)
                .collect(),
            expires: {
                let looks = self.plan.config.expired != Expired::Run;
                let expires = self.plan.messages.iter();
                expires.map(|m| m.expires.filter(|_| looks)).collect()
            },
            suspects: self.plan.config.suspects,
            parks: 0 < self.plan.config.parked_keys,
            slack: self.plan.unfair.slack() + CLOSE_GRACE.as_nanos(),
            remembers: 0 < self.plan.config.dedupe.ids,
            digests: self.plan.config.map_digests,
            reset: match self.plan.config.on_reset {
                OnReset::Stop => Reset::Stop,
                OnReset::Earliest => Reset::Earliest,
                OnReset::Latest => Reset::Latest,
            },
        }
    }

    fn live(&mut self) -> Result<(), Spins> {
        self.start_publisher();
        while let Some(at) = self.agenda.iter().map(|(at, _)| *at).min() {
            self.go_on(at)?;
        }
        let healed_at = self.executor.now();
        while self.executor.now() < healed_at + HEALED && !self.is_settled() {
            if 0 < self.plan.config.parked_keys {
                self.release_keys();
            }
            self.go_on(self.executor.now() + 100 * MILLI)?;
        }
        self.end()
    }

    /// Until then, and what is to happen by then happens. The first of the earliest comes first: the
    /// order of the making decides.
    fn go_on(&mut self, until: u64) -> Result<(), Spins> {
        loop {
            let next = (0..self.agenda.len()).min_by_key(|&i| self.agenda[i].0);
            let next = next.filter(|&i| self.agenda[i].0 <= until);
            let end = next.map_or(until, |i| self.agenda[i].0);
            if self.run_until(end)? {
                // Who died comes back, perhaps before that.
                continue;
            }
            let Some(next) = next else { return Ok(()) };
            let (_, chaos) = self.agenda.remove(next);
            self.happen(chaos);
        }
    }

    /// Until then, or until somebody dies of a message or has to decide something: whether that was so.
    fn run_until(&mut self, end: u64) -> Result<bool, Spins> {
        loop {
            let config = &self.plan.config;
            let stops = self.plan.faults.purges && config.on_reset == OnReset::Stop;
            let step = if 0 < config.suspects || stops {
                end.min(self.executor.now() + KILL_TICK)
            } else {
                end
            };
            self.executor.run_until(step)?;
            let killed = self.application.take_killed();
            for life in &killed {
                self.dies(*life);
            }
            let read = stops && self.read_notices();
            if read || !killed.is_empty() || end <= step {
                return Ok(read || !killed.is_empty());
            }
        }
    }

    /// The process of a life dies of what it handles, and comes back.
    fn dies(&mut self, life: u32) {
        let Some((seat, name)) = self.names.get(&life).cloned() else {
            return;
        };
        let seated = self.seats[seat as usize].life.as_ref();
        if seated.is_some_and(|l| l.number == life) {
            let back = self.executor.now() + KILL_BACK;
            self.agenda.push((back, Chaos::Start(seat)));
            self.seats[seat as usize].life = None;
            self.seats[seat as usize].paused = false;
        }
        self.kill_member(life, &name);
    }

    fn kill_member(&self, life: u32, name: &str) {
        let members = Members::Member(GROUP, name);
        let _ = self.broker.hooks().kill(TOPIC, members);
        self.write(life, What::Crashed);
        self.executor.kill(life);
    }

    fn recorder(&self, life: u32) -> Recorder {
        Recorder {
            history: Arc::clone(&self.history),
            shell: self.executor.shell(life),
        }
    }

    fn write(&self, life: u32, what: What) {
        self.recorder(life).write(what);
    }

    fn start_member(&mut self, seat: u32) {
        if self.seats[seat as usize].life.is_some() {
            return;
        }
        self.lives += 1;
        let number = self.lives;
        let recorder = self.recorder(number);
        let shell = recorder.shell.clone();
        let name = format!("m{seat}-{number}-");
        let connection = connect(&self.url, shell.clone());
        recorder.write(What::Started { seat });
        let inner = match now(connection.feed(FeedSpec {
            topic: TOPIC.into(),
            group: GROUP.into(),
            member: name.as_str().into(),
            start: StartAt::Earliest,
            lease: self.plan.lease,
            message_bytes_max: 1 << 20,
        })) {
            Ok(feed) => feed,
            Err(error) => unreachable!("the plan's feed: {error}"),
        };
        let line = Line::default();
        self.lines.push((number, line.clone()));
        let feed = Watched {
            inner,
            recorder: recorder.clone(),
            sabotage: self.sabotage,
            count: 0,
            line,
            refusing: self.refusing.clone(),
            back: Lag::new(
                shell.clone(),
                self.plan.dice,
                self.plan.lag,
                2 + u64::from(number),
            ),
            asked: BTreeMap::new(),
        };
        let work = Handlers {
            application: Arc::clone(&self.application),
            recorder: recorder.clone(),
            letters: LETTERS.into(),
        };
        let mut options = DriverOptions {
            core: self.plan.config.clone(),
            concurrency: self.plan.concurrency,
            close_grace: CLOSE_GRACE,
            ..DriverOptions::default()
        };
        options.core.seed ^= u64::from(number);
        let hooks = Hooks(recorder.clone());
        let (handle, driver) = match subscribe(feed, work, shell.clone(), hooks, options) {
            Ok(made) => made,
            Err(error) => unreachable!("the plan's consumer: {error}"),
        };
        let task = shell.core.spawn(number, Box::pin(driver));
        if self.sabotage == Some(Sabotage::DeafMember) && number == 1 {
            self.executor.deafen(task, 60);
        }
        let ended = handle.ended();
        shell.spawn(Box::pin(async move {
            let ok = ended.await.is_ok();
            recorder.write(What::Ended { ok });
        }));
        self.names.insert(number, (seat, name.clone()));
        self.seats[seat as usize].life = Some(Life {
            number,
            name,
            handle,
        });
    }

    fn happen(&mut self, chaos: Chaos) {
        let now = self.executor.now();
        match chaos {
            Chaos::Start(seat) => self.start_member(seat),
            Chaos::Break(seat) => {
                if let Some(life) = &self.seats[seat as usize].life {
                    let members = Members::Member(GROUP, &life.name);
                    let _ = self.broker.hooks().break_sessions(TOPIC, members);
                    self.write(life.number, What::Harmed { how: "break" });
                }
            }
            Chaos::Lose { partition, count } => {
                let members = Members::Group(GROUP);
                let hooks = self.broker.hooks();
                let _ = hooks.lose_deliveries(TOPIC, members, partition, count);
                self.write(0, What::Harmed { how: "lose" });
            }
            Chaos::Full { refuses, long } => {
                self.fill(refuses);
                self.agenda.push((now + long, Chaos::Room));
            }
            Chaos::Room => self.make_room(),
            Chaos::Purge { partition, count } => self.purge(partition, u64::from(count)),
            Chaos::Decide {
                life,
                partition,
                latest,
            } => self.decide(life, partition, latest),
            Chaos::LoseTail { partition, count } => self.lose_tail(partition, count as usize),
            Chaos::Cut { lands } => {
                self.broker.hooks().cut_sinks(lands);
                let how = if lands { "cut, lands" } else { "cut" };
                self.write(0, What::Harmed { how });
            }
            Chaos::Outage { long } => {
                self.line.set(true);
                self.write(0, What::Harmed { how: "outage" });
                self.agenda.push((now + long, Chaos::Online));
            }
            Chaos::Online => self.line.set(false),
            Chaos::KillPublisher { lands, back } => {
                self.kill_publisher(lands);
                self.agenda.push((now + back, Chaos::StartPublisher));
            }
            Chaos::StartPublisher => self.start_publisher(),
            Chaos::Hang { seat, long } => {
                if let Some(life) = &self.seats[seat as usize].life {
                    let life = life.number;
                    self.write(life, What::Hangs { hangs: true });
                    self.hang(life, true);
                    self.agenda.push((now + long, Chaos::Answer { life }));
                }
            }
            Chaos::Answer { life } => {
                self.write(life, What::Hangs { hangs: false });
                self.hang(life, false);
            }
            Chaos::Crash { seat, back } => {
                if let Some(life) = self.seats[seat as usize].life.take() {
                    self.kill_member(life.number, &life.name);
                    self.seats[seat as usize].paused = false;
                    self.agenda.push((now + back, Chaos::Start(seat)));
                }
            }
            Chaos::Pause { seat, long } => {
                let seated = &mut self.seats[seat as usize];
                if let Some(life) = &seated.life
                    && !seated.paused
                {
                    seated.paused = true;
                    let life = life.number;
                    self.executor.pause(life, true);
                    self.write(life, What::Paused);
                    self.agenda.push((now + long, Chaos::Resume { seat, life }));
                }
            }
            Chaos::Resume { seat, life } => {
                self.write(life, What::Resumed);
                self.executor.pause(life, false);
                let seated = &mut self.seats[seat as usize];
                if seated.life.as_ref().is_some_and(|l| l.number == life) {
                    seated.paused = false;
                }
            }
            Chaos::Drain {
                seat,
                within,
                retire,
                back,
            } => {
                if let Some(life) = self.seats[seat as usize].life.take() {
                    let deadline = now + within;
                    self.write(life.number, What::Drain { deadline });
                    let at = Time::from_nanos(deadline);
                    if retire {
                        life.handle.retire(at);
                    } else {
                        life.handle.drain(at);
                    }
                    self.seats[seat as usize].paused = false;
                    self.agenda.push((now + back, Chaos::Start(seat)));
                }
            }
            Chaos::Abort { seat, back } => {
                if let Some(life) = self.seats[seat as usize].life.take() {
                    self.write(life.number, What::Aborted);
                    life.handle.abort();
                    self.seats[seat as usize].paused = false;
                    self.agenda.push((now + back, Chaos::Start(seat)));
                }
            }
            Chaos::Heal => {
                self.make_room();
                self.line.set(false);
                self.application.healed_at.store(now, Ordering::Relaxed);
                self.write(0, What::Healed);
            }
        }
    }

    fn hang(&self, life: u32, hangs: bool) {
        for (_, line) in self.lines.iter().filter(|(number, _)| *number == life) {
            line.set(hangs);
        }
    }

    fn release_keys(&self) {
        for life in self.seats.iter().filter_map(|seat| seat.life.as_ref()) {
            for key in 0..self.plan.keys {
                // A run has few keys.
                let told = life.handle.release_key(key_hash(key));
                debug_assert!(told.is_ok(), "{told:?}");
            }
        }
    }

    /// Everybody leaves.
    fn end(&mut self) -> Result<(), Spins> {
        let deadline = Time::from_nanos(self.executor.now()) + LAST_DRAIN;
        for seat in &mut self.seats {
            if let Some(life) = seat.life.take() {
                life.handle.drain(deadline);
                let recorder = Recorder {
                    history: Arc::clone(&self.history),
                    shell: self.executor.shell(life.number),
                };
                let deadline = deadline.as_nanos();
                recorder.write(What::Drain { deadline });
            }
        }
        if let Some(publisher) = self.publisher.take() {
            publisher.handle.close(deadline);
        }
        let end = (deadline + CLOSE_GRACE).as_nanos() + self.plan.unfair.slack();
        while 0 < self.executor.tasks() && self.executor.now() < end {
            self.executor.run_until(self.executor.now() + 50 * MILLI)?;
        }
        Ok(())
    }
}

fn connect(url: &str, shell: SimShell) -> MemoryBroker<SimShell> {
    match MemoryBroker::connect(url, shell) {
        Ok(broker) => broker,
        Err(error) => unreachable!("`{url}` is a broker in this process: {error}"),
    }
}
