//! A log that may be another one: what is held beyond the frontier was delivered by a session whose
//! last message is gone.
//!
//! Retention may have taken it, or the log was rewritten. What an earlier session told of holes is then
//! worth nothing: where it saw none, messages may stand now (S9). The next session begins at the
//! frontier and delivers again what is held. Until it has passed the last message of the old one, the
//! frontier stands still although messages there are finished, and no map is written: neither may
//! cover what nobody has looked at (S3).

use super::partition::Doubt;
use super::{Consumer, WakeReason};
use crate::marks::mark;
use crate::{Position, Time, mutants};

impl<M> Consumer<M> {
    /// A session could not tell, with messages held beyond the frontier.
    pub(super) fn doubt(&mut self, index: usize) {
        if !mutants::is(34) {
            self.partitions[index].doubt = Doubt::Standing;
            self.credit.moved = true;
        }
    }

    /// The session delivered or passed `position`: the doubt is over if that is the last message of
    /// the session before, or lies behind it.
    #[inline]
    pub(super) fn passed_last(&mut self, now: Time, index: usize, position: Position) {
        let part = &self.partitions[index];
        if part.doubt != Doubt::No && part.last.is_none_or(|l| position >= l.position) {
            self.believe(now, index);
        }
    }

    /// The doubt is over, but the arrival that ends it is refused: a refused offer changes nothing
    /// that can be seen, and so the frontier moves when time is told next.
    pub(super) fn believe_soon(&mut self, now: Time, index: usize) {
        let part = &mut self.partitions[index];
        if part.doubt == Doubt::Standing {
            part.doubt = Doubt::Over;
            self.look_at(now, WakeReason::Session);
        }
    }

    /// What is held is what the log holds: the frontier moves over what was finished meanwhile.
    pub(super) fn believe(&mut self, now: Time, index: usize) {
        let part = &mut self.partitions[index];
        if part.doubt == Doubt::No {
            return;
        }
        part.doubt = Doubt::No;
        self.credit.moved = true;
        part.gate();
        let Some(first) = part.window.first_entry() else {
            return;
        };
        if !self.pool.is_done(first) {
            return;
        }
        mark!(DoubtOver);
        part.frontier = part.window.advance(&mut self.pool).unwrap_or(part.floor);
        part.since = now;
        // Of what is finished, only the stamp of the last one is still known.
        if let Some(last) = part.last.filter(|l| l.position < part.frontier) {
            part.anchor = Some(last);
        }
        self.blockless += u32::from(part.window.blocks() == 0);
        self.credit.look_again();
        self.check_stall(index);
        self.dirty(now, index, 0);
    }
}
