//! Decisions: a pure function of the seed and of what is decided about.
//!
//! Every random choice is keyed by identity, `hash(seed, site, entity, occurrence)`, never by the
//! order of draws. Taking one fault away leaves all other decisions as they were, and the same seed
//! gives the same run on every machine. The function is frozen by golden vectors.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use crate::coverage::STATES;
use crate::site::{SITES, Site};

/// SplitMix64's finaliser (public domain, Sebastiano Vigna).
#[must_use]
pub const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// 64 bits that depend on all four numbers: a finaliser for what does not change in a run, and two products.
#[must_use]
pub const fn hash(seed: u64, site: u64, entity: u64, occurrence: u64) -> u64 {
    hash_from(root(seed, site), entity, occurrence)
}

/// What all hashes of a seed and a site begin with.
const fn root(seed: u64, site: u64) -> u64 {
    mix(seed.wrapping_add(site.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15)))
}

/// Numbers with bits all over, for [`fold`].
const A: u64 = 0xD605_1F31_5C2A_8F4D;
const B: u64 = 0xA24B_AED4_963E_E407;

/// Both halves of a product, one laid over the other: half of a finaliser's time, and of its code. Where one
/// factor has bits all over, every bit of the other reaches the result.
#[inline(always)]
pub(crate) const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    product as u64 ^ (product >> 64) as u64
}

/// The rest of a hash.
#[inline(always)]
const fn hash_from(root: u64, entity: u64, occurrence: u64) -> u64 {
    let named = fold(root ^ entity, A);
    fold(named ^ occurrence.wrapping_add(0xBB67_AE85_84CA_A73B), B)
}

/// A number below `n`, by the high bits.
const fn below(bits: u64, n: u64) -> u64 {
    ((bits as u128 * n as u128) >> 64) as u64
}

/// One fault that happened, or is to happen: where, to what, and which time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Decision {
    /// The fault.
    pub site: Site,
    /// What it happens to: a message, a partition, a member, as the site says.
    pub entity: u64,
    /// Which time, for what can be hit more than once.
    pub occurrence: u64,
}

/// Faults by the states that they struck in.
#[derive(Debug)]
struct Struck {
    table: [[u64; STATES]; SITES],
    states: u16,
}

/// Where the hashes of each site begin, taken once for a run, and its chance.
#[derive(Debug)]
struct Roots {
    /// Chance of each fault site, in 65,536ths; 0 is off.
    chances: [u16; SITES],
    decisions: [u64; SITES],
    draws: [u64; SITES],
    log_draws: [u64; SITES],
}

impl Roots {
    fn new(seed: u64, chances: [u16; SITES]) -> Self {
        // The domain of draws differs from that of decisions: whether a fault happens says nothing
        // about its size.
        let all = |domain| Site::ALL.map(|s| root(seed, s.code() + domain));
        Self {
            chances,
            decisions: all(0),
            draws: all(1_000),
            log_draws: all(2_000),
        }
    }
}

/// The decisions of one run. Copies share what they note.
#[derive(Clone, Debug)]
pub struct Fate {
    roots: Rc<Roots>,
    /// If there is a list, exactly these faults happen, whatever the chances.
    only: Option<Rc<BTreeSet<Decision>>>,
    /// Faults that may happen, one bit a site: none after healing, but for those that it does not stop.
    may: u128,
    /// Those that may happen even then.
    lasting: u128,
    healed: bool,
    /// Faults that happened, one bit a site.
    fired: Rc<Cell<u128>>,
    /// The faults themselves, where somebody wants to know.
    noted: Option<Rc<RefCell<BTreeSet<Decision>>>>,
    /// In which states of a core each fault struck, where somebody wants to know, and the states of
    /// the core that is concerned now.
    struck: Option<Rc<RefCell<Struck>>>,
}

const _: () = assert!(SITES <= 128);

impl Fate {
    /// Decisions of `seed` with these chances.
    #[must_use]
    pub fn new(seed: u64, chances: [u16; SITES]) -> Self {
        let on = chances.iter().rev();
        let may = on.fold(0, |all, &chance| all << 1 | u128::from(chance > 0));
        Self {
            roots: Rc::new(Roots::new(seed, chances)),
            only: None,
            may,
            lasting: may,
            healed: false,
            fired: Rc::default(),
            noted: None,
            struck: None,
        }
    }

    /// Exactly these faults happen, whatever the chances: for replay and shrinking.
    #[must_use]
    pub fn only(mut self, faults: impl IntoIterator<Item = Decision>) -> Self {
        self.only = Some(Rc::new(faults.into_iter().collect()));
        (self.may, self.lasting) = (u128::MAX, u128::MAX);
        self
    }

    /// Notes every fault that happens.
    #[must_use]
    pub fn noting(mut self) -> Self {
        self.noted = Some(Rc::default());
        self
    }

