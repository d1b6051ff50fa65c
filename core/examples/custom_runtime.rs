//! The core without any async runtime: a loop, a few threads, two channels.
//!
//! `cargo run -p procession-core --example custom_runtime`. The broker is a vector here; a real one
//! gives the same events from a socket. Three workers handle messages; every seventh attempt fails
//! and is made again, and the order of each key holds all the same.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use procession_core::{
    Arrival, CommitResult, Config, Consumer, Continuity, Dispatch, Epoch, Outcome, PartitionId,
    Position, Receipt, Resume, Session, Span, Stamp, Time, Token,
};

/// A key and a number within it.
type Message = (u64, u64);

/// What a worker says: which dispatch, and how it ended.
type Report = (Token, Outcome<Message>);

const KEYS: u64 = 5;
const EACH: u64 = 20;
const WORKERS: usize = 3;
const PARTITION: PartitionId = PartitionId(0);
const EPOCH: Epoch = Epoch(1);

fn main() -> Result<(), Box<dyn Error>> {
    let log: Vec<Message> = (0..EACH)
        .flat_map(|number| (0..KEYS).map(move |key| (key, number)))
        .collect();
    let (work, queue) = channel();
    let (reports, reported) = channel();
    let done = Arc::new(Mutex::new(BTreeMap::new()));
    let queue = Arc::new(Mutex::new(queue));
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let (queue, reports, done) = (Arc::clone(&queue), reports.clone(), Arc::clone(&done));
            thread::spawn(move || worker(&queue, &reports, &done))
        })
        .collect();
    drop(reports);
    let committed = drive(&log, &work, &reported)?;
    // Without work to come the workers end.
    drop(work);
    for worker in workers {
        worker.join().map_err(|_| "a worker panicked")?;
    }
    let done = done.lock().map_err(|_| "a worker panicked")?;
    for (key, numbers) in &*done {
        let in_order = numbers.iter().copied().eq(0..EACH);
        println!("key {key}: {} in order: {in_order}", numbers.len());
    }
    println!("committed up to {}", committed.0);
    Ok(())
}

/// One thread of the application.
fn worker(
    queue: &Mutex<Receiver<Dispatch<Message>>>,
    reports: &Sender<Report>,
    done: &Mutex<BTreeMap<u64, Vec<u64>>>,
) {
    loop {
        let next = queue.lock().ok().and_then(|queue| queue.recv().ok());
        let Some(dispatch) = next else { return };
        let (key, number) = dispatch.message;
        thread::sleep(Duration::from_micros(200));
        let fails = dispatch.attempt == 1 && number % 7 == 6;
        let outcome = if fails {
            Outcome::Retry(dispatch.message)
        } else {
            if let Ok(mut done) = done.lock() {
                done.entry(key).or_default().push(number);
            }
            Outcome::Done
        };
        if reports.send((dispatch.token, outcome)).is_err() {
            return;
        }
    }
}

/// The driver: feeds the core, carries out what it asks for, and sleeps until something happens.
fn drive(
    log: &[Message],
    work: &Sender<Dispatch<Message>>,
    reported: &Receiver<Report>,
) -> Result<Position, Box<dyn Error>> {
    let since = Instant::now();
    let clock = || Time::ZERO + Span::from(since.elapsed());
    let mut core = Consumer::new(&Config::default())?;
    let end = Position(log.len() as u64 + 1);
    let resume = Resume {
        log_start: Position(1),
        log_end: end,
        ..Resume::default()
    };
    core.open(clock(), PARTITION, EPOCH, &resume, None);
    let mut map = vec![0; 3_072];
    let mut reading: Option<(Session, Position)> = None;
    let mut committed = Position(1);
    let mut draining = false;
    loop {
        let now = clock();
        core.handle_timeout(now);
        while let Some(start) = core.poll_session(now) {
            let continues = Continuity::Continues;
            core.session(now, start.partition, start.epoch, start.session, continues);
            reading = Some((start.session, start.at));
        }
        // As much as there is credit for; the rest is offered again after a settle.
        while let Some((session, position)) = reading {
            let Some(message) = usize::try_from(position.0 - 1)
                .ok()
                .and_then(|at| log.get(at))
            else {
                break;
            };
            let arrival = Arrival {
                partition: PARTITION,
                epoch: EPOCH,
                session,
                delivery: None,
                position,
                stamp: Stamp(position.0),
                lane: message.0,
                key: Some(message.0.into()),
                identity: position.0.into(),
                bytes: 16,
                expires: None,
                sequence: None,
                quarantine: None,
                message: *message,
            };
            if core.offer(now, arrival).is_err() {
                break;
            }
            reading = Some((session, position.next()));
        }
        while let Some(dispatch) = core.poll_dispatch(now) {
            work.send(dispatch)?;
        }
        while let Some(letter) = core.poll_dead_letter() {
            let token = letter.token;
            core.dead_letter_result(now, token, Receipt::Stored);
        }
        while let Some(commit) = core.poll_commit(now, &mut map) {
            committed = commit.frontier;
            let stored = CommitResult::Stored;
            core.commit_result(now, commit.partition, commit.epoch, commit.write, stored);
        }
        // A thread cannot be cancelled; a real program would ask its worker to stop.
        while core.poll_cancel().is_some() {}
        while core.poll_release().is_some() {}
        while core.poll_notice().is_some() {}
        if core.poll_drained().is_some() {
            return Ok(committed);
        }
        if committed == end && !draining {
            draining = true;
            core.drain(now, now + Span::from_secs(10));
            continue;
        }
        // Sleep until a worker reports, or until the core wants to be woken.
        let wake = core
            .poll_timeout()
            .map_or(Span::from_secs(1), |wake| wake.at.since(now));
        match reported.recv_timeout(Duration::from(wake)) {
            Ok((token, outcome)) => {
                // Stale only after a partition was given up: nothing to do then.
                let _stale = core.settle(clock(), token, outcome);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err("the workers are gone".into()),
        }
    }
}
