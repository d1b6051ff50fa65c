//! How commits, dead letters and attempts ended.

use procession_core::{CommitResult, Epoch, Outcome, Receipt, Token};

use super::compare::{Pair, same};
use super::inputs::Ending;
use super::model::State;
use super::ops::Stale;

impl Pair {
    pub fn commit_result(&mut self, p: u8, stale: Stale, result: u8) {
        use CommitResult::{Denied, Lost, Refused, Retry, Stored, TooLarge, Unknown};
        let table = [
            Stored, Stored, Stored, Stored, Stored, Stored, Refused, Retry, Lost, TooLarge, Denied,
            Unknown,
        ];
        let result = table[usize::from(result)];
        let (id, epoch, _) = self.named(p, stale);
        let outstanding = self.model.parts[usize::from(p)].outstanding;
        let (epoch, write) = match outstanding {
            Some((e, w, _)) if stale == Stale::No => (Epoch(e), w),
            Some((_, w, _)) => (epoch, w.wrapping_sub(u64::from(stale == Stale::Session))),
            None => (epoch, 1),
        };
        // What becomes of one is not known where it was stored, too.
        if let (Stored | Unknown, Some(stored)) = (
            result,
            self.outstanding.remove(&(usize::from(p), epoch.0, write)),
        ) {
            self.stored[usize::from(p)] = Some(stored);
        }
        self.core
            .commit_result(self.model.now, id, epoch, write, result);
        self.model.commit_result(id.0, epoch.0, write, result);
    }

    pub fn burial_result(&mut self, which: u8, stale: bool, result: u8) {
        let table = [
            Receipt::Stored,
            Receipt::Stored,
            Receipt::Stored,
            Receipt::NotStored,
            Receipt::TooLarge,
            Receipt::Unknown,
        ];
        let buried = |t: &Token| {
            let held = &self.model.held;
            held.iter()
                .any(|h| h.token == Some(t.to_bits()) && h.state == State::Buried)
        };
        let Some(token) = self.pick(which, stale, buried) else {
            return;
        };
        let receipt = table[usize::from(result)];
        self.core.dead_letter_result(self.model.now, token, receipt);
        self.model.burial_result(token.to_bits(), receipt);
    }

    /// One of the tokens for which `live` holds, or any that there ever was.
    fn pick(&self, which: u8, stale: bool, live: impl Fn(&Token) -> bool) -> Option<Token> {
        let some: Vec<Token> = self
            .tokens
            .iter()
            .copied()
            .filter(|t| stale || live(t))
            .collect();
        (!some.is_empty()).then(|| some[usize::from(which) % some.len()])
    }

    pub fn settle(&mut self, which: u8, stale: bool, outcome: u8) -> Result<(), String> {
        let runs = |s: State| matches!(s, State::Running | State::Stopping | State::Orphan);
        let live = |t: &Token| {
            self.model
                .held
                .iter()
                .any(|h| h.token == Some(t.to_bits()) && runs(h.state))
        };
        let Some(token) = self.pick(which, stale, live) else {
            return Ok(());
        };
        let held = self
            .model
            .held
            .iter()
            .find(|h| h.token == Some(token.to_bits()));
        let message = held.map_or(0, |h| h.message);
        self.seen.orphans += u32::from(held.is_some_and(|h| h.state == State::Orphan));
        let (ending, outcome) = match outcome {
            // Behind others of its call, a message must come back.
            0..5 if self.model.config.batch_key > 1 => (Ending::Done, Outcome::Handled(message)),
            0..5 => (Ending::Done, Outcome::Done),
            5..7 => (Ending::Retry, Outcome::Retry(message)),
            7 => (Ending::Reject, Outcome::Reject(message)),
            _ => (Ending::Cancelled, Outcome::Cancelled(message)),
        };
        let core = self.core.settle(self.model.now, token, outcome).is_ok();
        let reference = self.model.settle(token.to_bits(), ending);
        self.seen.stale += u32::from(!reference);
        same("settle", &core, &reference)
    }
}
