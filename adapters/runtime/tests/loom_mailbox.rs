//! Every interleaving of two senders and the reader of a mailbox, by loom.
//!
//! `RUSTFLAGS="--cfg procession_loom" cargo test -p procession-runtime --no-default-features
//! --release --test loom_mailbox`
//!
//! Loom finds a lost wake-up as a deadlock, and aborts the process for it. So the negative controls,
//! which show that it does, run in child processes that must fail.
#![cfg(procession_loom)]
#![allow(clippy::unwrap_used, reason = "a panic is how a check fails here")]

use core::task::{Context, Poll, Waker};
use std::process::Command;
use std::sync::Arc as StdArc;
use std::task::Wake;

use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use procession_runtime::mailbox::{Mailbox, PushError};

/// Names the seeded fault that a child process runs.
const FAULT: &str = "PROCESSION_LOOM_FAULT";

/// Wakes a sleeping reader. The reference count is the standard library's: nothing of what is
/// checked passes through it.
struct Alarm {
    woken: Mutex<bool>,
    rang: Condvar,
}

impl Wake for Alarm {
    fn wake(self: StdArc<Self>) {
        *self.woken.lock().unwrap() = true;
        self.rang.notify_one();
    }
}

/// What is checked: the mailbox itself, or one with a seeded fault.
trait Queue: Send + Sync + 'static {
    fn new() -> Self;
    fn push(&self, item: u32);
    fn poll_drain(&self, cx: &mut Context<'_>, into: &mut Vec<u32>) -> Poll<()>;
}

impl Queue for Mailbox<u32> {
    fn new() -> Self {
        Self::new()
    }
    fn push(&self, item: u32) {
        Self::push(self, item).unwrap();
    }
    fn poll_drain(&self, cx: &mut Context<'_>, into: &mut Vec<u32>) -> Poll<()> {
        Self::poll_drain(self, cx, into)
    }
}

/// Looks first and registers afterwards: a push in between wakes nobody.
struct ChecksThenRegisters {
    items: Mutex<Vec<u32>>,
    reader: Mutex<Option<Waker>>,
}

impl Queue for ChecksThenRegisters {
    fn new() -> Self {
        Self {
            items: Mutex::new(Vec::new()),
            reader: Mutex::new(None),
        }
    }
    fn push(&self, item: u32) {
        self.items.lock().unwrap().push(item);
        let reader = self.reader.lock().unwrap().take();
        if let Some(reader) = reader {
            reader.wake();
        }
    }
    fn poll_drain(&self, cx: &mut Context<'_>, into: &mut Vec<u32>) -> Poll<()> {
        let items = core::mem::take(&mut *self.items.lock().unwrap());
        if !items.is_empty() {
            into.extend(items);
            return Poll::Ready(());
        }
        *self.reader.lock().unwrap() = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// Copies and clears in two steps: what is pushed in between is lost.
struct CopiesThenClears {
    items: Mutex<Vec<u32>>,
    reader: Mutex<Option<Waker>>,
}

impl Queue for CopiesThenClears {
    fn new() -> Self {
        Self {
            items: Mutex::new(Vec::new()),
            reader: Mutex::new(None),
        }
    }
    fn push(&self, item: u32) {
        self.items.lock().unwrap().push(item);
        let reader = self.reader.lock().unwrap().take();
        if let Some(reader) = reader {
            reader.wake();
        }
    }
    fn poll_drain(&self, cx: &mut Context<'_>, into: &mut Vec<u32>) -> Poll<()> {
        *self.reader.lock().unwrap() = Some(cx.waker().clone());
        let items = self.items.lock().unwrap().clone();
        if items.is_empty() {
            return Poll::Pending;
        }
        self.items.lock().unwrap().clear();
        into.extend(items);
        Poll::Ready(())
    }
}

fn explore(bound: usize, check: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(bound);
    builder.max_branches = 10_000;
    builder.check(check);
}

/// Two senders, two messages each; the reader sleeps whenever it is told to.
fn exchange<Q: Queue>() {
    let queue = Arc::new(Q::new());
    let senders: Vec<_> = [10, 20]
        .into_iter()
        .map(|base| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                queue.push(base);
                queue.push(base + 1);
            })
        })
        .collect();
    let alarm = StdArc::new(Alarm {
        woken: Mutex::new(false),
        rang: Condvar::new(),
    });
    let waker = Waker::from(StdArc::clone(&alarm));
    let mut received = Vec::new();
    while received.len() < 4 {
        let mut batch = Vec::new();
        match queue.poll_drain(&mut Context::from_waker(&waker), &mut batch) {
            Poll::Ready(()) => received.append(&mut batch),
            Poll::Pending => {
                let mut woken = alarm.woken.lock().unwrap();
                while !*woken {
                    woken = alarm.rang.wait(woken).unwrap();
                }
                *woken = false;
            }
        }
    }
    for sender in senders {
        sender.join().unwrap();
    }
    // Nothing is lost or doubled, and each sender's messages keep their order.
    for base in [10, 20] {
        let own: Vec<u32> = received
            .iter()
            .copied()
            .filter(|i| i / 10 == base / 10)
            .collect();
        assert_eq!(own, [base, base + 1]);
    }
}

