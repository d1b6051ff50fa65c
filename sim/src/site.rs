//! Where the simulator decides something.

macro_rules! sites {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// A place where the simulator decides: fault sites first, then draws of the workload.
        /// Numbers are part of what a seed means; new sites go to the end of their half.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum Site { $($(#[$doc])* $name),+ }

        impl Site {
            /// All sites, in the order of their numbers.
            pub const ALL: [Self; SITES] = [$(Self::$name),+];

            const WORDS: [&'static str; SITES] = [$(stringify!($name)),+];
        }

        /// How many sites there are.
        pub const SITES: usize = [$(stringify!($name)),+].len();
    };
}

sites! {
    /// A delivery vanishes on its way: a jump, or a lost tail (LM1, LM3).
    DeliveryLost,
    /// A delivery of an ended session arrives late (LM9, K8).
    DeliveryLate,
    /// A session cannot begin (LM2).
    SessionRefused,
    /// A session is cut (LM2).
    SessionCut,
    /// More is offered than was asked for.
    OverPush,
    /// A client goes back and delivers again (K15).
    Rewind,
    /// A publish lands twice (P1, J2).
    Copy,
    /// A hole in the log (K13).
    Hole,
    /// A commit is stored, its answer lost (LM4, K6).
    CommitAnswerLost,
    /// A commit is lost, nobody knows.
    CommitLost,
    /// A commit whose answer was lost lands late (LM11).
    CommitLate,
    /// A commit is refused without being fenced (K5).
    CommitRefused,
    /// A commit fails for a passing reason.
    CommitRetry,
    /// A commit is not permitted.
    CommitDenied,
    /// The map does not fit.
    CommitTooLarge,
    /// Answers come twice or much too late (G3).
    StaleAnswer,
    /// An attempt is settled twice (G3).
    DoubleSettle,
    /// A result reaches the core a while after the handler ended.
    LateSettle,
    /// A handler is slow (G2).
    HandlerSlow,
    /// A handler fails.
    HandlerFail,
    /// A handler rejects.
    HandlerReject,
    /// A handler hangs until it is cancelled.
    HandlerHang,
    /// A handler hangs and ignores that it is cancelled.
    HandlerDeaf,
    /// A message whose handler always fails (G5).
    Poison,
    /// A message that cannot be decoded (G13).
    Malformed,
    /// A message over the size limit.
    Oversize,
    /// A message without a key.
    Keyless,
    /// A dead letter is not stored (G6).
    BurialFails,
    /// A dead letter is too large.
    BurialTooLarge,
    /// Nobody knows whether a dead letter was stored.
    BurialUnknown,
    /// A process dies (G1).
    Crash,
    /// A process is paused, past its leases or not (G18, LM5).
    Pause,
    /// A planned hand-over (K1, K2, K3).
    Revoke,
    /// A partition is lost without a chance (K4).
    Lose,
    /// Another member takes over without the old one being told (LM5).
    TakeOver,
    /// The same member gets a partition again, without having been told that it lost it (K9).
    Reopen,
    /// A lease is not renewed.
    RenewFails,
    /// The tail of a log is lost and its positions are used again (K12, LM10, J7).
    Rewrite,
    /// A log is deleted and made anew (J9, LM7).
    Recreate,
    /// Retention removes the oldest messages (LM8, N16).
    Retention,
    /// A single message is deleted from the log.
    Delete,
    /// The record of a group is restored to an older copy (LM7).
    RecordRollback,
    /// The recorded map is corrupt or foreign.
    MapCorrupt,
    /// A member drains and stops (G10).
    Drain,
    /// Limits change (G9).
    SetLimits,
    /// A timer is late (G8).
    LateTimer,
    /// A timer is early.
    EarlyTimer,
    /// Outputs are asked for late (G11).
    LazyPoll,
    /// Something of an old epoch or session is told again (S6).
    StaleInput,
    /// Two keys share a lane (G14).
    LaneCollision,
    /// A key occurs in several partitions (K16).
    SharedKeys,
    /// A process dies at a chosen event.
    CrashAtEvent,
    /// A rebalance, a drain or a loss hits at a chosen event.
    ShakeAtEvent,
    /// Positions that belong to others follow a message.
    TrailingHole,
    /// A member that drains is given another partition.
    AssignDraining,
    /// The result of an attempt comes a second time, much later (G3).
    LateResult,
    /// An owner hears late that its lease was renewed (LM4).
    RenewLate,
    /// The group rebalances: eagerly, cooperatively, or driven by the broker (K1, K2, K3, K5).
    Rebalance,
    /// An owner releases a parked key, or says what becomes of its messages.
    Owner,
    /// A message expires.
    Expires,

    /// Draws of the swarm configuration.
    Plan,
    /// Draws of the workload.
    Work,
    /// Draws of latencies.
    Latency,
    /// Order of events of one time.
    Tie,
    /// What a handler does.
    Handler,
    /// Assignment of partitions.
    Assign,
    /// Contents of corrupt maps.
    Noise,
}

impl Site {
    /// Fault sites come first; from here on, draws.
    pub const FIRST_DRAW: Self = Self::Plan;

    /// What its decisions are drawn from: it stays when faults are added before the draws.
    pub(crate) const fn code(self) -> u64 {
        let number = self as u64;
        let first = Self::FIRST_DRAW as u64;
        if number < first {
            number
        } else {
            10_000 + number - first
        }
    }

    /// Its name in failure reports: words with dashes. It outlives numbers and versions.
    #[must_use]
    pub fn name(self) -> String {
        let mut name = String::new();
        for c in Self::WORDS[self as usize].chars() {
            if c.is_ascii_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.push(c.to_ascii_lowercase());
        }
        name
    }

    /// The site of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|site| site.name() == name)
    }

    /// Whether it decides what is published: then the workload tells, and nobody asks again.
    #[must_use]
    pub const fn is_workload(self) -> bool {
        matches!(
            self,
            Self::Copy
                | Self::Hole
                | Self::TrailingHole
                | Self::Poison
                | Self::Malformed
                | Self::Oversize
                | Self::Expires
                | Self::Keyless
                | Self::LaneCollision
                | Self::SharedKeys
        )
    }

    /// Whether this is a fault that can be switched off.
    #[must_use]
    pub const fn is_fault(self) -> bool {
        (self as u8) < (Self::FIRST_DRAW as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_with_dashes_and_lead_back() {
        assert_eq!(Site::DeliveryLost.name(), "delivery-lost");
        for site in Site::ALL {
            assert_eq!(Site::named(&site.name()), Some(site));
        }
        assert_eq!(Site::named("DeliveryLost"), None);
    }
}
