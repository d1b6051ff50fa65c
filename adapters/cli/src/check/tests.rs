//! For every verdict a history that breaks exactly it, and clean ones.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Report, check};

/// A history under construction.
struct Story {
    lines: Vec<Value>,
    t: u64,
}

impl Story {
    fn new(role: &str) -> Self {
        let mut story = Self {
            lines: Vec::new(),
            t: 1_000,
        };
        let group = if role == "produce" { "" } else { "g" };
        story.say(
            json!({"ev": "meta", "version": 1, "wall": 1, "pid": 7, "boot": "b",
            "role": role, "member": "m", "group": group, "config": {}}),
        );
        story
    }

    fn say(&mut self, mut line: Value) -> &mut Self {
        self.t += 10;
        line["t"] = json!(self.t);
        self.lines.push(line);
        self
    }

    fn at(&mut self, t: u64) -> &mut Self {
        self.t = t;
        self
    }

    /// Publishes sequence `seq` of a key, stored at `position` of partition 0.
    fn publish(&mut self, key: &str, seq: u64, position: u64) -> &mut Self {
        self.of("accepted", key, seq);
        self.stored(key, seq, position)
    }

    fn of(&mut self, ev: &str, key: &str, seq: u64) -> &mut Self {
        self.say(
            json!({"ev": ev, "topic": "t", "key": key, "id": format!("{key}-{seq}"), "seq": seq}),
        )
    }

    fn stored(&mut self, key: &str, seq: u64, position: u64) -> &mut Self {
        self.of("stored", key, seq);
        let line = self.lines.last_mut().unwrap();
        line["partition"] = json!(0);
        line["position"] = json!(position);
        self
    }

    fn assigned(&mut self, epoch: u64, position: u64) -> &mut Self {
        self.say(json!({"ev": "assigned", "topic": "t", "partition": 0, "epoch": epoch, "position": position}))
    }

    fn released(&mut self, epoch: u64) -> &mut Self {
        self.say(json!({"ev": "released", "topic": "t", "partition": 0, "epoch": epoch}))
    }

    fn start(&mut self, key: &str, seq: u64, position: u64, epoch: u64) -> &mut Self {
        self.attempt("start", key, seq, position, epoch)
    }

    fn end(&mut self, key: &str, seq: u64, position: u64, epoch: u64, outcome: &str) -> &mut Self {
        self.attempt("end", key, seq, position, epoch);
        self.lines.last_mut().unwrap()["outcome"] = json!(outcome);
        self
    }

    fn attempt(&mut self, ev: &str, key: &str, seq: u64, position: u64, epoch: u64) -> &mut Self {
        self.say(
            json!({"ev": ev, "topic": "t", "partition": 0, "position": position,
            "epoch": epoch, "key": key, "id": format!("{key}-{seq}"), "seq": seq, "attempt": 1}),
        )
    }

    fn run(&mut self, key: &str, seq: u64, position: u64, epoch: u64) -> &mut Self {
        self.start(key, seq, position, epoch);
        self.end(key, seq, position, epoch, "done")
    }

    fn commit(&mut self, ev: &str, epoch: u64, frontier: u64, beyond: &[(u64, u64)]) -> &mut Self {
        self.say(
            json!({"ev": ev, "topic": "t", "partition": 0, "epoch": epoch,
            "frontier": frontier, "beyond": beyond}),
        )
    }

    fn commits(&mut self, epoch: u64, frontier: u64) -> &mut Self {
        self.commit("commit", epoch, frontier, &[]);
        self.commit("committed", epoch, frontier, &[])
    }

    fn closed(&mut self) -> &mut Self {
        self.say(json!({"ev": "closed", "status": 0}))
    }

    fn text(&self) -> String {
        self.lines.iter().map(|l| format!("{l}\n")).collect()
    }
}

fn write(texts: &[String]) -> (tempfile::TempDir, Vec<PathBuf>) {
    let dir = tempfile::tempdir().unwrap();
    let files = texts
        .iter()
        .enumerate()
        .map(|(i, text)| {
            let path = dir.path().join(format!("h{i}"));
            std::fs::write(&path, text).unwrap();
            path
        })
        .collect();
    (dir, files)
}

