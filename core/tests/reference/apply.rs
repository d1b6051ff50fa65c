//! One operation, done to both.

use procession_core::{Continuity, Limits, OnReset, ParkedMode, PartitionId, Position, Span};

use super::compare::{Pair, millis, same};
use super::ops::{Found, Op, Stale};

impl Pair {
    pub fn apply(&mut self, op: &Op) -> Result<(), String> {
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
            Op::Confirm => self.confirm(),
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
            Op::Round { outcome } => self.round(outcome)?,
            Op::Collect => self.collect()?,
            Op::Live => self.live()?,
        }
        Ok(())
    }

    fn confirm(&mut self) {
        for p in 0..2 {
            self.commit_result(p, Stale::No, 0);
        }
    }

    fn round(&mut self, outcome: u8) -> Result<(), String> {
        self.dispatch()?;
        self.live()?;
        self.confirm();
        self.dispatch()?;
        self.settle(0, false, outcome)?;
        for which in 0..8 {
            self.settle(which, false, 0)?;
            self.burial_result(which, false, 0);
        }
        self.live()
    }
}
