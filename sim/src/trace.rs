//! Traces: what real brokers were seen to do, replayed through the models that simulated runs use.
//!
//! A trace is text: what was done to a topic of one partition, and behind `->` what was answered.
//! `tests/tests/models` records them from real brokers, `sim/traces` keeps them. A model that answers
//! otherwise than a broker did is wrong, whatever the runs over it say.
//!
//! Where the model of the runs is on purpose harsher than a broker, the trace's own model goes along with
//! the broker: see `Brokers`.

use std::fmt;

use procession_core::{Anchor, Commit, Continuity, Epoch, PartitionId, Position, Stamp};

use crate::log::{Entry, Log, Record};

/// Most lines of a trace.
const LINES_MAX: usize = 10_000;

/// Where a broker was seen to answer otherwise than the model.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Disagreement {
    /// The line of the trace, counted from 1.
    pub line: usize,
    /// What was done.
    pub done: String,
    /// What the broker answered.
    pub broker: String,
    /// What the model answers, or what is wrong with the line.
    pub model: String,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            line,
            done,
            broker,
            model,
        } = self;
        write!(
            f,
            "line {line}: `{done}` was answered by `{broker}`, and by the model by `{model}`"
        )
    }
}

impl std::error::Error for Disagreement {}

/// What differs from broker to broker.
struct Brokers {
    /// The first position of a log.
    first: u64,
    /// What a group has committed goes with its topic. (Simulated runs keep it on both: it is void, as the
    /// core has to notice.)
    forgets: bool,
    /// It does not tell one log from another: the mock cluster knows no topic ids.
    anonymous: bool,
}

/// Does to the model what a trace says, and compares the answers.
///
/// # Errors
/// The first answer that differs, or a line that is none.
pub fn replay(text: &str) -> Result<(), Disagreement> {
    let mut lines = (1..).zip(text.lines());
    let wrong = |line: usize, done: &str, model: &str| Disagreement {
        line,
        done: done.to_owned(),
        broker: String::new(),
        model: model.to_owned(),
    };
    match lines.next() {
        Some((_, "procession-trace 1")) => {}
        other => return Err(wrong(1, other.map_or("", |l| l.1), "procession-trace 1")),
    }
    let brokers = match lines.next() {
        Some((_, name @ ("broker kafka" | "broker mock"))) => Brokers {
            first: 0,
            forgets: true,
            anonymous: name == "broker mock",
        },
        Some((_, "broker nats" | "broker memory")) => Brokers {
            first: 1,
            forgets: false,
            anonymous: false,
        },
        other => {
            let done = other.map_or("", |l| l.1);
            return Err(wrong(2, done, "broker kafka | mock | nats | memory"));
        }
    };
    let mut model = Model::new(brokers);
    let mut joined = 0;
    for (line, text) in lines {
        if LINES_MAX < line {
            return Err(wrong(line, text, "a trace of at most 10,000 lines"));
        }
        let Some((done, broker)) = text.split_once(" ->") else {
            return Err(wrong(line, text, "an answer behind `->`"));
        };
        let broker = broker.trim();
        let words: Vec<&str> = done.split(' ').collect();
        let Some(answer) = model.answer(&words) else {
            return Err(wrong(line, done, "nothing that can be done"));
        };
        joined += usize::from(words.first() == Some(&"join"));
        if answer != broker {
            return Err(Disagreement {
                line,
                done: done.to_owned(),
                broker: broker.to_owned(),
                model: answer,
            });
        }
    }
    if joined == 0 {
        return Err(wrong(0, "", "a trace in which somebody joins"));
    }
    Ok(())
}

/// One partition and the record of one group.
struct Model {
    brokers: Brokers,
    entries: Vec<Entry>,
    log: Log,
    record: Record,
    /// Where each message lay that this log has held, and its stamp.
    stamps: Vec<(u64, u64)>,
    /// What stood at the end of the log and was lost.
    lost: Vec<(u64, u64)>,
    stamp: u64,
    epoch: u64,
    write: u64,
}

impl Model {
    fn new(brokers: Brokers) -> Self {
        Self {
            log: Log::new(brokers.first, 1),
            brokers,
            entries: Vec::new(),
            record: Record::default(),
            stamps: Vec::new(),
            lost: Vec::new(),
            stamp: 0,
            epoch: 0,
            write: 0,
        }
    }

