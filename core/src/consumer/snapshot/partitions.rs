//! What is known of each partition.

use super::super::Release;
use super::super::grants::{Amount, Round, Totals};
use super::super::partition::{Delivery, Doubt, Partition, Phase};
use super::super::suspects::Watch;
use super::super::window::Window;
use super::io::{Fault, Io};
use crate::{Epoch, PartitionId, Position, Time};

const PHASES: [Phase; 4] = [Phase::Closed, Phase::Open, Phase::Revoking, Phase::Closing];

const DOUBTS: [Doubt; 3] = [Doubt::No, Doubt::Standing, Doubt::Over];

impl Partition {
    /// Everything but its window and the map that is being resumed, which are blocks of the pool, and
    /// what follows from the rest.
    pub(super) fn fields<I: Io>(&mut self, io: &mut I) -> Result<(), Fault> {
        let Self {
            phase,
            known,
            opened,
            epoch,
            incarnation,
            until,
            // See `gate`.
            starts_until: _,
            takes_until: _,
            lapsed,
            delivery,
            session,
            next_delivery,
            last,
            barren,
            window: Window { .. },
            resumed: _,
            frontier,
            since,
            stalled,
            floor,
            unproven,
            stopped,
            blind,
            doubt,
            anchor,
            write,
            outstanding,
            outstanding_last,
            dirty,
            commit_at,
            commit_after,
            commit_failures,
            unwritten,
            touch_at,
            mapless,
            totals,
            // See `Parking`.
            parked: _,
            crowded,
            relents,
            watch,
            suspect_left,
            suspect_until,
            // Sums over its slots.
            used_messages: _,
            used_bytes: _,
            // See `share_out`.
            share_messages: _,
            share_bytes: _,
            covered_messages: _,
            covered_bytes: _,
            // Before the rest, because it outlives epochs.
            weight: _,
            shut,
            hot,
            paused,
            busy,
            stop_at,
            abandon_at,
            deadline,
            abandoned,
            release,
        } = self;
        io.choice(phase, &PHASES)?;
        io.flag(known)?;
        io.epoch(opened)?;
        io.epoch(epoch)?;
        io.u64(&mut incarnation.0)?;
        io.time(until)?;
        io.flag(lapsed)?;
        delivery_fields(delivery, io)?;
        io.session(session)?;
        io.u64(next_delivery)?;
        io.anchor(last)?;
        io.u32(barren)?;
        io.position(frontier)?;
        io.time(since)?;
        io.maybe(stalled, Position(0), I::position)?;
        io.position(floor)?;
        io.maybe(unproven, Position(0), I::position)?;
        let nowhere = (Position(0), Position(0));
        io.maybe(stopped, nowhere, |io, (start, end)| {
            io.position(start)?;
            io.position(end)
        })?;
        io.flag(blind)?;
        io.choice(doubt, &DOUBTS)?;
        io.anchor(anchor)?;
        io.u64(write)?;
        io.maybe(outstanding, (Epoch(0), 0), |io, (epoch, write)| {
            io.epoch(epoch)?;
            io.u64(write)
        })?;
        io.flag(outstanding_last)?;
        io.flag(dirty)?;
        io.time(commit_at)?;
        io.time(commit_after)?;
        io.u32(commit_failures)?;
        io.u32(unwritten)?;
        io.u32(touch_at)?;
        io.flag(mapless)?;
        totals_fields(totals, io)?;
        io.flag(crowded)?;
        io.flag(relents)?;
        watch_fields(watch, io)?;
        io.u32(suspect_left)?;
        io.position(suspect_until)?;
        io.flag(shut)?;
        io.maybe(hot, 0, I::lane)?;
        io.flag(paused)?;
        io.u32(busy)?;
        io.time(stop_at)?;
        io.time(abandon_at)?;
        io.time(deadline)?;
        io.u32(abandoned)?;
        let none = Release {
            partition: PartitionId(0),
            epoch: Epoch(0),
            frontier: Position(0),
            handed_back: 0,
            abandoned: 0,
            committed: false,
        };
        io.maybe(release, none, release_fields)
    }
}

fn watch_fields(watch: &mut Watch, io: &mut impl Io) -> Result<(), Fault> {
    let (mut kind, mut write) = match watch {
        Watch::Off => (0, 0),
        Watch::Wanted => (1, 0),
        Watch::Asked(write) => (2, *write),
        Watch::Free => (3, 0),
        Watch::Lots => (4, 0),
    };
    io.u8(&mut kind)?;
    io.u64(&mut write)?;
    *watch = match kind {
        0 => Watch::Off,
        1 => Watch::Wanted,
        2 => Watch::Asked(write),
        3 => Watch::Free,
        4 => Watch::Lots,
        _ => return Err("a partition is watched in no way"),
    };
    Ok(())
}

fn delivery_fields(delivery: &mut Delivery, io: &mut impl Io) -> Result<(), Fault> {
    let (mut kind, mut at) = match delivery {
        Delivery::Idle => (0, Time::ZERO),
        Delivery::Wanted(at) => (1, *at),
        Delivery::Starting => (2, Time::ZERO),
        Delivery::Live => (3, Time::ZERO),
    };
    io.u8(&mut kind)?;
    io.time(&mut at)?;
    *delivery = match kind {
        0 => Delivery::Idle,
        1 => Delivery::Wanted(at),
        2 => Delivery::Starting,
        3 => Delivery::Live,
        _ => return Err("a delivery is in no state"),
    };
    Ok(())
}

fn release_fields<I: Io>(io: &mut I, release: &mut Release) -> Result<(), Fault> {
    let Release {
        partition,
        epoch,
        frontier,
        handed_back,
        abandoned,
        committed,
    } = release;
    io.u32(&mut partition.0)?;
    io.epoch(epoch)?;
    io.position(frontier)?;
    io.u32(handed_back)?;
    io.u32(abandoned)?;
    io.flag(committed)
}

fn totals_fields(totals: &mut Totals, io: &mut impl Io) -> Result<(), Fault> {
    let Totals {
        granted,
        taken,
        window,
    } = totals;
    amount_fields(granted, io)?;
    amount_fields(taken, io)?;
    amount_fields(window, io)
}

fn amount_fields(amount: &mut Amount, io: &mut impl Io) -> Result<(), Fault> {
    let Amount { messages, bytes } = amount;
    io.u64(messages)?;
    io.u64(bytes)
}

/// A walk over so many partitions, and whether anything has changed since it began: where nothing has,
/// what is left is told with one more than all added.
pub(super) fn round_fields(
    (round, moved): (&mut Round, &mut bool),
    partitions: usize,
    io: &mut impl Io,
) -> Result<(), Fault> {
    let Round { first, left, free } = round;
    let still = partitions as u64 + 1;
    let told = |n: u64, most: u64| match usize::try_from(n) {
        Ok(small) if n <= most => Ok(small),
        Ok(_) | Err(_) => Err("a walk is beyond all partitions"),
    };
    let mut wide = *first as u64;
    io.u64(&mut wide)?;
    *first = told(wide, still - 1)?;
    let mut wide = *left as u64 + if *moved { 0 } else { still };
    io.u64(&mut wide)?;
    *moved = wide < still;
    *left = told(if *moved { wide } else { wide - still }, still - 1)?;
    amount_fields(free, io)
}
