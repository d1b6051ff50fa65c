//! Who joins a lot follows from the order in which keys take turns, which is left free. So the reference
//! adopts what the machine has chosen, and asks whether it was allowed to: a copy of the machine is made
//! to write the record that names the lot. What the machine itself writes later must say the same.

use procession_core::{Accused, CommitResult, Epoch, PartitionId, Position, Span, decode_suspects};

use super::compare::{Pair, restored, same};
use super::suspects::{Lot, Marks, Stage, places};

impl Pair {
    /// What is held back was looked at: the lot that has formed or grown is adopted.
    pub fn adopt(&mut self) -> Result<(), String> {
        for message in std::mem::take(&mut self.model.convicts) {
            self.seen.convicted += 1;
            self.model.convict(message);
        }
        let candidates = std::mem::take(&mut self.model.candidates);
        let open = match &self.model.lot {
            None => !candidates.is_empty(),
            Some(lot) => {
                let of = |m: &u32| self.partition_of(*m) == Some(lot.p);
                lot.stage == Stage::Forming && candidates.iter().any(of)
            }
        };
        if open {
            let lot = self.probe()?;
            let (p, named) = lot.ok_or_else(|| format!("no lot forms of {candidates:?}"))?;
            self.adopt_lot(p, &named, &candidates)?;
        }
        Ok(())
    }

    fn partition_of(&self, message: u32) -> Option<usize> {
        let held = self.model.held.iter().find(|h| h.message == message);
        held.map(|h| h.p)
    }

    /// Whom the next record of the machine names as running, and of which partition.
    fn probe(&self) -> Result<Option<(usize, Vec<Position>)>, String> {
        let model = &self.model;
        let mut copy = restored(&model.config, &self.core)?;
        // Later than any commit waits after a failure.
        let later = model.now + Span::from_secs(10);
        for (p, part) in model.parts.iter().enumerate() {
            if let Some((epoch, write, _)) = part.outstanding {
                let id = PartitionId(p as u32);
                copy.commit_result(model.now, id, Epoch(epoch), write, CommitResult::Stored);
            }
        }
        copy.handle_timeout(later);
        let mut lot = None;
        let mut buffer = [0; 600];
        while let Some(commit) = copy.poll_commit(later, &mut buffer) {
            let map = &buffer[..commit.map_len];
            let (_, named) = decode_suspects(map, commit.frontier).unwrap_or_default();
            let running = named.iter().filter(|a| a.running).map(|a| a.position);
            let running: Vec<_> = running.collect();
            if running.is_empty() {
                continue;
            }
            if lot.is_some() {
                return Err("two partitions have a lot".to_owned());
            }
            lot = Some((commit.partition.0 as usize, running));
        }
        Ok(lot)
    }

    fn adopt_lot(&mut self, p: usize, named: &[Position], asked: &[u32]) -> Result<(), String> {
        let model = &self.model;
        let of = |position: &Position| {
            let mut held = model.owned(p);
            let held = held.find(|h| h.position == position.0);
            held.map(|h| h.message)
                .ok_or_else(|| format!("{position:?} of {p} is not held"))
        };
        let members: Vec<u32> = named.iter().map(of).collect::<Result<_, _>>()?;
        let before = match &model.lot {
            Some(lot) if lot.p == p => lot.members.clone(),
            Some(lot) => return Err(format!("a second lot {named:?} of {p}, beside {lot:?}")),
            None => Vec::new(),
        };
        let wrong = |why: &str| Err(format!("lot {named:?} of {p}: {why}"));
        if !before.iter().all(|m| members.contains(m)) {
            return wrong("somebody has left it");
        }
        let new: Vec<u32> = members
            .iter()
            .copied()
            .filter(|m| !before.contains(m))
            .collect();
        if !new.iter().all(|m| asked.contains(m)) {
            return wrong("somebody joins it who is not next of its key and ready");
        }
        let is_accused = |m: &u32| {
            let mut held = model.owned(p);
            let held = held.find(|h| h.message == *m);
            held.is_some_and(|h| model.deaths(p, h.position).is_some())
        };
        let alone = members.iter().any(is_accused);
        if alone && members.len() > 1 {
            return wrong("who is accused is not alone");
        }
        let accused = model.accused(p).len().max(1);
        let most = places(&model.config);
        if members.len() > 32 || (members.len() > 1 && members.len() + accused > most) {
            return wrong("it is too large");
        }
        // Who was accused at first may still be counted.
        let counted = model.parts[p].accused.len().max(1);
        let mine = asked.iter().filter(|m| self.partition_of(**m) == Some(p));
        let mut out = mine.filter(|m| !members.contains(m) && !is_accused(m));
        if !alone && out.next().is_some() && members.len() + counted < most {
            return wrong("somebody is left out");
        }
        // Retries do not use the range up.
        let first = |m: &&u32| {
            let mut held = model.owned(p);
            held.any(|h| h.message == **m && h.attempts == 0)
        };
        let used = new.iter().filter(first).count() as u32;
        self.seen.lots += u32::from(before.is_empty());
        self.seen.shared += u32::from(before.is_empty() && members.len() > 1);
        self.seen.alone += u32::from(before.is_empty() && alone);
        self.seen.grown += u32::from(!before.is_empty() && !new.is_empty());
        self.model.form_lot(
            Lot {
                p,
                stage: Stage::Forming,
                members,
            },
            used,
        );
        Ok(())
    }

    /// A record names all that may be running. Where there is no room for all that are accused, those are
    /// left out that the fewest processes died of.
    pub fn marks_say(&self, expected: &Marks, told: &Marks) -> Result<(), String> {
        let most = places(&self.model.config);
        if self.model.config.suspects == 0 || expected.1.len() <= most {
            return same("suspects in a commit", told, expected);
        }
        let (named, all) = (&told.1, &expected.1);
        let left: Vec<&Accused> = all.iter().filter(|a| !named.contains(a)).collect();
        let least = |a: &&Accused| {
            let mut rest = named.iter().filter(|n| !n.running);
            !a.running && rest.all(|n| n.deaths >= a.deaths)
        };
        let right = named.iter().all(|n| all.contains(n)) && named.len() == most;
        if told.0 == expected.0 && right && left.iter().all(least) {
            return Ok(());
        }
        same("suspects in a commit without room", told, expected)
    }
}
