//! What happens in a small world: each draw by its number.

use crate::fate::hash;

/// Draws of one seed.
#[derive(Clone, Debug)]
pub(super) struct Dice {
    seed: u64,
    world: u64,
    draws: u64,
}

impl Dice {
    pub(super) const fn new(seed: u64, world: u64) -> Self {
        Self {
            seed,
            world,
            draws: 0,
        }
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.draws += 1;
        hash(self.seed, 50_000 + self.world, self.draws, 0) % end.max(1)
    }

    /// From `low` to `high`, both included, small ones favoured.
    pub(super) fn log(&mut self, low: u64, high: u64) -> u64 {
        self.draws += 1;
        let bits = hash(self.seed, 50_000 + self.world, self.draws, 1);
        crate::fate::log_uniform(bits, low, high)
    }

    /// Swarm: every weight stays, is halved away, or is gone; the first always stays.
    pub(super) fn swarm<const N: usize>(&mut self, weights: [u64; N]) -> [u64; N] {
        let mut swarm = weights;
        for weight in &mut swarm[1..] {
            *weight = match self.below(4) {
                0 => 0,
                1 => *weight / 3,
                _ => *weight,
            };
        }
        swarm
    }

    /// One of several by weight.
    pub(super) fn pick<const N: usize>(&mut self, weights: &[u64; N]) -> usize {
        let mut left = self.below(weights.iter().sum());
        for (i, weight) in weights.iter().enumerate() {
            if left < *weight {
                return i;
            }
            left -= weight;
        }
        0
    }

    /// One of a list.
    pub(super) fn among(&mut self, list: &[usize]) -> Option<usize> {
        (!list.is_empty()).then(|| list[self.below(list.len() as u64) as usize])
    }
}
