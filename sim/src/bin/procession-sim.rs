//! Runs the simulator.
//!
//! ```text
//! procession-sim run [--seeds A..B] [--model kafka|jetstream] [--threads N] [--all]
//!     [--profile mixed|swarm|all-on|clean|one-fault]
//! procession-sim explain SEED [--model ...] [--profile ...]
//! procession-sim record SEED FILE [--model ...] [--profile ...]
//! procession-sim replay FILE
//! procession-sim small [--seeds A..B]             (publishers and claims)
//! procession-sim coverage [--seeds A..B] [--least N]
//! procession-sim mutants [--seeds N] [--only M]        (feature `mutants`)
//! procession-sim rules                             (feature `mutants`)
//! ```
//! Ends with 0 when every promise held, 1 when one was broken, 2 when the call was wrong; `replay`
//! with 3 when the answers are others, 4 when the file is of another version.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use mimalloc::MiMalloc;
use procession_sim::{
    Batch, COVERAGE_LEAST, Flavour, ParseError, Plan, Profile, Report, Small, explain, judge, mix,
    parse, print, record, shrink, with_its_mutant,
};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// What was asked for.
struct Options {
    seeds: (u64, u64),
    profile: Profile,
    /// The broker that the world is like; `None`: as each seed says.
    model: Option<Flavour>,
    threads: usize,
    /// Go on after violations, and count them by verdict.
    all: bool,
    #[cfg_attr(not(feature = "mutants"), allow(dead_code))]
    only: Option<u8>,
    /// A deliberate fault that is on while seeds run.
    #[cfg(feature = "mutants")]
    mutant: u8,
    /// How often everything must have been reached.
    least: u64,
    rest: Vec<String>,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_else(|| "run".into());
    let options = match Options::read(arguments) {
        Ok(options) => options,
        Err(why) => return wrong(&why),
    };
    match command.as_str() {
        #[cfg(feature = "mutants")]
        "run" => procession_sim::with_mutant(options.mutant, || run(&options)),
        #[cfg(not(feature = "mutants"))]
        "run" => run(&options),
        "explain" => match options.rest.first().and_then(|s| number(s)) {
            Some(seed) => tell(options.plan(seed)),
            None => wrong("explain needs a seed: `procession-sim explain 17`"),
        },
        "record" => match options.rest.as_slice() {
            [seed, path] => keep(number(seed).map(|s| options.plan(s)), path),
            _ => wrong("record needs a seed and a file: `procession-sim record 17 x.procfail`"),
        },
        "coverage" => coverage(&options),
        "mutants" => mutants(&options),
        "small" => small(&options),
        "rules" => rules(&options),
        "replay" => match options.rest.first() {
            Some(path) => replay(path),
            None => wrong("replay needs a file: `procession-sim replay x.procfail`"),
        },
        other => wrong(&format!(
            "`{other}` is not a command: run, small, coverage, explain, record, replay, mutants, rules"
        )),
    }
}

