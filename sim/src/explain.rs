//! A failure, told to a tired engineer.

use std::fmt::Write as _;

use crate::report::Failure;
use crate::timeline::{Kind, Moment, Timeline};

/// Columns of a drawing.
const WIDTH: u64 = 64;
/// Lines of one key's story.
const LINES_MAX: usize = 400;

/// What happened, key by key: the key that the verdict speaks of first.
#[must_use]
pub fn explain_failure(failure: &Failure, until: Option<usize>) -> String {
    let timeline = Timeline::of(failure, until);
    let mut out = String::new();
    heading(failure, &timeline, &mut out);
    let suspect = Timeline::suspect(failure);
    let of = |message: &u32| timeline.messages.get(message).map(|t| t.key);
    let first = suspect.as_ref().and_then(of);
    let mut keys: Vec<Option<usize>> = timeline.messages.values().map(|t| t.key).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.sort_by_key(|k| (Some(*k) != first, k.is_none(), *k));
    for key in keys {
        one_key(&timeline, key, Some(key) == first, &mut out);
    }
    if let Some((id, shape)) = &failure.verdict {
        let _ = writeln!(out, "=> {id}: {}", shape.replace('-', " "));
        let _ = writeln!(out, "   {}", failure.detail);
    }
    out
}

fn heading(failure: &Failure, timeline: &Timeline, out: &mut String) {
    match &failure.verdict {
        Some((id, shape)) => {
            let _ = writeln!(out, "{id}: {}", shape.replace('-', " "));
            let _ = writeln!(out, "  {}", failure.detail);
        }
        None => out.push_str("Nothing was wrong.\n"),
    }
    let Failure {
        core, origin, seed, ..
    } = failure;
    let _ = writeln!(out, "  found by {origin} in core {core}, seed {seed}");
    if !failure.shrunk.is_empty() {
        let _ = writeln!(out, "  shrunk {}", failure.shrunk);
    }
    let members = failure.tape.steps.iter().map(|s| s.member).max();
    let _ = writeln!(
        out,
        "  {} processes, {} partitions, {} keys, {} messages, {} inputs",
        members.map_or(0, |m| m + 1),
        failure.config.partitions,
        timeline.keys.len(),
        timeline.messages.len(),
        failure.tape.steps.len()
    );
    let faults = failure.world.as_ref().and_then(|w| w.faults.as_ref());
    for fault in faults.into_iter().flatten().take(20) {
        let name = fault.site.name();
        let (entity, occurrence) = (fault.entity, fault.occurrence);
        let _ = writeln!(out, "  fault {name}, of {entity}, time {occurrence}");
    }
    out.push('\n');
}

fn one_key(timeline: &Timeline, key: Option<usize>, suspect: bool, out: &mut String) {
    let name = key.map_or_else(|| "without a key".into(), Timeline::key_name);
    let whose = if suspect {
        " (the verdict speaks of it)"
    } else {
        ""
    };
    let _ = writeln!(out, "{name}{whose}");
    let mine: Vec<u32> = timeline
        .messages
        .iter()
        .filter(|(_, told)| told.key == key)
        .map(|(message, _)| *message)
        .collect();
    let partitions: Vec<u32> = mine
        .iter()
        .map(|m| timeline.messages[m].partition)
        .collect();
    let concerns = |moment: &&Moment| match (moment.message, moment.partition) {
        (Some(message), _) => mine.contains(&message),
        (None, Some(partition)) => partitions.contains(&partition),
        (None, None) => true,
    };
    let moments: Vec<&Moment> = timeline.moments.iter().filter(concerns).collect();
    let (Some(first), Some(last)) = (moments.first(), moments.last()) else {
        return;
    };
    let (from, to) = (first.at, last.at.max(first.at + 1));
    let column =
        |at: u64| ((at - from) as u128 * u128::from(WIDTH - 1) / u128::from(to - from)) as usize;
    let _ = writeln!(
        out,
        "  from {:.3} to {:.3} ms: a arrives, = runs, D done, x fails, R rejected, c dropped, L dead \
         letter, 2 copy, . again or void",
        ms(from),
        ms(to)
    );
    for &message in &mine {
        let told = &timeline.messages[&message];
        let mut row = vec![' '; WIDTH as usize];
        let mut since: Option<usize> = None;
        for moment in moments.iter().filter(|m| m.message == Some(message)) {
            let at = column(moment.at);
            match moment.kind {
                Kind::Starts => {
                    row[at] = '=';
                    since = Some(at);
                }
                Kind::Ends(mark) => {
                    if let Some(since) = since.take() {
                        row[since..at].fill('=');
                    }
                    row[at] = mark;
                }
                Kind::Arrives => row[at] = 'a',
                Kind::Letter => row[at] = 'L',
                Kind::Again if row[at] == ' ' => row[at] = '.',
                Kind::Again | Kind::Asked | Kind::Commit | Kind::Tenure | Kind::Notice => {}
            }
        }
        if let Some(since) = since {
            row[since..].fill('=');
        }
        let row: String = row.into_iter().collect();
        let place = format!("{}@{}", told.partition, told.position);
        let _ = writeln!(
            out,
            "  {:<10} {place:>8} |{row}|",
            format!("message {message}")
        );
    }
    out.push_str("\n     input         ms  who  what\n");
    let skipped = moments.len().saturating_sub(LINES_MAX);
    if skipped > 0 {
        let _ = writeln!(out, "  ... {skipped} earlier lines, see --trace");
    }
    for moment in &moments[skipped..] {
        let subject = moment
            .message
            .map_or_else(|| "     ".into(), |m| format!("message {m} "));
        let _ = writeln!(
            out,
            "  {:>8} {:>10.3}  m{:<3} {subject}{}",
            moment.input,
            ms(moment.at),
            moment.member,
            moment.text
        );
    }
    out.push('\n');
}

fn ms(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}
