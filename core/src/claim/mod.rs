//! Ownership of partitions on brokers without groups: leases by compare-and-set records.

mod check;
mod claims;
mod conclude;
mod parts;
mod words;

pub use claims::Claims;
use parts::{Doubt, Pending, Phase, Seen, Sent};
pub use words::{
    Busy, ClaimConfig, ClaimRecord, ClaimState, ClaimStats, ClaimWrite, MemberId, Revision,
    WriteKind, WriteResult,
};

use crate::{CommitResult, ConfigError, Epoch, Time, mutants};

/// The claim of one member to one partition: decides when its record is read, taken over, renewed,
/// committed and released.
///
/// - **inputs**: [`observed`](Self::observed) and [`read_failed`](Self::read_failed) answer a read,
///   [`written`](Self::written) answers a write; [`commit`](Self::commit),
///   [`leave`](Self::leave), [`release`](Self::release), [`watch`](Self::watch),
///   [`compete`](Self::compete), [`connection_lost`](Self::connection_lost),
///   [`connection_restored`](Self::connection_restored), [`handle_timeout`](Self::handle_timeout).
/// - **outputs**, after any input: [`poll_state`](Self::poll_state) until it gives `None`,
///   [`poll_commit_result`](Self::poll_commit_result), [`poll_read`](Self::poll_read),
///   [`poll_write`](Self::poll_write), and then [`poll_timeout`](Self::poll_timeout).
///
/// At most one read or write is outstanding, never both. Every one is answered; the adapter bounds
/// them by timeouts of its own (well below a fifth of the lease) and answers `read_failed` or
/// [`WriteResult::Unknown`] (LM13). What is outstanding when the connection is lost needs no answer,
/// and answers that arrive after it are dropped by the adapter.
///
/// # How ownership is kept safe (S1, S5, S6)
/// Every write compares and sets the record's revision. A write moves the end of the lease to the
/// time it was *sent* plus the lease minus the margin, once it is known to be stored. A watcher
/// counts a whole lease from when it first *saw* a revision, which is later. A write that was refused
/// or has no answer proves nothing: the record is read and compared before the next write. It is
/// still ours when it is the last that we know was stored (then the open write is voided by writing
/// again, with the same expected revision), or one of the writes in doubt (a late one landed). Any
/// other record means lost, one under our own name that went back to an older state included.
///
/// A claim begins connected. Time never goes back; a smaller `now` counts as the largest seen. It
/// must come from a clock that does not stop while the machine sleeps.
#[derive(Debug)]
pub struct Claim {
    config: ClaimConfig,
    /// Spreads the jitter.
    number: u32,
    /// The largest time seen.
    now: Time,
    is_connected: bool,
    may_take: bool,
    phase: Phase,
    /// What a standby saw last.
    seen: Option<Seen>,
    /// The highest epoch seen or used; a take-over goes above it.
    highest: Epoch,
    /// The epoch of our ownership.
    epoch: Epoch,
    /// Our last write that is known to be stored.
    held: Option<(ClaimRecord, Revision)>,
    /// The end of the lease.
    until: Time,
    is_lapsed: bool,
    /// Asked to give up in an orderly way, until then.
    leaving: Option<Time>,
    /// Whether it was asked to [`leave`](Self::leave) since it became ours.
    was_asked: bool,
    /// Giving up with the next write, tried until then.
    releasing: Option<Time>,
    /// The last write number used. Never goes back, not even between epochs.
    write: u64,
    sent: Option<Sent>,
    doubt: Option<Doubt>,
    /// The record may be taken over: the next write does it.
    take: bool,
    renew_at: Time,
    /// No write before (backoff).
    write_at: Time,
    is_reading: bool,
    /// No write before a read was compared.
    must_read: bool,
    /// When the next read is due.
    read_at: Time,
    /// Failed reads and writes since the last success.
    failures: u32,
    commit: Option<Pending>,
    result: Option<(Epoch, u64, CommitResult)>,
    reported: ClaimState,
    /// Ownership that was reported ended; to be said before anything newer.
    is_loss_unreported: bool,
    stats: ClaimStats,
}

