//! The bus-wide credit, split evenly over the open subscriptions.

use std::sync::{Mutex, PoisonError};

use procession_core::Limits;
use procession_runtime::subscription::SubscriptionHandle;

/// Who is open, and what all of them may hold together.
pub(crate) struct Credit {
    messages: u32,
    bytes: u64,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    next: u64,
    subscriptions: Vec<(u64, SubscriptionHandle, Limits)>,
}

impl Credit {
    pub(crate) fn new(messages: u32, bytes: u64) -> Self {
        Self {
            messages,
            bytes,
            open: Mutex::default(),
        }
    }

    /// A subscription opened; `own` is its credit if it were alone. The result names it to
    /// [`leave`](Self::leave).
    pub(crate) fn join(&self, handle: SubscriptionHandle, own: Limits) -> u64 {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let number = open.next;
        open.next += 1;
        open.subscriptions.push((number, handle, own));
        self.split(&open);
        number
    }

    /// A subscription ended.
    pub(crate) fn leave(&self, number: u64) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.subscriptions.retain(|(n, ..)| *n != number);
        self.split(&open);
    }

    /// All that are open.
    pub(crate) fn open(&self) -> Vec<SubscriptionHandle> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let handles = open.subscriptions.iter();
        handles.map(|(_, handle, _)| handle.clone()).collect()
    }

    fn split(&self, open: &Open) {
        for (_, handle, own) in &open.subscriptions {
            handle.set_limits(self.share(own, open.subscriptions.len()));
        }
    }

    /// What one of `among` subscriptions may hold: never nothing, or it could not go on.
    fn share(&self, own: &Limits, among: usize) -> Limits {
        let among = u32::try_from(among.max(1)).unwrap_or(u32::MAX);
        let messages = own.messages.min(self.messages / among).max(1);
        let bytes = own.bytes.min(self.bytes / u64::from(among)).max(1);
        Limits {
            messages,
            bytes,
            partition_messages: own.partition_messages.min(messages),
            partition_bytes: own.partition_bytes.min(bytes),
            low_water_percent: own.low_water_percent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_even_and_never_nothing() {
        let own = procession_core::Config::default().limits;
        let credit = Credit::new(10_000, 64 << 20);
        assert_eq!(credit.share(&own, 1), own);
        let fifth = credit.share(&own, 5);
        assert_eq!((fifth.messages, fifth.bytes), (2_000, (64 << 20) / 5));
        assert_eq!(fifth.partition_messages, 2_000);
        assert_eq!(Credit::new(3, 3).share(&own, 9).messages, 1);
    }
}
