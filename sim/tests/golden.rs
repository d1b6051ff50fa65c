//! Reports that are kept: they must be readable, and lead where they led.
//!
//! `PROCESSION_GOLDEN=write cargo test -p procession-sim --features mutants --test golden mutant` writes
//! them anew, for changes of the core that are meant to change its answers.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use procession_sim::{Failure, Replayed, parse, print, replay, run_plan, verdict_id};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

fn kept() -> Vec<(String, Failure)> {
    let mut paths: Vec<_> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "procfail"))
        .collect();
    paths.sort();
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let (failure, right) = parse(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(right, "{name}: its digest is another one");
        assert_eq!(print(&failure), text, "{name}");
        (name, failure)
    };
    paths.into_iter().map(read).collect()
}

/// What went well goes well, answer by answer; what a bug broke, or a deliberate fault, is kept by a
/// core without them.
#[test]
fn kept_reports_lead_where_they_led() {
    let check = || {
        let kept = kept();
        assert!(kept.len() >= 20, "{}", kept.len());
        for (name, failure) in kept {
            // What a bug of the core left behind is answered otherwise since it is gone.
            if failure.mutant == 0 && failure.verdict.is_none() {
                let answers = replay(&failure, None, false, &mut |_, _, _| {});
                assert_eq!(answers, Replayed::Same, "{name}");
            }
            let report = run_plan(failure.world.clone().unwrap());
            assert_eq!(verdict_id(&report), "clean", "{name}");
        }
    };
    // Mutants are switched on for the whole process: not while this runs.
    #[cfg(feature = "mutants")]
    procession_sim::with_mutant(0, check);
    #[cfg(not(feature = "mutants"))]
    check();
}

/// With its fault switched on, every report of a mutant comes again bit for bit.
#[cfg(feature = "mutants")]
#[test]
fn reports_of_mutants_come_again_with_their_mutant() {
    if std::env::var("PROCESSION_GOLDEN").is_ok_and(|v| v == "write") {
        write::all(&folder());
    }
    for (name, failure) in kept().into_iter().filter(|f| f.1.mutant > 0) {
        procession_sim::with_mutant(failure.mutant, || {
            let answers = replay(&failure, None, false, &mut |_, _, _| {});
            assert!(
                matches!(answers, Replayed::Same | Replayed::SamePanic),
                "{name}: {answers:?}"
            );
            let report = run_plan(failure.world.clone().unwrap());
            assert_eq!(verdict_id(&report), failure.verdict_id(), "{name}");
        });
    }
}

#[cfg(feature = "mutants")]
mod write {
    use std::path::Path;

    use procession_sim::{Flavour, MUTANTS, Plan, Profile, hunt, parse, print, prove, record};

    pub(crate) fn all(folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.starts_with("mutant-") || name.starts_with("clean-") {
                std::fs::remove_file(path).unwrap();
                continue;
            }
            // What a bug of the core left behind stays; a line that was added by hand, for a new field of
            // the configuration, is taken into its digest.
            let text = std::fs::read_to_string(&path).unwrap();
            let (failure, _) = parse(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
            std::fs::write(path, print(&failure)).unwrap();
        }
        for mutant in MUTANTS {
            let caught = hunt(mutant).unwrap();
            let small = prove(&caught).unwrap_or_else(|e| panic!("mutant {}: {e}", mutant.number));
            let path = folder.join(format!("mutant-{:02}.procfail", mutant.number));
            std::fs::write(path, print(&small)).unwrap();
        }
        for (model, flavour) in [("jetstream", Flavour::JetStream), ("kafka", Flavour::Kafka)] {
            for (what, profile) in [("swarm", Profile::Swarm), ("all-on", Profile::AllOn)] {
                let plan = |seed| Plan::on(seed, profile, Some(flavour));
                let smallest = (0..400).map(|s| record(plan(s)));
                let smallest = smallest.filter(|f| f.tape.steps.len() > 500);
                let smallest = smallest.min_by_key(|f| f.tape.steps.len()).unwrap();
                let path = folder.join(format!("clean-{model}-{what}.procfail"));
                std::fs::write(path, print(&smallest)).unwrap();
            }
        }
    }
}
