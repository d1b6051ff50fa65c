//! What a keeper is for.

use std::sync::Arc;

use procession_core::{ClaimConfig, Span};

use super::member_id;
use crate::port::{LeaseSpec, PortError, PortErrorKind, StartAt};

/// What a keeper is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeeperSpec {
    /// How many partitions the topic has.
    pub partitions: u32,
    /// This member's name. It must name this process and this start of it: under a name that an
    /// earlier start used, a member would take that one's lease for its own.
    pub member: Arc<str>,
    /// Where a group without progress begins.
    pub start: StartAt,
    /// Lease and margin.
    pub lease: LeaseSpec,
    /// How long a partition that the claims themselves give up (partition 0 was lost) may take to
    /// finish and commit.
    pub leave_within: Span,
    /// Seed of the jitter in waiting times.
    pub seed: u64,
}

impl KeeperSpec {
    /// The claims' part of it.
    pub(super) fn claims(&self) -> ClaimConfig {
        ClaimConfig {
            member: member_id(&self.member),
            lease: self.lease.lease,
            margin: self.lease.margin,
            leave_within: self.leave_within,
            seed: self.seed,
        }
    }

    /// How long a read or a write may take: well below a fifth of the lease, when a renewal falls
    /// due.
    pub(super) fn answer_within(&self) -> Span {
        self.lease.lease.div(8).min(Span::from_secs(2))
    }
}

/// A configuration error in the words of a port.
pub(super) fn invalid(error: procession_core::ConfigError) -> PortError {
    PortError::new(
        PortErrorKind::Invalid,
        format!("the claims cannot work: {error}"),
    )
}
