//! One thread, virtual time, and an order of tasks that follows from the seed.
//!
//! Which of the woken tasks is polled depends on (seed, task number, poll count) alone: neither
//! addresses nor the order of wake-ups matter. When nothing can run, time jumps to the next timer.

use core::task::{Context, Waker};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

use procession_runtime::port::BoxFuture;

use crate::dice::{Dice, Site, mix};
use crate::shell::SimShell;

/// Polls without a jump of the clock: far more than any run needs, so whoever gets there spins.
const POLLS_MAX: u64 = 50_000;
const MILLI: u64 = 1_000_000;

/// How unfair the machine is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Unfair {
    /// Timers ring up to this late, and one in ten up to a millisecond early, in nanoseconds.
    pub(crate) late: u64,
    /// One woken task in a hundred waits up to this long for its thread, in nanoseconds.
    pub(crate) stall: u64,
}

impl Unfair {
    /// How much later than asked for anything may happen.
    pub(crate) const fn slack(self) -> u64 {
        4 * self.late + 4 * self.stall + 5 * MILLI
    }
}

/// A run that cannot go on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Spins {
    /// Whose task it is.
    pub(crate) entity: u32,
}

/// The executor's state; shared by the shells.
pub(crate) struct Core {
    dice: Dice,
    unfair: Unfair,
    state: Mutex<State>,
    /// Numbers of woken tasks. A lock of its own: wakers are called under all kinds of others.
    ready: Arc<Mutex<Ready>>,
}

/// What wakers reach.
#[derive(Default)]
pub(crate) struct Ready {
    woken: BTreeSet<u64>,
    /// This task's wake-ups are lost from that many on (a deliberate fault).
    deaf: Option<(u64, u64)>,
}

pub(crate) struct State {
    pub(crate) now: u64,
    /// By time and number of the timer: a total order.
    pub(crate) timers: BTreeMap<(u64, u64), Waker>,
    tasks: BTreeMap<u64, Task>,
    next_task: u64,
    next_timer: u64,
    paused: BTreeSet<u32>,
    dead: BTreeSet<u32>,
    /// Woken tasks that wait for their thread, until then.
    stalled: BTreeMap<u64, u64>,
    /// Polls since the clock has jumped.
    polls: u64,
    /// All polls, mixed: which task, which time.
    trace: u64,
    jumps: u64,
}

struct Task {
    entity: u32,
    /// Away while it is polled.
    future: Option<BoxFuture<'static, ()>>,
    polls: u64,
    /// Poll for which a stall was decided already.
    decided: Option<u64>,
    waker: Waker,
}

struct Flag {
    task: u64,
    ready: Arc<Mutex<Ready>>,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((task, left)) = &mut ready.deaf
            && *task == self.task
        {
            if *left == 0 {
                return;
            }
            *left -= 1;
        }
        ready.woken.insert(self.task);
    }
}

impl Core {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ready(&self) -> MutexGuard<'_, Ready> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_dead(&self, entity: u32) -> bool {
        self.lock().dead.contains(&entity)
    }

    pub(crate) fn timer_id(&self) -> u64 {
        let mut state = self.lock();
        state.next_timer += 1;
        state.next_timer
    }

    /// When a timer rings that was set to `at`.
    pub(crate) fn rings(&self, id: u64, count: u64, at: u64, now: u64) -> u64 {
        let late = self.unfair.late;
        if late == 0 {
            return at;
        }
        if self.dice.chance(Site::Ring, id, 2 * count, 10) {
            let early = self.dice.draw(Site::Ring, id, 2 * count + 1, 0, MILLI);
            return at.saturating_sub(early).max(now + 1);
        }
        at.saturating_add(self.dice.draw(Site::Ring, id, 2 * count + 1, 0, late))
    }

    /// Adds a task; what a dead process spawns is dropped. Returns its number.
    pub(crate) fn spawn(&self, entity: u32, future: BoxFuture<'static, ()>) -> u64 {
        let mut state = self.lock();
        if state.dead.contains(&entity) {
            drop(state);
            drop(future);
            return 0;
        }
        state.next_task += 1;
        let task = state.next_task;
        let waker = Waker::from(Arc::new(Flag {
            task,
            ready: Arc::clone(&self.ready),
        }));
        state.tasks.insert(
            task,
            Task {
                entity,
                future: Some(future),
                polls: 0,
                decided: None,
                waker,
            },
        );
        drop(state);
        self.ready().woken.insert(task);
        task
    }

    /// The woken task that is to be polled next, its future and its waker.
    fn pick(&self) -> Option<(u64, BoxFuture<'static, ()>, Waker)> {
        let mut ready = self.ready();
        let mut state = self.lock();
        let State {
            tasks,
            paused,
            stalled,
            now,
            ..
        } = &mut *state;
        ready.woken.retain(|task| tasks.contains_key(task));
        let mut best: Option<(u64, u64)> = None;
        for &number in &ready.woken {
            let Some(task) = tasks.get_mut(&number) else {
                continue;
            };
            if paused.contains(&task.entity) {
                continue;
            }
            if 0 < self.unfair.stall && task.decided != Some(task.polls) {
                task.decided = Some(task.polls);
                if self.dice.chance(Site::Stall, number, 2 * task.polls, 1) {
                    let stall = self.unfair.stall;
                    let site = 2 * task.polls + 1;
                    let long = self.dice.draw(Site::Stall, number, site, 1, stall);
                    stalled.insert(number, *now + long);
                }
            }
            if stalled.get(&number).is_some_and(|until| *now < *until) {
                continue;
            }
            let turn = self.dice.bits(Site::Pick, number, task.polls);
            if best.is_none_or(|(least, _)| turn < least) {
                best = Some((turn, number));
            }
        }
        let (_, number) = best?;
        ready.woken.remove(&number);
        stalled.remove(&number);
        let task = tasks.get_mut(&number)?;
        task.polls += 1;
        let cost = self.dice.draw(Site::Cost, number, task.polls, 0, 2_000);
        let (future, waker) = (task.future.take()?, task.waker.clone());
        state.now += cost;
        state.polls += 1;
        state.trace = mix(state.trace ^ number ^ state.now.rotate_left(32));
        Some((number, future, waker))
    }

    /// Jumps to the next timer, unless that is after `end`. Returns whether it did.
    fn jump(&self, end: u64) -> bool {
        let mut state = self.lock();
        let timer = state.timers.first_key_value().map(|(key, _)| key.0);
        let paused = |state: &State, task: &u64| {
            let entity = state.tasks.get(task).map(|task| task.entity);
            entity.is_none_or(|entity| state.paused.contains(&entity))
        };
        let stalled = state
            .stalled
            .iter()
            .filter(|(task, _)| !paused(&state, task));
        let stalled = stalled.map(|(_, until)| *until).min();
        state.polls = 0;
        let next = [timer, stalled].into_iter().flatten().min();
        let Some(next) = next.filter(|next| *next <= end) else {
            state.now = state.now.max(end);
            return false;
        };
        state.jumps += 1;
        let late = self.dice.draw(Site::Cost, 0, state.jumps, 0, 1_000);
        state.now = state.now.max(next + late);
        let after = (state.now + 1, 0);
        let later = state.timers.split_off(&after);
        let due = core::mem::replace(&mut state.timers, later);
        drop(state);
        due.into_values().for_each(Waker::wake);
        true
    }
}