fn judge(stories: &[&Story]) -> Report {
    let texts: Vec<_> = stories.iter().map(|s| s.text()).collect();
    let (_dir, files) = write(&texts);
    check(&files).unwrap()
}

fn verdict(stories: &[&Story]) -> Vec<&'static str> {
    let report = judge(stories);
    assert_eq!(report.runs.len(), 1);
    report.runs[0].verdict.clone()
}

#[test]
fn a_clean_history_is_ok_and_counted() {
    let mut s = Story::new("compare");
    s.assigned(1, 1)
        .publish("a", 1, 1)
        .publish("b", 1, 2)
        .publish("a", 2, 3);
    s.start("a", 1, 1, 1)
        .end("a", 1, 1, 1, "retry")
        .run("a", 1, 1, 1);
    s.commit("commit", 1, 2, &[]).commit("committed", 1, 2, &[]);
    s.start("b", 1, 2, 1)
        .run("a", 2, 3, 1)
        .commit("commit", 1, 2, &[(3, 4)]);
    s.commit("committed", 1, 2, &[(3, 4)])
        .end("b", 1, 2, 1, "done");
    s.commits(1, 4)
        .released(1)
        .say(json!({"ev": "drained", "left": 0}));
    s.closed();
    let report = judge(&[&s]);
    let run = &report.runs[0];
    assert_eq!(run.verdict, Vec::<&str>::new(), "{run:?}");
    assert_eq!(report.first_broken(), None);
    assert_eq!(
        (run.stored, run.unique, run.attempts, run.lost),
        (3, 3, 4, 0)
    );
    let json = report.json();
    assert_eq!(json["runs"][0]["verdict"], "ok");
    assert_eq!(json["runs"][0]["delivery_rate"], 1.0);
}

#[test]
fn s1_two_handlers_of_one_key() {
    let mut s = Story::new("compare");
    s.publish("a", 1, 1).publish("a", 2, 2).assigned(1, 1);
    s.start("a", 1, 1, 1).start("a", 2, 2, 1);
    s.end("a", 1, 1, 1, "done")
        .end("a", 2, 2, 1, "done")
        .closed();
    assert_eq!(verdict(&[&s]), ["S1"]);
}

#[test]
fn s1_across_files_is_a_breach_only_after_the_release() {
    let second = |t| {
        let mut s = Story::new("consume");
        s.at(t)
            .assigned(2, 1)
            .run("a", 1, 1, 2)
            .run("a", 2, 2, 2)
            .closed();
        s
    };
    let mut p = Story::new("produce");
    p.publish("a", 1, 1).publish("a", 2, 2).closed();
    // The first member still runs position 1 when the second starts it.
    let first = |release: bool| {
        let mut s = Story::new("consume");
        s.at(2_000).assigned(1, 1).start("a", 1, 1, 1);
        if release {
            s.released(1);
        }
        s.at(9_000).end("a", 1, 1, 1, "cancelled").closed();
        s
    };
    assert_eq!(verdict(&[&p, &first(true), &second(3_000)]), ["S1"]);
    let report = judge(&[&p, &first(false), &second(3_000)]);
    assert_eq!(report.runs[0].verdict, Vec::<&str>::new());
    // Both of its starts found the first member running.
    assert_eq!(report.runs[0].breaches["S1-across"].0, 2);
    assert_eq!(
        verdict(&[&p, &first(true), &second(10_000)]),
        Vec::<&str>::new()
    );
}

#[test]
fn s3_a_frontier_or_map_covers_what_is_not_finished() {
    for beyond in [false, true] {
        let mut s = Story::new("compare");
        s.publish("a", 1, 1).publish("b", 1, 2).assigned(1, 1);
        s.start("a", 1, 1, 1)
            .start("b", 1, 2, 1)
            .end("a", 1, 1, 1, "done");
        if beyond {
            s.commit("committed", 1, 2, &[(2, 3)]);
        } else {
            s.commit("committed", 1, 3, &[]);
        }
        s.end("b", 1, 2, 1, "done").closed();
        assert_eq!(verdict(&[&s]), ["S3"], "beyond: {beyond}");
    }
}

