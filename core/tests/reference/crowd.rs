//! Which of several messages that are given up at once get the places that are left among the parked
//! keys follows from the order in which keys take turns, which is left free. The reference does as the
//! machine does: those that a copy of the machine hands out as dead letters have got one.

use super::compare::{Pair, restored};
use super::model::{Held, State};

impl Pair {
    /// Places that several have asked for since the last operation are given to those that the machine
    /// has given them to.
    pub fn adopt_places(&mut self) -> Result<(), String> {
        for p in 0..self.model.parts.len() {
            let rivals = self.model.rivals(p);
            let states = rivals.iter().map(|i| self.model.held[*i].state);
            let crowded = states.filter(|s| *s == State::Crowded).count();
            if crowded == 0 || crowded == rivals.len() {
                continue;
            }
            let mut copy = restored(&self.model.config, &self.core)?;
            let mut letters = Vec::new();
            while let Some(letter) = copy.poll_dead_letter() {
                letters.push(*letter.message);
            }
            self.model.give_up_again(&rivals, &letters);
        }
        Ok(())
    }
}

impl super::model::Model {
    /// Messages that have asked for a place since the last operation, and have none for sure.
    fn rivals(&self, p: usize) -> Vec<usize> {
        let places = &self.parts[p].parked;
        let open = |h: &Held| match h.state {
            State::Crowded => true,
            State::Burying => h.key.is_some_and(|k| places.get(&k).is_some_and(|k| !k.2)),
            _ => false,
        };
        let asks = |h: &Held| h.p == p && self.asked.contains(&h.message) && open(h);
        (0..self.held.len())
            .filter(|i| asks(&self.held[*i]))
            .collect()
    }

    fn give_up_again(&mut self, rivals: &[usize], first: &[u32]) {
        for &i in rivals {
            let held = &self.held[i];
            if let Some(key) = held.key.filter(|_| held.state == State::Burying) {
                self.parts[held.p].parked.remove(&key);
            }
        }
        let mut rivals = rivals.to_vec();
        rivals.sort_by_key(|i| !first.contains(&self.held[*i].message));
        for i in rivals {
            let why = self.held[i].why.expect("it was given up");
            self.give_up(i, why);
        }
    }
}
