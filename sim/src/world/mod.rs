//! The world of one run: broker, processes, faults, and the loop that moves time.

mod broker;
mod chaos;
mod commits;
mod covering;
mod credit;
mod feeding;
mod handlers;
mod outputs;
mod parking;
mod rebalance;
mod resets;
mod seats;
mod sequence;
mod stages;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use procession_core::{Arrival, Commit, CommitResult, Receipt, Time, Token, Why};

use crate::checker::{Checked, Checker, Tally};
use crate::coverage::{Coverage, MARKS};
use crate::event::Event;
use crate::fate::{Decision, Fate, fold};
use crate::grid::Grid;
use crate::heap::Heap;
use crate::item::Item;
use crate::log::{Entry, Log, Record, Seat};
use crate::member::Member;
use crate::plan::{Plan, Profile};
use crate::rule::Rule;
use crate::site::Site;
use crate::tape::Recorder;
use crate::verdict::Verdict;

/// A run of more events than this goes round in circles (L6).
const EVENTS_MAX: u64 = 150_000;
/// How long a member may take to drain, at the end.
const LAST_DRAIN: u64 = 5_000_000_000;

/// A commit on its way to the broker.
#[derive(Debug)]
struct Write {
    member: u32,
    life: u32,
    commit: Commit,
    map: Vec<u8>,
    result: CommitResult,
    /// The generation in which it was sent.
    generation: u32,
    /// How often its partition had been opened by then.
    opens: u64,
    /// It reached the broker.
    landed: bool,
}

/// A dead letter on its way to the broker.
#[derive(Clone, Copy, Debug)]
struct Burial {
    token: Token,
    partition: u32,
    epoch: u64,
    entry: u32,
    why: Why,
    /// Names it, for decisions.
    name: (u64, u64),
    receipt: Receipt,
    answered: bool,
}

/// How far the run is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Faults happen.
    Storm,
    /// Faults have stopped; everything must come to its end.
    Calm,
    /// Everything is finished; the members drain.
    Draining,
    /// The end.
    Over,
}

/// One run.
pub(crate) struct World {
    plan: Plan,
    fate: Fate,
    heap: Heap,
    grid: Grid,
    now: u64,
    events: u64,
    /// The next event before which somebody may be struck; `u64::MAX`: none.
    chosen: u64,
    stage: Stage,
    entries: Vec<Entry>,
    logs: Vec<Log>,
    records: Vec<Record>,
    /// Older copies of the records, to be restored.
    copies: Vec<Vec<Record>>,
    seats: Vec<Option<Seat>>,
    members: Vec<Member>,
    stragglers: Vec<Arrival<u32>>,
    writes: Vec<Write>,
    burials: Vec<Burial>,
    checker: Checker,
    /// Publishes so far, copies included.
    made: Vec<Item>,
    /// The next number of each key of a partition, and one that was left out and is still to come.
    numbers: BTreeMap<(u32, u32), (u64, Option<u64>)>,
    /// Gaps that stopped a key: partition and key.
    gaps: Vec<(u32, u128)>,
    stamps: u64,
    /// Generations of the group that ended (Kafka).
    generation: u32,
    /// Nothing more is published, however much was planned.
    silent: bool,
    /// A message that was not over when it was last asked for one.
    waiting: Option<u32>,
    /// Before this, an eager rebalance waits until nobody owns anything.
    barrier: u64,
    /// Per partition, so that decisions about one do not hang on another.
    assignments: Vec<u64>,
    /// How often each was opened.
    opens: Vec<u64>,
    sessions: Vec<u64>,
    hash: u64,
    trace: Option<String>,
    recorder: Option<Recorder>,
    /// Somebody wants to know what the run has been to.
    coverage: bool,
    marks: [u64; MARKS],
    map_buffer: Vec<u8>,
}

/// What is to be seen of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch {
    /// Tells its story, line by line.
    pub(crate) trace: bool,
    /// Notes the faults that happen.
    pub(crate) noting: bool,
    /// Writes down what the cores are told.
    pub(crate) recorder: Option<Recorder>,
    /// Rules of the checker that are passed over, one bit each.
    pub(crate) muted: u128,
    /// Counts what the run has been to.
    pub(crate) coverage: bool,
}

/// How a run went.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) verdict: Option<Verdict>,
    pub(crate) tally: Tally,
    pub(crate) events: u64,
    pub(crate) hash: u64,
    pub(crate) fired: u128,
    pub(crate) trace: Option<String>,
    /// The faults that happened, where they were noted, those of the workload aside.
    pub(crate) faults: Vec<Decision>,
    /// What was published.
    pub(crate) workload: Vec<Item>,
    /// What it has been to, where it was counted.
    pub(crate) coverage: Option<Box<Coverage>>,
}

