//! The application: handlers that do what the plan says.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use procession_core::{PartitionId, Time};
use procession_runtime::port::{BoxFuture, Headers, Outgoing, Record};
use procession_runtime::subscription::{Attempt, Decoded, Letter, Verdict, Work};
use procession_runtime::{Clock, Shell};

use crate::dice::{Site, hash};
use crate::event::{Outcome, What};
use crate::plan::{MILLI, Plan};
use crate::recorder::Recorder;
use crate::sabotage::Sabotage;

/// What all members share.
pub(crate) struct Application {
    pub(crate) plan: Arc<Plan>,
    pub(crate) sabotage: Option<Sabotage>,
    /// From when on handlers do not fail any more, in nanoseconds.
    pub(crate) healed_at: AtomicU64,
    runs: AtomicU64,
    /// How often each message was run.
    times: Mutex<Vec<u64>>,
    lost: AtomicU32,
    /// Lives that have just died of a message.
    killed: Mutex<Vec<u32>>,
}

impl Application {
    pub(crate) fn new(plan: Arc<Plan>, sabotage: Option<Sabotage>) -> Self {
        Self {
            times: Mutex::new(vec![0; plan.messages.len()]),
            plan,
            sabotage,
            healed_at: AtomicU64::new(u64::MAX),
            runs: AtomicU64::new(0),
            lost: AtomicU32::new(0),
            killed: Mutex::default(),
        }
    }

    /// Lives that have just died of a message.
    pub(crate) fn take_killed(&self) -> Vec<u32> {
        let mut killed = self.killed.lock().unwrap_or_else(PoisonError::into_inner);
        core::mem::take(&mut killed)
    }

    fn dies(&self, life: u32) {
        let mut killed = self.killed.lock().unwrap_or_else(PoisonError::into_inner);
        killed.push(life);
    }

    fn run(&self, message: u32) -> (u64, u64) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let time = &mut times[message as usize];
        *time += 1;
        (self.runs.fetch_add(1, Ordering::Relaxed), *time)
    }
}

/// The body of a message: its number, and which publish brought it.
pub(crate) fn body(message: u32, publish: u32) -> [u8; 8] {
    (u64::from(message) << 32 | u64::from(publish)).to_be_bytes()
}

/// Message and publish of a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Body {
    pub(crate) message: u32,
    pub(crate) publish: u32,
}

/// What a body says.
pub(crate) fn read(body: &[u8]) -> Body {
    let bits = body.try_into().map_or(u64::MAX, u64::from_be_bytes);
    Body {
        message: (bits >> 32) as u32,
        publish: bits as u32,
    }
}

/// The identity of a message.
pub(crate) const fn identity(message: u32) -> u128 {
    let high = hash(1, 2, message as u64, 3) as u128;
    high << 64 | hash(4, 5, message as u64, 6) as u128
}

/// The lane of a key.
pub(crate) const fn lane(key: u32) -> u64 {
    hash(7, 8, key as u64, 9)
}

/// The hash of a key.
pub(crate) const fn key_hash(key: u32) -> u128 {
    (lane(key) as u128) << 64 | hash(10, 11, key as u64, 12) as u128
}

/// One member's handlers.
pub(crate) struct Handlers {
    pub(crate) application: Arc<Application>,
    pub(crate) recorder: Recorder,
    pub(crate) letters: Arc<str>,
}

impl Work for Handlers {
    type Message = Body;

    fn decode(&self, _: PartitionId, record: Record) -> Decoded<Body> {
        let body = read(&record.payload);
        let message = body.message;
        let planned = self.application.plan.messages[message as usize];
        let (key, identity) = (planned.key, identity(message));
        let forgets = self.application.sabotage == Some(Sabotage::ForgetExpiry);
        let expires = planned.expires.filter(|_| !forgets);
        Decoded {
            lane: key.map_or(identity as u64, lane),
            key: key.map(key_hash),
            identity,
            bytes: record.bytes,
            sequence: None,
            expires: expires.map(Time::from_nanos),
            quarantine: None,
            message: body,
        }
    }

