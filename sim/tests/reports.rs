//! Failure reports: what is written is read, and what is read happens again.

use procession_sim::{
    Call, ParseError, Plan, Profile, Replayed, explain_failure, hash, parse, print, record, replay,
    run_plan, verdict_id,
};

#[test]
fn a_run_that_is_written_down_happens_again_bit_for_bit() {
    for seed in 0..300 {
        let plan = Plan::new(seed, Profile::Mixed);
        let first = run_plan(plan.clone());
        let failure = record(plan);
        let text = print(&failure);
        let (read, right) = parse(&text).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        assert!(right, "seed {seed}");
        assert_eq!(print(&read), text, "seed {seed}");
        // The inputs lead to the same answers in cores of their own,
        assert_eq!(read.tape.diverges(&read.config), Ok(None), "seed {seed}");
        // and the world to the same run, from its workload and its faults alone.
        let again = run_plan(read.world.expect("a run of the simulator has a world"));
        assert_eq!(
            (again.hash, again.events),
            (first.hash, first.events),
            "seed {seed}"
        );
        assert_eq!(
            verdict_id(&again),
            read.verdict
                .map_or_else(|| "clean".into(), |v| format!("{}:{}", v.0, v.1))
        );
    }
}

/// A small report with a bit of everything.
fn sample() -> String {
    let has = [
        "order = key",
        " m0 open ",
        "publish at=0 ",
        "[faults]\nh",
        " settle ",
    ];
    let texts = (0..1_000).map(|seed| print(&record(Plan::new(seed, Profile::Swarm))));
    let whole = texts.filter(|text| has.iter().all(|part| text.contains(part)));
    whole.min_by_key(String::len).expect("some seed has it all")
}

fn wrong(text: &str) -> ParseError {
    parse(text).expect_err("it must not be read")
}

#[test]
fn another_version_is_told_apart_from_a_damaged_file() {
    let later = sample().replacen("procession-failure 1", "procession-failure 2", 1);
    assert_eq!(wrong(&later), ParseError::Version("2".into()));
    for text in ["", "procession", "\n", "procession-failure", "{}"] {
        assert!(matches!(wrong(text), ParseError::Malformed(1, _)), "{text}");
    }
}

#[test]
fn structure_is_strict_and_unknown_sections_are_passed_over() {
    let text = sample();
    let (read, _) = parse(&text).expect("it is a report");
    // Unknown sections and words of the head, empty lines, comments.
    let more = text
        .replacen(
            "\n[config]\n",
            "\nweather rain\n# a remark\n\n[config]\n",
            1,
        )
        .replacen(
            "[inputs]\n",
            "[snapshot]\nany thing = at all\n[inputs]\n",
            1,
        );
    let (again, right) = parse(&more).expect("what is unknown is passed over");
    assert_eq!(again, read);
    assert!(!right, "a file that was changed shows");
    // Every line counts: whichever is taken away, the file is refused, or the loss shows.
    let lines: Vec<&str> = text.lines().collect();
    for gone in 0..lines.len() {
        let mut rest = lines.clone();
        rest.remove(gone);
        let less = rest.join("\n") + "\n";
        if let Ok((other, right)) = parse(&less) {
            assert!(!right, "line {}: {}", gone + 1, lines[gone]);
            assert!(!lines[gone].starts_with('['), "{}", lines[gone]);
            drop(other);
        }
    }
    for (from, to) in [
        ("order = key", "order = alphabetical"),
        ("window = ", "window = -"),
        ("members = ", "members = 1\nmembres = "),
        (" m0 open ", " m0 opens "),
        (" m0 start", " m64 start"),
        (" poll c", " poll z"),
        ("[outputs]\n", "[outputs]\n0000000 "),
        ("[faults]\n", "[faults]\nbad-weather 1 2\n"),
        ("publish at=0", "publish at=1 at=0"),
    ] {
        assert!(text.contains(from), "{from}");
        let changed = text.replacen(from, to, 1);
        assert!(matches!(wrong(&changed), ParseError::Malformed(..)), "{to}");
    }
}

#[test]
fn a_torn_or_garbled_file_is_refused_without_a_panic() {
    let text = sample();
    for end in (0..text.len() - 1).step_by(7) {
        if let Some(torn) = text.get(..end) {
            assert!(parse(torn).is_err(), "{end}");
        }
    }
    // Any byte changed to any other: read or refused, and then shown; never a panic, and what is
    // read can be played.
    let bytes = text.as_bytes();
    for round in 0..800_u64 {
        let bits = hash(1, 2, 3, round);
        let at = bits as usize % bytes.len();
        let mut changed = bytes.to_vec();
        changed[at] = b" \n[]=-0159azmx"[(bits >> 32) as usize % 14];
        if changed[at] == bytes[at] {
            continue;
        }
        let Ok(changed) = String::from_utf8(changed) else {
            continue;
        };
        if let Ok((failure, right)) = parse(&changed) {
            assert!(!right, "{round}");
            let _whatever = replay(&failure, Some(40), false, &mut |_, _, _| {});
        }
    }
}

#[test]
fn a_changed_answer_is_found_at_its_input() {
    let (mut failure, _) = parse(&sample()).expect("it is a report");
    failure.tape.digests[30] ^= 1;
    let answers = replay(&failure, None, false, &mut |_, _, _| {});
    assert!(matches!(answers, Replayed::Differs(30, _)), "{answers:?}");
    let answers = replay(&failure, Some(30), false, &mut |_, _, _| {});
    assert_eq!(answers, Replayed::Same);
}

#[test]
fn a_timeline_names_every_message_and_every_key() {
    let (failure, _) = parse(&sample()).expect("it is a report");
    let story = explain_failure(&failure, None);
    assert!(story.starts_with("Nothing was wrong."), "{story}");
    for step in &failure.tape.steps {
        if let Call::Offer(arrival) = &step.call {
            let name = format!("message {} ", arrival.message);
            assert!(story.contains(&name), "{name}");
        }
    }
    assert!(
        story.contains("key A") && story.contains("starts, attempt 1"),
        "{story}"
    );
}