    /// Counts in which states of a core faults strike.
    #[must_use]
    pub(crate) fn counting(mut self) -> Self {
        self.struck = Some(Rc::new(RefCell::new(Struck {
            table: [[0; STATES]; SITES],
            states: 0,
        })));
        self
    }

    /// What is decided from here on concerns a core in these states, one bit each.
    pub(crate) fn concerns(&self, states: u16) {
        if let Some(struck) = &self.struck {
            struck.borrow_mut().states = states;
        }
    }

    /// How often each fault struck in each state; nothing unless it was counted.
    pub(crate) fn struck(&self) -> [[u64; STATES]; SITES] {
        let struck = self.struck.as_ref();
        struck.map_or([[0; STATES]; SITES], |s| s.borrow().table)
    }

    /// Whether the fault `site` happens to `entity` this time. Never after healing.
    #[inline]
    #[must_use]
    pub fn decide(&self, site: Site, entity: u64, occurrence: u64) -> bool {
        // Most sites are off in most runs.
        self.may >> site as u8 & 1 == 1 && self.strikes(site, entity, occurrence)
    }

    /// As [`decide`](Self::decide), for faults that healing does not stop (a poison message).
    #[inline]
    #[must_use]
    pub fn always(&self, site: Site, entity: u64, occurrence: u64) -> bool {
        self.lasting >> site as u8 & 1 == 1 && self.strikes(site, entity, occurrence)
    }

    #[inline(never)]
    fn strikes(&self, site: Site, entity: u64, occurrence: u64) -> bool {
        if self.only.is_some() {
            return self.is_listed(site, entity, occurrence);
        }
        let chance = u64::from(self.roots.chances[site as usize]);
        let happens = (self.bits(site, entity, occurrence) >> 48) < chance;
        if happens {
            self.happened(site, entity, occurrence);
        }
        happens
    }

    #[cold]
    fn is_listed(&self, site: Site, entity: u64, occurrence: u64) -> bool {
        let decision = Decision {
            site,
            entity,
            occurrence,
        };
        let happens = self.only.as_ref().is_some_and(|o| o.contains(&decision));
        if happens {
            self.happened(site, entity, occurrence);
        }
        happens
    }

    #[inline(never)]
    fn happened(&self, site: Site, entity: u64, occurrence: u64) {
        self.mark(site);
        if let Some(noted) = &self.noted {
            noted.borrow_mut().insert(Decision {
                site,
                entity,
                occurrence,
            });
        }
    }

    /// Notes that a fault happened.
    pub fn mark(&self, site: Site) {
        self.fired.set(self.fired.get() | 1 << site as u8);
        if let Some(struck) = &self.struck {
            let Struck { table, states } = &mut *struck.borrow_mut();
            for (state, count) in table[site as usize].iter_mut().enumerate() {
                *count += u64::from(*states >> state & 1);
            }
        }
    }

    /// A number from `low` to `high`, both included.
    #[must_use]
    pub fn draw(&self, site: Site, entity: u64, occurrence: u64, low: u64, high: u64) -> u64 {
        let bits = hash_from(self.roots.draws[site as usize], entity, occurrence);
        low + below(bits, high - low + 1)
    }

    /// As [`draw`](Self::draw), small numbers favoured: every doubling is equally likely.
    #[must_use]
    pub fn draw_log(&self, site: Site, entity: u64, occurrence: u64, low: u64, high: u64) -> u64 {
        let bits = hash_from(self.roots.log_draws[site as usize], entity, occurrence);
        log_uniform(bits, low, high)
    }

    /// The bits behind a decision; also orders events of the same time.
    #[must_use]
    pub fn bits(&self, site: Site, entity: u64, occurrence: u64) -> u64 {
        hash_from(self.roots.decisions[site as usize], entity, occurrence)
    }

    /// Orders what happens at one time. Ties are broken at every event: one product is enough for that.
    #[inline]
    pub(crate) fn tie(&self, of: u64) -> u32 {
        let root = self.roots.decisions[Site::Tie as usize];
        (fold(root ^ of, A) >> 32) as u32
    }

    /// Stops all faults that can be stopped.
    pub const fn heal(&mut self) {
        self.healed = true;
        self.may = 0;
    }

    /// Faults that happened so far: bit `n` is the site of number `n`.
    #[must_use]
    pub fn fired(&self) -> u128 {
        self.fired.get()
    }

    /// The faults that happened, in order of their sites; empty unless they were noted.
    #[must_use]
    pub fn noted(&self) -> Vec<Decision> {
        let noted = self.noted.as_ref();
        noted.map_or_else(Vec::new, |n| n.borrow().iter().copied().collect())
    }

    /// Whether faults were stopped.
    #[must_use]
    pub const fn is_healed(&self) -> bool {
        self.healed
    }
}

