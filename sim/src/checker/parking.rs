//! Parked keys: what follows a message that was given up does not run, whoever owns the partition,
//! and every commit says which keys are parked (S2, S9).

use std::collections::{BTreeMap, BTreeSet};

use procession_core::{Expired, ParkedKey, ParkedMode, Why};

use super::{Checked, Checker, Process, State};
use crate::log::Entry;
use crate::rule::Rule;

/// The books of one tenure about parked keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parked {
    /// What is parked, since which position, and how.
    keys: BTreeMap<u128, (u64, ParkedMode)>,
    /// Keys that a dead letter on its way will park.
    given_up: BTreeSet<u128>,
    /// Dead letters that were asked for.
    asked: BTreeSet<u32>,
    /// Keys that were parked, or discarded, at some time.
    once: BTreeSet<(u128, bool)>,
    /// What the owner said of a key, whether it was parked here or elsewhere.
    treated: BTreeMap<u128, ParkedMode>,
    /// Keys that were parked after the owner had spoken of them. Whether it meant them depends on when
    /// they were given up, which nobody sees.
    unsure: BTreeSet<u128>,
    /// Messages that were waiting when the owner released their key. Those that were given up before
    /// that park it no more, those that were given up after it do; which it was, nobody sees.
    released: BTreeSet<u32>,
    /// Keys that such a message parks, or does not.
    either: BTreeSet<u128>,
}

impl Parked {
    /// What the record says.
    pub(crate) fn inherit(&mut self, keys: &[ParkedKey]) {
        for key in keys {
            self.set(key.key, key.since.0, key.mode);
        }
    }

    fn set(&mut self, key: u128, since: u64, mode: ParkedMode) {
        self.keys.insert(key, (since, mode));
        self.once.insert((key, false));
        if mode == ParkedMode::Discard {
            self.once.insert((key, true));
        }
    }

    /// A dead letter is asked for; whether its key may be in it for being parked.
    pub(super) fn letter(&mut self, e: u32, key: u128, why: Why) -> bool {
        let parks = !matches!(
            why,
            Why::Parked | Why::Keyless | Why::Discarded | Why::Expired
        );
        if self.asked.insert(e) && parks {
            let before = self.given_up.contains(&key) || self.keys.contains_key(&key);
            if self.released.contains(&e) && !before {
                self.either.insert(key);
            }
            self.given_up.insert(key);
        }
        self.once.contains(&(key, false))
    }

    /// Whether the key of a message is parked.
    pub(super) fn holds(&self, key: u128, position: u64) -> bool {
        let since = self.keys.get(&key).map(|k| k.0);
        since.is_some_and(|s| position >= s) && !self.either.contains(&key)
    }

    /// What is told of keys that may be parked or not is what they are.
    fn told(&mut self, told: &[ParkedKey]) {
        for key in std::mem::take(&mut self.either) {
            // Before its dead letter is confirmed, nothing is told of it.
            if !self.keys.contains_key(&key) {
                self.either.insert(key);
            } else if !told.iter().any(|t| t.key == key) {
                self.keys.remove(&key);
            }
        }
    }

    /// All positions are void.
    pub(super) fn rewritten(&mut self) {
        self.given_up.clear();
        self.asked.clear();
        self.released.clear();
        for place in self.keys.values_mut() {
            place.0 = 0;
        }
    }
}

impl Checker {
    /// The owner treats a parked key otherwise; `None`: it is released.
    pub(crate) fn treated(
        &mut self,
        member: usize,
        key: u128,
        mode: Option<ParkedMode>,
        all: &[Entry],
    ) {
        let Process { tenures, runs, .. } = &mut self.processes[member];
        for tenure in tenures.iter_mut().flatten() {
            let waits = |e: &u32| {
                tenure.state(*e) == State::Held
                    && all[*e as usize].key_hash() == Some(key)
                    && runs.iter().all(|r| r.entry != *e || r.orphan)
            };
            let waiting: Vec<u32> = (0..all.len() as u32).filter(waits).collect();
            let parked = &mut tenure.parked;
            parked.unsure.remove(&key);
            let Some(mode) = mode else {
                parked.keys.remove(&key);
                parked.given_up.remove(&key);
                parked.treated.remove(&key);
                parked.either.remove(&key);
                parked.released.extend(waiting);
                continue;
            };
            parked.treated.insert(key, mode);
            if mode == ParkedMode::Discard {
                parked.once.insert((key, true));
            }
            if let Some((since, _)) = parked.keys.get(&key).copied() {
                parked.set(key, since, mode);
            }
        }
    }