    fn answer(&mut self, words: &[&str]) -> Option<String> {
        let done = || "done".to_owned();
        match *words {
            ["publish"] => Some(self.publish()),
            // What ends a transaction takes a position, and is no message.
            ["marker"] => {
                self.log.end += 1;
                Some(done())
            }
            ["delete", position] => {
                let position = position.parse().ok()?;
                let index = self.log.seek(position);
                let found = self.log.at_or_after(position)?;
                (self.entries[found as usize].position == position).then_some(())?;
                self.log.remove(&mut self.entries, index);
                Some(done())
            }
            // Somebody else takes the partition; the member that goes on writing does so in its old epoch.
            ["take-over"] => Some(format!("epoch {}", self.record.open())),
            ["cut", count] => {
                let count: usize = count.parse().ok()?;
                let keep = self.log.entries().len().checked_sub(count)?;
                let end = self.log.cut(&mut self.entries, keep)?;
                let kept = self.stamps.partition_point(|(position, _)| *position < end);
                self.lost = self.stamps.split_off(kept);
                Some(done())
            }
            ["retain", below] => {
                let below = below.parse().ok()?;
                self.log.retain(&mut self.entries, below);
                Some(done())
            }
            ["recreate"] => {
                self.log.begin_anew(&mut self.entries, self.brokers.first);
                self.stamps.clear();
                if self.brokers.forgets {
                    let epoch = self.record.epoch;
                    self.record = Record {
                        epoch,
                        ..Record::default()
                    };
                }
                Some(done())
            }
            ["join"] => Some(self.join()),
            ["session", at, expect] => self.session(at.parse().ok()?, expect),
            ["deliver", from] => {
                let mut all = Vec::new();
                let mut from = from.parse().ok()?;
                while let Some(e) = self.log.at_or_after(from) {
                    let position = self.entries[e as usize].position;
                    all.push(position.to_string());
                    from = position + 1;
                }
                Some(all.join(" "))
            }
            ["commit", frontier, "anchor", anchor, "map", map] => {
                self.commit(frontier, anchor, unhex(map)?)
            }
            ["leave", frontier, "anchor", anchor] => self.commit(frontier, anchor, Vec::new()),
            _ => None,
        }
    }

    fn publish(&mut self) -> String {
        self.stamp += 1;
        let entry = Entry {
            number: self.entries.len() as u32,
            partition: 0,
            position: 0,
            stamp: self.stamp,
            key: None,
            lane: 0,
            identity: self.entries.len() as u32,
            bytes: 1,
            sequence: None,
            expires: None,
            malformed: false,
            poison: false,
            stored: true,
        };
        let number = self.log.append(&mut self.entries, entry, 0, 0);
        let position = self.entries[number as usize].position;
        self.stamps.push((position, self.stamp));
        position.to_string()
    }

    fn join(&mut self) -> String {
        self.epoch = self.record.open();
        self.write = 0;
        let map = self.record.map.clone();
        let resume = self.record.resume(&self.log, &map);
        format!(
            "epoch {} frontier {} anchor {} map {} start {} end {} log {} recorded {}",
            self.epoch,
            or_none(resume.frontier.map(|p| p.0)),
            or_none(resume.anchor.map(|a| a.position.0)),
            if map.is_empty() {
                "none".to_owned()
            } else {
                hex(&map)
            },
            resume.log_start.0,
            resume.log_end.0,
            resume.incarnation.0,
            or_none(
                resume
                    .recorded
                    .filter(|_| !self.brokers.anonymous)
                    .map(|i| i.0)
            ),
        )
    }

    fn session(&self, at: u64, expect: &str) -> Option<String> {
        let known = |position| self.stamps.iter().find(|(p, _)| *p == position);
        let stamp = match expect {
            "none" => return Some("continues".to_owned()),
            "same" => known(at)?.1,
            "other" => known(at.checked_sub(1)?)?.1,
            "lost" => self.lost.iter().find(|(p, _)| *p == at)?.1,
            _ => return None,
        };
        let anchor = Anchor {
            position: Position(at),
            stamp: Stamp(stamp),
        };
        Some(match self.log.continuity(&self.entries, anchor) {
            Continuity::Continues => "continues".to_owned(),
            Continuity::Rewritten { from } => format!("rewritten {}", from.0),
            Continuity::CannotTell => "cannot-tell".to_owned(),
        })
    }

    fn commit(&mut self, frontier: &str, anchor: &str, map: Vec<u8>) -> Option<String> {
        self.write += 1;
        let anchor = match anchor {
            "none" => None,
            position => {
                let position = position.parse().ok()?;
                let known = self.stamps.iter().find(|(p, _)| *p == position)?;
                Some(Anchor {
                    position: Position(position),
                    stamp: Stamp(known.1),
                })
            }
        };
        let commit = Commit {
            partition: PartitionId(0),
            epoch: Epoch(self.epoch),
            write: self.write,
            frontier: Position(frontier.parse().ok()?),
            anchor,
            finished: 0,
            map_len: map.len(),
            last: false,
        };
        if self.epoch < self.record.epoch {
            return Some("lost".to_owned());
        }
        if !self.record.is_before(self.epoch, self.write) {
            return Some("refused".to_owned());
        }
        self.record.store(&commit, map, &self.log);
        Some("stored".to_owned())
    }
}

fn or_none(value: Option<u64>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if text == "none" {
        return Some(Vec::new());
    }
    let digits = text.as_bytes().chunks(2);
    let bytes = digits.map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
    bytes.collect()
}
