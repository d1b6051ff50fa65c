//! What may happen next.

/// Something that happens at a time. Numbers are indices into the world's tables; `life` is the
/// number of the process, so that what was meant for a dead one is dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// The producer appends its next message.
    Publish { number: u32 },
    /// A feed takes messages from the log.
    Pump {
        member: u32,
        life: u32,
        partition: u32,
    },
    /// Messages that are on their way arrive.
    Arrive {
        member: u32,
        life: u32,
        partition: u32,
        session: u64,
    },
    /// A message of an ended session arrives; an index into the table of stragglers.
    Straggle {
        member: u32,
        life: u32,
        straggler: u32,
    },
    /// A session begins, or fails to.
    SessionUp {
        member: u32,
        life: u32,
        partition: u32,
        session: u64,
    },
    /// The broker tells how far it has delivered.
    Beat {
        member: u32,
        life: u32,
        partition: u32,
        session: u64,
    },
    /// A handler ends on its own.
    HandlerEnd {
        member: u32,
        life: u32,
        handler: u32,
    },
    /// The result of a handler reaches the core.
    Settle {
        member: u32,
        life: u32,
        handler: u32,
    },
    /// The result of a handler reaches the core once more.
    Resettle {
        member: u32,
        life: u32,
        handler: u32,
    },
    /// A commit reaches the broker; an index into the table of writes.
    CommitLands { write: u32 },
    /// The answer to a commit reaches the process.
    CommitAnswer { member: u32, life: u32, write: u32 },
    /// The answer to a dead letter; an index into the table of burials.
    BurialAnswer { member: u32, life: u32, burial: u32 },
    /// The core's timer.
    Timer { member: u32, life: u32 },
    /// Outputs that were left lying are asked for.
    Poke { member: u32, life: u32 },
    /// An owner renews its lease.
    Renew {
        member: u32,
        life: u32,
        partition: u32,
        epoch: u64,
    },
    /// The owner hears that its lease was renewed.
    Renewed {
        member: u32,
        life: u32,
        partition: u32,
        epoch: u64,
        until: u64,
    },
    /// A watcher looks whether a lease has run out.
    LeaseCheck { partition: u32, epoch: u64 },
    /// A member learns that it lost a partition.
    Fenced {
        member: u32,
        life: u32,
        partition: u32,
        epoch: u64,
    },
    /// The operator says where a stopped partition goes on.
    Reset {
        member: u32,
        life: u32,
        partition: u32,
    },
    /// The operator passes the gap that stopped a key; an index into the table of gaps.
    PassGap { member: u32, life: u32, gap: u32 },
    /// A free partition is given to a member.
    Assign { partition: u32 },
    /// A process starts again.
    Restart { member: u32 },
    /// A generation of the group ends.
    Generation,
    /// World-level faults are decided.
    Chaos { tick: u32 },
    /// Faults stop.
    Heal,
    /// Owners release what is parked.
    Tidy,
    /// The progress alarm.
    Watchdog,
}

impl Event {
    /// Class and entity, for the order among events of one time. Equal for events that must keep
    /// their order.
    #[inline(always)]
    pub(crate) const fn class(self) -> (u64, u64) {
        match self {
            Self::Publish { .. } => (1, 0),
            Self::Pump {
                member, partition, ..
            } => (2, pair(member, partition)),
            Self::Arrive {
                member, partition, ..
            }
            | Self::SessionUp {
                member, partition, ..
            }
            | Self::Beat {
                member, partition, ..
            } => (3, pair(member, partition)),
            Self::Straggle { straggler, .. } => (4, straggler as u64),
            Self::HandlerEnd {
                member, handler, ..
            } => (6, pair(member, handler)),
            Self::Settle {
                member, handler, ..
            } => (7, pair(member, handler)),
            Self::Resettle {
                member, handler, ..
            } => (21, pair(member, handler)),
            Self::CommitLands { write } => (8, write as u64),
            Self::CommitAnswer { write, .. } => (9, write as u64),
            Self::BurialAnswer { burial, .. } => (10, burial as u64),
            Self::Generation => (23, 0),
            Self::Renewed {
                member, partition, ..
            } => (22, pair(member, partition)),
            Self::Timer { member, .. } => (11, member as u64),
            Self::Poke { member, .. } => (12, member as u64),
            Self::Renew { partition, .. } => (13, partition as u64),
            Self::LeaseCheck { partition, .. } => (14, partition as u64),
            Self::Fenced { partition, .. } => (15, partition as u64),
            Self::Assign { partition } => (16, partition as u64),
            Self::Restart { member } => (17, member as u64),
            Self::Chaos { tick } => (18, tick as u64),
            Self::Heal => (19, 0),
            Self::Watchdog => (20, 0),
            Self::Tidy => (24, 0),
            Self::Reset {
                member, partition, ..
            } => (25, pair(member, partition)),
            Self::PassGap { member, gap, .. } => (26, pair(member, gap)),
        }
    }

    /// The process that this is for, if it is for one.
    pub(crate) const fn process(self) -> Option<(u32, u32)> {
        match self {
            Self::Pump { member, life, .. }
            | Self::Arrive { member, life, .. }
            | Self::Straggle { member, life, .. }
            | Self::SessionUp { member, life, .. }
            | Self::Beat { member, life, .. }
            | Self::HandlerEnd { member, life, .. }
            | Self::Settle { member, life, .. }
            | Self::Resettle { member, life, .. }
            | Self::CommitAnswer { member, life, .. }
            | Self::BurialAnswer { member, life, .. }
            | Self::Timer { member, life }
            | Self::Poke { member, life }
            | Self::Renew { member, life, .. }
            | Self::Renewed { member, life, .. }
            | Self::Reset { member, life, .. }
            | Self::PassGap { member, life, .. }
            | Self::Fenced { member, life, .. } => Some((member, life)),
            Self::Publish { .. }
            | Self::CommitLands { .. }
            | Self::LeaseCheck { .. }
            | Self::Assign { .. }
            | Self::Restart { .. }
            | Self::Chaos { .. }
            | Self::Generation
            | Self::Heal
            | Self::Tidy
            | Self::Watchdog => None,
        }
    }
}

const fn pair(a: u32, b: u32) -> u64 {
    (a as u64) << 32 | b as u64
}
