//! Times in multiples of a quantum, so that events meet.

/// The times at which something can happen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    quantum: u64,
    /// One more than 2^64 in quanta. To multiply by it is to divide by the quantum, in a third of the time,
    /// of numbers below `exact`: every event asks.
    reciprocal: u64,
    exact: u64,
}

impl Grid {
    pub(crate) const fn new(quantum: u64) -> Self {
        Self {
            quantum,
            reciprocal: (u64::MAX / quantum).wrapping_add(1),
            exact: u64::MAX / quantum,
        }
    }

    /// The first time that is not before `at`, or close to the end of time.
    #[inline(always)]
    pub(crate) const fn at_or_after(&self, at: u64) -> u64 {
        if self.quantum <= 1 {
            return at;
        }
        let last = at.saturating_add(self.quantum - 1);
        let quanta = if last < self.exact {
            ((last as u128 * self.reciprocal as u128) >> 64) as u64
        } else {
            last / self.quantum
        };
        quanta * self.quantum
    }
}

#[cfg(test)]
mod tests {
    use super::Grid;
    use crate::fate::mix;

    #[test]
    fn it_is_a_division_rounded_up() {
        for quantum in [1, 2, 3, 7, 64, 1_000, 100_000, 1_000_000, 1_000_000_000] {
            let grid = Grid::new(quantum);
            for n in 0..20_000_u64 {
                let any = mix(n) >> (mix(n + 1) % 64);
                let near = (any / quantum).saturating_mul(quantum);
                for at in [n, any, near, near.saturating_add(1), near.saturating_sub(1)] {
                    let rounded = at.div_ceil(quantum).checked_mul(quantum);
                    let expected = rounded.unwrap_or(u64::MAX / quantum * quantum);
                    assert_eq!(grid.at_or_after(at), expected, "{at} in steps of {quantum}");
                }
            }
        }
    }
}
