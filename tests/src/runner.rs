//! Runs cases and says in plain sight which were skipped, and why.
//!
//! The usual harness has no word for "could not be run here": a test that returns early counts as
//! passed. This one prints `SKIPPED nats: reason; fix` for each such case and counts them; with
//! `PROCESSION_BROKERS=required` they count as failures.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::servers;

/// One case.
pub struct Case {
    /// `group::name`.
    pub name: String,
    /// What it does; an error of [`Skip`] kind or a panic.
    pub run: Box<dyn FnOnce() -> Result<(), Skip> + Send>,
}

/// A case that cannot be run here.
#[derive(Clone, Debug)]
pub struct Skip {
    /// What is missing: `nats`.
    pub what: String,
    /// Why, and the fix.
    pub reason: String,
}

/// What became of a case.
enum End {
    Passed,
    Skipped(Skip),
    Failed,
    TimedOut,
}

/// Longest time for a case. Its thread is left behind then: a case that hangs must not hide the
/// results of the others.
const CASE_WITHIN: Duration = Duration::from_secs(120);

/// Runs all cases that the arguments of the process name, at most `threads` at a time (unless
/// `--test-threads` says otherwise).
#[must_use]
pub fn main(cases: Vec<Case>, threads: usize) -> ExitCode {
    main_then(cases, threads, |_| true)
}

/// As [`main`]; when every case was run, `then` looks at how each of them ended, in one word, and says
/// whether that is as it should be.
#[must_use]
pub fn main_then(
    cases: Vec<Case>,
    threads: usize,
    then: impl FnOnce(&BTreeMap<String, &'static str>) -> bool,
) -> ExitCode {
    let arguments = Arguments::read(std::env::args().skip(1), threads);
    let total = cases.len();
    let chosen: VecDeque<_> = cases
        .into_iter()
        .filter(|case| arguments.names(&case.name))
        .collect();
    if arguments.list {
        for case in &chosen {
            println!("{}: test", case.name);
        }
        return ExitCode::SUCCESS;
    }
    let _keeper = servers::keep();
    let filtered = total - chosen.len();
    let began = Instant::now();
    println!("\nrunning {} tests", chosen.len());
    let required = std::env::var("PROCESSION_BROKERS").is_ok_and(|value| value == "required");
    let (mut passed, mut skipped, mut failed) = (0, 0, Vec::new());
    let mut ends = BTreeMap::new();
    for (name, end, took) in run(chosen, arguments.threads) {
        let took = took.as_secs_f64();
        let short = match end {
            End::Passed => "ok",
            End::Skipped(_) => "skipped",
            End::Failed | End::TimedOut => "failed",
        };
        ends.insert(name.clone(), short);
        let word = match end {
            End::Passed => {
                passed += 1;
                format!("ok ({took:.1} s)")
            }
            End::Skipped(Skip { what, reason }) if required => {
                failed.push(name.clone());
                format!("FAILED: {what} is required (PROCESSION_BROKERS): {reason}")
            }
            End::Skipped(Skip { what, reason }) => {
                skipped += 1;
                format!("SKIPPED {what}: {reason}")
            }
            End::Failed => {
                failed.push(name.clone());
                format!("FAILED ({took:.1} s)")
            }
            End::TimedOut => {
                failed.push(name.clone());
                format!("FAILED: did not end within {took:.0} s")
            }
        };
        println!("test {name} ... {word}");
        let _ = std::io::stdout().flush();
    }
    if filtered == 0 && !then(&ends) {
        failed.push("what is written of all cases together".to_owned());
    }
    if !failed.is_empty() {
        println!("\nfailures:\n    {}", failed.join("\n    "));
    }
    let verdict = if failed.is_empty() { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {passed} passed; {} failed; {skipped} skipped; {filtered} \
         filtered out; finished in {:.2}s\n",
        failed.len(),
        began.elapsed().as_secs_f64()
    );
    ExitCode::from(u8::from(!failed.is_empty()))
}

/// Runs the cases and yields their ends as they come.
fn run(cases: VecDeque<Case>, threads: usize) -> impl Iterator<Item = (String, End, Duration)> {
    let cases = Arc::new(Mutex::new(cases));
    let (sender, ends) = mpsc::channel();
    for _ in 0..threads {
        let (cases, sender) = (Arc::clone(&cases), sender.clone());
        thread::spawn(move || {
            loop {
                let next = cases
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .pop_front();
                let Some(case) = next else { break };
                let began = Instant::now();
                let name = case.name.clone();
                let end = run_one(case);
                if sender.send((name, end, began.elapsed())).is_err() {
                    break;
                }
            }
        });
    }
    ends.into_iter()
}

fn run_one(case: Case) -> End {
    let (sender, end) = mpsc::channel();
    // The thread's name is what a panic is reported under.
    let spawned = thread::Builder::new().name(case.name).spawn(move || {
        let run = std::panic::AssertUnwindSafe(case.run);
        let end = match std::panic::catch_unwind(run) {
            Ok(Ok(())) => End::Passed,
            Ok(Err(skip)) => End::Skipped(skip),
            Err(_) => End::Failed,
        };
        let _ = sender.send(end);
    });
    if spawned.is_err() {
        return End::Failed;
    }
    end.recv_timeout(CASE_WITHIN).unwrap_or(End::TimedOut)
}

/// Arguments as the usual harness takes them, as far as they mean something here.
struct Arguments {
    filters: Vec<String>,
    skips: Vec<String>,
    exact: bool,
    list: bool,
    threads: usize,
}

impl Arguments {
    fn read(mut words: impl Iterator<Item = String>, threads: usize) -> Self {
        let mut read = Self {
            filters: Vec::new(),
            skips: Vec::new(),
            exact: false,
            list: false,
            threads,
        };
        while let Some(word) = words.next() {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (word, None),
            };
            let mut value = || value.clone().or_else(|| words.next()).unwrap_or_default();
            match name.as_str() {
                "--exact" => read.exact = true,
                "--list" => read.list = true,
                "--skip" => read.skips.push(value()),
                "--test-threads" => read.threads = value().parse().unwrap_or(threads).max(1),
                "--format" | "--color" | "--logfile" | "-Z" => drop(value()),
                option if option.starts_with('-') => {}
                filter => read.filters.push(filter.to_owned()),
            }
        }
        read
    }

    fn names(&self, name: &str) -> bool {
        let hits = |word: &String| {
            if self.exact {
                name == word
            } else {
                name.contains(word.as_str())
            }
        };
        (self.filters.is_empty() || self.filters.iter().any(hits)) && !self.skips.iter().any(hits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_choose_cases() {
        let read = |words: &str| Arguments::read(words.split_whitespace().map(str::to_owned), 3);
        assert!(read("").names("memory::w1"));
        assert!(read("w1 --nocapture").names("memory::w1"));
        assert!(!read("w1 --exact").names("memory::w1"));
        assert!(!read("--skip memory").names("memory::w1"));
        assert_eq!(read("--test-threads=7").threads, 7);
        assert_eq!(read("--test-threads 0").threads, 1);
    }

    #[test]
    fn ends_are_told_apart() {
        let case = |run: fn() -> Result<(), Skip>| Case {
            name: "case".into(),
            run: Box::new(run),
        };
        let skip = || {
            let (what, reason) = ("nats".into(), "gone; get it".into());
            Err(Skip { what, reason })
        };
        assert!(matches!(run_one(case(|| Ok(()))), End::Passed));
        assert!(matches!(run_one(case(skip)), End::Skipped(_)));
        assert!(matches!(
            run_one(case(|| panic!("on purpose"))),
            End::Failed
        ));
    }
}
