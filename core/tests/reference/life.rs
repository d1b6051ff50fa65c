//! Where partitions begin: opened, and opened by the next process.

use procession_core::{
    Consumer, Epoch, Incarnation, NotRestored, PartitionId, Position, Resume, Span, Time,
};

use super::compare::{Pair, millis, same};
use super::model::Model;
use super::ops::Resumption;

impl Pair {
    pub fn restart(&mut self, after: u8, kept: u8) -> Result<(), String> {
        let mut remembered = self.model.remembered();
        let room = match kept {
            0 => self.core.identities_bytes() / 2,
            _ => self.core.identities_bytes(),
        };
        let mut bytes = vec![0; room];
        let len = self.core.export_identities(self.model.now, &mut bytes);
        bytes.truncate(len);
        remembered.truncate(room.saturating_sub(10) / 24);
        let keys = self.model.keys_kept();
        let mut sequences = vec![0; self.core.sequences_bytes()];
        let len_of_keys = self.core.export_sequences(&mut sequences);
        sequences.truncate(len_of_keys);
        let config = self.model.config.clone();
        // The clock begins anew with the process.
        let (now, elapsed) = (Time::from_nanos(after.into()), millis(after));
        self.core = Consumer::new(&config).map_err(|e| e.to_string())?;
        self.count_model();
        self.model = Model::new(&config);
        self.model.now = now;
        let mut expected = Ok(0);
        if kept == 1 || len == 0 {
            bytes.pop();
            expected = Err(NotRestored::Unsound);
        } else {
            expected = expected.map(|_: u32| self.model.restore(&remembered, elapsed));
        }
        let restored = self.core.import_identities(now, elapsed, &bytes);
        same("identities restored", &restored, &expected)?;
        self.seen.restored += restored.unwrap_or_default();
        let known = self.core.import_sequences(now, &sequences);
        same("keys restored", &known, &Ok(self.model.restore_keys(&keys)))?;
        self.seen.keys_restored += known.unwrap_or_default();
        self.tokens.clear();
        self.dispatched.clear();
        self.outstanding.clear();
        self.paused.fill(false);
        for p in 0..2 {
            let resume = match kept {
                3 => Resumption::Ended,
                5 => Resumption::Cut,
                _ => Resumption::Committed,
            };
            self.open(p, 1, resume, None);
        }
        self.live()
    }

    pub fn open(&mut self, p: u8, step: u8, resume: Resumption, lease: Option<u8>) {
        let part = &self.model.parts[usize::from(p)];
        let epoch = Epoch(if step == 0 {
            part.opened
        } else {
            part.opened + u64::from(step)
        });
        let stored = self.stored[usize::from(p)].clone();
        let incarnation = Incarnation(7);
        let mut given = Resume {
            incarnation,
            log_start: Position(1),
            log_end: Position(1 << 40),
            ..Resume::default()
        };
        let mut map = Vec::new();
        if let (Some(stored), true) = (stored, resume != Resumption::Nothing) {
            map = stored.map;
            given.frontier = Some(Position(stored.frontier));
            given.anchor = stored.anchor;
            given.recorded = Some(incarnation);
            // Beyond all that comes, and not where positions end: no frontier gets past that.
            given.log_end = Position(1 << 60);
            match resume {
                Resumption::Broken if !map.is_empty() => {
                    let last = map.len() - 1;
                    map[last] ^= 0x40;
                }
                Resumption::Broken => map = vec![1, 2, 3],
                Resumption::Ended | Resumption::Cut => {
                    let come = self.offered.keys().filter(|k| k.0 == usize::from(p));
                    let last = u64::from(resume == Resumption::Ended);
                    let end = come.map(|k| k.1.saturating_add(last)).max();
                    given.log_end = Position(end.unwrap_or(0).max(stored.frontier));
                }
                Resumption::Foreign => given.recorded = Some(Incarnation(8)),
                Resumption::Unnamed => given.recorded = None,
                Resumption::Beyond => given.log_end = Position(stored.frontier.saturating_sub(2)),
                Resumption::Lost => {
                    given.log_end = Position(stored.frontier.saturating_sub(2));
                    given.anchor = None;
                }
                Resumption::Truncated => {
                    given.log_start = Position(stored.frontier.saturating_add(2));
                }
                Resumption::Nothing | Resumption::Committed => {}
            }
        }
        given.map = &map;
        let until = lease.map(|l| self.model.now + Span::from_millis(l.into()));
        self.core
            .open(self.model.now, PartitionId(p.into()), epoch, &given, until);
        self.model.open(p.into(), epoch.0, &given, until);
    }
}
