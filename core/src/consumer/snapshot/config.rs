//! A digest of the configuration.

use crate::backoff::mix;
use crate::{
    Backoff, CommitCadence, Config, Dedupe, Expired, Keyless, Limits, OnGap, OnHung, OnReset,
    Order, Retry, SequenceOrder,
};

/// Of every value. No `..`: a new one must be taken in here.
pub(super) fn digest(config: &Config) -> u64 {
    let Config {
        order,
        sequence,
        keyless,
        partitions,
        limits:
            Limits {
                messages,
                bytes,
                partition_messages,
                partition_bytes,
                low_water_percent,
            },
        key_messages,
        batch_key,
        message_bytes_max,
        window,
        window_pool,
        retry: Retry { attempts, backoff },
        handler_timeout,
        cancel_grace,
        on_hung,
        stall_after,
        expired,
        parked_keys,
        suspects,
        on_reset,
        commit:
            CommitCadence {
                every,
                messages: commit_messages,
                backoff: commit_backoff,
            },
        map_bytes,
        map_digests,
        dedupe: Dedupe { ids, age },
        dead_letter_backoff,
        session_backoff,
        seed,
    } = config;
    let mut sum = 0;
    let mut take = |word: u64| sum = mix(sum ^ word).wrapping_add(0x9E37_79B9_7F4A_7C15);
    take(match order {
        Order::Key => 0,
        Order::Unordered => 1,
    });
    take(match keyless {
        Keyless::Unordered => 0,
        Keyless::Shared => 1,
        Keyless::Refuse => 2,
    });
    take(match on_hung {
        OnHung::Wait => 0,
        OnHung::Abandon => 1,
    });
    take(match expired {
        Expired::Run => 0,
        Expired::Report => 1,
        Expired::DeadLetter => 2,
    });
    if let Some(sequence) = sequence {
        let SequenceOrder {
            keys,
            hold_messages,
            gap_timeout,
            on_gap,
        } = sequence;
        take(u64::from(*keys));
        take(u64::from(*hold_messages));
        take(gap_timeout.as_nanos());
        take(match on_gap {
            OnGap::GoOn => 1,
            OnGap::Park => 2,
            OnGap::Stop => 3,
        });
    }
    take(match on_reset {
        OnReset::Stop => 0,
        OnReset::Earliest => 1,
        OnReset::Latest => 2,
    });
    take(u64::from(*map_digests));
    for word in [
        partitions,
        messages,
        partition_messages,
        key_messages,
        batch_key,
        message_bytes_max,
        window,
        window_pool,
        attempts,
        parked_keys,
        suspects,
        commit_messages,
        map_bytes,
        ids,
    ] {
        take(u64::from(*word));
    }
    for word in [bytes, partition_bytes, seed] {
        take(*word);
    }
    take(u64::from(*low_water_percent));
    for span in [handler_timeout, cancel_grace, stall_after, every, age] {
        take(span.as_nanos());
    }
    for backoff in [
        backoff,
        commit_backoff,
        dead_letter_backoff,
        session_backoff,
    ] {
        let Backoff {
            first,
            max,
            jitter_percent,
        } = backoff;
        take(first.as_nanos());
        take(max.as_nanos());
        take(u64::from(*jitter_percent));
    }
    sum
}
