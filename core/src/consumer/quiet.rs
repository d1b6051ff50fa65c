//! Whether there is anything to ask for, without asking for each.

use super::Consumer;

impl<M> Consumer<M> {
    /// Whether none of the polls has anything to say, [`poll_dispatch`](Self::poll_dispatch),
    /// [`poll_grant`](Self::poll_grant) and [`poll_timeout`](Self::poll_timeout) aside: then they need not be
    /// asked. Where it is false they may still say nothing. For adapters that look after every input. O(1).
    #[inline]
    #[must_use]
    pub const fn is_quiet(&self) -> bool {
        let levels = self.sessions.len
            | self.commits.len
            | self.releases.len
            | self.flows.len
            | self.cancels.len
            | self.abandons.len
            | self.letters.len
            | self.copies.len
            | self.passes.len
            | self.gaps.len
            | self.notices.raised.len;
        let drains = self.draining.is_some() && !self.drained_reported;
        let opens = self.credit.refunded && !self.shut.is_empty();
        levels == 0 && !drains && !opens
    }

    /// Whether [`poll_dispatch`](Self::poll_dispatch) may have something. O(1).
    #[inline]
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        !self.lanes.none_ready()
    }
}
