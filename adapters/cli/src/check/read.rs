//! From files to events in one order.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::event::{Attempt, Ending, Entry, Event};
use super::names::{Id, Names, Part};

/// What a file says of itself.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file.
    pub path: PathBuf,
    /// `compare`, `produce` or `consume`.
    pub role: String,
    /// The member's name.
    pub member: String,
    /// The group; empty for a producer.
    pub group: String,
    /// Whole lines.
    pub lines: usize,
    /// The last line was cut off.
    pub torn: bool,
    /// The status on its last line; `None`: the process was killed.
    pub closed: Option<u64>,
    boot: String,
    last_t: u64,
}

impl Source {
    /// The process did not write its last line.
    #[must_use]
    pub fn killed(&self) -> bool {
        self.closed.is_none()
    }

    /// Time of its last line.
    pub(super) fn last_t(&self) -> u64 {
        self.last_t
    }
}

/// A file that cannot be read or judged, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unreadable(pub String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreadable {}

/// All files.
pub(super) struct Read {
    pub(super) sources: Vec<Source>,
    pub(super) names: Names,
    /// By index: (run, broker, load). The first is that of files without `run` lines.
    pub(super) runs: Vec<(String, String, String)>,
    pub(super) entries: Vec<Entry>,
}

pub(super) fn read(files: &[PathBuf]) -> Result<Read, Unreadable> {
    let mut all = Read {
        sources: Vec::new(),
        names: Names::default(),
        runs: vec![Default::default()],
        entries: Vec::new(),
    };
    let mut seen = HashSet::new();
    for path in files {
        if !seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())) {
            return Err(Unreadable(format!(
                "{} was given twice; name it once",
                path.display()
            )));
        }
        read_file(path, &mut all)?;
    }
    one_boot_and_group(&all.sources)?;
    // Stable: lines of one file keep their order, whatever their times.
    all.entries.sort_by_key(|e| e.t);
    Ok(all)
}

fn one_boot_and_group(sources: &[Source]) -> Result<(), Unreadable> {
    let differs = |what: fn(&Source) -> &str| {
        let mut named = sources.iter().filter(|s| !what(s).is_empty());
        let first = named.next()?;
        let other = named.find(|s| what(s) != what(first))?;
        Some((
            first.path.display().to_string(),
            other.path.display().to_string(),
        ))
    };
    if let Some((a, b)) = differs(|s| &s.boot) {
        return Err(Unreadable(format!(
            "{a} and {b} come from different boots, so their times cannot be compared; check them apart"
        )));
    }
    if let Some((a, b)) = differs(|s| &s.group) {
        return Err(Unreadable(format!(
            "{a} and {b} belong to different groups; check one group at a time"
        )));
    }
    Ok(())
}

fn read_file(path: &Path, all: &mut Read) -> Result<(), Unreadable> {
    let say = |what: String| Unreadable(format!("{}: {what}", path.display()));
    let file = File::open(path).map_err(|e| say(format!("cannot be read: {e}")))?;
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut source = Source {
        path: path.to_owned(),
        role: String::new(),
        member: String::new(),
        group: String::new(),
        lines: 0,
        torn: false,
        closed: None,
        boot: String::new(),
        last_t: 0,
    };
    let index = all.sources.len();
    let mut run = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader
            .read_until(b'\n', &mut line)
            .map_err(|e| say(e.to_string()))?;
        if read == 0 {
            break;
        }
        // Only the last line can lack its line feed: the process was killed inside the write.
        if line.last() != Some(&b'\n') {
            source.torn = true;
            break;
        }
        let number = source.lines + 1;
        let value: Value = serde_json::from_slice(&line)
            .map_err(|e| say(format!("line {number} is not a line of a history: {e}")))?;
        let fields = Fields { value: &value };
        let bad = |field: String| say(format!("line {number}: {field}"));
        let ev = fields.text("ev").map_err(bad)?;
        let t = fields.number("t").map_err(bad)?;
        if number == 1 {
            if ev != "meta" || fields.number("version").map_err(bad)? != 1 {
                return Err(say(
                    "line 1 is not the `meta` line of a version 1 history".into()
                ));
            }
            source.role = fields.text("role").unwrap_or_default().to_owned();
            source.member = fields.text("member").unwrap_or_default().to_owned();
            source.group = fields.text("group").unwrap_or_default().to_owned();
            source.boot = fields.text("boot").unwrap_or_default().to_owned();
        }
        if ev == "run" {
            let label = ["run", "broker", "load"].map(|f| fields.label(f));
            let [a, b, c] = label;
            let label = (a, b, c);
            run = all
                .runs
                .iter()
                .position(|r| *r == label)
                .unwrap_or_else(|| {
                    all.runs.push(label);
                    all.runs.len() - 1
                });
        }
        if ev == "closed" {
            source.closed = Some(fields.number("status").map_err(bad)?);
        } else {
            // A line after `closed` means that the file is not one process's.
            if source.closed.is_some() {
                return Err(say(format!("line {number} follows the `closed` line")));
            }
        }
        source.last_t = source.last_t.max(t);
        source.lines = number;
        let event = fields.event(ev, run, &mut all.names).map_err(bad)?;
        if !matches!(event, Event::Other) {
            all.entries.push(Entry {
                t: source.last_t,
                file: index,
                line: number,
                run,
                event,
            });
        }
    }
    if source.lines == 0 {
        return Err(say("holds no whole line; it is not a history".into()));
    }
    all.sources.push(source);
    Ok(())
}

