//! One claim on a bench: what it wants is carried out by hand.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "helpers of several test binaries"
)]

use procession_core::{
    Claim, ClaimConfig, ClaimRecord, ClaimState, ClaimWrite, CommitResult, Epoch, MemberId,
    Revision, Span, Time, WriteResult,
};

pub(crate) const ME: MemberId = MemberId(1);
pub(crate) const OTHER: MemberId = MemberId(2);

/// Lease 10 s, margin 1 s: renewal after 2 s, the end 9 s after the write was sent.
pub(crate) const CONFIG: ClaimConfig = ClaimConfig {
    member: ME,
    lease: Span::from_secs(10),
    margin: Span::from_secs(1),
    leave_within: Span::from_secs(5),
    seed: 7,
};

pub(crate) const fn ms(millis: u64) -> Time {
    Time::from_nanos(millis * 1_000_000)
}

pub(crate) const fn record(owner: Option<MemberId>, epoch: u64, write: u64) -> Option<ClaimRecord> {
    Some(ClaimRecord {
        owner,
        epoch: Epoch(epoch),
        write,
    })
}

/// A claim with a clock, checked after every step.
pub(crate) struct Bench {
    pub(crate) claim: Claim,
    pub(crate) now: Time,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self {
            claim: Claim::new(&CONFIG, 0).unwrap(),
            now: ms(0),
        }
    }

    /// A claim that owns the partition: epoch 1, write 1, revision 1, sent at 0.
    pub(crate) fn owner() -> Self {
        let mut bench = Self::new();
        bench.sees(None, 0);
        let take = bench.write().unwrap();
        bench.written(&take, WriteResult::Stored(Revision(1)));
        assert_eq!(bench.state(), owner(1, 9_000));
        bench
    }

    pub(crate) fn at(&mut self, millis: u64) -> &mut Self {
        self.now = ms(millis);
        self.claim.handle_timeout(self.now);
        self.check();
        self
    }

    pub(crate) fn check(&self) {
        assert_eq!(self.claim.check_invariants(), Ok(()));
    }

    pub(crate) fn reads(&mut self) -> bool {
        let reads = self.claim.poll_read(self.now);
        self.check();
        reads
    }

    /// The claim must read, and reads this.
    pub(crate) fn sees(&mut self, record: Option<ClaimRecord>, revision: u64) {
        assert!(self.reads(), "a read is due");
        assert!(!self.reads(), "one read at a time");
        assert_eq!(self.write(), None, "nothing is written beside a read");
        self.claim.observed(self.now, record, Revision(revision));
        self.check();
    }

    pub(crate) fn write(&mut self) -> Option<ClaimWrite> {
        let write = self.claim.poll_write(self.now);
        self.check();
        write
    }

    pub(crate) fn written(&mut self, write: &ClaimWrite, result: WriteResult) {
        self.claim.written(self.now, write.record.write, result);
        self.check();
    }

    pub(crate) fn state(&mut self) -> ClaimState {
        while self.claim.poll_state().is_some() {}
        self.claim.state()
    }

    pub(crate) fn result(&mut self) -> Option<(u64, u64, CommitResult)> {
        self.claim
            .poll_commit_result()
            .map(|(epoch, number, result)| (epoch.0, number, result))
    }
}

pub(crate) const fn owner(epoch: u64, until: u64) -> ClaimState {
    ClaimState::Owner {
        epoch: Epoch(epoch),
        until: ms(until),
    }
}

pub(crate) const fn standby(owner: Option<MemberId>) -> ClaimState {
    ClaimState::Standby { owner }
}