impl World {
    pub(crate) fn new(plan: Plan, watch: Watch) -> Self {
        let partitions = plan.config.partitions;
        let mut fate = plan.fate();
        if watch.noting {
            fate = fate.noting();
        }
        if watch.coverage {
            fate = fate.counting();
        }
        // Few publishes are made twice, or not at all.
        let room = plan.messages as usize + 8;
        let start = |p: u32| fate.draw(Site::Work, 1, u64::from(p), 0, 3);
        Self {
            heap: Heap::new(),
            grid: Grid::new(plan.quantum),
            now: 0,
            events: 0,
            chosen: 0,
            stage: Stage::Storm,
            entries: Vec::with_capacity(room),
            logs: (0..partitions)
                .map(|p| Log::with_room(start(p), room / partitions as usize + 8))
                .collect(),
            records: vec![Record::default(); partitions as usize],
            copies: vec![Vec::new(); partitions as usize],
            seats: vec![None; partitions as usize],
            members: (0..plan.members).map(|_| Member::new(partitions)).collect(),
            stragglers: Vec::new(),
            writes: Vec::with_capacity(16),
            burials: Vec::with_capacity(16),
            checker: Checker::new(&plan.config, plan.members, room, watch.muted),
            made: Vec::with_capacity(room),
            numbers: BTreeMap::new(),
            gaps: Vec::new(),
            stamps: 0,
            generation: 0,
            silent: false,
            waiting: None,
            barrier: 0,
            assignments: vec![0; partitions as usize],
            opens: vec![0; partitions as usize],
            sessions: vec![0; partitions as usize],
            hash: plan.seed,
            trace: watch.trace.then(String::new),
            recorder: watch.recorder,
            coverage: watch.coverage,
            marks: [0; MARKS],
            map_buffer: vec![0; plan.config.map_bytes as usize],
            fate,
            plan,
        }
    }

    pub(crate) fn run(mut self) -> Ended {
        // Those that are looked at all the time.
        for rule in [Rule::Panic, Rule::NothingLeft, Rule::GoesRound] {
            self.checker.rules.asks(rule);
        }
        let ended = catch_unwind(AssertUnwindSafe(|| self.live()));
        let verdict = ended.unwrap_or_else(|panic| {
            let words = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
            let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
            Err(Verdict::new(Rule::Panic, words.unwrap_or_default()).into())
        });
        let coverage = self.coverage.then(|| self.covered());
        Ended {
            coverage,
            verdict: verdict.err().map(|v| *v),
            tally: self.checker.tally,
            events: self.events,
            hash: self.hash,
            fired: self.fate.fired(),
            trace: self.trace,
            faults: {
                let mut noted = self.fate.noted();
                noted.retain(|d| !d.site.is_workload());
                noted
            },
            workload: self.made,
        }
    }

    fn live(&mut self) -> Checked {
        self.storm()?;
        let clean = self.plan.profile == Profile::Clean;
        let (entries, logs) = (&self.entries, &self.logs);
        self.checker.at_the_end(entries, logs, clean, self.now)
    }

    fn storm(&mut self) -> Checked {
        self.begin();
        while self.stage != Stage::Over {
            let Some((at, tie, &event)) = self.heap.next() else {
                let rules = &self.checker.rules;
                return rules.broken(Rule::NothingLeft, || self.stuck(Rule::NothingLeft));
            };
            self.heap.pass();
            self.now = self.now.max(at);
            if self.events > EVENTS_MAX {
                let at = || format!("at={}", self.now);
                self.checker.rules.broken(Rule::GoesRound, at)?;
            }
            if self.events >= self.chosen {
                self.at_chosen_event()?;
            }
            if self.silent && matches!(event, Event::Publish { .. }) {
                continue;
            }
            let process = event.process();
            if let Some((member, life)) = process {
                let process = &self.members[member as usize];
                if process.life != life || process.core.is_none() {
                    continue;
                }
                if process.paused_until > self.now {
                    let resume = process.paused_until;
                    self.push_at(resume, event);
                    continue;
                }
            }
            self.events += 1;
            if self.coverage {
                self.concerns(self.member_of(event));
            }
            self.mark(at, u64::from(tie), 0);
            self.note(|w, out| {
                if !matches!(event, Event::Watchdog) {
                    let _ = writeln!(out, "{:>12} {event:?}", w.now);
                }
            });
            self.step(event)?;
            if let Some((member, _)) = process {
                self.look_after(member, matches!(event, Event::Poke { .. }))?;
            }
            if self.stage != Stage::Storm {
                self.advance_stage()?;
            }
            if self.plan.calm_at == Some(self.events) && self.stage == Stage::Storm {
                self.heal()?;
            }
        }
        Ok(())
    }

