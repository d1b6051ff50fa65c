//! A failure as a space-time diagram: one page, nothing from elsewhere.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::explain::explain_failure;
use crate::report::Failure;
use crate::timeline::{Kind, Timeline};

const WIDTH: f64 = 1_100.0;
const LEFT: f64 = 150.0;
const LANE: f64 = 26.0;
const TOP: f64 = 30.0;

/// One lane for every message, grouped by key, and one for every partition of every process; time
/// goes to the right. Below it stands what `--explain` says.
#[must_use]
pub fn draw(failure: &Failure, until: Option<usize>) -> String {
    let timeline = Timeline::of(failure, until);
    let mut page = String::new();
    let title = escape(&failure.verdict_id());
    let _ = writeln!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<title>{title}</title>\n\
         <style>{STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n<p>{}</p>\n<p class=\"keys\">{LEGEND}</p>",
        escape(&failure.detail)
    );
    picture(failure, &timeline, &mut page);
    let story = escape(&explain_failure(failure, until));
    let _ = writeln!(page, "<pre>{story}</pre>\n</body></html>");
    page
}

const STYLE: &str = "body{font:14px system-ui,sans-serif;margin:24px;color:#1b1f24;background:#fff}\
    h1{font-size:20px}svg{border:1px solid #d0d7de;display:block;max-width:100%}\
    text{font:12px system-ui,sans-serif;fill:#1b1f24}.dim{fill:#656d76}\
    .lane{stroke:#eaeef2}.key{fill:#f6f8fa}.run{fill:#54aeff}.bad{fill:#cf222e}.ok{fill:#1a7f37}\
    .arrive{fill:#fff;stroke:#1b1f24}.again{fill:#afb8c1}.commit{fill:#8250df}.tenure{fill:#bf8700}\
    .letter{fill:#953800}.suspect{fill:#ffebe9}.keys b{padding:0 4px;border-radius:3px;color:#fff}\
    pre{font:12px ui-monospace,monospace;background:#f6f8fa;padding:12px;overflow-x:auto}";

const LEGEND: &str = "<b style=\"background:#54aeff\">runs</b> \
    <b style=\"background:#1a7f37\">done</b> <b style=\"background:#cf222e\">failed, dropped</b> \
    <b style=\"background:#953800\">dead letter</b> <b style=\"background:#8250df\">commit</b> \
    <b style=\"background:#bf8700\">ownership, sessions</b> \
    <b style=\"background:#656d76\">again, void, refused</b>; a ring: it arrives. Point at a mark to read it.";