impl Options {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            seeds: (0, 100_000),
            profile: Profile::Mixed,
            model: None,
            threads: std::thread::available_parallelism().map_or(1, |n| n.get().min(2)),
            all: false,
            only: None,
            #[cfg(feature = "mutants")]
            mutant: 0,
            least: COVERAGE_LEAST,
            rest: Vec::new(),
        };
        while let Some(argument) = arguments.next() {
            let mut value = |what: &str| {
                arguments
                    .next()
                    .ok_or_else(|| format!("{argument} needs {what}"))
            };
            match argument.as_str() {
                "--seeds" => {
                    let text = value("a range, as 0..1000")?;
                    options.seeds = seeds(&text)
                        .ok_or_else(|| format!("`{text}` is not a range, as 0..1000"))?;
                }
                "--profile" => {
                    options.profile = match value("a profile")?.as_str() {
                        "mixed" => Profile::Mixed,
                        "swarm" => Profile::Swarm,
                        "allon" | "all-on" => Profile::AllOn,
                        "clean" => Profile::Clean,
                        "one-fault" => Profile::OneFault,
                        other => {
                            return Err(format!(
                                "`{other}` is not mixed, swarm, all-on, clean or one-fault"
                            ));
                        }
                    };
                }
                "--model" => {
                    options.model = match value("a model")?.as_str() {
                        "kafka" => Some(Flavour::Kafka),
                        "jetstream" => Some(Flavour::JetStream),
                        other => return Err(format!("`{other}` is not kafka or jetstream")),
                    };
                }
                "--threads" => {
                    let text = value("a number")?;
                    options.threads = text
                        .parse()
                        .map_err(|_| format!("`{text}` is not a number"))?;
                }
                "--only" => {
                    let text = value("a mutant")?;
                    options.only =
                        Some(text.parse().map_err(|_| format!("`{text}` is no mutant"))?);
                }
                #[cfg(feature = "mutants")]
                "--mutant" => {
                    let text = value("a mutant")?;
                    options.mutant = text.parse().map_err(|_| format!("`{text}` is no mutant"))?;
                }
                "--least" => {
                    let text = value("a number")?;
                    options.least = text
                        .parse()
                        .map_err(|_| format!("`{text}` is not a number"))?;
                }
                "--all" => options.all = true,
                other if other.starts_with("--") => {
                    return Err(format!("`{other}` is not an option"));
                }
                _ => options.rest.push(argument),
            }
        }
        Ok(options)
    }
}

impl Options {
    fn plan(&self, seed: u64) -> Plan {
        Plan::on(seed, self.profile, self.model)
    }
}

fn number(text: &str) -> Option<u64> {
    text.strip_prefix("0x").map_or_else(
        || text.parse().ok(),
        |hex| u64::from_str_radix(hex, 16).ok(),
    )
}

fn seeds(text: &str) -> Option<(u64, u64)> {
    match text.split_once("..") {
        Some((from, to)) => Some((number(from)?, number(to)?)),
        None => Some((0, number(text)?)),
    }
}

fn wrong(why: &str) -> ExitCode {
    say(&format!("procession-sim: {why}"));
    ExitCode::from(2)
}

