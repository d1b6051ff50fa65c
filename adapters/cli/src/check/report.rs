//! What was found, as figures, as text and as JSON.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::effects::Effects;
use super::event::Entry;
use super::names::Id;
use super::publishing::Publishing;
use super::read::Read;
use super::{Context, Source};

/// Faults in the order in which the first is named.
const ORDER: [&str; 11] = [
    "S1",
    "S3",
    "S3b",
    "S5",
    "S9",
    "S10",
    "lost",
    "duplicates",
    "inversions",
    "gaps",
    "S1-across",
];

/// What all histories together say.
#[derive(Clone, Debug)]
pub struct Report {
    /// The files.
    pub sources: Vec<Source>,
    /// One for each run; files without `run` lines are one run together.
    pub runs: Vec<RunReport>,
}

/// What the histories say of one run.
#[derive(Clone, Default, Debug)]
pub struct RunReport {
    /// The run's name; empty without `run` lines.
    pub run: String,
    /// Its broker.
    pub broker: String,
    /// Its load.
    pub load: String,
    /// Distinct ids that were accepted for publishing.
    pub accepted: u64,
    /// Distinct ids in the log.
    pub stored: u64,
    /// Distinct ids that were refused.
    pub refused: u64,
    /// Distinct ids whose publish ended as unknown.
    pub unknown: u64,
    /// Distinct ids whose only result is unknown and that never showed up anywhere.
    pub unresolved: u64,
    /// Distinct ids that were acknowledged but not in the log when it was read back.
    pub broker_lost: u64,
    /// Distinct ids that were effective.
    pub unique: u64,
    /// Attempts that started.
    pub attempts: u64,
    /// Effective processings beyond the first of their id.
    pub duplicates: u64,
    /// Of these, the ones that the end of a killed or fenced process explains.
    pub duplicates_excused: u64,
    /// Copies that were recognised and not run.
    pub recognised: u64,
    /// Stored, and neither effective nor accounted for.
    pub lost: u64,
    /// Distinct dead-lettered ids.
    pub dead: u64,
    /// Distinct parked ids.
    pub parked: u64,
    /// Distinct expired ids.
    pub expired: u64,
    /// Distinct quarantined ids.
    pub quarantined: u64,
    /// First effective processings below an earlier one.
    pub inversions: u64,
    /// Missing sequences below an effective one of the same key.
    pub gaps: u64,
    /// Breaches by promise: how many, and the first in words.
    pub breaches: BTreeMap<&'static str, (u64, String)>,
    /// What is broken, in order.
    pub verdict: Vec<&'static str>,
}

/// Breaches by run and promise.
#[derive(Default)]
pub(super) struct Findings {
    by_run: BTreeMap<(usize, &'static str), (u64, String)>,
}

impl Findings {
    /// Counts a breach at a line, and keeps the words of the first.
    pub(super) fn add(
        &mut self,
        promise: &'static str,
        entry: &Entry,
        words: impl FnOnce() -> String,
    ) {
        self.add_at(promise, entry.run, entry.file, entry.line, words);
    }

    pub(super) fn add_at(
        &mut self,
        promise: &'static str,
        run: usize,
        file: usize,
        line: usize,
        words: impl FnOnce() -> String,
    ) {
        let found = self
            .by_run
            .entry((run, promise))
            .or_insert_with(|| (0, format!("{} (file {}, line {line})", words(), file + 1)));
        found.0 += 1;
    }
}

pub(super) fn build(
    read: &Read,
    publishing: &Publishing,
    effects: &Effects,
    findings: Findings,
) -> Report {
    let context = Context {
        sources: &read.sources,
        names: &read.names,
    };
    let mut runs: Vec<RunReport> = read
        .runs
        .iter()
        .map(|(run, broker, load)| RunReport {
            run: run.clone(),
            broker: broker.clone(),
            load: load.clone(),
            ..RunReport::default()
        })
        .collect();
    count_ids(&context, publishing, effects, &mut runs);
    for (run, sums) in &effects.sums {
        let r = &mut runs[*run];
        r.attempts = sums.attempts;
        r.duplicates = sums.duplicates;
        r.duplicates_excused = sums.duplicates_excused;
        r.inversions = sums.inversions;
        r.recognised = sums.recognised;
    }
    for ((run, promise), found) in findings.by_run {
        runs[run].breaches.insert(promise, found);
    }
    for (index, run) in runs.iter_mut().enumerate() {
        run.judge(effects.consumed.contains(&index));
    }
    // The unnamed run is there for files without `run` lines; do not show it for nothing.
    if runs.len() > 1 && runs[0].is_empty() {
        runs.remove(0);
    }
    Report {
        sources: read.sources.clone(),
        runs,
    }
}

fn count_ids(
    context: &Context<'_>,
    publishing: &Publishing,
    effects: &Effects,
    runs: &mut [RunReport],
) {
    // Highest effective sequence by key.
    let mut effective_up_to: BTreeMap<u32, u64> = BTreeMap::new();
    for id in effects.effective.keys() {
        let info = context.names.id_info(*id);
        if let (Some(key), Some(seq)) = (info.key, info.seq) {
            let highest = effective_up_to.entry(key.0).or_default();
            *highest = seq.max(*highest);
        }
    }
    for (index, info) in context.names.id_infos.iter().enumerate() {
        let id = Id(u32::try_from(index).unwrap_or(u32::MAX));
        let r = &mut runs[info.run];
        let stored = publishing.is_stored(context, id);
        let accounted = effects.is_accounted_for(id);
        let missing = stored && !accounted;
        r.accepted += u64::from(publishing.accepted.contains(&id));
        r.stored += u64::from(stored);
        r.refused += u64::from(publishing.refused.contains(&id));
        let unknown = publishing.unknown.contains(&id);
        r.unknown += u64::from(unknown);
        r.unresolved +=
            u64::from(unknown && !stored && !accounted && !publishing.refused.contains(&id));
        r.broker_lost += u64::from(publishing.is_lost_by_broker(context, id));
        r.unique += u64::from(effects.effective.contains_key(&id));
        r.dead += u64::from(effects.dead.contains(&id));
        r.parked += u64::from(effects.parked.contains(&id));
        r.expired += u64::from(effects.expired.contains(&id));
        r.quarantined += u64::from(effects.quarantined.contains(&id));
        r.lost += u64::from(missing);
        if let (true, Some(key), Some(seq)) = (missing, info.key, info.seq) {
            let passed = effective_up_to
                .get(&key.0)
                .is_some_and(|highest| seq < *highest);
            r.gaps += u64::from(passed);
        }
    }
}

impl RunReport {
    fn is_empty(&self) -> bool {
        self.accepted + self.stored + self.attempts == 0 && self.breaches.is_empty()
    }