#[test]
fn s3_a_stored_position_that_was_skipped() {
    let mut s = Story::new("compare");
    // Written after the commit, yet the log held it before: positions only grow.
    s.assigned(1, 1)
        .publish("a", 1, 1)
        .publish("b", 1, 3)
        .run("a", 1, 1, 1)
        .run("b", 1, 3, 1);
    s.commits(1, 4).publish("c", 1, 2).closed();
    assert_eq!(verdict(&[&s]), ["S3", "lost"]);
}

#[test]
fn s3b_a_frontier_falls() {
    let mut s = Story::new("compare");
    s.publish("a", 1, 1)
        .publish("a", 2, 2)
        .assigned(1, 1)
        .run("a", 1, 1, 1)
        .run("a", 2, 2, 1);
    s.commits(1, 3).commits(1, 2).closed();
    assert_eq!(verdict(&[&s]), ["S3b"]);
    // In a new epoch it may.
    let mut s = Story::new("compare");
    s.publish("a", 1, 1)
        .publish("a", 2, 2)
        .assigned(1, 1)
        .run("a", 1, 1, 1)
        .run("a", 2, 2, 1);
    s.commits(1, 3)
        .released(1)
        .assigned(2, 2)
        .commits(2, 2)
        .closed();
    assert_eq!(verdict(&[&s]), Vec::<&str>::new());
}

#[test]
fn s5_a_start_after_the_release() {
    let mut s = Story::new("compare");
    s.publish("a", 1, 1)
        .assigned(1, 1)
        .released(1)
        .run("a", 1, 1, 1)
        .closed();
    assert_eq!(verdict(&[&s]), ["S5"]);
}

#[test]
fn s9_a_start_without_its_end() {
    let mut s = Story::new("compare");
    s.publish("a", 1, 1)
        .assigned(1, 1)
        .start("a", 1, 1, 1)
        .end("a", 1, 1, 1, "done");
    s.publish("b", 1, 2).say(
        json!({"ev": "dead", "topic": "t", "partition": 0, "position": 2,
        "key": "b", "id": "b-1", "why": "exhausted"}),
    );
    s.start("b", 1, 2, 1).closed();
    assert_eq!(verdict(&[&s]), ["S9"]);
}

#[test]
fn s10_each_accepted_has_exactly_one_result() {
    let mut none = Story::new("produce");
    none.of("accepted", "a", 1).closed();
    assert_eq!(verdict(&[&none]), ["S10"]);
    let mut two = Story::new("produce");
    two.publish("a", 1, 1).of("unknown", "a", 1).closed();
    assert_eq!(verdict(&[&two]), ["S10"]);
    // Published twice under one identity: two accepted, two results.
    let mut copy = Story::new("produce");
    copy.publish("a", 1, 1).publish("a", 1, 2).closed();
    assert_eq!(verdict(&[&copy]), Vec::<&str>::new());
    // A killed process is excused.
    let mut killed = Story::new("produce");
    killed.of("accepted", "a", 1);
    assert_eq!(verdict(&[&killed]), Vec::<&str>::new());
}

#[test]
fn lost_stored_and_never_seen() {
    let mut s = Story::new("compare");
    s.publish("a", 1, 1)
        .publish("b", 1, 2)
        .assigned(1, 1)
        .run("a", 1, 1, 1)
        .closed();
    let report = judge(&[&s]);
    assert_eq!(report.runs[0].verdict, ["lost"]);
    assert_eq!(report.runs[0].lost, 1);
    assert_eq!(report.first_broken().unwrap().0, "lost");
    // Dead, parked, expired and quarantined are accounted for.
    for ev in ["dead", "parked", "expired", "quarantined"] {
        let mut s = Story::new("compare");
        s.publish("a", 1, 1)
            .assigned(1, 1)
            .say(json!({"ev": ev, "topic": "t", "partition": 0,
            "position": 1, "key": "a", "id": "a-1", "why": "w"}))
            .closed();
        assert_eq!(verdict(&[&s]), Vec::<&str>::new(), "{ev}");
    }
}

