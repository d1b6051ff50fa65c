//! What the checker knows of one process.

use hashbrown::HashTable;
use procession_core::{Config, NoticeKind};

use super::calls::Book;
use super::{Checked, Tenure};
use crate::fate::mix;
use crate::rule::{Rule, Rules};
use crate::tape::Core;

/// One attempt that was handed out and not settled yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) token: u64,
    pub(crate) entry: u32,
    pub(crate) partition: u32,
    pub(crate) epoch: u64,
    pub(crate) lane: Option<u32>,
    /// When it is to be asked to stop.
    pub(crate) deadline: u64,
    /// The core asked it to stop.
    pub(crate) cancelled: bool,
    /// When.
    pub(crate) cancelled_at: u64,
    /// Its partition was lost or given up meanwhile.
    pub(crate) orphan: bool,
    /// Its success is remembered, orphaned or not.
    pub(crate) remembered: bool,
    /// The call that it belongs to: the token of its first message.
    pub(crate) call: u64,
}

/// The books of one process, from its start to its death.
#[derive(Debug)]
#[repr(align(512))]
pub(crate) struct Process {
    pub(crate) tenures: Vec<Option<Tenure>>,
    /// By partition: the epoch in which it was held last.
    pub(crate) epochs: Vec<Option<u64>>,
    pub(crate) runs: Vec<Run>,
    /// Calls that get more than one message, where there may be such.
    pub(crate) books: Vec<Book>,
    /// Every token that was handed out.
    tokens: HashTable<u64>,
    /// Identities in the order in which their success was recorded, and when.
    pub(crate) successes: Vec<(u32, u64)>,
    /// Those of its last life.
    pub(crate) before: Vec<(u32, u64)>,
    /// The deadline of a drain that is under way.
    pub(crate) draining: Option<u64>,
    /// Notices that must come before the event is over.
    pub(crate) expected: Vec<(u32, &'static [NoticeKind])>,
    /// By partition: what holds the frontier and since when, and whether a notice has told of it.
    pub(crate) stalls: Vec<(Option<(u64, u64)>, bool)>,
    /// Flow levels: paused partitions.
    pub(crate) paused: Vec<bool>,
}

impl Process {
    pub(crate) fn new(config: &Config) -> Self {
        let partitions = config.partitions as usize;
        Self {
            tenures: (0..partitions).map(|_| None).collect(),
            epochs: vec![None; partitions],
            runs: Vec::new(),
            books: Vec::new(),
            tokens: HashTable::with_capacity(56),
            successes: Vec::new(),
            before: Vec::new(),
            draining: None,
            expected: Vec::new(),
            stalls: vec![(None, false); partitions],
            paused: vec![false; partitions],
        }
    }

    /// It dies: only what its last life had finished is kept. What it needed of memory is used again.
    pub(crate) fn die(&mut self) {
        self.tenures.fill_with(|| None);
        self.epochs.fill(None);
        self.runs.clear();
        self.books.clear();
        self.tokens.clear();
        core::mem::swap(&mut self.before, &mut self.successes);
        self.successes.clear();
        self.draining = None;
        self.expected.clear();
        self.stalls.fill((None, false));
        self.paused.fill(false);
    }

    /// The epoch in which a core that is told `epoch` holds a partition: it may have counted up further
    /// by itself, for rewrites that it found.
    pub(crate) fn counts(&self, partition: u32, epoch: u64) -> u64 {
        let p = partition as usize;
        let last = self.tenures[p].as_ref().map(|t| t.epoch);
        let last = last.or(self.epochs[p]);
        last.map_or(epoch, |last| epoch.max(last + 1))
    }

    /// A token is handed out; whether it is a new one.
    pub(crate) fn hands_out(&mut self, token: u64) -> bool {
        let hash = |token: &u64| mix(*token);
        let known = self.tokens.find(hash(&token), |t| *t == token).is_some();
        if !known {
            self.tokens.insert_unique(hash(&token), token, hash);
        }
        !known
    }

    /// Whether an attempt of this token was handed out and is not settled yet.
    pub(crate) fn runs(&self, token: u64) -> bool {
        self.runs.iter().any(|r| r.token == token)
    }

    /// Messages that the core must be holding, orphans aside.
    pub(crate) fn held(&self) -> u32 {
        self.tenures.iter().flatten().map(|t| t.held).sum()
    }

    /// After each event: notices that were due have come (S9).
    pub(crate) fn notices_came(&mut self, rules: &Rules, now: u64) -> Checked {
        let missing = self.expected.pop();
        self.expected.clear();
        rules.hold(Rule::Silent, missing.is_none(), || {
            let (partition, kinds) = missing.unwrap_or_default();
            format!("partition={partition} at={now}: no notice of {kinds:?}")
        })
    }

    /// After each event: what the core says that it holds is what it was given, and within its
    /// caps (S7).
    pub(crate) fn check_stats(
        &self,
        rules: &Rules,
        config: &Config,
        core: &Core,
        now: u64,
    ) -> Checked {
        let stats = core.stats();
        let orphans = || self.runs.iter().filter(|r| r.orphan).count() as u32;
        let (held, running) = (self.held(), self.runs.len() as u32);
        let fine = stats.running == running
            && (stats.held == held || (held..=held + orphans()).contains(&stats.held))
            // The message at the frontier of each partition can always be admitted.
            && held <= config.limits.messages + config.partitions
            && (stats.held_bytes == 0 || stats.held > 0)
            && stats.window <= config.window_pool.next_multiple_of(64)
            && stats.identities <= config.dedupe.ids + stats.held;
        rules.hold(Rule::Bounds, fine, || {
            format!(
                "running={running} held={held} orphans={} at={now}: {:?}",
                orphans(),
                core.stats()
            )
        })
    }
}
