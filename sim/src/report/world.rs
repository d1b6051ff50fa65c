//! The world around the cores, value by value.

use crate::item::Item;
use crate::plan::{Flavour, Plan, Profile};
use crate::text::{Fault, Fields, choice, flag, maybe, small};

const PROFILES: [(&str, Profile); 5] = [
    ("mixed", Profile::Mixed),
    ("swarm", Profile::Swarm),
    ("all-on", Profile::AllOn),
    ("clean", Profile::Clean),
    ("one-fault", Profile::OneFault),
];
const MODELS: [(&str, Flavour); 2] = [("jetstream", Flavour::JetStream), ("kafka", Flavour::Kafka)];

/// Every value of a world, but for what has a section of its own.
pub(super) fn world(plan: &mut Plan, to: &mut impl Fields) -> Result<(), Fault> {
    // No `..`: a new figure must be written here, or this does not compile.
    let Plan {
        seed: _,
        profile,
        flavour,
        members,
        config: _,
        messages,
        keys,
        lanes,
        heal_at,
        patience,
        ticks,
        quantum,
        lease,
        concurrency,
        batch,
        beat,
        crash_at,
        shake_at,
        calm_at,
        audit,
        latency,
        killer,
        chances: _,
        faults: _,
        workload: _,
    } = plan;
    choice(to, "profile", profile, &PROFILES)?;
    choice(to, "model", flavour, &MODELS)?;
    small(to, "members", members)?;
    small(to, "messages", messages)?;
    small(to, "keys", keys)?;
    small(to, "lanes", lanes)?;
    to.number("heal-at", heal_at)?;
    to.number("patience", patience)?;
    small(to, "ticks", ticks)?;
    to.number("quantum", quantum)?;
    to.number("lease", lease)?;
    small(to, "concurrency", concurrency)?;
    small(to, "batch", batch)?;
    to.number("beat", beat)?;
    maybe(to, "crash-at", crash_at)?;
    maybe(to, "shake-at", shake_at)?;
    maybe(to, "calm-at", calm_at)?;
    flag(to, "audit", audit)?;
    maybe(to, "latency", latency)?;
    maybe(to, "killer", killer)
}

/// Every value of a publish.
pub(super) fn item(item: &mut Item, to: &mut impl Fields) -> Result<(), Fault> {
    let Item {
        at,
        number,
        identity,
        partition,
        key,
        lane,
        bytes,
        expires,
        sequence,
        malformed,
        poison,
        hole,
        trail,
    } = item;
    to.number("at", at)?;
    small(to, "number", number)?;
    small(to, "identity", identity)?;
    small(to, "partition", partition)?;
    let mut wide = key.map(u64::from);
    maybe(to, "key", &mut wide)?;
    *key = match wide {
        Some(key) => Some(u32::try_from(key).map_err(|_| format!("`key` is {key}, too much"))?),
        None => None,
    };
    to.number("lane", lane)?;
    small(to, "bytes", bytes)?;
    maybe(to, "expires", expires)?;
    maybe(to, "sequence", sequence)?;
    flag(to, "malformed", malformed)?;
    flag(to, "poison", poison)?;
    to.number("hole", hole)?;
    to.number("trail", trail)
}