/// A number from `low` to `high`, every doubling equally likely. Integers only.
#[must_use]
pub fn log_uniform(bits: u64, low: u64, high: u64) -> u64 {
    let low_1 = low.max(1);
    if high <= low_1 {
        return if high < low {
            low
        } else {
            low + below(bits, high - low + 1)
        };
    }
    let doublings = u64::from((high / low_1).ilog2()) + 1;
    // Whatever bits the caller has used up already.
    let which = bits.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let floor = low_1 << below(which, doublings);
    let ceiling = floor.saturating_mul(2).saturating_sub(1).clamp(floor, high);
    let within = floor + below(which.rotate_left(24), ceiling - floor + 1);
    if low == 0 && below(which.rotate_left(48), doublings + 1) == 0 {
        0
    } else {
        within
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s11_the_hash_is_frozen_by_golden_vectors() {
        assert_eq!(mix(1), 0x5692_161D_100B_05E5);
        let golden = [
            ((0, 0, 0, 0), GOLDEN[0]),
            ((1, 2, 3, 4), GOLDEN[1]),
            ((u64::MAX, 7, 1 << 40, 9), GOLDEN[2]),
        ];
        for ((seed, site, entity, occurrence), expected) in golden {
            let found = hash(seed, site, entity, occurrence);
            assert_eq!(found, expected, "{found:#x}");
        }
        let found = Fate::new(7, [0; SITES]).tie(1 << 56 ^ 3);
        assert_eq!(found, TIE, "{found:#x}");
    }

    const TIE: u32 = 0xA685_41CD;

    const GOLDEN: [u64; 3] = [
        0x6FB9_3009_7CB0_49E4,
        0x7A75_9DCC_554E_E6A6,
        0x606F_B508_8836_F9C3,
    ];

    #[test]
    fn log_uniform_stays_in_its_range_and_reaches_both_ends() {
        for (low, high) in [(0, 0), (0, 1), (1, 4), (64, 64), (3, 1_000), (0, 100)] {
            let (mut least, mut most) = (u64::MAX, 0);
            for i in 0..20_000 {
                let n = log_uniform(mix(i), low, high);
                assert!((low..=high).contains(&n), "{low}..={high}: {n}");
                least = least.min(n);
                most = most.max(n);
            }
            assert_eq!(least, low);
            assert!(most > high / 2 || most == high);
        }
    }

    #[test]
    fn every_doubling_is_equally_likely_whatever_bits_were_used_up() {
        for used in 0..8 {
            let mut counts = [0; 9];
            for i in 0..90_000 {
                let n = log_uniform(hash(i, 1, 2, 3) >> used, 64, 32_767);
                counts[n.ilog2() as usize - 6] += 1;
            }
            for count in counts {
                assert!((9_500..10_500).contains(&count), "{used}: {counts:?}");
            }
        }
    }

    #[test]
    fn decisions_and_draws_are_even() {
        // Entities and occurrences as they are: small numbers, one after the other.
        let fate = Fate::new(9, [16_384; SITES]);
        let all = || (0..300).flat_map(|entity| (0..300).map(move |n| (entity, n)));
        let struck = all().filter(|&(e, n)| fate.decide(Site::Crash, e, n));
        let struck = struck.count();
        assert!((22_000..23_000).contains(&struck), "{struck}");
        let mut drawn = [0; 10];
        for (entity, n) in all() {
            drawn[fate.draw(Site::Work, entity, n, 0, 9) as usize] += 1;
        }
        let even = drawn.iter().all(|d| (8_600..9_400).contains(d));
        assert!(even, "{drawn:?}");
    }

    #[test]
    fn a_list_of_faults_is_all_that_happens_and_the_rest_of_the_run_stays() {
        let mut chances = [0; SITES];
        chances[Site::Crash as usize] = 20_000;
        let free = Fate::new(7, chances).noting();
        let crashes: Vec<u64> = (0..100)
            .filter(|&i| free.decide(Site::Crash, i, 0))
            .collect();
        let noted = free.noted();
        assert_eq!(noted.iter().map(|d| d.entity).collect::<Vec<_>>(), crashes);
        let less = Fate::new(7, chances).only(noted.iter().copied().skip(1));
        for i in 0..100 {
            let expected = crashes[1..].contains(&i);
            assert_eq!(less.decide(Site::Crash, i, 0), expected, "{i}");
            assert_eq!(
                less.draw(Site::Work, i, 0, 0, 9),
                free.draw(Site::Work, i, 0, 0, 9)
            );
        }
    }

    #[test]
    fn a_chance_of_zero_never_happens_and_healing_stops_faults() {
        let mut chances = [0; SITES];
        chances[Site::Crash as usize] = u16::MAX;
        let mut fate = Fate::new(7, chances);
        assert!((0..1_000).all(|i| !fate.decide(Site::Pause, i, 0)));
        assert!((0..1_000).any(|i| fate.decide(Site::Crash, i, 0)));
        fate.heal();
        assert!((0..1_000).all(|i| !fate.decide(Site::Crash, i, 0)));
        assert!((0..1_000).any(|i| fate.always(Site::Crash, i, 0)));
    }
}
