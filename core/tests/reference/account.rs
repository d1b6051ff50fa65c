//! Credit, as the documentation of the limits words it.

use super::model::{Model, State};

/// Shares `half` out by weight, where nobody has less than `one`, or an even share if that is less:
/// the lightest have just that, the others share the rest. As many as must be count as light.
fn share_out(half: u64, one: u64, weights: &[(usize, u32)], p: usize) -> u64 {
    let mut sorted: Vec<_> = weights.iter().map(|&(p, w)| (u128::from(w), p)).collect();
    sorted.sort_unstable();
    let floor = u128::from(one.min(half / weights.len().max(1) as u64));
    for light in 0..sorted.len() {
        let rest = u128::from(half) - floor * light as u128;
        let sum: u128 = sorted[light..].iter().map(|w| w.0).sum();
        if rest * sorted[light].0 < floor * sum {
            continue;
        }
        let mine = sorted[light..].iter().find(|w| w.1 == p);
        return mine.map_or(floor, |w| rest * w.0 / sum) as u64;
    }
    0
}

impl Model {
    /// The share of an open partition, in messages and bytes.
    fn shares(&self, p: usize) -> (u64, u64) {
        let parts = self.parts.iter().enumerate().filter(|(_, p)| p.is_ours());
        let weights: Vec<_> = parts.map(|(i, part)| (i, part.weight)).collect();
        let largest = self.config.message_bytes_max.into();
        let messages = u64::from(self.limits.messages) / 2;
        (
            share_out(messages, 1, &weights, p),
            share_out(self.limits.bytes / 2, largest, &weights, p),
        )
    }

    /// Weighs a partition; whether it can be, and the weight is one.
    pub fn set_weight(&mut self, p: u32, weight: u32) -> bool {
        let part = self.parts.get_mut(p as usize);
        let Some(part) = part.filter(|_| (1..=1_000).contains(&weight)) else {
            return false;
        };
        part.weight = weight;
        true
    }

    /// Whether a message of `bytes` can be paid for: `Some(true)` from beyond the credit.
    ///
    /// Half of the credit is shared out by weight over the open partitions; what the others have not
    /// used of their shares stays theirs. A partition that holds nothing may take one message beyond
    /// the credit, one partition at a time.
    pub fn price(&self, p: usize, bytes: u32) -> Option<bool> {
        let (messages, size) = (u64::from(self.limits.messages), self.limits.bytes);
        let (mut reserved, mut reserved_bytes) = (0, 0);
        for (other, _) in self.parts.iter().enumerate().filter(|(_, p)| p.is_ours()) {
            let (share, share_bytes) = self.shares(other);
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
        let (share, share_bytes) = self.shares(p);
        // What lets the message at a frontier in is kept free whatever the shares are, or were.
        let alone = own == 0 && share > 0 && u64::from(bytes) <= share_bytes;
        let (reserved, reserved_bytes) = if alone {
            (0, 0)
        } else {
            (reserved, reserved_bytes)
        };
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
        let (messages, size) = (u64::from(self.limits.messages), self.limits.bytes);
        let mut all = self.held.len() as u64;
        let mut bytes: u64 = self.held.iter().map(|h| u64::from(h.bytes)).sum();
        for (p, _) in self.parts.iter().enumerate().filter(|(_, p)| p.is_ours()) {
            let used: u64 = self.owned(p).map(|h| u64::from(h.bytes)).sum();
            let (share, share_bytes) = self.shares(p);
            all += share.saturating_sub(self.owned(p).count() as u64);
            bytes += share_bytes.saturating_sub(used);
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
        let (limit, limit_bytes) = (u64::from(self.limits.messages), self.limits.bytes);
        let (share, share_bytes) = self.shares(p);
        let largest = u64::from(self.config.message_bytes_max);
        let (share, share_bytes) = (share.max(1), share_bytes.max(largest));
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

/// Whether a window holds so many leaps that every message may need a block of its own.
pub fn far_apart(model: &Model, p: u32) -> bool {
    model
        .parts
        .get(p as usize)
        .is_some_and(|part| part.window.len() > 60)
}