    #[inline(never)]
    fn begin(&mut self) {
        let partitions = self.plan.config.partitions;
        for member in 0..self.plan.members {
            let at = self.latency(Site::Assign, u64::from(member), 0);
            self.push_at(at, Event::Restart { member });
        }
        for partition in 0..partitions {
            self.push_in(1_000_000, Event::Assign { partition });
        }
        let first = self.plan.workload.as_ref().and_then(|w| w.first());
        self.push_at(first.map_or(0, |i| i.at), Event::Publish { number: 0 });
        if self.plan.ticks > 0 {
            self.push_at(self.tick_span(), Event::Chaos { tick: 0 });
        }
        self.push_at(self.plan.heal_at, Event::Heal);
    }

    fn step(&mut self, event: Event) -> Checked {
        match event {
            Event::Publish { number } => self.publish(number),
            Event::Pump {
                member, partition, ..
            } => {
                self.pump(member, partition);
                self.want_pump(member, partition);
            }
            Event::Arrive {
                member,
                partition,
                session,
                ..
            } => {
                self.arrive(member, partition, session)?;
            }
            Event::Straggle {
                member, straggler, ..
            } => self.straggle(member, straggler)?,
            Event::SessionUp {
                member,
                partition,
                session,
                ..
            } => {
                self.session_up(member, partition, session)?;
            }
            Event::Beat {
                member,
                partition,
                session,
                ..
            } => {
                self.beat(member, partition, session)?;
            }
            Event::HandlerEnd {
                member, handler, ..
            } => self.handler_end(member, handler)?,
            Event::Settle {
                member, handler, ..
            } => self.settle(member, handler)?,
            Event::Resettle {
                member, handler, ..
            } => self.resettle(member, handler)?,
            Event::CommitLands { write } => self.commit_lands(write),
            Event::CommitAnswer { member, write, .. } => self.commit_answer(member, write)?,
            Event::BurialAnswer { member, burial, .. } => self.burial_answer(member, burial)?,
            Event::Timer { member, .. } => {
                self.members[member as usize].wake = u64::MAX;
                self.tell_time(member)?;
            }
            Event::Poke { .. } => {}
            Event::Renew {
                member,
                partition,
                epoch,
                ..
            } => {
                self.renew(member, partition, epoch)?;
            }
            Event::Renewed {
                member,
                partition,
                epoch,
                until,
                ..
            } => self.renewed(member, partition, epoch, until),
            Event::LeaseCheck { partition, epoch } => self.lease_check(partition, epoch)?,
            Event::Fenced {
                member,
                partition,
                epoch,
                ..
            } => {
                self.fenced(member, partition, epoch)?;
            }
            Event::Reset {
                member, partition, ..
            } => self.reset(member, partition),
            Event::PassGap { member, gap, .. } => self.pass_gap(member, gap),
            Event::Assign { partition } => self.assign(partition)?,
            Event::Restart { member } => self.restart(member),
            Event::Generation => self.next_generation(),
            Event::Chaos { tick } => self.chaos(tick)?,
            Event::Heal => self.heal_in_time()?,
            Event::Tidy => self.tidy()?,
            Event::Watchdog => self.watchdog()?,
        }
        Ok(())
    }

    fn time(&self) -> Time {
        Time::from_nanos(self.now)
    }

    /// Where an event is made, its class is known: nothing is to be told apart.
    #[inline(always)]
    fn push_at(&mut self, at: u64, event: Event) {
        let (class, entity) = event.class();
        self.enqueue(at, class << 56 ^ entity, event);
    }

    #[inline(never)]
    fn enqueue(&mut self, at: u64, name: u64, event: Event) {
        let at = self.grid.at_or_after(at.max(self.now));
        let tie = self.fate.tie(name);
        self.heap.push(at, tie, event);
    }

    #[inline(always)]
    fn push_in(&mut self, span: u64, event: Event) {
        self.push_at(self.now.saturating_add(span), event);
    }

    /// A latency between 20 microseconds and 5 milliseconds.
    fn latency(&self, site: Site, entity: u64, occurrence: u64) -> u64 {
        if let Some(latency) = self.plan.latency {
            return latency;
        }
        self.fate.draw_log(
            Site::Latency,
            entity ^ (site as u64) << 40,
            occurrence,
            20_000,
            5_000_000,
        )
    }

    /// Takes something that happened into the hash of the run.
    fn mark(&mut self, a: u64, b: u64, c: u64) {
        self.hash = fold(self.hash ^ a, 0x9E37_79B9_7F4A_7C15 ^ (b << 48) ^ c);
    }

    #[inline]
    fn note(&mut self, write: impl FnOnce(&Self, &mut String)) {
        if self.trace.is_some() {
            self.write_note(write);
        }
    }

    #[cold]
    #[inline(never)]
    fn write_note(&mut self, write: impl FnOnce(&Self, &mut String)) {
        if let Some(mut out) = self.trace.take() {
            write(self, &mut out);
            self.trace = Some(out);
        }
    }
}