impl Claim {
    /// A standby that knows nothing. `number` spreads the jitter (the partition).
    ///
    /// # Errors
    /// The first field of `config` that is out of range.
    pub fn new(config: &ClaimConfig, number: u32) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self {
            config: *config,
            number,
            now: Time::ZERO,
            is_connected: true,
            may_take: true,
            phase: Phase::Standby,
            seen: None,
            highest: Epoch(0),
            epoch: Epoch(0),
            held: None,
            until: Time::ZERO,
            is_lapsed: false,
            leaving: None,
            was_asked: false,
            releasing: None,
            write: 0,
            sent: None,
            doubt: None,
            take: false,
            renew_at: Time::ZERO,
            write_at: Time::ZERO,
            is_reading: false,
            must_read: false,
            read_at: Time::ZERO,
            failures: 0,
            commit: None,
            result: None,
            reported: ClaimState::Standby { owner: None },
            is_loss_unreported: false,
            stats: ClaimStats::default(),
        })
    }

    /// A read found this (`None`: no record). `revision` is the store's (zero when nothing was ever
    /// written; the number of the deletion mark when the record was deleted). Ignored when no read
    /// is outstanding.
    pub fn observed(&mut self, now: Time, record: Option<ClaimRecord>, revision: Revision) {
        self.tick(now);
        if !self.is_reading {
            return;
        }
        self.is_reading = false;
        self.stats.reads += 1;
        match self.phase {
            Phase::Owner => self.compare(record, revision),
            Phase::Standby => self.look(record, revision),
            Phase::Released { .. } => {}
        }
    }

    /// A read had no answer or an error.
    pub fn read_failed(&mut self, now: Time) {
        self.tick(now);
        if !self.is_reading {
            return;
        }
        self.is_reading = false;
        self.stats.reads_failed += 1;
        self.failures = self.failures.saturating_add(1);
        self.read_at = self.now + self.backoff();
    }

    /// How the write with this number ended. Any other number is ignored.
    pub fn written(&mut self, now: Time, write: u64, result: WriteResult) {
        self.tick(now);
        if let Some(sent) = self.sent.filter(|sent| sent.write.record.write == write) {
            self.sent = None;
            self.answered(sent, result);
        }
    }

    /// New content waits to be written: the consumer's commit `number` of `epoch`. With `last`,
    /// ownership is given up in the same write, and nothing may start from here on. An epoch above the claim's own is adopted, a lower
    /// one is answered with [`CommitResult::Lost`], and so is any commit while not the owner.
    /// (Until a commit of the adopted epoch is stored the record names the old one: who takes over in
    /// between may get the same number. Owner and revision tell them apart in the record; a fence made
    /// of the epoch alone does not.)
    ///
    /// # Errors
    /// [`Busy`] while an earlier commit has no result that was fetched.
    pub fn commit(&mut self, now: Time, epoch: Epoch, number: u64, last: bool) -> Result<(), Busy> {
        self.tick(now);
        if self.commit.is_some() || self.result.is_some() {
            return Err(Busy);
        }
        if self.phase != Phase::Owner || epoch < self.epoch {
            self.result = Some((epoch, number, CommitResult::Lost));
            return Ok(());
        }
        self.epoch = epoch;
        self.highest = self.highest.max(epoch);
        self.commit = Some(Pending {
            epoch,
            number,
            carried_by: None,
        });
        if last && self.releasing.is_none() {
            self.releasing = Some(self.now + self.config.lease);
        }
        Ok(())
    }

    /// Give up in an orderly way: the state becomes [`ClaimState::Leaving`] while ours. At the
    /// deadline it is released without waiting for a last commit.
    pub fn leave(&mut self, now: Time, deadline: Time) {
        self.tick(now);
        if self.phase == Phase::Owner && self.leaving.is_none() {
            self.leaving = Some(deadline);
            self.was_asked = true;
            self.tick(now);
        }
    }

    /// Give up now, with one answered write; tried until `deadline`. Ends in
    /// [`ClaimState::Released`]; nothing may start from here on (S5). A commit that is pending goes with it.
    pub fn release(&mut self, now: Time, deadline: Time) {
        self.tick(now);
        self.take = false;
        match self.phase {
            Phase::Released { .. } => return,
            Phase::Standby if self.doubt.is_none() => self.give_up(true),
            // A take-over that is on its way, or in doubt, is given up once it is known.
            Phase::Standby => {
                self.releasing = Some(deadline);
                self.read_at = self.now;
            }
            Phase::Owner => self.releasing = Some(deadline),
        }
        self.tick(now);
    }

    /// Stand by again after a release.
    pub fn watch(&mut self, now: Time) {
        self.tick(now);
        if matches!(self.phase, Phase::Released { .. }) {
            self.phase = Phase::Standby;
            self.was_asked = false;
            self.seen = None;
            self.must_read = false;
            self.read_at = self.now;
        }
    }

    /// Whether to take over what is free (yes, at the beginning). A claim that may not still reads,
    /// so that the leases of others run out for it, too.
    pub fn compete(&mut self, now: Time, compete: bool) {
        self.tick(now);
        if self.may_take == compete {
            return;
        }
        self.may_take = compete;
        self.take = false;
        if compete && self.phase == Phase::Standby {
            self.read_at = self.now;
        }
    }

    /// The connection is gone; nothing is read or written until it is restored.
    pub fn connection_lost(&mut self, now: Time) {
        self.tick(now);
        self.is_connected = false;
        self.is_reading = false;
        self.take = false;
        if self.sent.take().is_some() {
            self.stats.unknown += 1;
        }
        self.must_read = !mutants::is(91);
    }

    /// The connection is there (again): the record is read and compared before anything is written
    /// (a restored store can repeat revisions, LM12).
    pub fn connection_restored(&mut self, now: Time) {
        self.tick(now);
        self.is_connected = true;
        self.take = false;
        self.must_read = !mutants::is(91);
        self.read_at = self.now;
        self.write_at = self.now;
        self.failures = 0;
    }

    /// Time passed. Early is harmless.
    pub fn handle_timeout(&mut self, now: Time) {
        self.tick(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) and the polls are due again; in the past when
    /// a read or write is due already.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let can_act = self.is_connected && !self.is_reading && self.sent.is_none();
        let act = match self.phase {
            Phase::Released { .. } => None,
            Phase::Standby | Phase::Owner if !can_act => None,
            Phase::Standby | Phase::Owner if self.must_read => Some(self.read_at),
            Phase::Standby if self.take => Some(self.write_at),
            Phase::Standby => Some(self.read_at),
            Phase::Owner if self.releasing.is_some() || self.commit.is_some() => {
                Some(self.write_at)
            }
            Phase::Owner => Some(self.write_at.max(self.renew_at)),
        };
        let is_running = self.phase == Phase::Owner && !self.is_lapsed;
        let lapse = is_running.then_some(self.until);
        [act, lapse, self.releasing.or(self.leaving)]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether to read the record now (from the leader: never stale). Answer with
    /// [`observed`](Self::observed) or [`read_failed`](Self::read_failed).
    pub fn poll_read(&mut self, now: Time) -> bool {
        self.tick(now);
        let is_wanted = match self.phase {
            Phase::Released { .. } => false,
            Phase::Standby => self.must_read || !self.take,
            Phase::Owner => self.must_read,
        };
        let can_act = self.is_connected && !self.is_reading && self.sent.is_none();
        let reads = is_wanted && can_act && self.read_at <= self.now;
        self.is_reading |= reads;
        reads
    }

    /// The write to send now. The lease counts from `now`. Answer with [`written`](Self::written).
    pub fn poll_write(&mut self, now: Time) -> Option<ClaimWrite> {
        self.tick(now);
        let must_wait = !self.is_connected
            || self.is_reading
            || self.must_read
            || self.sent.is_some()
            || self.write_at > self.now;
        if must_wait {
            return None;
        }
        let (kind, expect) = self.due_write()?;
        self.write += 1;
        let (owner, epoch) = match kind {
            WriteKind::Take => (
                Some(self.config.member),
                Epoch(self.highest.0.saturating_add(u64::from(!mutants::is(84)))),
            ),
            WriteKind::Renew | WriteKind::Commit => (Some(self.config.member), self.epoch),
            WriteKind::Release => (None, self.epoch),
        };
        let record = ClaimRecord {
            owner,
            epoch,
            write: self.write,
        };
        let commit = self.commit.as_mut().map(|commit| {
            commit.carried_by.get_or_insert(record.write);
            commit.number
        });
        let write = ClaimWrite {
            record,
            expect,
            kind,
            commit,
        };
        self.take = false;
        self.sent = Some(Sent {
            write,
            at: self.now,
        });
        self.doubt = Some(Doubt::note(self.doubt, record, self.now));
        self.stats.writes += 1;
        Some(write)
    }

    /// How a commit ended: its epoch, its number, its result.
    pub fn poll_commit_result(&mut self) -> Option<(Epoch, u64, CommitResult)> {
        self.result.take()
    }

    /// The state, when it changed since the last poll. The end of an ownership that was reported is
    /// never passed over. Poll until `None`.
    pub fn poll_state(&mut self) -> Option<ClaimState> {
        if core::mem::take(&mut self.is_loss_unreported) {
            self.reported = ClaimState::Standby {
                owner: self.seen_owner(),
            };
            return Some(self.reported);
        }
        let state = self.state();
        if state == self.reported {
            return None;
        }
        self.reported = state;
        Some(state)
    }

    /// The state as it is.
    pub fn state(&self) -> ClaimState {
        let (epoch, until) = (self.epoch, self.until);
        match (self.phase, self.leaving) {
            (Phase::Released { confirmed }, _) => ClaimState::Released { confirmed },
            (Phase::Standby, _) => ClaimState::Standby {
                owner: self.seen_owner(),
            },
            (Phase::Owner, _) if self.is_lapsed => ClaimState::Lapsed { epoch },
            (Phase::Owner, Some(deadline)) => ClaimState::Leaving {
                epoch,
                until,
                deadline,
            },
            (Phase::Owner, None) => ClaimState::Owner { epoch, until },
        }
    }

    /// Whether the partition is ours at this moment: to be asked before every hand-over (LM5).
    #[must_use]
    pub fn owns(&self, now: Time) -> bool {
        // A release that was sent may land at any time, and be followed by a take-over at once.
        self.phase == Phase::Owner
            && (self.releasing.is_none() || mutants::is(90))
            && (!self.is_lapsed || mutants::is(85))
            && (now < self.until || mutants::is(85))
    }

    /// Counters.
    #[must_use]
    pub const fn stats(&self) -> ClaimStats {
        self.stats
    }

    /// What the next write is for, and the revision that it expects.
    fn due_write(&self) -> Option<(WriteKind, Revision)> {
        match self.phase {
            Phase::Released { .. } => None,
            Phase::Standby => {
                let seen = self.seen.filter(|_| self.take)?;
                Some((WriteKind::Take, seen.revision))
            }
            Phase::Owner => {
                let (_, revision) = self.held?;
                let kind = if self.releasing.is_some() {
                    WriteKind::Release
                } else if self.commit.is_some() {
                    WriteKind::Commit
                } else if self.renew_at <= self.now && !mutants::is(95) {
                    WriteKind::Renew
                } else {
                    return None;
                };
                Some((kind, revision))
            }
        }
    }

    fn seen_owner(&self) -> Option<MemberId> {
        self.seen
            .and_then(|seen| seen.record)
            .and_then(|record| record.owner)
    }
}