fn say(line: &str) {
    // A closed pipe is not worth a panic.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

fn run(options: &Options) -> ExitCode {
    let began = Instant::now();
    let step = ((options.seeds.1 - options.seeds.0) / 10).max(10_000);
    let told = AtomicU64::new(0);
    let progress = |done: u64| {
        let before = told.load(Ordering::Relaxed);
        if done >= before + step
            && told
                .compare_exchange(before, done, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            say(&format!(
                "{done} runs, {:.1} s",
                began.elapsed().as_secs_f64()
            ));
        }
        true
    };
    let batch = Batch {
        seeds: options.seeds,
        profile: options.profile,
        model: options.model,
        threads: options.threads,
        most: if options.all { 0 } else { 20 },
        coverage: false,
    };
    let summary = batch.run(&progress);
    let seconds = began.elapsed().as_secs_f64();
    let rate = summary.runs as f64 / seconds / options.threads as f64;
    say(&format!(
        "{} runs in {seconds:.1} s: {rate:.0} runs and {:.2} M events a second and thread, hash {:016x}",
        summary.runs,
        summary.events as f64 / seconds / options.threads as f64 / 1e6,
        summary.hash
    ));
    say(&format!(
        "{} events in the median run",
        summary.events_median()
    ));
    say(&format!("{:?}", summary.tally));
    let silent: Vec<_> = summary.silent_sites().collect();
    if !silent.is_empty() {
        say(&format!("fault sites that never fired: {silent:?}"));
    }
    for report in summary.violations.iter().take(20) {
        violation(report);
    }
    for (report, count) in summary.shapes().iter().filter(|_| options.all) {
        if let Some(verdict) = &report.verdict {
            let (id, shape, seed) = (verdict.id, verdict.shape, report.seed);
            say(&format!("{count:>6} x {id} {shape}, first at seed {seed}"));
        }
    }
    say(&format!("{} violations", summary.violated));
    ExitCode::from(u8::from(summary.violated > 0))
}

/// Runs both small worlds.
fn small(options: &Options) -> ExitCode {
    let mut broken = 0;
    for world in Small::ALL {
        let began = Instant::now();
        let (mut steps, mut outcomes, mut hash) = (0, 0, 0_u64);
        for seed in options.seeds.0..options.seeds.1 {
            let told = world.run(seed);
            (steps, outcomes) = (steps + told.steps, outcomes + told.outcomes);
            hash = hash.wrapping_add(mix(told.hash ^ seed));
            if let Some(what) = told.broken {
                broken += 1;
                say(&format!("{} seed {seed}: {what}", world.name()));
                if broken >= 20 && !options.all {
                    return ExitCode::from(1);
                }
            }
        }
        let seconds = began.elapsed().as_secs_f64();
        let name = world.name();
        say(&format!(
            "{name}: {steps} steps, {outcomes} outcomes in {seconds:.1} s, hash {hash:016x}"
        ));
    }
    say(&format!("{broken} violations"));
    ExitCode::from(u8::from(broken > 0))
}

/// Fails where something was reached too seldom: what was not tried proves nothing.
fn coverage(options: &Options) -> ExitCode {
    let batch = Batch {
        seeds: options.seeds,
        profile: options.profile,
        model: options.model,
        threads: options.threads,
        most: 1,
        coverage: true,
    };
    let summary = batch.run(&|_| true);
    say(&summary.coverage.to_string());
    let short = summary.short_of(options.least);
    for what in &short {
        say(&format!("less than {}: {what}", options.least));
    }
    for report in &summary.violations {
        violation(report);
    }
    let (runs, least) = (summary.runs, options.least);
    say(&format!(
        "{runs} runs, {} reached less than {least} times",
        short.len()
    ));
    ExitCode::from(u8::from(!short.is_empty() || summary.violated > 0))
}

fn violation(report: &Report) {
    if let Some(verdict) = &report.verdict {
        say(&format!("seed {}: {verdict}", report.seed));
    }
}

fn tell(plan: Plan) -> ExitCode {
    let (report, story) = explain(plan);
    say(&story);
    violation(&report);
    ExitCode::from(u8::from(report.verdict.is_some()))
}

/// Writes the report of a seed, as small as it gets.
fn keep(plan: Option<Plan>, path: &str) -> ExitCode {
    let Some(plan) = plan else {
        return wrong("the seed is not a number");
    };
    let failure = record(plan);
    let small = shrink(&failure, &mut |_| true).unwrap_or(failure);
    say(&format!("{}; {}", small.verdict_id(), small.shrunk));
    match std::fs::write(path, print(&small)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => wrong(&format!("{path}: {error}")),
    }
}

/// What `procession replay` does, without its words: for processes that are asked by others.
fn replay(path: &str) -> ExitCode {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return wrong(&format!("{path}: {error}")),
    };
    let (failure, right) = match parse(&text) {
        Ok(read) => read,
        Err(error @ ParseError::Version(_)) => {
            say(&format!("{path}: {error}"));
            return ExitCode::from(4);
        }
        Err(error) => return wrong(&format!("{path}: {error}")),
    };
    let judged = with_its_mutant(&failure, || {
        judge(&failure, right, false, &mut |_, _, _| {})
    });
    say(&format!("{}: {judged}", failure.verdict_id()));
    ExitCode::from(judged.status())
}

