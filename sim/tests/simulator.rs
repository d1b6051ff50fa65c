//! The simulator in `cargo test`: few seeds, but of every kind. The release binary runs 100,000.

use procession_sim::{Batch, Flavour, Plan, Profile, Report, Summary, run, run_plan};

const SEEDS: u64 = 4_000;

fn batch(profile: Profile, seeds: u64, threads: usize) -> Summary {
    let batch = Batch {
        seeds: (0, seeds),
        profile,
        model: None,
        threads,
        most: 0,
        coverage: true,
    };
    batch.run(&|_| true)
}

fn told(violations: &[Report]) -> String {
    let lines = violations.iter().take(5);
    let lines = lines.filter_map(|r| Some(format!("seed {}: {}", r.seed, r.verdict.as_ref()?)));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn s1_to_s9_and_l1_hold_in_every_seed() {
    let summary = batch(Profile::Mixed, SEEDS, 2);
    assert_eq!(summary.violated, 0, "\n{}", told(&summary.violations));
    assert_eq!(summary.runs, SEEDS);
    // What was not tried proves nothing.
    assert_eq!(summary.silent_sites().collect::<Vec<_>>(), []);
    let tally = summary.tally;
    assert!(tally.effective > 10 * SEEDS, "{tally:?}");
    for figure in [
        tally.dead,
        tally.duplicates,
        tally.released,
        tally.drained,
        tally.crashes,
    ] {
        assert!(figure > SEEDS / 2, "{tally:?}");
    }
    assert!(
        tally.rewrites > SEEDS / 10 && tally.cancels > SEEDS / 4,
        "{tally:?}"
    );
}

/// Nearly half of the runs are short, and those that are not are long: ADR 0015.
#[test]
fn the_median_run_has_700_events_on_either_broker() {
    for model in [Flavour::Kafka, Flavour::JetStream] {
        let all = Batch {
            seeds: (0, 2_000),
            profile: Profile::Mixed,
            model: Some(model),
            threads: 2,
            most: 0,
            coverage: false,
        };
        let all = all.run(&|_| true);
        let (median, mean) = (all.events_median(), all.events / all.runs);
        assert!((700..=768).contains(&median), "{model:?}: {median}");
        assert!((550..=680).contains(&mean), "{model:?}: {mean}");
    }
}

#[test]
fn s4_a_run_without_faults_handles_every_message_exactly_once() {
    let summary = batch(Profile::Clean, 500, 2);
    assert_eq!(summary.violated, 0, "\n{}", told(&summary.violations));
    assert_eq!(summary.tally.started, summary.tally.published);
    assert_eq!(summary.tally.effective, summary.tally.published);
}

#[test]
fn s11_equal_seeds_give_equal_runs() {
    for profile in [Profile::Mixed, Profile::AllOn] {
        for seed in 0..200 {
            let (first, second) = (run(seed, profile), run(seed, profile));
            assert_eq!(
                (first.hash, first.events),
                (second.hash, second.events),
                "seed {seed}"
            );
        }
    }
    let (one, two) = (batch(Profile::Mixed, 500, 1), batch(Profile::Mixed, 500, 2));
    assert_eq!((one.hash, one.events), (two.hash, two.events));
    assert_ne!(run(1, Profile::Mixed).hash, run(2, Profile::Mixed).hash);
}

/// Not a chosen few: a process dies before each event of a run, and is shaken before each event.
#[test]
fn g1_g10_a_crash_or_a_drain_at_every_event_breaks_nothing() {
    let mut crashes = 0;
    for seed in [3, 5, 8, 13, 21, 34] {
        let plan = Plan::new(seed, Profile::Swarm);
        let events = run_plan(plan.clone()).events.min(400);
        for event in 0..events {
            let crash = Plan {
                crash_at: Some(event),
                ..plan.clone()
            };
            let shake = Plan {
                shake_at: Some(event),
                ..plan.clone()
            };
            for plan in [crash, shake] {
                let report = run_plan(plan);
                assert_eq!(report.verdict, None, "seed {seed} at event {event}");
                crashes += report.tally.crashes;
            }
        }
    }
    assert!(crashes > 500, "{crashes}");
}