    /// The dead letter of a message was confirmed: its key is parked, where keys are.
    pub(super) fn parks(
        &mut self,
        member: usize,
        partition: u32,
        (e, why): (u32, Why),
        entry: &Entry,
    ) {
        let places = self.config.parked_keys > 0;
        let parks = !matches!(
            why,
            Why::Parked | Why::Keyless | Why::Discarded | Why::Expired
        );
        let key = entry.key_hash().filter(|_| places && parks);
        let Some((tenure, key)) = self.tenure(member, partition).zip(key) else {
            return;
        };
        if !tenure.parked.released.contains(&e) {
            tenure.parked.either.remove(&key);
        }
        if tenure.parked.given_up.remove(&key) {
            let before = tenure.parked.keys.get(&key).copied();
            if before.is_none() && tenure.parked.treated.contains_key(&key) {
                tenure.parked.unsure.insert(key);
            }
            let (since, mode) = before.unwrap_or((u64::MAX, ParkedMode::Follow));
            tenure.parked.set(key, since.min(entry.position), mode);
        }
    }

    /// A commit says which keys are parked.
    pub(crate) fn parked_told(
        &mut self,
        member: usize,
        partition: u32,
        told: &[ParkedKey],
        now: u64,
    ) -> Checked {
        let most = self.config.parked_keys as usize;
        let (rules, process) = (&self.rules, &mut self.processes[member]);
        let Some(tenure) = &mut process.tenures[partition as usize] else {
            return Ok(());
        };
        tenure.parked.told(told);
        let books = &tenure.parked;
        let is = |told: &ParkedKey, (key, place): (&u128, &(u64, ParkedMode))| {
            let meant = books
                .treated
                .get(key)
                .filter(|_| books.unsure.contains(key));
            told.key == *key && (told.mode == place.1 || meant == Some(&told.mode))
        };
        let same = told.len() == books.keys.len();
        let same = same && told.iter().zip(&books.keys).all(|(t, k)| is(t, k));
        let good = same && told.len() <= most;
        rules.hold(Rule::OtherParkedKeys, good, || {
            let books = &tenure.parked.keys;
            format!("partition={partition} at={now}: told {told:?}, is {books:?}")
        })
    }

    /// A message ended without a handler and without a dead letter.
    #[inline(never)]
    pub(crate) fn passed(
        &mut self,
        member: usize,
        partition: u32,
        (e, why): (u32, Why),
        entry: &Entry,
        now: u64,
    ) -> Checked {
        let at = &|| {
            format!(
                "key={:?} msg={e} partition={partition} at={now}: {why:?}",
                entry.key
            )
        };
        let (rules, process) = (&self.rules, &mut self.processes[member]);
        let Some(tenure) = process.tenures[partition as usize].as_mut() else {
            return rules.hold(Rule::PassedOutOfTurn, false, at);
        };
        let key = entry.key_hash().unwrap_or(0);
        let expired = why == Why::Expired;
        rules.hold(Rule::CalledExpired, !expired || entry.has_expired(now), at)?;
        let due = (why == Why::Discarded && tenure.parked.once.contains(&(key, true)))
            || (expired && self.config.expired == Expired::Report);
        let held = tenure.state(e) == State::Held;
        rules.hold(Rule::PassedOutOfTurn, due && held, at)?;
        tenure.set(e, State::Finished);
        tenure.sequences.pass(entry);
        self.facts[e as usize].resolved = true;
        Ok(())
    }
}