fn picture(failure: &Failure, timeline: &Timeline, page: &mut String) {
    let mut lanes: Vec<(Lane, String)> = Vec::new();
    let mut owners: Vec<(u32, Option<u32>)> = timeline
        .moments
        .iter()
        .filter(|m| m.message.is_none())
        .map(|m| (m.member, m.partition))
        .collect();
    owners.sort_unstable();
    owners.dedup();
    for (member, partition) in owners {
        let name = partition.map_or_else(
            || format!("process {member}"),
            |p| format!("process {member}, partition {p}"),
        );
        lanes.push((Lane::Owner(member, partition), name));
    }
    let mut messages: Vec<_> = timeline.messages.iter().collect();
    messages.sort_by_key(|(message, told)| (told.key, told.partition, told.position, **message));
    for (message, told) in messages {
        let key = told.key.map_or_else(|| "no key".into(), Timeline::key_name);
        let name = format!("{key}: {message} at {}@{}", told.partition, told.position);
        lanes.push((Lane::Message(*message), name));
    }
    let rows: BTreeMap<Lane, usize> = lanes.iter().enumerate().map(|(i, l)| (l.0, i)).collect();
    let from = timeline.moments.first().map_or(0, |m| m.at);
    let to = timeline.moments.last().map_or(1, |m| m.at).max(from + 1);
    let x = |at: u64| LEFT + (at - from) as f64 / (to - from) as f64 * (WIDTH - LEFT - 20.0);
    let y = |row: usize| TOP + row as f64 * LANE;
    let height = y(lanes.len()) + 20.0;
    let _ = writeln!(
        page,
        "<svg viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" role=\"img\" \
         aria-label=\"space-time diagram\">"
    );
    let suspect = Timeline::suspect(failure);
    for (row, (lane, name)) in lanes.iter().enumerate() {
        let y = y(row);
        if matches!(lane, Lane::Message(m) if Some(*m) == suspect) {
            let _ = writeln!(
                page,
                "<rect class=\"suspect\" x=\"0\" y=\"{y}\" width=\"{WIDTH}\" height=\"{LANE}\"/>"
            );
        }
        let middle = y + LANE / 2.0;
        let _ = writeln!(
            page,
            "<line class=\"lane\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{middle}\" y2=\"{middle}\"/>\
             <text x=\"6\" y=\"{}\">{}</text>",
            middle + 4.0,
            escape(name)
        );
    }
    for tick in 0..=8 {
        let at = from + (to - from) * tick / 8;
        // The last one stands before the edge, not across it.
        let (at_edge, anchor) = match tick {
            8 => (16.0, "end"),
            _ => (0.0, "middle"),
        };
        let _ = writeln!(
            page,
            "<text class=\"dim\" x=\"{:.1}\" y=\"16\" text-anchor=\"{anchor}\">{:.2} ms</text>",
            x(at) + at_edge,
            at as f64 / 1e6
        );
    }
    marks(timeline, &rows, &x, &y, page);
    page.push_str("</svg>\n");
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Lane {
    Owner(u32, Option<u32>),
    Message(u32),
}

fn marks(
    timeline: &Timeline,
    rows: &BTreeMap<Lane, usize>,
    x: &dyn Fn(u64) -> f64,
    y: &dyn Fn(usize) -> f64,
    page: &mut String,
) {
    let mut since: BTreeMap<(u32, u32), f64> = BTreeMap::new();
    let end = timeline.moments.last().map_or(0.0, |m| x(m.at));
    for moment in &timeline.moments {
        let lane = moment
            .message
            .map_or(Lane::Owner(moment.member, moment.partition), Lane::Message);
        let Some(&row) = rows.get(&lane) else {
            continue;
        };
        let (at, middle) = (x(moment.at), y(row) + LANE / 2.0);
        let run = (moment.member, moment.message.unwrap_or(u32::MAX));
        let class = match moment.kind {
            Kind::Starts => {
                since.insert(run, at);
                "run"
            }
            Kind::Ends(mark) => {
                if let Some(from) = since.remove(&run) {
                    bar(from, at, middle, page);
                }
                if mark == 'D' { "ok" } else { "bad" }
            }
            Kind::Arrives => "arrive",
            Kind::Again | Kind::Notice => "again",
            Kind::Asked => "bad",
            Kind::Letter => "letter",
            Kind::Commit => "commit",
            Kind::Tenure => "tenure",
        };
        let _ = writeln!(
            page,
            "<circle class=\"{class}\" cx=\"{at:.1}\" cy=\"{middle}\" r=\"4\"><title>{:.3} ms, process {}, \
             input {}: {}</title></circle>",
            moment.at as f64 / 1e6,
            moment.member,
            moment.input,
            escape(&moment.text)
        );
    }
    // What never ended runs to the edge.
    for ((_, message), from) in since {
        if let Some(&row) = rows.get(&Lane::Message(message)) {
            bar(from, end, y(row) + LANE / 2.0, page);
        }
    }
}

fn bar(from: f64, to: f64, middle: f64, page: &mut String) {
    let (y, width) = (middle - 3.0, (to - from).max(1.0));
    let _ = writeln!(
        page,
        "<rect class=\"run\" x=\"{from:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"6\"/>"
    );
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
