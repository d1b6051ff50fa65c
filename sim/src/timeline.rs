//! What happened, message by message, for people.

use std::collections::BTreeMap;

use procession_core::{Admit, Arrival, NoticeKind, PartitionId, Position, Refusal};

use crate::replay::replay;
use crate::report::Failure;
use crate::tape::{Call, Event, Played, Settled, Step};

/// One thing that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Moment {
    pub(crate) at: u64,
    pub(crate) member: u32,
    /// The number of the input, for `--until`.
    pub(crate) input: usize,
    pub(crate) partition: Option<u32>,
    pub(crate) message: Option<u32>,
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

/// What sort of thing, for drawings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Arrives,
    Again,
    Starts,
    Ends(char),
    Asked,
    Letter,
    Commit,
    Tenure,
    Notice,
}

/// A message, as far as the inputs tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Told {
    pub(crate) partition: u32,
    pub(crate) position: u64,
    /// Index of its key among the keys of the file; `None` without a key.
    pub(crate) key: Option<usize>,
}

/// All that happened in the inputs of a report.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timeline {
    pub(crate) moments: Vec<Moment>,
    pub(crate) messages: BTreeMap<u32, Told>,
    /// Keys in the order in which they came up.
    pub(crate) keys: Vec<u128>,
    running: BTreeMap<(u32, u64), u32>,
}

impl Timeline {
    /// Plays the inputs of a report.
    pub(crate) fn of(failure: &Failure, until: Option<usize>) -> Self {
        let mut new = Self::default();
        let _ended = replay(failure, until, false, &mut |index, step, played| {
            new.step(index, step, played);
        });
        new
    }

    /// The message that the verdict speaks of.
    pub(crate) fn suspect(failure: &Failure) -> Option<u32> {
        let (_, rest) = failure.detail.split_once("msg=")?;
        let digits = rest.find(|c: char| !c.is_ascii_digit());
        rest[..digits.unwrap_or(rest.len())].parse().ok()
    }

    /// `A`, `B`, ... `Z`, `key 27`: keys are named in the order in which they came up.
    pub(crate) fn key_name(index: usize) -> String {
        match u8::try_from(index) {
            Ok(small @ 0..26) => format!("key {}", char::from(b'A' + small)),
            _ => format!("key {}", index + 1),
        }
    }

    fn step(&mut self, input: usize, step: &Step, played: &Played) {
        let mut add = |partition: Option<u32>, message, kind, text: String| {
            self.moments.push(Moment {
                at: step.at,
                member: step.member,
                input,
                partition,
                message,
                kind,
                text,
            });
        };
        let p = |partition: &PartitionId| Some(partition.0);
        match &step.call {
            Call::Restore(_) => add(None, None, Kind::Tenure, "the recording begins".into()),
            Call::Start => add(None, None, Kind::Tenure, "the process starts".into()),
            Call::Import(..) => {
                let text = "reads what it remembered in its last life".into();
                add(None, None, Kind::Tenure, text);
            }
            Call::Open(open) => {
                let from = open.frontier.map_or_else(
                    || "with nothing committed".into(),
                    |f| format!("committed up to {f}"),
                );
                let (partition, epoch) = (open.partition.0, open.epoch.0);
                let text = format!("gets partition {partition} in epoch {epoch}, {from}");
                add(Some(partition), None, Kind::Tenure, text);
            }
            Call::Session(at, _, _, found) => {
                let text = format!("delivery of partition {} begins: {found:?}", at.0);
                add(p(at), None, Kind::Tenure, text);
            }
            Call::Broken(at, ..) => {
                let text = format!("delivery of partition {} breaks off", at.0);
                add(p(at), None, Kind::Tenure, text);
            }
            Call::Release(key) => {
                let text = format!("the owner releases the key {key:x}");
                add(None, None, Kind::Tenure, text);
            }
            Call::SetParked(key, mode) => {
                let text = format!("the owner says of the parked key {key:x}: {mode:?}");
                add(None, None, Kind::Tenure, text);
            }
            Call::Reset(at, to) => {
                let text = format!("the owner says where partition {} goes on: {to:?}", at.0);
                add(p(at), None, Kind::Tenure, text);
            }
            Call::PassGap(at, key) => {
                let text = format!(
                    "the owner passes the gap of key {key:x} of partition {}",
                    at.0
                );
                add(p(at), None, Kind::Tenure, text);
            }
            Call::Revoke(at, _, by) => {
                let by = by.saturating_sub(step.at) as f64 / 1e6;
                let text = format!("is to give partition {} up within {by:.3} ms", at.0);
                add(p(at), None, Kind::Tenure, text);
            }
            Call::Lose(at, _) => {
                let text = format!("loses partition {}", at.0);
                add(p(at), None, Kind::Tenure, text);
            }
            Call::CommitResult(at, _, write, result) => {
                let text = format!("write {write} of partition {}: {result:?}", at.0);
                add(p(at), None, Kind::Commit, text);
            }
            Call::DeadLetterResult(token, result) => {
                let message = self.running.get(&(step.member, *token)).copied();
                let text = format!("dead letter: {result:?}");
                add(None, message, Kind::Letter, text);
            }
            Call::Drain(by) => {
                let by = by.saturating_sub(step.at) as f64 / 1e6;
                add(
                    None,
                    None,
                    Kind::Tenure,
                    format!("drains within {by:.3} ms"),
                );
            }
            Call::SetLimits(limits) => {
                let text = format!("may hold {} messages now", limits.messages);
                add(None, None, Kind::Tenure, text);
            }
            Call::SetWeight(at, weight) => {
                let text = format!("partition {} weighs {weight} now", at.0);
                add(p(at), None, Kind::Tenure, text);
            }
            Call::Extend(..)
            | Call::Offer(_)
            | Call::Follow(_)
            | Call::Advance(..)
            | Call::Settle(..)
            | Call::Timeout
            | Call::Polls(_) => {}
        }
        for event in &played.events {
            self.event(input, step, event);
        }
    }

