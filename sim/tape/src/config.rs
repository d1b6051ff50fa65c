//! The core's configuration, value by value.

use procession_core::{
    Backoff, CommitCadence, Config, Dedupe, Expired, Keyless, Limits, OnGap, OnHung, Order, Retry,
    SequenceOrder, Span,
};

use crate::call::RESETS;
use crate::text::{Fault, Fields, choice, flag, small};

const ORDERS: [(&str, Order); 2] = [("key", Order::Key), ("unordered", Order::Unordered)];
const KEYLESS: [(&str, Keyless); 3] = [
    ("unordered", Keyless::Unordered),
    ("shared", Keyless::Shared),
    ("refuse", Keyless::Refuse),
];
const ON_HUNG: [(&str, OnHung); 2] = [("wait", OnHung::Wait), ("abandon", OnHung::Abandon)];
const ON_GAP: [(&str, OnGap); 3] = [
    ("go-on", OnGap::GoOn),
    ("park", OnGap::Park),
    ("stop", OnGap::Stop),
];
const EXPIRED: [(&str, Expired); 3] = [
    ("run", Expired::Run),
    ("report", Expired::Report),
    ("dead-letter", Expired::DeadLetter),
];

// No `..` below: a new field of the core must be written here, or this does not compile.

/// Every value of a configuration.
pub fn config(config: &mut Config, to: &mut impl Fields) -> Result<(), Fault> {
    let Config {
        order,
        sequence,
        keyless,
        partitions,
        limits: l,
        key_messages,
        batch_key,
        message_bytes_max,
        window,
        window_pool,
        retry: Retry {
            attempts,
            backoff: between,
        },
        handler_timeout,
        cancel_grace,
        on_hung,
        stall_after,
        parked_keys,
        suspects,
        on_reset,
        expired,
        commit:
            CommitCadence {
                every,
                messages,
                backoff: after,
            },
        map_bytes,
        map_digests,
        dedupe: Dedupe { ids, age },
        dead_letter_backoff,
        session_backoff,
        seed,
    } = config;
    choice(to, "order", order, &ORDERS)?;
    sequence_order(sequence, to)?;
    choice(to, "keyless", keyless, &KEYLESS)?;
    small(to, "partitions", partitions)?;
    limits(l, to)?;
    small(to, "key-messages", key_messages)?;
    small(to, "batch-key", batch_key)?;
    small(to, "message-bytes-max", message_bytes_max)?;
    small(to, "window", window)?;
    small(to, "window-pool", window_pool)?;
    small(to, "retry-attempts", attempts)?;
    let names = ["retry-first", "retry-max", "retry-jitter"];
    backoff(between, names, to)?;
    span(to, "handler-timeout", handler_timeout)?;
    span(to, "cancel-grace", cancel_grace)?;
    choice(to, "on-hung", on_hung, &ON_HUNG)?;
    span(to, "stall-after", stall_after)?;
    small(to, "parked-keys", parked_keys)?;
    small(to, "suspects", suspects)?;
    choice(to, "on-reset", on_reset, &RESETS)?;
    choice(to, "expired", expired, &EXPIRED)?;
    span(to, "commit-every", every)?;
    small(to, "commit-messages", messages)?;
    backoff(after, ["commit-first", "commit-max", "commit-jitter"], to)?;
    small(to, "map-bytes", map_bytes)?;
    flag(to, "map-digests", map_digests)?;
    small(to, "dedupe-ids", ids)?;
    span(to, "dedupe-age", age)?;
    let names = ["letter-first", "letter-max", "letter-jitter"];
    backoff(dead_letter_backoff, names, to)?;
    let names = ["session-first", "session-max", "session-jitter"];
    backoff(session_backoff, names, to)?;
    to.number("jitter-seed", seed)
}

/// Written only where there is such an order.
fn sequence_order(order: &mut Option<SequenceOrder>, to: &mut impl Fields) -> Result<(), Fault> {
    if !to.some("sequence-keys", order.is_some())? {
        *order = None;
        return Ok(());
    }
    let SequenceOrder {
        keys,
        hold_messages,
        gap_timeout,
        on_gap,
    } = order.get_or_insert(SequenceOrder {
        keys: 0,
        hold_messages: 0,
        gap_timeout: Span::ZERO,
        on_gap: OnGap::GoOn,
    });
    small(to, "sequence-keys", keys)?;
    small(to, "sequence-hold", hold_messages)?;
    span(to, "gap-timeout", gap_timeout)?;
    choice(to, "on-gap", on_gap, &ON_GAP)
}

/// The figures that can change at run time.
pub(crate) fn limits(limits: &mut Limits, to: &mut impl Fields) -> Result<(), Fault> {
    let Limits {
        messages,
        bytes,
        partition_messages,
        partition_bytes,
        low_water_percent,
    } = limits;
    small(to, "limit-messages", messages)?;
    to.number("limit-bytes", bytes)?;
    small(to, "limit-partition-messages", partition_messages)?;
    to.number("limit-partition-bytes", partition_bytes)?;
    percent(to, "low-water-percent", low_water_percent)
}

fn backoff(
    backoff: &mut Backoff,
    names: [&'static str; 3],
    to: &mut impl Fields,
) -> Result<(), Fault> {
    let Backoff {
        first,
        max,
        jitter_percent,
    } = backoff;
    span(to, names[0], first)?;
    span(to, names[1], max)?;
    percent(to, names[2], jitter_percent)
}

fn span(to: &mut impl Fields, name: &'static str, value: &mut Span) -> Result<(), Fault> {
    let mut nanos = value.as_nanos();
    to.number(name, &mut nanos)?;
    *value = Span::from_nanos(nanos);
    Ok(())
}

fn percent(to: &mut impl Fields, name: &'static str, value: &mut u8) -> Result<(), Fault> {
    let mut wide = u32::from(*value);
    small(to, name, &mut wide)?;
    *value = u8::try_from(wide).map_err(|_| format!("`{name}` is {wide}, too much"))?;
    Ok(())
}