#[test]
fn nothing_is_lost_or_doubled_and_no_wake_up_is_missed() {
    explore(3, exchange::<Mailbox<u32>>);
}

/// A close beside a push: the reader wakes, and the message is either taken or given back.
#[test]
fn close_beside_pushes() {
    explore(3, || {
        let mailbox = Arc::new(Mailbox::new());
        let sender = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || mailbox.push(1_u32).is_ok())
        };
        let closer = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || mailbox.close())
        };
        let alarm = StdArc::new(Alarm {
            woken: Mutex::new(false),
            rang: Condvar::new(),
        });
        let waker = Waker::from(StdArc::clone(&alarm));
        let mut received = Vec::new();
        loop {
            let mut batch = Vec::new();
            match mailbox.poll_drain(&mut Context::from_waker(&waker), &mut batch) {
                // Ready without a message: closed and empty.
                Poll::Ready(()) if batch.is_empty() => break,
                Poll::Ready(()) => received.append(&mut batch),
                Poll::Pending => {
                    let mut woken = alarm.woken.lock().unwrap();
                    while !*woken {
                        woken = alarm.rang.wait(woken).unwrap();
                    }
                    *woken = false;
                }
            }
        }
        let sent = sender.join().unwrap();
        closer.join().unwrap();
        assert_eq!(received.len(), usize::from(sent));
        assert_eq!(mailbox.push(2), Err(2));
    });
}

/// A bound holds whatever happens beside it, and a refused message comes back.
#[test]
fn a_bound_holds() {
    explore(3, || {
        let mailbox = Arc::new(Mailbox::new());
        let senders: Vec<_> = (0..2_u32)
            .map(|n| {
                let mailbox = Arc::clone(&mailbox);
                thread::spawn(move || match mailbox.push_bounded(n, 1) {
                    Ok(()) => true,
                    Err(PushError::Full(back)) => {
                        assert_eq!(back, n);
                        false
                    }
                    Err(PushError::Closed(_)) => panic!("nobody closed it"),
                })
            })
            .collect();
        let mut batch = Vec::new();
        mailbox.drain(&mut batch);
        let sent: usize = senders
            .into_iter()
            .map(|s| usize::from(s.join().unwrap()))
            .sum();
        let mut rest = Vec::new();
        mailbox.drain(&mut rest);
        assert!(batch.len() <= 1 && rest.len() <= 1);
        assert_eq!(batch.len() + rest.len(), sent);
        assert!(1 <= sent);
    });
}

/// Runs only in a child process of the test below.
#[test]
#[ignore = "a seeded fault; run by seeded_faults_are_found"]
fn seeded_fault() {
    match std::env::var(FAULT).as_deref() {
        Ok("checks-then-registers") => explore(3, exchange::<ChecksThenRegisters>),
        Ok("copies-then-clears") => explore(3, exchange::<CopiesThenClears>),
        Ok("none") => explore(3, exchange::<Mailbox<u32>>),
        other => panic!("{FAULT} is {other:?}"),
    }
}

#[test]
fn seeded_faults_are_found() {
    let run = |fault: &str| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "seeded_fault", "--ignored", "--test-threads=1"])
            .env(FAULT, fault)
            .output()
            .unwrap()
    };
    for fault in ["checks-then-registers", "copies-then-clears"] {
        assert!(!run(fault).status.success(), "loom did not find {fault}");
    }
    // The same child without a fault succeeds: it is the fault that fails it.
    let clean = run("none");
    assert!(
        clean.status.success(),
        "{}",
        String::from_utf8_lossy(&clean.stderr)
    );
}