    fn event(&mut self, input: usize, step: &Step, event: &Event) {
        let member = step.member;
        let (partition, message, kind, text) = match event {
            Event::Offered { arrival, admit } => {
                self.meet(arrival);
                let (kind, what) = arrives(*admit);
                (
                    Some(arrival.partition.0),
                    Some(arrival.message),
                    kind,
                    format!("arrives: {what}"),
                )
            }
            Event::Started(dispatch) => {
                let message = dispatch.message;
                self.running
                    .insert((member, dispatch.token.to_bits()), message);
                let text = format!("starts, attempt {}", dispatch.attempt);
                (
                    Some(dispatch.partition.0),
                    Some(message),
                    Kind::Starts,
                    text,
                )
            }
            Event::Settled {
                token,
                settled,
                taken,
            } => {
                let message = self.running.get(&(member, *token)).copied();
                let (mark, word) = match settled {
                    Settled::Done | Settled::Handled => ('D', "is done"),
                    Settled::Retry => ('x', "fails"),
                    Settled::Reject => ('R', "is rejected"),
                    Settled::Cancelled => ('c', "is dropped"),
                };
                let stale = if *taken {
                    ""
                } else {
                    ", of which the core knows nothing"
                };
                let kind = if *taken {
                    Kind::Ends(mark)
                } else {
                    Kind::Again
                };
                (None, message, kind, format!("{word}{stale}"))
            }
            Event::Cancel(token) => {
                let message = self.running.get(&(member, *token)).copied();
                (None, message, Kind::Asked, "is asked to stop".into())
            }
            Event::Letter {
                partition,
                position,
                why,
            } => {
                let message = self.at(*partition, *position);
                let text = format!("is to be dead-lettered: {why:?}");
                (Some(partition.0), message, Kind::Letter, text)
            }
            Event::Copied(partition, position) => {
                let message = self.at(*partition, *position);
                let text = "is a copy, and does not run".into();
                (Some(partition.0), message, Kind::Ends('2'), text)
            }
            Event::Passed(partition, position) => {
                let message = self.at(*partition, *position);
                let text = "is passed without a handler".into();
                (Some(partition.0), message, Kind::Ends('p'), text)
            }
            Event::Session(start) => {
                let text = format!(
                    "asks for partition {} from position {}",
                    start.partition.0, start.at.0
                );
                (Some(start.partition.0), None, Kind::Tenure, text)
            }
            Event::Commit(commit) => {
                let last = if commit.last { ", the last" } else { "" };
                let text = format!(
                    "write {} of partition {}: finished below {}{last}",
                    commit.write, commit.partition.0, commit.frontier.0
                );
                (Some(commit.partition.0), None, Kind::Commit, text)
            }
            Event::Notice(notice) => {
                let text = format!("notice: {:?} at {}", notice.kind, notice.position.0);
                let kind = if notice.kind == NoticeKind::DeadLetterRetried {
                    Kind::Letter
                } else {
                    Kind::Notice
                };
                (Some(notice.partition.0), None, kind, text)
            }
            Event::Release(release) => {
                let text = format!("gives partition {} up", release.partition.0);
                (Some(release.partition.0), None, Kind::Tenure, text)
            }
            Event::Flow(flow) => (None, None, Kind::Tenure, format!("{flow:?}")),
            Event::Drained(_) => (None, None, Kind::Tenure, "is drained".into()),
        };
        self.moments.push(Moment {
            at: step.at,
            member,
            input,
            partition,
            message,
            kind,
            text,
        });
    }

    fn meet(&mut self, arrival: &Arrival<u32>) {
        let key = arrival.key.map(|key| {
            let known = self.keys.iter().position(|k| *k == key);
            known.unwrap_or_else(|| {
                self.keys.push(key);
                self.keys.len() - 1
            })
        });
        self.messages.insert(
            arrival.message,
            Told {
                partition: arrival.partition.0,
                position: arrival.position.0,
                key,
            },
        );
    }

    fn at(&self, partition: PartitionId, position: Position) -> Option<u32> {
        let here = |told: &Told| (told.partition, told.position) == (partition.0, position.0);
        let found = self.messages.iter().rev().find(|(_, told)| here(told));
        found.map(|(message, _)| *message)
    }
}

fn arrives(admit: Result<Admit, Refusal>) -> (Kind, &'static str) {
    match admit {
        Ok(Admit::Queued) => (Kind::Arrives, "queued"),
        Ok(Admit::Duplicate) => (Kind::Again, "a copy of what succeeded"),
        Ok(Admit::Replayed) => (Kind::Again, "known at this position"),
        Ok(Admit::Void) => (Kind::Again, "void"),
        Err(Refusal::Credit) => (Kind::Again, "refused, no credit"),
        Err(Refusal::Window) => (Kind::Again, "refused, window full"),
        Err(Refusal::TooLarge) => (Kind::Again, "refused, too large"),
    }
}
