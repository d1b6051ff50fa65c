//! Coverage marks: places that the simulator must have been to. Compiled to nothing without the
//! feature.

/// Counts that this place was reached.
macro_rules! mark {
    ($name:ident) => {
        #[cfg(feature = "marks")]
        $crate::marks::Mark::$name.hit();
    };
    ($name:ident, $when:expr) => {
        #[cfg(feature = "marks")]
        if $when {
            $crate::marks::Mark::$name.hit();
        }
    };
}
pub(crate) use mark;

#[cfg(feature = "marks")]
pub use counted::{MARKS, Mark};

#[cfg(feature = "marks")]
mod counted {
    use core::sync::atomic::{AtomicU64, Ordering};

    macro_rules! marks {
        ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
            /// A place in the core.
            #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
            #[repr(u8)]
            pub enum Mark { $($(#[$doc])* $name),+ }

            impl Mark {
                /// All marks.
                pub const ALL: [Self; MARKS] = [$(Self::$name),+];
            }

            /// How many marks there are.
            pub const MARKS: usize = [$(stringify!($name)),+].len();
        };
    }

    marks! {
        /// A partition is taken over whose owner before did not end cleanly.
        UncleanEnd,
        /// A process died while a suspect ran alone.
        Counted,
        /// Something waits until its partition's record says that anything may run.
        UnmarkedWaits,
        /// A message joins a lot that has one.
        LotGrows,
        /// A message waits for the next lot.
        LotWaits,
        /// A lot is gone with its partition.
        LotDropped,
        /// A suspect is given up.
        Convicted,
        /// Nothing is suspected any more.
        SuspicionOver,
        /// A message joins the call of the one before it of its key.
        Followed,
        /// A message of a call is given back because of one before it.
        GivenBack,
        /// A message is ahead in the sequence of its key.
        SequenceAhead,
        /// A message is behind in the sequence of its key.
        SequenceBehind,
        /// A message comes after its key has gone on without it.
        SequenceLate,
        /// A message arrives in front of what waits for a missing one.
        MissingArrives,
        /// A message finds its place inside a lane.
        SequencedInside,
        /// A missing message is not waited for any longer.
        GapDecided,
        /// Too much waits for missing messages.
        HoldFull,
        /// What waits for missing messages leaves no room for them.
        HoldRelents,
        /// A delivery was lost on the way.
        DeliveryGap,
        /// An arrival of an old epoch or session.
        VoidArrival,
        /// Something arrives when the lease has run out.
        ArrivalAfterLease,
        /// Another identity than before at a known position.
        OtherIdentity,
        /// A position that is known comes again.
        KnownAgain,
        /// A resumed map says that an arrival is finished.
        FinishedByMap,
        /// A resumed map says that another message was finished where an arrival stands.
        RewrittenByMap,
        /// A copy of what succeeded arrives.
        CopyArrives,
        /// A copy shows when its turn comes.
        CopyInItsTurn,
        /// A message over the size limit is refused.
        TooLarge,
        /// A message had expired when its turn came.
        Expired,
        /// No credit.
        NoCredit,
        /// No block of the window pool.
        NoWindow,
        /// A message is quarantined on arrival.
        Quarantined,
        /// The next of a key goes on.
        HandedOn,
        /// A handler loses its partition.
        Orphaned,
        /// Such a handler ends well.
        OrphanSucceeds,
        /// Such a handler does not.
        OrphanFails,
        /// A handler is left behind by a hand-over.
        Abandoned,
        /// Messages of a partition are taken out of the middle of a lane.
        PrunedInside,
        /// A lease was renewed after it had lapsed.
        WokenAfterLapse,
        /// Something ready may not start: the lease has run out, or it is given up.
        Lapsed,
        /// A partition is to be given up while handlers run.
        RevokedRunning,
        /// Its deadline comes before its last commit was answered.
        ReleasedAtDeadline,
        /// A partition is opened that was not known to be lost.
        OpenedAgain,
        /// The core is ahead of the broker's epochs.
        EpochAhead,
        /// Recorded progress is void.
        ResumeVoid,
        /// Retention has passed the recorded frontier.
        Truncated,
        /// A partition stops because its record is out of range.
        StoppedOutOfRange,
        /// It is given up before anybody said where it goes on.
        StoppedReleased,
        /// Somebody said where it goes on.
        Reset,
        /// It goes on at the end of the log.
        ResetToEnd,
        /// A recorded map is broken or foreign.
        MapIgnored,
        /// A recorded map is kept.
        MapKept,
        /// A recorded map does not fit into the pool.
        MapForgotten,
        /// A session cannot tell, with messages held behind its anchor.
        CannotTellBlind,
        /// A session has passed what was in doubt, and the frontier moves over what was finished.
        DoubtOver,
        /// The record lay beyond the end of the log.
        CutAtEnd,
        /// A session waits before it begins again.
        SessionWaits,
        /// Holes are passed behind the last message.
        HolesPassed,
        /// A log was rewritten.
        Rewound,
        /// A commit is lost: somebody else is the owner.
        CommitLost,
        /// A commit of the epoch before a rewrite is answered.
        CommitOfOldEpoch,
        /// A commit is written without its map.
        Mapless,
        /// A commit waits after a failure.
        CommitWaits,
        /// A dead letter is shortened.
        LetterShortened,
        /// A dead letter is tried again.
        LetterAgain,
        /// A dead letter is stored.
        LetterStored,
        /// An attempt was cancelled and does not count.
        CancelledUncounted,
        /// A handler that timed out counts as failed.
        TimedOut,
        /// A handler does not end when it is asked to.
        HandlerStuck,
        /// An attempt is given up because its handler does not end.
        GivenUp,
        /// The last attempt failed.
        Exhausted,
        /// An attempt fails while its partition is given up.
        FailedInHandover,
        /// A retry is set.
        RetrySet,
        /// Handlers are asked to stop for a hand-over.
        StoppedForHandover,
        /// A partition is paused.
        Paused,
        /// A partition is resumed.
        Resumed,
        /// A partition is opened while the process drains.
        OpenedDraining,
        /// A stall is told.
        StallTold,
        /// A stall is over.
        StallOver,
    }

    impl Mark {
        /// It was reached.
        pub(crate) fn hit(self) {
            HITS[self as usize].fetch_add(1, Ordering::Relaxed);
        }

        /// How often it was reached in this process.
        #[must_use]
        pub fn hits(self) -> u64 {
            HITS[self as usize].load(Ordering::Relaxed)
        }
    }

    static HITS: [AtomicU64; MARKS] = [const { AtomicU64::new(0) }; MARKS];
}
