//! Gives both the same operations, and holds what they say against each other.

use std::collections::{BTreeMap, BTreeSet};

use procession_core::{
    Admit, Anchor, Arrival, CommitResult, Config, Consumer, Continuity, Epoch, Incarnation, Limits,
    NotRestored, NoticeKind, OnReset, Outcome, ParkedMode, PartitionId, Position, Receipt, Refusal,
    Resume, Session, Span, Stamp, Time, Token, Why,
};

use super::account::far_apart;
use super::inputs::Ending;
use super::model::{Model, State};
use super::ops::{Found, Offer, Op, Resumption, Stale};
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
        pair.apply(op).map_err(here)?;
        pair.same_state().map_err(here)?;
        if (i + 1) % every == 0 {
            pair.core = restored(config, &pair.core).map_err(here)?;
            pair.same_state().map_err(here)?;
        }
    }
    pair.seen.recognised += pair.model.recognised;
    Ok(pair.seen)
}

/// The machine that goes on from a snapshot of this one. Its own snapshot is the same.
fn restored(config: &Config, core: &Consumer<u32>) -> Result<Consumer<u32>, String> {
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

fn millis(span: u8) -> Span {
    // Every third one is zero or very long: deadlines in the past and beyond all others.
    match span % 8 {
        0 => Span::ZERO,
        1 => Span::from_millis(10_000),
        _ => Span::from_millis(u64::from(span) / 2),
    }
}

impl Pair {
    /// Partition, epoch and session as an input names them.
    fn named(&self, p: u8, stale: Stale) -> (PartitionId, Epoch, Session) {
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

    fn apply(&mut self, op: &Op) -> Result<(), String> {
        let now = self.model.now;
        match *op {
            Op::Open {
                p,
                epoch,
                resume,
                lease,
            } => self.open(p, epoch, resume, lease),
            Op::Extend { p, stale, span } => {
                let (id, epoch, _) = self.named(p, stale);
                let until = now + millis(span);
                self.core.extend(now, id, epoch, until);
                self.model.extend(id.0, epoch.0, until);
            }
            Op::Session { p, stale, found } => {
                let (id, epoch, session) = self.named(p, stale);
                let frontier = self.model.parts[usize::from(p)].frontier;
                let found = match found {
                    Found::Continues => Continuity::Continues,
                    Found::CannotTell => Continuity::CannotTell,
                    Found::Rewritten(by) => Continuity::Rewritten {
                        from: Position(frontier.saturating_add_signed(by.into())),
                    },
                };
                self.core.session(now, id, epoch, session, found);
                self.model.session(id.0, epoch.0, session.0, found);
            }
            Op::Broken { p, stale } => {
                let (id, epoch, session) = self.named(p, stale);
                self.core.broken(now, id, epoch, session);
                self.model.broken(id.0, epoch.0, session.0);
            }
            Op::Offer(ref offer) => self.offer(offer)?,
            Op::Advance { p, stale, ahead } => {
                let (id, epoch, session) = self.named(p, stale);
                let floor = self.model.parts[usize::from(p)].floor;
                let huge = stale == Stale::Session && ahead > 250;
                let to = if huge {
                    u64::MAX
                } else {
                    floor.saturating_add(u64::from(ahead % 8))
                };
                self.core.advance(now, id, epoch, session, Position(to));
                self.model.advance(id.0, epoch.0, session.0, to);
            }
            Op::Revoke { p, stale, span } => {
                let (id, epoch, _) = self.named(p, stale);
                self.core.revoke(now, id, epoch, now + millis(span));
                self.model.revoke(id.0, epoch.0, now + millis(span));
            }
            Op::Lose { p, stale } => {
                let (id, epoch, _) = self.named(p, stale);
                self.core.lose(now, id, epoch);
                self.model.lose(id.0, epoch.0);
            }
            Op::Reset { p, to } => {
                let (id, _, _) = self.named(p, Stale::No);
                let to = [OnReset::Stop, OnReset::Earliest, OnReset::Latest][usize::from(to % 3)];
                let core = self.core.reset(now, id, to);
                same("stopped before", &core, &self.model.reset(id.0, to))?;
                self.seen.resets += u32::from(core);
            }
            Op::Parked { which, how } => {
                // One that is parked, if there is any.
                let parked = self.model.parts.iter().flat_map(|p| p.parked.keys());
                let parked: Vec<u128> = parked.copied().collect();
                let index = usize::from(which) % parked.len().max(1);
                let key = parked.get(index).copied().unwrap_or(1);
                let mode = match how {
                    0 => Some(ParkedMode::Follow),
                    1 => Some(ParkedMode::Wait),
                    2..5 => Some(ParkedMode::Discard),
                    _ => None,
                };
                let core = match mode {
                    Some(mode) => self.core.set_parked(now, key, mode),
                    None => self.core.release(now, key),
                };
                same("parked before", &core, &self.model.treat(key, mode))?;
            }
            Op::PassGap { p, key } => {
                // One that has stopped, if there is any.
                let stopped = self.model.keys.iter().find(|k| k.stopped);
                let (p, key) =
                    stopped.map_or_else(|| (p.into(), u128::from(key) + 1), |k| (k.p, k.key));
                let core = self.core.pass_gap(now, PartitionId(p as u32), key);
                same("stopped", &core, &self.model.pass_gap(p, key))?;
                self.seen.passed_gaps += u32::from(core);
            }
            Op::Commit { p, stale, result } => self.commit_result(p, stale, result),
            Op::Burial {
                which,
                stale,
                result,
            } => self.burial_result(which, stale, result),
            Op::Settle {
                which,
                stale,
                outcome,
            } => self.settle(which, stale, outcome)?,
            Op::Limits {
                messages,
                bytes,
                partition_messages,
                partition_bytes,
            } => {
                let limits = Limits {
                    messages: messages.into(),
                    // Up to the figure given at construction.
                    bytes: u64::from(bytes).min(self.model.config.limits.bytes),
                    partition_messages: partition_messages.into(),
                    partition_bytes: partition_bytes.into(),
                    low_water_percent: 60,
                };
                self.core.set_limits(now, &limits);
                self.model.set_limits(&limits);
            }
            Op::Weight { p, weight } => {
                let (p, weight) = (PartitionId(p.into()), weight.into());
                let core = self.core.set_weight(now, p, weight);
                same(
                    "weighed",
                    &core.is_ok(),
                    &self.model.set_weight(p.0, weight),
                )?;
                self.seen.weighed += u32::from(core.is_ok());
            }
            Op::Drain { span } => {
                self.core.drain(now, now + millis(span));
                self.model.drain(now + millis(span));
            }
            Op::Restart { after, kept } => self.restart(after, kept)?,
            Op::Tick { span } => {
                // One nanosecond off, so that a deadline is met, missed and passed.
                let now = now + Span::from_micros(u64::from(span) * 97) + Span::from_nanos(1);
                self.core.handle_timeout(now);
                self.model.tick(now);
            }
            Op::Dispatch => self.dispatch()?,
            Op::Collect => self.collect()?,
            Op::Live => self.live()?,
        }
        Ok(())
    }

    fn restart(&mut self, after: u8, kept: u8) -> Result<(), String> {
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
        self.seen.recognised += self.model.recognised;
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
            self.open(p, 1, Resumption::Committed, None);
        }
        self.live()
    }

    fn open(&mut self, p: u8, step: u8, resume: Resumption, lease: Option<u8>) {
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
            given.log_end = Position(u64::MAX);
            match resume {
                Resumption::Broken if !map.is_empty() => {
                    let last = map.len() - 1;
                    map[last] ^= 0x40;
                }
                Resumption::Broken => map = vec![1, 2, 3],
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

    fn offer(&mut self, o: &Offer) -> Result<(), String> {
        let now = self.model.now;
        let (partition, epoch, session) = self.named(o.p, o.stale);
        let part = &self.model.parts[usize::from(o.p)];
        let base = part
            .last
            .map_or(part.frontier, |l| l.position.0.saturating_add(1));
        let position = match o.step {
            15 => base.saturating_add(5_000_000_000),
            ahead @ 0..15 => base.saturating_add(ahead.into()),
            back => base.saturating_sub(u64::from(back) - 15),
        };
        self.messages += 1;
        // Numbers go on by one, mostly; two lanes only where it does not matter which waits first.
        let bounded = self
            .model
            .config
            .sequence
            .is_some_and(|s| s.hold_messages < self.model.config.limits.messages);
        let number = self.numbers.entry((o.p, o.key.unwrap_or(9))).or_insert(10);
        let sequence = match o.sequence {
            0 => None,
            step => {
                *number = (*number + u64::from(step)).saturating_sub(2);
                Some(*number)
            }
        };
        let key = (usize::from(o.p), position);
        // What comes again is what it was, mostly; some identities occur at several positions.
        let fresh = if o.identity.is_multiple_of(4) {
            u128::from(o.identity / 4 % 4) + 1
        } else {
            1_000 + u128::from(self.messages)
        };
        let identity = match self.offered.get(&key) {
            Some(&before) if o.identity % 16 != 7 => before,
            _ => fresh << 64 | 9,
        };
        let arrival = Arrival {
            partition,
            epoch,
            session,
            delivery: match o.delivery {
                0 => None,
                1 => Some(part.next_delivery),
                2 => Some(part.next_delivery.saturating_add(1 + u64::from(o.step))),
                _ => Some(1),
            },
            position: Position(position),
            stamp: Stamp(u64::from(self.messages)),
            // Two of four keys share a lane.
            lane: u64::from(o.key.unwrap_or_default() / if bounded { 4 } else { 2 }) + 100,
            // A hash of 0 stands for no key among those that may be parked.
            key: o.key.map(|k| u128::from(k) + 1),
            identity,
            bytes: o.bytes.into(),
            expires: o.expires.map(|after| now + millis(after)),
            sequence,
            quarantine: o.malformed.then_some(Why::Malformed),
            message: self.messages,
        };
        match self.offer_both(&arrival)? {
            Err(Refusal::TooLarge) if o.identity.is_multiple_of(2) => {
                let quarantine = Some(Why::TooLarge);
                let marked = Arrival {
                    quarantine,
                    ..arrival
                };
                self.offer_both(&marked).map(|_| ())
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn offer_both(&mut self, arrival: &Arrival<u32>) -> Result<Result<Admit, Refusal>, String> {
        let (partition, identity) = (arrival.partition, arrival.identity);
        let key = (partition.0 as usize, arrival.position.0);
        let before = (
            self.core.stats(),
            self.core.frontier(partition),
            self.core.epoch(partition),
        );
        let was = self.model.clone();
        let now = self.model.now;
        let core = self.core.offer(now, arrival.clone());
        let mut reference = self.model.offer(arrival);
        let core = match core {
            Ok(admit) => Ok(admit),
            Err(refused) => {
                same("what is given back", &refused.arrival, arrival)?;
                let after = (
                    self.core.stats(),
                    self.core.frontier(partition),
                    self.core.epoch(partition),
                );
                same("a refused offer is a no-op", &after, &before)?;
                Err(refused.why)
            }
        };
        if core == Err(Refusal::Window) && far_apart(&was, partition.0) {
            // The window is kept in blocks; messages very far apart take one each.
            self.model = was;
            self.model
                .notice(partition.0 as usize, NoticeKind::WindowFull);
            self.model.relent_window(partition.0 as usize);
            reference = Err(Refusal::Window);
        }
        same("offer", &core, &reference)?;
        match core {
            Ok(Admit::Queued) => self.seen.queued += 1,
            Ok(Admit::Duplicate) => self.seen.duplicates += 1,
            Ok(Admit::Replayed) => self.seen.replayed += 1,
            Ok(Admit::Void) => self.seen.void += 1,
            Err(_) => self.seen.refused += 1,
        }
        if core.is_ok_and(|a| a != Admit::Void) {
            self.offered.insert(key, identity);
        }
        Ok(core)
    }

    fn commit_result(&mut self, p: u8, stale: Stale, result: u8) {
        use CommitResult::{Denied, Lost, Refused, Retry, Stored, TooLarge, Unknown};
        let table = [
            Stored, Stored, Stored, Stored, Stored, Stored, Refused, Retry, Lost, TooLarge, Denied,
            Unknown,
        ];
        let result = table[usize::from(result)];
        let (id, epoch, _) = self.named(p, stale);
        let outstanding = self.model.parts[usize::from(p)].outstanding;
        let (epoch, write) = match outstanding {
            Some((e, w, _)) if stale == Stale::No => (Epoch(e), w),
            Some((_, w, _)) => (epoch, w.wrapping_sub(u64::from(stale == Stale::Session))),
            None => (epoch, 1),
        };
        if let (Stored, Some(stored)) = (
            result,
            self.outstanding.remove(&(usize::from(p), epoch.0, write)),
        ) {
            self.stored[usize::from(p)] = Some(stored);
        }
        self.core
            .commit_result(self.model.now, id, epoch, write, result);
        self.model.commit_result(id.0, epoch.0, write, result);
    }

    fn burial_result(&mut self, which: u8, stale: bool, result: u8) {
        let table = [
            Receipt::Stored,
            Receipt::Stored,
            Receipt::Stored,
            Receipt::NotStored,
            Receipt::TooLarge,
            Receipt::Unknown,
        ];
        let buried = |t: &Token| {
            let held = &self.model.held;
            held.iter()
                .any(|h| h.token == Some(t.to_bits()) && h.state == State::Buried)
        };
        let Some(token) = self.pick(which, stale, buried) else {
            return;
        };
        let receipt = table[usize::from(result)];
        self.core.dead_letter_result(self.model.now, token, receipt);
        self.model.burial_result(token.to_bits(), receipt);
    }

    /// One of the tokens for which `live` holds, or any that there ever was.
    fn pick(&self, which: u8, stale: bool, live: impl Fn(&Token) -> bool) -> Option<Token> {
        let some: Vec<Token> = self
            .tokens
            .iter()
            .copied()
            .filter(|t| stale || live(t))
            .collect();
        (!some.is_empty()).then(|| some[usize::from(which) % some.len()])
    }

    fn settle(&mut self, which: u8, stale: bool, outcome: u8) -> Result<(), String> {
        let runs = |s: State| matches!(s, State::Running | State::Stopping | State::Orphan);
        let live = |t: &Token| {
            self.model
                .held
                .iter()
                .any(|h| h.token == Some(t.to_bits()) && runs(h.state))
        };
        let Some(token) = self.pick(which, stale, live) else {
            return Ok(());
        };
        let held = self
            .model
            .held
            .iter()
            .find(|h| h.token == Some(token.to_bits()));
        let message = held.map_or(0, |h| h.message);
        self.seen.orphans += u32::from(held.is_some_and(|h| h.state == State::Orphan));
        let (ending, outcome) = match outcome {
            // Behind others of its call, a message must come back.
            0..5 if self.model.config.batch_key > 1 => (Ending::Done, Outcome::Handled(message)),
            0..5 => (Ending::Done, Outcome::Done),
            5..7 => (Ending::Retry, Outcome::Retry(message)),
            7 => (Ending::Reject, Outcome::Reject(message)),
            _ => (Ending::Cancelled, Outcome::Cancelled(message)),
        };
        let core = self.core.settle(self.model.now, token, outcome).is_ok();
        let reference = self.model.settle(token.to_bits(), ending);
        self.seen.stale += u32::from(!reference);
        same("settle", &core, &reference)
    }
}
