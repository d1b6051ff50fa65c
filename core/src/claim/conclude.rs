//! What follows from time, from reads and from the answers to writes.

use super::{
    Claim, ClaimRecord, ClaimState, Doubt, Phase, Revision, Seen, Sent, WriteKind, WriteResult,
};
use crate::backoff::mix;
use crate::{Backoff, CommitResult, Span, Time, mutants};

impl Claim {
    /// Moves time on and carries out what fell due.
    pub(super) fn tick(&mut self, now: Time) {
        self.now = self.now.max(now);
        if self.phase == Phase::Owner && !self.is_lapsed && self.now >= self.until {
            // Somebody may have taken over. Compare before writing.
            self.is_lapsed = true;
            self.stats.lapsed += 1;
            self.must_read = true;
            self.read_at = self.read_at.min(self.now);
        }
        if self.releasing.is_none() && self.leaving.is_some_and(|deadline| deadline <= self.now) {
            self.releasing = Some(self.now + self.config.lease);
        }
        if self.releasing.is_some_and(|deadline| deadline <= self.now) {
            self.give_up(false);
        }
    }

    /// An answer to the outstanding write.
    pub(super) fn answered(&mut self, sent: Sent, result: WriteResult) {
        if mutants::is(82) && result == WriteResult::Unknown {
            let revision = Revision(sent.write.expect.0 + 1);
            return self.confirm(sent.write.record, revision, sent.at);
        }
        let is_current = match self.phase {
            Phase::Owner => true,
            Phase::Standby => sent.write.kind == WriteKind::Take && self.doubt.is_some(),
            Phase::Released { .. } => false,
        };
        match result {
            WriteResult::Stored(revision) if revision > sent.write.expect => {
                self.stats.stored += 1;
                if is_current {
                    self.confirm(sent.write.record, revision, sent.at);
                } else if self.phase == (Phase::Released { confirmed: false })
                    && sent.write.kind == WriteKind::Release
                {
                    self.phase = Phase::Released { confirmed: true };
                }
                return;
            }
            WriteResult::Refused => self.stats.refused += 1,
            // A store whose revisions do not grow cannot be believed.
            WriteResult::Unknown | WriteResult::Stored(_) => self.stats.unknown += 1,
            WriteResult::Denied => self.stats.denied += 1,
            WriteResult::Retry | WriteResult::TooLarge => {}
        }
        if !is_current {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        // Twice at once: a write without an answer, then the one that it refused by landing late.
        if self.failures > 2 {
            self.write_at = self.now + self.backoff();
        }
        match result {
            WriteResult::Stored(_) | WriteResult::Refused | WriteResult::Unknown => {
                if mutants::is(89) && result == WriteResult::Refused {
                    self.end_commit(CommitResult::Stored);
                }
                self.must_read = true;
                self.read_at = self.write_at.max(self.now);
                return;
            }
            WriteResult::Denied => {
                self.not_stored(sent, CommitResult::Denied);
                self.write_at = self.now + self.backoff_span().max;
            }
            WriteResult::TooLarge => self.not_stored(sent, CommitResult::TooLarge),
            WriteResult::Retry => self.not_stored(sent, CommitResult::Retry),
        }
        if self.phase == Phase::Standby {
            self.must_read = true;
            self.read_at = self.write_at.max(self.now + self.backoff());
        }
    }

    /// A write is surely not in the store. A commit that it carried ends when there is no sense in
    /// repeating it as it is; else it goes with the next write.
    fn not_stored(&mut self, sent: Sent, result: CommitResult) {
        let write = sent.write.record.write;
        self.doubt = self.doubt.filter(|doubt| doubt.first != write);
        if result != CommitResult::Retry && sent.write.commit.is_some() {
            self.end_commit(result);
        } else if let Some(commit) = &mut self.commit {
            commit.carried_by = commit.carried_by.filter(|&first| first != write);
        }
    }

    /// A read while we are the owner: is the record still ours?
    pub(super) fn compare(&mut self, record: Option<ClaimRecord>, revision: Revision) {
        if self.held == record.map(|record| (record, revision)) {
            // Nothing landed. What is in doubt is voided by writing again; it may land before that.
            self.must_read = false;
            return;
        }
        if let Some(record) = record
            && let Some(doubt) = self.own_doubt(record, revision)
        {
            self.stats.landed_late += 1;
            self.confirm(record, revision, doubt.sent_at(record.write));
            return;
        }
        if mutants::is(86)
            && let Some(record) = record
        {
            self.held = Some((record, revision));
            return;
        }
        self.lose(record, revision);
    }

    /// A read while we stand by.
    pub(super) fn look(&mut self, record: Option<ClaimRecord>, revision: Revision) {
        self.must_read = false;
        self.failures = 0;
        if let Some(record) = record
            && let Some(doubt) = self.own_doubt(record, revision)
        {
            self.stats.landed_late += 1;
            self.confirm(record, revision, doubt.sent_at(record.write));
            return;
        }
        let is_same = self
            .seen
            .is_some_and(|seen| seen.record == record && seen.revision == revision);
        if !is_same {
            // A take-over that expected another revision cannot land any more.
            self.doubt = None;
            let is_suspect = self
                .seen
                .is_some_and(|seen| seen.went_back(record, revision))
                || record.is_some_and(|record| record.epoch < self.highest);
            self.see(record, revision, is_suspect);
        }
        if self.releasing.is_some() {
            self.give_up(self.doubt.is_none());
            return;
        }
        self.consider();
    }

    /// A write of ours is known to be stored.
    fn confirm(&mut self, record: ClaimRecord, revision: Revision, sent_at: Time) {
        self.held = Some((record, revision));
        self.doubt = None;
        self.must_read = false;
        self.failures = 0;
        self.write_at = self.now;
        self.highest = self.highest.max(record.epoch);
        let is_carried = self
            .commit
            .is_some_and(|commit| commit.carried_by.is_some_and(|first| first <= record.write));
        if is_carried {
            self.end_commit(CommitResult::Stored);
        }
        if record.owner.is_none() {
            self.give_up(true);
            return;
        }
        let sent_at = if mutants::is(81) { self.now } else { sent_at };
        let until = sent_at + self.config.lease - self.config.margin;
        if self.phase == Phase::Owner {
            self.until = self.until.max(until);
        } else {
            self.phase = Phase::Owner;
            self.epoch = record.epoch;
            self.until = until;
            self.seen = None;
            self.leaving = None;
            self.was_asked = false;
            self.stats.taken += 1;
        }
        self.is_lapsed = self.now >= self.until;
        self.renew_at = sent_at + self.config.lease.div(5);
    }

    /// The record is not ours any more.
    fn lose(&mut self, record: Option<ClaimRecord>, revision: Revision) {
        let is_suspect = self.held.is_some_and(|(held, at)| {
            revision <= at || record.is_none_or(|record| record.epoch < held.epoch)
        }) || record
            .is_some_and(|record| record.owner == Some(self.config.member));
        self.stats.lost += 1;
        let is_releasing = self.releasing.is_some();
        self.end_ownership(CommitResult::Lost);
        self.see(record, revision, is_suspect);
        if is_releasing {
            self.phase = Phase::Released {
                confirmed: self.seen_owner() != Some(self.config.member),
            };
            return;
        }
        self.phase = Phase::Standby;
        self.is_loss_unreported = !matches!(
            self.reported,
            ClaimState::Standby { .. } | ClaimState::Released { .. }
        );
        self.consider();
    }

    /// The end of a release, with or without an answer.
    pub(super) fn give_up(&mut self, confirmed: bool) {
        let is_carried = self
            .commit
            .is_some_and(|commit| commit.carried_by.is_some());
        let result = if is_carried && !mutants::is(88) {
            CommitResult::Unknown
        } else {
            CommitResult::Refused
        };
        self.end_ownership(result);
        self.phase = Phase::Released { confirmed };
    }

    fn end_ownership(&mut self, result: CommitResult) {
        self.end_commit(result);
        self.held = None;
        self.doubt = None;
        self.leaving = None;
        self.releasing = None;
        self.must_read = false;
        self.take = false;
        self.is_lapsed = false;
        self.failures = 0;
        self.write_at = self.now;
    }

    fn end_commit(&mut self, result: CommitResult) {
        if mutants::is(96) && result == CommitResult::Stored {
            self.commit = None;
        }
        if let Some(commit) = self.commit.take() {
            self.result = Some((commit.epoch, commit.number, result));
        }
    }

    fn see(&mut self, record: Option<ClaimRecord>, revision: Revision, is_suspect: bool) {
        self.stats.rolled_back += u64::from(is_suspect);
        self.highest = self
            .highest
            .max(record.map_or(self.highest, |record| record.epoch));
        self.seen = Some(Seen {
            record,
            revision,
            since: self.now,
            is_suspect,
        });
    }

    /// Takes over what is free, or whose lease has run out on our own clock; else looks again later.
    fn consider(&mut self) {
        let Some(seen) = self.seen else { return };
        let lease = if mutants::is(83) {
            self.config.lease.div(2)
        } else {
            self.config.lease
        };
        let is_over = self.now.since(seen.since) >= lease;
        let is_free = !seen.is_suspect && seen.record.is_none_or(|record| record.owner.is_none());
        self.take = self.may_take && (is_over || is_free);
        let pause = self.config.lease.div(5);
        let drawn = mix(self.config.seed ^ mix(u64::from(self.number) ^ mix(self.stats.reads)));
        let jitter = Span::from_nanos(drawn % pause.div(5).as_nanos().max(1));
        self.read_at = self.now + pause + jitter - pause.div(10);
        if !is_over {
            self.read_at = self.read_at.min(seen.since + self.config.lease);
        }
    }

    /// The writes in doubt, if one of them made this record.
    fn own_doubt(&self, record: ClaimRecord, revision: Revision) -> Option<Doubt> {
        let before = self
            .held
            .map(|(_, revision)| revision)
            .or_else(|| self.seen.map(|s| s.revision));
        self.doubt.filter(|doubt| {
            before.is_none_or(|before| revision > before)
                && doubt.wrote(&record, self.config.member)
        })
    }

    pub(super) fn backoff(&self) -> Span {
        self.backoff_span()
            .after(self.failures, self.config.seed, u64::from(self.number))
    }

    const fn backoff_span(&self) -> Backoff {
        Backoff {
            first: self.config.lease.div(50),
            max: self.config.lease.div(10),
            jitter_percent: 20,
        }
    }
}
