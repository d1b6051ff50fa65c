//! S10 and what reached the log.

use std::collections::{HashMap, HashSet};

use super::Context;
use super::event::{Entry, Event};
use super::names::Id;
use super::report::Findings;

/// Watches accepted publishes and their results.
#[derive(Default)]
pub(super) struct Publishing {
    /// By (file, id): accepted, results.
    open: HashMap<(usize, Id), (u32, u32)>,
    acknowledged: HashSet<Id>,
    logged: HashSet<Id>,
    logged_topics: HashSet<u32>,
    pub(super) accepted: HashSet<Id>,
    pub(super) refused: HashSet<Id>,
    pub(super) unknown: HashSet<Id>,
}

impl Publishing {
    pub(super) fn see(&mut self, context: &Context<'_>, entry: &Entry, findings: &mut Findings) {
        let mut result = |id: Id| {
            let (accepted, results) = self.open.entry((entry.file, id)).or_default();
            *results += 1;
            if results > accepted {
                let what = context.names.say_id(id);
                findings.add("S10", entry, || {
                    format!("{what} has more results than it was accepted")
                });
            }
        };
        match entry.event {
            Event::Accepted { id } => {
                self.open.entry((entry.file, id)).or_default().0 += 1;
                self.accepted.insert(id);
            }
            Event::Stored { id, .. } => {
                result(id);
                self.acknowledged.insert(id);
            }
            Event::Refused { id } => {
                result(id);
                self.refused.insert(id);
            }
            Event::Unknown { id } => {
                result(id);
                self.unknown.insert(id);
            }
            Event::Logged { id, .. } => {
                self.logged.insert(id);
                self.logged_topics.insert(context.names.id_info(id).topic);
            }
            _ => {}
        }
    }

    pub(super) fn end(&self, context: &Context<'_>, findings: &mut Findings) {
        let mut open: Vec<_> = self.open.iter().collect();
        open.sort_unstable_by_key(|(key, _)| **key);
        for (&(file, id), &(accepted, results)) in open {
            if results < accepted && !context.sources[file].killed() {
                let run = context.names.id_info(id).run;
                findings.add_at("S10", run, file, 0, || {
                    format!(
                        "{} was accepted and has no result",
                        context.names.say_id(id)
                    )
                });
            }
        }
    }

    /// In the log: as the log itself says where it was read back, else as acknowledged.
    pub(super) fn is_stored(&self, context: &Context<'_>, id: Id) -> bool {
        if self
            .logged_topics
            .contains(&context.names.id_info(id).topic)
        {
            self.logged.contains(&id)
        } else {
            self.acknowledged.contains(&id)
        }
    }

    /// Acknowledged, and not in the log when it was read back: the broker lost it.
    pub(super) fn is_lost_by_broker(&self, context: &Context<'_>, id: Id) -> bool {
        self.acknowledged.contains(&id) && !self.is_stored(context, id)
    }
}