/// Whether a report comes again in a process of its own.
#[cfg(feature = "mutants")]
fn comes_again(small: &procession_sim::Failure) -> Result<(), String> {
    let name = format!(
        "procession-mutant-{}-{}.procfail",
        small.mutant,
        std::process::id()
    );
    let path = std::env::temp_dir().join(name);
    let told = |e: std::io::Error| format!("{}: {e}", path.display());
    std::fs::write(&path, print(small)).map_err(told)?;
    let binary = std::env::current_exe().map_err(told)?;
    let output = std::process::Command::new(binary)
        .arg("replay")
        .arg(&path)
        .output()
        .map_err(told)?;
    std::fs::remove_file(&path).map_err(told)?;
    match output.status.code() {
        Some(0) => Ok(()),
        _ => Err(format!(
            "another process says: {}",
            String::from_utf8_lossy(&output.stdout)
        )),
    }
}

#[cfg(feature = "mutants")]
fn mutants(options: &Options) -> ExitCode {
    use procession_sim::{MUTANTS, SMALL_MUTANTS, hunt, hunt_small, prove};

    let chosen = MUTANTS
        .iter()
        .filter(|m| options.only.is_none_or(|only| only == m.number));
    let (mut caught, mut all) = (0, 0);
    for mutant in chosen {
        all += 1;
        match hunt(mutant) {
            Some(found) => {
                let began = Instant::now();
                let proof = match prove(&found).and_then(|s| comes_again(&s).map(|()| s)) {
                    Ok(small) => {
                        caught += 1;
                        small.shrunk
                    }
                    Err(why) => format!("BUT {why}"),
                };
                say(&format!(
                    "mutant {:>2} {}: caught at seed {} of {} by {}; {proof}, {:.1} s",
                    mutant.number,
                    mutant.what,
                    found.seed,
                    mutant.within,
                    found.failure.verdict_id(),
                    began.elapsed().as_secs_f64()
                ));
            }
            None => say(&format!(
                "mutant {:>2} {}: NOT caught within {} seeds",
                mutant.number, mutant.what, mutant.within
            )),
        }
    }
    let small = SMALL_MUTANTS
        .iter()
        .filter(|m| options.only.is_none_or(|only| only == m.number));
    for mutant in small {
        all += 1;
        let (number, what, within) = (mutant.number, mutant.what, mutant.within);
        match hunt_small(mutant) {
            Some((seed, broken)) => {
                caught += 1;
                say(&format!(
                    "mutant {number:>2} {what}: caught at seed {seed} of {within} by {broken}"
                ));
            }
            None => say(&format!(
                "mutant {number:>2} {what}: NOT caught within {within} seeds"
            )),
        }
    }
    say(&format!("{caught} of {all} mutants caught"));
    ExitCode::from(u8::from(caught < all))
}

/// Shows of every rule that it bites.
#[cfg(feature = "mutants")]
fn rules(_options: &Options) -> ExitCode {
    use procession_sim::{Bite, PROOFS, UNPROVED, forgotten};

    let mut failed = 0;
    for proof in PROOFS {
        let (rule, mutant) = (proof.rule, proof.mutant);
        let how = match proof.bite {
            Bite::Alone => "alone",
            Bite::First => "first",
        };
        let said = match proof.bites() {
            Ok(seed) => format!("at seed {seed}"),
            Err(why) => {
                failed += 1;
                format!("NOT: {why}")
            }
        };
        let (id, shape) = (rule.id(), rule.shape());
        say(&format!("{id} {shape}: fault {mutant}, {how}, {said}"));
    }
    for (rule, why) in UNPROVED {
        say(&format!("{} {}: {why}", rule.id(), rule.shape()));
    }
    for rule in forgotten() {
        failed += 1;
        say(&format!(
            "{} {}: NOT shown to bite",
            rule.id(),
            rule.shape()
        ));
    }
    let (proved, all) = (PROOFS.len(), procession_sim::RULES);
    say(&format!(
        "{proved} of {all} rules shown to bite, {failed} failed"
    ));
    ExitCode::from(u8::from(failed > 0))
}

#[cfg(not(feature = "mutants"))]
fn rules(_options: &Options) -> ExitCode {
    wrong("rules need `--features mutants`")
}

#[cfg(not(feature = "mutants"))]
fn mutants(_options: &Options) -> ExitCode {
    wrong("mutants need `--features mutants`")
}