    fn handle(&self, body: Body, attempt: Attempt) -> BoxFuture<'static, Verdict> {
        let Body { message, publish } = body;
        let (run, time) = self.application.run(message);
        let deed = deed(
            &self.application,
            message,
            time,
            self.recorder.shell.now().as_nanos(),
        );
        let lose = self.application.sabotage == Some(Sabotage::LoseSettle)
            && self.application.lost.fetch_add(1, Ordering::Relaxed) == 20;
        let lie = self.application.sabotage == Some(Sabotage::FailureIsSuccess);
        let parts = self.application.sabotage == Some(Sabotage::PartCalls);
        let recorder = self.recorder.clone();
        let application = Arc::clone(&self.application);
        Box::pin(async move {
            recorder.write(What::Begin {
                run,
                partition: attempt.partition.0,
                epoch: attempt.epoch.0,
                position: attempt.position.0,
                message,
                publish,
                call: if parts { (0, 1) } else { attempt.call },
            });
            let shell = recorder.shell.clone();
            let mut guard = Guard {
                recorder,
                run,
                outcome: Outcome::Dropped,
            };
            for _ in 0..deed.yields {
                Yield(false).await;
            }
            if 0 < deed.sleep {
                let at = Time::from_nanos(shell.now().as_nanos() + deed.sleep);
                shell.timer().until(at).await;
            }
            let verdict = match deed.end {
                End::Done => {
                    guard.outcome = Outcome::Done;
                    Verdict::Done
                }
                End::Fail if lie => {
                    guard.outcome = Outcome::Failed;
                    Verdict::Done
                }
                End::Fail => {
                    guard.outcome = Outcome::Failed;
                    Verdict::Retry("fails".into())
                }
                End::Reject => {
                    guard.outcome = Outcome::Rejected;
                    Verdict::Reject("is rejected".into())
                }
                End::Panic => {
                    guard.outcome = Outcome::Panicked;
                    // Without the hook, which would print it.
                    std::panic::resume_unwind(Box::new("panics"));
                }
                End::Hang => core::future::pending().await,
                End::Kill => {
                    application.dies(guard.recorder.shell.entity);
                    core::future::pending().await
                }
            };
            drop(guard);
            if lose {
                // Until its timeout drops it.
                core::future::pending::<()>().await;
            }
            verdict
        })
    }

    fn bury(&self, body: &Body, letter: &Letter) -> Outgoing {
        let message = body.message;
        let key = self.application.plan.messages[message as usize].key;
        Outgoing {
            topic: Arc::clone(&self.letters),
            key: key.map(|key| format!("k{key}").into()),
            id: format!("{message}-{}", letter.position.0).into(),
            identity: identity(message) ^ u128::from(letter.position.0) << 64,
            copy: 0,
            headers: Headers::default(),
            payload: self::body(message, u32::MAX).to_vec().into(),
            partition: Some(letter.partition.0),
            expect: None,
        }
    }
}

/// What a handler does.
struct Deed {
    yields: u64,
    sleep: u64,
    end: End,
}

enum End {
    Done,
    Fail,
    Reject,
    Panic,
    Hang,
    /// The process dies.
    Kill,
}

fn deed(application: &Application, message: u32, time: u64, now: u64) -> Deed {
    let plan = &application.plan;
    let (dice, faults) = (plan.dice, plan.faults);
    let number = u64::from(message) << 16 | time;
    let roll = |what, low, high| dice.draw(Site::Handler, number, what, low, high);
    let healed = application.healed_at.load(Ordering::Relaxed) <= now;
    let planned = plan.messages[message as usize];
    let end = if planned.kills {
        End::Kill
    } else if planned.poison {
        if message.is_multiple_of(3) {
            End::Reject
        } else {
            End::Fail
        }
    } else if healed {
        End::Done
    } else {
        match roll(0, 0, 19) {
            0..=2 if faults.fails => End::Fail,
            3 if faults.panics => End::Panic,
            4 if faults.hangs => End::Hang,
            5 if faults.fails && faults.poison => End::Reject,
            _ => End::Done,
        }
    };
    let most = if faults.slow && !healed { 400 } else { 5 };
    Deed {
        yields: roll(1, 0, 5).saturating_sub(3),
        sleep: match roll(2, 0, 3) {
            0 => roll(3, 1, most * MILLI),
            1 => roll(4, 1, 5 * MILLI),
            _ => 0,
        },
        end,
    }
}

/// Tells how a handler ended, also when it is dropped.
struct Guard {
    recorder: Recorder,
    run: u64,
    outcome: Outcome,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let (run, outcome) = (self.run, self.outcome);
        self.recorder.write(What::End { run, outcome });
    }
}

/// Lets others run once.
struct Yield(bool);

impl Future for Yield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.0 {
            return Poll::Ready(());
        }
        self.0 = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
