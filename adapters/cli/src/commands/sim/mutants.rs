//! `sim mutants`: deliberate faults, each of which must be noticed.

use crate::args::MutantsArgs;
use crate::failure::Failure;

#[cfg(not(feature = "mutants"))]
pub(super) fn run(_args: &MutantsArgs) -> Result<(), Failure> {
    Err(Failure::usage(
        "sim mutants: deliberate faults are not in this build; run \
         `cargo run --release --features mutants -- sim mutants`",
    ))
}

#[cfg(feature = "mutants")]
pub(super) fn run(args: &MutantsArgs) -> Result<(), Failure> {
    use procession_sim::{MUTANTS, SMALL_MUTANTS, hunt, hunt_small, prove};

    let output = crate::args::Output::default();
    let chosen: Vec<_> = MUTANTS
        .iter()
        .filter(|m| args.only.is_none_or(|only| only == m.number))
        .collect();
    let mut escaped = Vec::new();
    for mutant in &chosen {
        let began = std::time::Instant::now();
        let proved = hunt(mutant)
            .ok_or_else(|| format!("not noticed within {} seeds", mutant.within))
            .and_then(|caught| Ok((prove(&caught)?, caught.seed)))
            .and_then(|(small, seed)| comes_again(&small, args).map(|()| (small, seed)));
        let seconds = began.elapsed().as_secs_f64();
        match proved {
            Ok((small, seed)) => output.say(&format!(
                "mutant {:>2} {}: seed {seed} of {}, {}; {}; {seconds:.1} s",
                mutant.number,
                mutant.what,
                mutant.within,
                small.verdict_id(),
                small.shrunk
            )),
            Err(why) => {
                output.say(&format!(
                    "mutant {:>2} {}: {why}",
                    mutant.number, mutant.what
                ));
                escaped.push(mutant.number);
            }
        }
    }
    // Those of the producer and the claims: the small worlds have no reports.
    let small = SMALL_MUTANTS
        .iter()
        .filter(|m| args.only.is_none_or(|only| only == m.number));
    let mut all = chosen.len();
    for mutant in small {
        all += 1;
        let (number, what, within) = (mutant.number, mutant.what, mutant.within);
        match hunt_small(mutant) {
            Some((seed, broken)) => output.say(&format!(
                "mutant {number:>2} {what}: seed {seed} of {within}, {broken}"
            )),
            None => {
                output.say(&format!(
                    "mutant {number:>2} {what}: not noticed within {within} seeds"
                ));
                escaped.push(number);
            }
        }
    }
    let caught = all - escaped.len();
    output.say(&format!("{caught} of {all} mutants caught"));
    if escaped.is_empty() {
        Ok(())
    } else {
        Err(Failure::fault(format!("{caught} of {all} mutants caught")))
    }
}

/// The shrunk report must lead to the same verdict in a process of its own.
#[cfg(feature = "mutants")]
fn comes_again(small: &procession_sim::Failure, args: &MutantsArgs) -> Result<(), String> {
    let dir = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    let name = match &args.dir {
        Some(_) => format!("mutant-{:02}.procfail", small.mutant),
        None => format!(
            "procession-{}-{}.procfail",
            std::process::id(),
            small.mutant
        ),
    };
    let path = dir.join(name);
    let told = |e: std::io::Error| format!("{}: {e}", path.display());
    std::fs::create_dir_all(&dir).map_err(told)?;
    std::fs::write(&path, procession_sim::print(small)).map_err(told)?;
    let binary = std::env::current_exe().map_err(told)?;
    let mut command = std::process::Command::new(binary);
    let output = command.arg("replay").arg(&path).output().map_err(told)?;
    if args.dir.is_none() {
        std::fs::remove_file(&path).map_err(told)?;
    }
    match output.status.code() {
        Some(0) => Ok(()),
        _ => Err(format!(
            "another process says: {}",
            String::from_utf8_lossy(&output.stdout)
        )),
    }
}
