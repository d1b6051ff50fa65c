//! Where time comes from.

use procession_core::Time;
use rustix::time::{ClockId, clock_gettime};

/// Tells the time; never goes back.
pub trait Clock {
    /// The time now.
    fn now(&self) -> Time;
}

/// The boot clock of the machine (`CLOCK_BOOTTIME`). Unlike the monotonic clock it does not stand
/// still while the machine is suspended, so a lease cannot outlive its end in a sleeping process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BootClock;

impl Clock for BootClock {
    fn now(&self) -> Time {
        let t = clock_gettime(ClockId::Boottime);
        // Both parts of a boot clock are never negative; a clamp is cheaper than an argument.
        let seconds = u64::try_from(t.tv_sec).unwrap_or(0);
        let nanos = u64::try_from(t.tv_nsec).unwrap_or(0);
        Time::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_does_not_go_back() {
        let mut last = BootClock.now();
        for _ in 0..1_000 {
            let now = BootClock.now();
            assert!(last <= now);
            last = now;
        }
        assert!(Time::ZERO < last);
    }
}