/// The executor, as the world holds it.
#[derive(Clone)]
pub(crate) struct Executor(Arc<Core>);

impl Executor {
    /// An executor whose clock stands at a second.
    pub(crate) fn new(dice: Dice, unfair: Unfair) -> Self {
        Self(Arc::new(Core {
            dice,
            unfair,
            state: Mutex::new(State {
                now: 1_000_000_000,
                timers: BTreeMap::new(),
                tasks: BTreeMap::new(),
                next_task: 0,
                next_timer: 0,
                paused: BTreeSet::new(),
                dead: BTreeSet::new(),
                stalled: BTreeMap::new(),
                polls: 0,
                trace: 0,
                jumps: 0,
            }),
            ready: Arc::default(),
        }))
    }

    /// The shell of a process.
    pub(crate) fn shell(&self, entity: u32) -> SimShell {
        SimShell {
            core: Arc::clone(&self.0),
            entity,
        }
    }

    /// Nanoseconds.
    pub(crate) fn now(&self) -> u64 {
        self.0.lock().now
    }

    /// Runs what can run until `end`.
    pub(crate) fn run_until(&self, end: u64) -> Result<(), Spins> {
        loop {
            while let Some((number, mut future, waker)) = self.0.pick() {
                let mut cx = Context::from_waker(&waker);
                let done = future.as_mut().poll(&mut cx).is_ready();
                let mut state = self.0.lock();
                if done {
                    state.tasks.remove(&number);
                } else if let Some(task) = state.tasks.get_mut(&number) {
                    let entity = task.entity;
                    task.future = Some(future);
                    if POLLS_MAX <= state.polls {
                        return Err(Spins { entity });
                    }
                    continue;
                }
                // Dropped without the lock: it may wake, spawn and set timers.
                drop(state);
                drop(future);
                if end <= self.now() {
                    return Ok(());
                }
            }
            if !self.0.jump(end) {
                return Ok(());
            }
        }
    }

    /// A process stands still, while the clock goes on (SIGSTOP), or goes on.
    pub(crate) fn pause(&self, entity: u32, paused: bool) {
        let mut state = self.0.lock();
        if paused {
            state.paused.insert(entity);
        } else {
            state.paused.remove(&entity);
        }
    }

    /// A process dies: all its tasks are gone at once, and nothing of it starts any more.
    pub(crate) fn kill(&self, entity: u32) {
        let mut state = self.0.lock();
        state.dead.insert(entity);
        state.paused.remove(&entity);
        let (gone, left) = core::mem::take(&mut state.tasks)
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|(_, task)| task.entity == entity);
        state.tasks = left;
        for task in gone.keys() {
            state.stalled.remove(task);
        }
        drop(state);
        drop(gone);
    }

    /// Loses the wake-ups of a task after that many (a deliberate fault).
    pub(crate) fn deafen(&self, task: u64, after: u64) {
        self.0.ready().deaf = Some((task, after));
    }

    /// Tasks that have not ended.
    pub(crate) fn tasks(&self) -> usize {
        self.0.lock().tasks.len()
    }

    /// All polls, mixed into one number.
    pub(crate) fn trace(&self) -> u64 {
        self.0.lock().trace
    }

    /// Drops everything, so that nothing keeps the executor alive through its own tasks.
    pub(crate) fn shut_down(&self) {
        let mut state = self.0.lock();
        let tasks = core::mem::take(&mut state.tasks);
        let timers = core::mem::take(&mut state.timers);
        drop(state);
        drop((tasks, timers));
        self.0.lock().tasks.clear();
    }
}
