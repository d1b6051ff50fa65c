//! Credit, as the documentation of the limits words it.

use super::model::{Model, State};

impl Model {
    /// Whether a message of `bytes` can be paid for: `Some(true)` from beyond the credit.
    ///
    /// Half of the credit is shared out evenly over the open partitions; what the others have not
    /// used of their shares stays theirs. A partition that holds nothing may take one message beyond
    /// the credit, one partition at a time.
    pub fn price(&self, p: usize, bytes: u32) -> Option<bool> {
        let open = self.parts.iter().filter(|p| p.is_ours()).count().max(1) as u64;
        let (messages, size) = (u64::from(self.limits.messages), self.limits.bytes);
        let (share, share_bytes) = (messages / (2 * open), size / (2 * open));
        let (mut reserved, mut reserved_bytes) = (0, 0);
        for (other, _) in self.parts.iter().enumerate().filter(|(_, p)| p.is_ours()) {
            let mine = u64::from(other == p);
            let used = self.owned(other).count() as u64 + mine;
            let used_bytes: u64 = self.owned(other).map(|h| u64::from(h.bytes)).sum();
            let used_bytes = used_bytes + mine * u64::from(bytes);
            reserved += share.saturating_sub(used);
            reserved_bytes += share_bytes.saturating_sub(used_bytes);
        }
        let all = self.held.len() as u64 + 1;
        let all_bytes: u64 = self.held.iter().map(|h| u64::from(h.bytes)).sum();
        let own = self.owned(p).count() as u64;
        let own_bytes: u64 = self.owned(p).map(|h| u64::from(h.bytes)).sum();
        let fits = all + reserved <= messages
            && all_bytes + u64::from(bytes) + reserved_bytes <= size
            && own < u64::from(self.limits.partition_messages)
            && own_bytes + u64::from(bytes) <= self.limits.partition_bytes;
        // One slot more than the credit at construction.
        let room = self.held.len() <= self.config.limits.messages as usize;
        let first = own == 0 && !self.held.iter().any(|h| h.overdraft);
        match (fits && room, first && room) {
            (true, _) => Some(false),
            (false, true) => Some(true),
            (false, false) => None,
        }
    }

    /// Whether what is held and what the shares keep free is more than the limits.
    pub fn is_overdrawn(&self) -> bool {
        let open = self.parts.iter().filter(|p| p.is_ours()).count().max(1) as u64;
        let (messages, size) = (u64::from(self.limits.messages), self.limits.bytes);
        let mut all = self.held.len() as u64;
        let mut bytes: u64 = self.held.iter().map(|h| u64::from(h.bytes)).sum();
        for (p, _) in self.parts.iter().enumerate().filter(|(_, p)| p.is_ours()) {
            let used: u64 = self.owned(p).map(|h| u64::from(h.bytes)).sum();
            all += (messages / (2 * open)).saturating_sub(self.owned(p).count() as u64);
            bytes += (size / (2 * open)).saturating_sub(used);
        }
        all > messages || bytes > size
    }

    /// What was granted to a partition and has not come yet.
    pub fn outstanding(&self, p: usize) -> (u64, u64) {
        let part = &self.parts[p];
        (
            part.granted.0.saturating_sub(part.taken.0),
            part.granted.1.saturating_sub(part.taken.1),
        )
    }

    /// Whether a partition may have so much outstanding: as long as all that is held and granted is
    /// within the limits, or up to its share. For messages, and for bytes.
    pub fn may_be_granted(&self, p: usize) -> (bool, bool) {
        let open = self.parts.iter().filter(|p| p.is_ours()).count().max(1) as u64;
        let (limit, limit_bytes) = (u64::from(self.limits.messages), self.limits.bytes);
        let share = (limit / (2 * open)).max(1);
        let largest = u64::from(self.config.message_bytes_max);
        let share_bytes = (limit_bytes / (2 * open)).max(largest);
        let mine = self.outstanding(p);
        let (mut all, mut bytes) = (self.held.len() as u64, 0);
        bytes += self.held.iter().map(|h| u64::from(h.bytes)).sum::<u64>();
        for other in 0..self.parts.len() {
            let outstanding = self.outstanding(other);
            all += outstanding.0;
            bytes += outstanding.1;
        }
        (
            mine.0 <= share || all <= limit,
            mine.1 <= share_bytes || bytes <= limit_bytes,
        )
    }

    /// What `Consumer::stats` must say.
    pub fn stats(&self) -> procession_core::Stats {
        let runs = |s: State| matches!(s, State::Running | State::Stopping | State::Orphan);
        let mut lanes: Vec<_> = Vec::new();
        for held in &self.held {
            if !lanes.contains(&held.lane) {
                lanes.push(held.lane);
            }
        }
        procession_core::Stats {
            held: self.held.len() as u32,
            held_bytes: self.held.iter().map(|h| u64::from(h.bytes)).sum(),
            running: self.held.iter().filter(|h| runs(h.state)).count() as u32,
            window: self.parts.iter().map(|p| p.window.len() as u32).sum(),
            identities: self.identities.len() as u32,
            lanes: lanes.len() as u32,
            parked_keys: self.parts.iter().map(|p| p.parked.len() as u32).sum(),
            ahead: self.waiting() as u32,
            sequences: self.keys.len() as u32,
            ..self.stats
        }
    }
}
