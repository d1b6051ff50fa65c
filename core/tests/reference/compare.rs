//! Gives both the same operations, and holds what they say against each other.

use std::collections::{BTreeMap, BTreeSet};

use procession_core::{Anchor, Config, Consumer, Epoch, PartitionId, Session, Span, Token};

use super::model::Model;
use super::ops::{Op, Resumption, Stale};
use super::seen::Seen;

/// What the broker has stored of a partition's progress.
#[derive(Clone, Debug)]
pub struct Stored {
    pub frontier: u64,
    pub anchor: Option<Anchor>,
    pub map: Vec<u8>,
}

/// Both, side by side.
pub struct Pair {
    pub core: Consumer<u32>,
    pub model: Model,
    /// Every token that was ever handed out.
    pub tokens: Vec<Token>,
    pub dispatched: BTreeSet<u64>,
    pub messages: u32,
    /// Identity of what was offered, by partition and position.
    pub offered: BTreeMap<(usize, u64), u128>,
    pub outstanding: BTreeMap<(usize, u64, u64), Stored>,
    pub stored: Vec<Option<Stored>>,
    pub paused: Vec<bool>,
    pub seen: Seen,
    /// The last number of each key.
    pub numbers: BTreeMap<(u8, u8), u64>,
}

/// Runs the operations on both. What was compared, or the first difference.
pub fn compare(config: &Config, ops: &[Op]) -> Result<Seen, String> {
    compare_restored(config, ops, usize::MAX)
}

/// The same, with the real one restored from a snapshot of itself after every so many operations.
pub fn compare_restored(config: &Config, ops: &[Op], every: usize) -> Result<Seen, String> {
    let mut pair = Pair {
        core: Consumer::new(config).map_err(|e| e.to_string())?,
        model: Model::new(config),
        tokens: Vec::new(),
        dispatched: BTreeSet::new(),
        messages: 0,
        offered: BTreeMap::new(),
        outstanding: BTreeMap::new(),
        stored: vec![None; config.partitions as usize],
        paused: vec![false; config.partitions as usize],
        seen: Seen::default(),
        numbers: BTreeMap::new(),
    };
    for p in 0..2 {
        let (resume, lease) = (Resumption::Nothing, None);
        pair.apply(&Op::Open {
            p,
            epoch: 1,
            resume,
            lease,
        })?;
    }
    pair.live()?;
    for (i, op) in ops.iter().enumerate() {
        let here = |what: String| format!("operation {i}, {op:?}: {what}");
        pair.model.asked.clear();
        pair.apply(op).map_err(here)?;
        pair.adopt_places().map_err(here)?;
        pair.same_state().map_err(here)?;
        if (i + 1) % every == 0 {
            pair.core = restored(config, &pair.core).map_err(here)?;
            pair.same_state().map_err(here)?;
        }
    }
    pair.count_model();
    Ok(pair.seen)
}

/// The machine that goes on from a snapshot of this one. Its own snapshot is the same.
pub fn restored(config: &Config, core: &Consumer<u32>) -> Result<Consumer<u32>, String> {
    let snapshot = |core: &Consumer<u32>| {
        let mut bytes = Vec::new();
        core.snapshot(None, |m, out| out.extend(m.to_le_bytes()), &mut bytes);
        bytes
    };
    let bytes = snapshot(core);
    let message = |bytes: &[u8]| bytes.try_into().ok().map(u32::from_le_bytes);
    let new = Consumer::restore(config, &bytes, message).map_err(|e| e.to_string())?;
    same("the snapshot of what was restored", &snapshot(&new), &bytes)?;
    let tokens = |core: &Consumer<u32>| core.outstanding().collect::<Vec<_>>();
    same("tokens", &tokens(&new), &tokens(core))?;
    same("health", &new.health(), &core.health())?;
    same("stats", &new.stats(), &core.stats())?;
    Ok(new)
}

/// An error that shows both.
pub fn same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    core: &T,
    reference: &T,
) -> Result<(), String> {
    if core == reference {
        Ok(())
    } else {
        Err(format!(
            "{what}:\n     core {core:?}\nreference {reference:?}"
        ))
    }
}

pub fn millis(span: u8) -> Span {
    // Every third one is zero or very long: deadlines in the past and beyond all others.
    match span % 8 {
        0 => Span::ZERO,
        1 => Span::from_millis(10_000),
        _ => Span::from_millis(u64::from(span) / 2),
    }
}

impl Pair {
    /// What the reference has counted in its life.
    pub fn count_model(&mut self) {
        self.seen.recognised += self.model.recognised;
        self.seen.ended += self.model.ended.0;
        self.seen.used_up += self.model.ended.1;
    }

    /// Partition, epoch and session as an input names them.
    pub fn named(&self, p: u8, stale: Stale) -> (PartitionId, Epoch, Session) {
        let part = &self.model.parts[usize::from(p)];
        let (epoch, session) = (part.epoch, part.session);
        match stale {
            Stale::No => (PartitionId(p.into()), Epoch(epoch), Session(session)),
            Stale::Epoch => (
                PartitionId(p.into()),
                Epoch(epoch.wrapping_sub(1)),
                Session(session),
            ),
            Stale::Session => (
                PartitionId(p.into()),
                Epoch(epoch),
                Session(session.wrapping_sub(1)),
            ),
            Stale::Huge => (PartitionId(p.into()), Epoch(u64::MAX), Session(u64::MAX)),
            Stale::Nowhere => (PartitionId(77), Epoch(epoch), Session(session)),
        }
    }
}