#[test]
fn duplicates_in_one_process_are_never_excused() {
    let mut s = Story::new("compare");
    s.publish("a", 1, 1)
        .assigned(1, 1)
        .run("a", 1, 1, 1)
        .released(1)
        .assigned(2, 1);
    s.run("a", 1, 1, 2).closed();
    assert_eq!(verdict(&[&s]), ["duplicates"]);
}

#[test]
fn duplicates_after_a_kill_are_excused_only_beyond_the_last_commit() {
    let mut p = Story::new("produce");
    p.publish("a", 1, 1).publish("a", 2, 2).closed();
    let mut killed = Story::new("consume");
    killed
        .at(2_000)
        .assigned(1, 1)
        .run("a", 1, 1, 1)
        .commits(1, 2)
        .run("a", 2, 2, 1);
    let mut next = Story::new("consume");
    next.at(3_000).assigned(2, 2).run("a", 2, 2, 2).closed();
    let report = judge(&[&p, &killed, &next]);
    assert_eq!(report.runs[0].verdict, Vec::<&str>::new());
    assert_eq!(
        (report.runs[0].duplicates, report.runs[0].duplicates_excused),
        (1, 1)
    );
    // Position 1 was covered by the killed member's commit.
    let mut again = Story::new("consume");
    again
        .at(3_000)
        .assigned(2, 1)
        .run("a", 1, 1, 2)
        .run("a", 2, 2, 2)
        .closed();
    assert_eq!(verdict(&[&p, &killed, &again]), ["duplicates"]);
}

#[test]
fn what_a_paused_member_ends_after_a_take_over_is_excused_unless_it_had_released() {
    let mut p = Story::new("produce");
    p.publish("a", 1, 1).closed();
    let mut next = Story::new("consume");
    next.at(3_000)
        .assigned(2, 1)
        .run("a", 1, 1, 2)
        .commits(2, 2)
        .closed();
    let mut paused = Story::new("consume");
    paused.at(2_000).assigned(1, 1).start("a", 1, 1, 1);
    paused.at(9_000).end("a", 1, 1, 1, "done").closed();
    let report = judge(&[&p, &paused, &next]);
    assert_eq!(report.runs[0].verdict, Vec::<&str>::new());
    assert_eq!(
        (report.runs[0].duplicates, report.runs[0].duplicates_excused),
        (1, 1)
    );
    // A member that released the epoch has no excuse.
    let mut paused = Story::new("consume");
    paused
        .at(2_000)
        .assigned(1, 1)
        .start("a", 1, 1, 1)
        .released(1);
    paused.at(9_000).end("a", 1, 1, 1, "done").closed();
    assert!(verdict(&[&p, &paused, &next]).contains(&"duplicates"));
}

#[test]
fn inversions_count_first_effective_processings_only() {
    let mut s = Story::new("compare");
    s.publish("a", 1, 1)
        .publish("a", 2, 2)
        .assigned(1, 1)
        .run("a", 2, 2, 1)
        .run("a", 1, 1, 1);
    s.closed();
    assert_eq!(verdict(&[&s]), ["inversions"]);
    // In the new content of a rewritten log a lower position is no inversion.
    let mut s = Story::new("compare");
    s.publish("a", 1, 5).assigned(1, 1).run("a", 1, 5, 1);
    s.say(json!({"ev": "rewritten", "topic": "t", "partition": 0, "position": 3, "why": "w"}));
    s.publish("a", 2, 4)
        .run("a", 2, 4, 2)
        .commits(2, 5)
        .closed();
    assert_eq!(verdict(&[&s]), Vec::<&str>::new());
}

#[test]
fn a_gap_is_a_loss_that_a_later_one_passed() {
    let mut s = Story::new("compare");
    s.publish("a", 1, 1)
        .publish("a", 2, 2)
        .assigned(1, 1)
        .run("a", 2, 2, 1)
        .closed();
    let report = judge(&[&s]);
    assert_eq!(report.runs[0].verdict, ["lost", "gaps"]);
    assert_eq!(report.runs[0].gaps, 1);
}