/// The fields of one line.
struct Fields<'a> {
    value: &'a Value,
}

impl<'a> Fields<'a> {
    fn text(&self, name: &str) -> Result<&'a str, String> {
        self.value
            .get(name)
            .and_then(Value::as_str)
            .ok_or_else(|| format!("`{name}` is missing or not text"))
    }

    fn number(&self, name: &str) -> Result<u64, String> {
        self.value
            .get(name)
            .and_then(Value::as_u64)
            .ok_or_else(|| format!("`{name}` is missing or not a number"))
    }

    fn label(&self, name: &str) -> String {
        match self.value.get(name) {
            Some(Value::String(s)) => s.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        }
    }

    fn part(&self, run: usize, names: &mut Names) -> Result<Part, String> {
        let topic = names.topic(self.text("topic")?);
        Ok(names.part(topic, self.number("partition")?, run))
    }

    fn id(&self, run: usize, names: &mut Names) -> Result<Id, String> {
        let topic = names.topic(self.text("topic")?);
        let key = self.text("key").ok().map(|k| names.key(topic, k, run));
        Ok(names.id(topic, self.text("id")?, run, key, self.number("seq").ok()))
    }

    fn attempt(&self, run: usize, names: &mut Names) -> Result<Attempt, String> {
        let id = self.id(run, names)?;
        Ok(Attempt {
            part: self.part(run, names)?,
            position: self.number("position")?,
            epoch: self.number("epoch")?,
            key: names.id_info(id).key,
            id,
            attempt: self.number("attempt")?,
        })
    }

    fn event(&self, ev: &str, run: usize, names: &mut Names) -> Result<Event, String> {
        let ended = |ending, names: &mut Names| -> Result<Event, String> {
            Ok(Event::Ended {
                id: self.id(run, names)?,
                part: self.part(run, names)?,
                position: self.number("position")?,
                ending,
            })
        };
        Ok(match ev {
            "accepted" => Event::Accepted {
                id: self.id(run, names)?,
            },
            "stored" => Event::Stored {
                id: self.id(run, names)?,
                part: self.part(run, names)?,
                position: self.number("position")?,
            },
            "refused" => Event::Refused {
                id: self.id(run, names)?,
            },
            "unknown" => Event::Unknown {
                id: self.id(run, names)?,
            },
            "logged" => Event::Logged {
                id: self.id(run, names)?,
                part: self.part(run, names)?,
                position: self.number("position")?,
            },
            "assigned" => Event::Assigned {
                part: self.part(run, names)?,
                position: self.number("position").ok(),
            },
            "released" => Event::Released {
                part: self.part(run, names)?,
                epoch: self.number("epoch")?,
            },
            "start" => Event::Start(self.attempt(run, names)?),
            "end" => Event::End {
                attempt: self.attempt(run, names)?,
                done: self.text("outcome")? == "done",
            },
            "duplicate" => ended(Ending::Duplicate, names)?,
            "dead" => ended(Ending::Dead, names)?,
            "parked" => ended(Ending::Parked, names)?,
            "expired" => ended(Ending::Expired, names)?,
            "quarantined" => ended(Ending::Quarantined, names)?,
            "commit" => Event::Commit {
                part: self.part(run, names)?,
                epoch: self.number("epoch")?,
                frontier: self.number("frontier")?,
            },
            "committed" => Event::Committed {
                part: self.part(run, names)?,
                epoch: self.number("epoch")?,
                frontier: self.number("frontier")?,
                beyond: self.beyond()?,
            },
            "reset" | "rewritten" => Event::NewGeneration {
                part: self.part(run, names)?,
                position: self.number("position")?,
            },
            _ => Event::Other,
        })
    }

    fn beyond(&self) -> Result<Box<[(u64, u64)]>, String> {
        let Some(list) = self.value.get("beyond").filter(|v| !v.is_null()) else {
            return Ok(Box::default());
        };
        let pair = |v: &Value| Some((v.get(0)?.as_u64()?, v.get(1)?.as_u64()?));
        list.as_array()
            .and_then(|ranges| ranges.iter().map(pair).collect())
            .ok_or_else(|| "`beyond` is not a list of [from, to) pairs".into())
    }
}