    fn judge(&mut self, consumed: bool) {
        let counted = [
            ("lost", u64::from(consumed) * self.lost),
            ("duplicates", self.duplicates - self.duplicates_excused),
            ("inversions", self.inversions),
            ("gaps", self.gaps),
        ];
        self.verdict = ORDER
            .into_iter()
            .filter(|name| {
                let breached = self.breaches.contains_key(name) && *name != "S1-across";
                breached || counted.iter().any(|(n, count)| n == name && *count > 0)
            })
            .collect();
    }

    fn json(&self) -> Value {
        let rate = |part: u64, whole: u64| {
            if whole == 0 {
                0.0
            } else {
                part as f64 / whole as f64
            }
        };
        let mut value = json!({
            "run": self.run, "broker": self.broker, "load": self.load,
            "accepted": self.accepted, "stored": self.stored, "refused": self.refused,
            "unknown": self.unknown, "unresolved": self.unresolved,
            "broker_lost": self.broker_lost, "unique": self.unique, "attempts": self.attempts,
            "duplicates": self.duplicates, "duplicates_excused": self.duplicates_excused,
            "recognised": self.recognised, "lost": self.lost, "dead": self.dead,
            "parked": self.parked, "expired": self.expired, "quarantined": self.quarantined,
            "inversions": self.inversions, "gaps": self.gaps,
            "delivery_rate": rate(self.unique, self.stored),
            "loss_rate": rate(self.lost, self.stored),
            "duplication_rate": rate(self.duplicates, self.unique),
            "verdict": verdict(&self.verdict),
        });
        for promise in ["S1", "S1-across", "S3", "S3b", "S5", "S9", "S10"] {
            let (count, first) = self.breaches.get(promise).cloned().unwrap_or_default();
            value[promise] = json!({ "count": count, "first": (count > 0).then_some(first) });
        }
        value
    }
}

impl Report {
    /// The first broken promise, if any: its name and what happened.
    #[must_use]
    pub fn first_broken(&self) -> Option<(&'static str, String)> {
        let run = self.runs.iter().find(|r| !r.verdict.is_empty())?;
        let name = *run.verdict.first()?;
        let words = match (run.breaches.get(name), name) {
            (Some((count, first)), _) => format!("{count} times, first: {first}"),
            (None, "lost") => format!("{} of {} stored", run.lost, run.stored),
            (None, "duplicates") => format!(
                "{} effective more than once, {} of them excused",
                run.duplicates, run.duplicates_excused
            ),
            (None, "inversions") => format!("{} out of order", run.inversions),
            (None, _) => format!("{} passed over", run.gaps),
        };
        Some((name, words))
    }

    /// The report as JSON, version 1.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut broken: Vec<&str> = Vec::new();
        for name in self.runs.iter().flat_map(|r| &r.verdict) {
            if !broken.contains(name) {
                broken.push(name);
            }
        }
        json!({
            "version": 1,
            "files": self.sources.iter().map(|s| json!({
                "path": s.path, "role": s.role, "member": s.member, "group": s.group,
                "lines": s.lines, "torn": s.torn, "killed": s.killed(), "status": s.closed,
            })).collect::<Vec<_>>(),
            "runs": self.runs.iter().map(RunReport::json).collect::<Vec<_>>(),
            "verdict": verdict(&broken),
        })
    }
}

fn verdict(names: &[&str]) -> Value {
    if names.is_empty() {
        json!("ok")
    } else {
        json!(names)
    }
}
