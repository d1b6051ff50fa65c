//! Every choice of a run: a pure function of the seed and of what is chosen about.
//!
//! The function is frozen by golden vectors, the same as those of the simulator of the core.

/// SplitMix64's finaliser (public domain, Sebastiano Vigna).
#[must_use]
pub(crate) const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// 64 bits that depend on all four numbers.
#[must_use]
pub(crate) const fn hash(seed: u64, site: u64, entity: u64, occurrence: u64) -> u64 {
    let a = mix(seed.wrapping_add(site.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15)));
    let b = mix(a ^ entity
        .wrapping_mul(0xD605_1F31_5C2A_8F4D)
        .wrapping_add(0x6A09_E667_F3BC_C909));
    mix(b ^ occurrence
        .wrapping_mul(0xA24B_AED4_963E_E407)
        .wrapping_add(0xBB67_AE85_84CA_A73B))
}

/// What is chosen. The numbers are part of every seed's meaning: never renumber, only add.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub(crate) enum Site {
    /// Which of the woken tasks is polled next.
    Pick = 1,
    /// How long a poll takes.
    Cost = 2,
    /// How late (or early) a timer rings.
    Ring = 3,
    /// Whether, and for how long, a woken task waits for its thread.
    Stall = 4,
    /// Settings of a run, one number each.
    Setting = 5,
    /// Which faults are on.
    Fault = 6,
    /// Properties of a message.
    Message = 7,
    /// What a handler does.
    Handler = 8,
    /// The schedule of what happens to members and connections.
    Chaos = 9,
    /// How a publish is made.
    Publish = 10,
    /// How long what is said takes to arrive.
    Lag = 11,
}

/// The choices of one seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dice {
    seed: u64,
}

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The bits behind a choice.
    pub(crate) const fn bits(self, site: Site, entity: u64, occurrence: u64) -> u64 {
        hash(self.seed, site as u64, entity, occurrence)
    }

    /// A number from `low` to `high`, both included.
    pub(crate) const fn draw(
        self,
        site: Site,
        entity: u64,
        occurrence: u64,
        low: u64,
        high: u64,
    ) -> u64 {
        low + self.bits(site, entity, occurrence) % (high - low + 1)
    }

    /// Whether it happens: `percent` of the time.
    pub(crate) const fn chance(
        self,
        site: Site,
        entity: u64,
        occurrence: u64,
        percent: u64,
    ) -> bool {
        self.bits(site, entity, occurrence) >> 32 < percent * (1 << 32) / 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s11_the_hash_is_frozen_by_golden_vectors() {
        assert_eq!(mix(1), 0x5692_161D_100B_05E5);
        for ((seed, site, entity, occurrence), expected) in [
            ((0, 0, 0, 0), 0x7239_46A6_D461_A6C6),
            ((1, 2, 3, 4), 0x0508_7A7B_DF07_12E8),
            ((u64::MAX, 7, 1 << 40, 9), 0x65AA_6B5F_8E88_6A8C),
        ] {
            assert_eq!(hash(seed, site, entity, occurrence), expected);
        }
    }

    #[test]
    fn chances_are_about_what_they_say() {
        let dice = Dice::new(7);
        for percent in [0, 1, 50, 100] {
            let hits = (0..10_000).filter(|&i| dice.chance(Site::Stall, i, 0, percent));
            let hits = hits.count() as u64;
            assert!(hits.abs_diff(percent * 100) < 200, "{percent}: {hits}");
        }
    }
}
