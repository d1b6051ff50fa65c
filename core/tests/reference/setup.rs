//! Configurations, small ones favoured. Without jitter: waiting times are then what is documented.

use procession_core::{
    Backoff, CommitCadence, Config, Dedupe, Expired, Keyless, Limits, OnGap, OnHung, OnReset,
    Order, Retry, SequenceOrder, Span,
};
use proptest::prelude::*;

fn backoff(first: u64, times: u64) -> Backoff {
    Backoff {
        first: Span::from_millis(first),
        max: Span::from_millis(first * times),
        jitter_percent: 0,
    }
}

prop_compose! {
    pub fn setups()(
        unordered in proptest::bool::weighted(0.15),
        keyless in 0usize..3,
        messages in 1u32..8,
        bytes in 1u64..500,
        partition_messages in 1u32..8,
        partition_bytes in 1u64..500,
        attempts in 1u32..4,
        waits in (0u64..20, 1u64..6, 0u64..20, 0u64..20, 0u64..20),
        timeout in proptest::option::of(4u64..60),
        every in 0u64..30,
        count in 1u32..6,
        stall in proptest::option::of(1u64..100),
        map in prop_oneof![1 => Just(0u32), 3 => Just(600), 1 => 80u32..130],
        digests in any::<bool>(),
        parked in prop_oneof![1 => Just(0u32), 2 => 1u32..3],
        of_key in prop_oneof![2 => Just(u32::MAX), 1 => 1u32..4],
        on_reset in 0usize..4,
        expired in 0usize..3,
        abandon in any::<bool>(),
        ids in 0u32..7,
        age in proptest::option::of(1u64..200),
        batch in prop_oneof![1 => Just(1u32), 1 => 2u32..6],
        suspects in prop_oneof![1 => Just(0u32), 1 => 1u32..4],
        tight in prop_oneof![2 => Just(u32::MAX), 1 => 42u32..80],
        sequence in proptest::option::of((1u32..4, prop_oneof![1u32..4, Just(8u32)], 1u64..60, 0usize..3)),
    ) -> Config {
        // A record names few where it has little room.
        let (map, parked) = if suspects == 0 || map == 0 {
            (map, parked)
        } else if tight < u32::MAX {
            (tight, 0)
        } else {
            (map, parked.min((map - 44) / 25))
        };
        let suspects = if map == 0 { 0 } else { suspects };
        Config {
            order: if unordered { Order::Unordered } else { Order::Key },
            sequence: sequence.filter(|_| !unordered).map(|(keys, hold, timeout, on_gap)| {
                SequenceOrder {
                    keys,
                    hold_messages: hold.min(messages),
                    gap_timeout: Span::from_millis(timeout),
                    on_gap: match on_gap {
                        0 if parked > 0 && map > 0 => OnGap::Park,
                        1 => OnGap::Stop,
                        _ => OnGap::GoOn,
                    },
                }
            }),
            keyless: [Keyless::Unordered, Keyless::Shared, Keyless::Refuse][keyless],
            partitions: 2,
            limits: Limits {
                messages, bytes, partition_messages, partition_bytes, low_water_percent: 60,
            },
            key_messages: of_key,
            suspects,
            batch_key: if unordered { 1 } else { batch },
            message_bytes_max: 100,
            window: 4_096,
            window_pool: 64 * 1_024,
            retry: Retry { attempts, backoff: backoff(waits.0, waits.1) },
            handler_timeout: timeout.map_or(Span::MAX, Span::from_millis),
            cancel_grace: Span::from_millis(5),
            on_hung: if abandon { OnHung::Abandon } else { OnHung::Wait },
            commit: CommitCadence {
                every: Span::from_millis(every),
                messages: count,
                backoff: backoff(waits.2, 4),
            },
            stall_after: stall.map_or(Span::MAX, Span::from_millis),
            parked_keys: if unordered || map == 0 { 0 } else { parked },
            on_reset: [OnReset::Stop, OnReset::Stop, OnReset::Earliest, OnReset::Latest][on_reset],
            expired: [Expired::Run, Expired::Report, Expired::DeadLetter][expired],
            map_bytes: map,
            map_digests: digests,
            dedupe: Dedupe { ids, age: age.map_or(Span::MAX, Span::from_millis) },
            dead_letter_backoff: backoff(waits.3, 4),
            session_backoff: backoff(waits.4, 4),
            seed: 1,
        }
    }
}
