//! Messages that kill their process: what starts is recorded before, nobody is given up who was not
//! recorded as running alone when an owner ended, and who is guilty is given up in time (L3).

use std::collections::BTreeMap;

use procession_core::{Dispatch, Position, ProgressMap, decode_suspects};

use super::{Checked, Checker};
use crate::log::Record;
use crate::rule::Rule;

/// Starts beyond the configured number that a killer may have after faults have stopped: among everything,
/// among its lot, and each once more, because what a record said may have been lost before.
const SPARE: u32 = 4;

/// The books.
#[derive(Debug, Default)]
pub(crate) struct Suspects {
    /// By partition and position: openings whose record named it as running, and nothing else.
    blamed: BTreeMap<(u32, u64), u32>,
    /// By message: how often it killed since faults have stopped.
    kills: BTreeMap<u32, u32>,
}

impl Suspects {
    pub(crate) fn blamed(&self, partition: u32, position: u64) -> u32 {
        let blamed = self.blamed.get(&(partition, position));
        blamed.copied().unwrap_or(0)
    }
}

impl Checker {
    /// A partition is opened with this map. Whether its owner before has not ended cleanly, as far as the
    /// map can tell.
    pub(crate) fn suspects_told(&mut self, partition: u32, map: &ProgressMap<'_>) -> bool {
        if self.config.suspects == 0 {
            return false;
        }
        let (anything, named) = map.suspects();
        let running: Vec<u64> = named
            .iter()
            .filter(|a| a.running)
            .map(|a| a.position.0)
            .collect();
        if let [alone] = running[..] {
            *self.suspects.blamed.entry((partition, alone)).or_default() += 1;
        }
        anything || !running.is_empty()
    }

    /// The owner of a partition starts a message: its record says that it may be running.
    pub(crate) fn start_recorded(
        &self,
        dispatch: &Dispatch<u32>,
        record: &Record,
        now: u64,
    ) -> Checked {
        let frontier = Position(record.frontier.unwrap_or(0));
        let told = decode_suspects(&record.map, frontier);
        let (anything, named) = told.unwrap_or_default();
        let mut named = named.iter();
        let may = anything || named.any(|a| a.running && a.position == dispatch.position);
        self.rules.hold(Rule::StartUnrecorded, may, || {
            format!("{dispatch:?} at={now}")
        })
    }

    /// A message kills a process, after faults have stopped.
    pub(crate) fn kills(&mut self, e: u32, now: u64) -> Checked {
        let kills = self.suspects.kills.entry(e).or_default();
        *kills += 1;
        let (kills, most) = (*kills, self.config.suspects + SPARE);
        self.rules.hold(Rule::KillsTooOften, kills <= most, || {
            format!("msg={e} kills={kills} at={now}")
        })
    }
}