#[test]
fn with_an_audit_stored_means_logged() {
    let mut s = Story::new("compare");
    s.of("accepted", "a", 1)
        .of("unknown", "a", 1)
        .publish("b", 1, 7);
    s.say(json!({"ev": "logged", "topic": "t", "key": "a", "id": "a-1", "seq": 1, "partition": 0, "position": 1}));
    s.assigned(1, 1).run("a", 1, 1, 1).closed();
    let report = judge(&[&s]);
    let run = &report.runs[0];
    assert_eq!(
        (run.stored, run.unique, run.lost, run.broker_lost),
        (1, 1, 0, 1)
    );
    assert_eq!(run.verdict, Vec::<&str>::new());
}

#[test]
fn only_a_producers_history_loses_nothing() {
    let mut s = Story::new("produce");
    s.publish("a", 1, 1).closed();
    let report = judge(&[&s]);
    assert_eq!(report.runs[0].verdict, Vec::<&str>::new());
    assert_eq!(report.runs[0].lost, 1);
}

#[test]
fn runs_are_counted_apart() {
    let mut s = Story::new("compare");
    s.say(json!({"ev": "run", "run": "x", "broker": "memory", "load": "low"}));
    s.publish("a", 1, 1).assigned(1, 1).run("a", 1, 1, 1);
    s.say(json!({"ev": "run", "run": "x", "broker": "nats", "load": "low"}));
    let other = json!({"ev": "accepted", "topic": "u", "key": "a", "id": "a-1", "seq": 1});
    s.say(other.clone());
    let mut stored = other;
    stored["ev"] = json!("stored");
    stored["partition"] = json!(0);
    stored["position"] = json!(1);
    s.say(stored)
        .say(json!({"ev": "assigned", "topic": "u", "partition": 0, "epoch": 1, "position": 1}));
    s.closed();
    let report = judge(&[&s]);
    let seen: Vec<_> = report
        .runs
        .iter()
        .map(|r| (r.broker.as_str(), r.lost))
        .collect();
    assert_eq!(seen, [("memory", 0), ("nats", 1)]);
}

#[test]
fn one_torn_last_line_is_tolerated_and_a_torn_middle_is_not() {
    let mut s = Story::new("consume");
    s.publish("a", 1, 1).assigned(1, 1).run("a", 1, 1, 1);
    let whole = s.text();
    let torn = format!("{whole}{{\"ev\":\"start\",\"t\":99");
    let (_dir, files) = write(&[torn]);
    let report = check(&files).unwrap();
    assert!(report.sources[0].torn && report.sources[0].killed());
    assert_eq!(report.runs[0].verdict, Vec::<&str>::new());
    let broken = whole.replacen("{\"ev\":\"stored\"", "{\"ev\":\"sto", 1);
    let broken = if broken == whole {
        whole.replacen(':', "", 9)
    } else {
        broken
    };
    let (_dir, files) = write(&[broken]);
    assert!(check(&files).is_err());
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    let mut a = Story::new("consume");
    a.closed();
    let mut b = Story::new("consume");
    b.lines[0]["boot"] = json!("other");
    b.closed();
    let (_dir, files) = write(&[a.text(), b.text()]);
    assert!(check(&files).unwrap_err().0.contains("boots"));
    let (_dir, files) = write(&[a.text()]);
    assert!(
        check(&[files[0].clone(), files[0].clone()])
            .unwrap_err()
            .0
            .contains("twice")
    );
    let (_dir, files) = write(&[String::new()]);
    assert!(check(&files).is_err());
}

/// The checker is a second opinion only as long as it shares no code with what it judges.
#[test]
fn the_checker_shares_nothing_with_the_bus() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/check");
    let mut files = 0;
    for file in std::fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        if path.file_name().is_some_and(|n| n == "tests.rs") {
            continue;
        }
        files += 1;
        let text = std::fs::read_to_string(&path).unwrap();
        for line in text
            .lines()
            .map(str::trim_start)
            .filter(|l| !l.starts_with("//"))
        {
            let forbidden = line.contains("crate::") || line.contains("procession");
            assert!(!forbidden, "{}: {line}", path.display());
            let outside = line.strip_prefix("use ").is_some_and(|u| {
                !["std::", "serde_json::", "super::", "self::"]
                    .iter()
                    .any(|p| u.starts_with(p))
            });
            assert!(!outside, "{}: {line}", path.display());
        }
    }
    assert!(files >= 8, "the modules of the checker were not found");
}
