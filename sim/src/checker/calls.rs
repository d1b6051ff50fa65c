//! Calls of several messages of one key: what is said of each takes effect in the order of the log, and
//! only when all before it are done (S2).

use super::order::Ending;
use super::process::{Process, Run};
use super::{Checked, Checker, State};
use crate::log::Entry;
use crate::rule::Rule;

/// A call whose messages have not all ended.
#[derive(Clone, Debug)]
pub(crate) struct Book {
    /// The token of its first message.
    call: u64,
    partition: u32,
    /// In the order of the log: token, message, and what was said of it.
    members: Vec<(u64, u32, Option<Ending>)>,
    /// The message that was rejected, and whose dead letter the rest waits for.
    waits: Option<u32>,
}

impl Book {
    /// What takes effect now. `keeps`: those behind a message that is rejected wait for its dead letter.
    fn take(&mut self, keeps: bool) -> Vec<(u32, Ending)> {
        let mut effects = Vec::new();
        while let Some(&(_, e, Some(ending))) = self.members.first()
            && self.waits.is_none()
        {
            if ending != Ending::Done && self.members.iter().any(|m| m.2.is_none()) {
                break;
            }
            effects.push((e, ending));
            self.members.remove(0);
            match ending {
                Ending::Done => {}
                Ending::Reject if keeps => self.waits = Some(e),
                // Those behind are given back.
                Ending::Retry | Ending::Reject | Ending::Cancelled => self.members.clear(),
            }
        }
        effects
    }
}

impl Process {
    /// A message is handed out: alone, or to the call that `call` names. Whether its call may have it.
    pub(super) fn joins(&mut self, call: u64, run: &Run, most: u32) -> bool {
        let member = (run.token, run.entry, None);
        if let Some(book) = self.books.iter_mut().find(|b| b.call == call) {
            book.members.push(member);
            return book.members.len() <= most as usize;
        }
        self.books.push(Book {
            call,
            partition: run.partition,
            members: vec![member],
            waits: None,
        });
        true
    }

    /// What is before a message that joins this call, in order.
    pub(super) fn entries_of(&self, call: u64) -> impl Iterator<Item = u32> + '_ {
        let book = self.books.iter().find(|b| b.call == call);
        book.into_iter().flat_map(|b| b.members.iter().map(|m| m.1))
    }

    /// Whether a message is before others in this call.
    pub(super) fn is_in_call(&self, call: u64, e: u32) -> bool {
        let book = self.books.iter().find(|b| b.call == call);
        book.is_some_and(|b| b.members.iter().any(|m| m.1 == e && m.2.is_none()))
    }

    /// The handlers of a partition go on without it: what was said takes no effect any more, and of each
    /// call only the success of the first is remembered.
    pub(crate) fn orphan_calls(&mut self, partition: u32) {
        let of = |b: &&Book| b.partition == partition;
        let behind = self
            .books
            .iter()
            .filter(of)
            .flat_map(|b| b.members.iter().skip(1));
        let behind: Vec<u64> = behind.map(|m| m.0).collect();
        for run in self.runs.iter_mut().filter(|r| behind.contains(&r.token)) {
            run.remembered = false;
        }
        self.books.retain(|b| b.partition != partition);
    }
}

/// What a core has counted by one input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    pub(crate) done: u64,
    pub(crate) failed: u64,
    /// Anything that it tells of itself is another, where somebody has looked.
    pub(crate) changed: bool,
}

impl Checker {
    /// A result of a message of a call was given to the core.
    pub(super) fn said(
        &mut self,
        member: usize,
        run: &Run,
        ending: Ending,
        by_it: Counted,
        all: &[Entry],
        now: u64,
    ) -> Checked {
        let keeps = self.config.parked_keys == 0;
        let books = &mut self.processes[member].books;
        let at = &|| format!("msg={} partition={} at={now}", run.entry, run.partition);
        let of = |b: &Book| b.members.iter().position(|m| m.0 == run.token);
        let found = books.iter_mut().find_map(|b| Some((of(b)?, b)));
        let Some((index, book)) = found else {
            return self.rules.hold(Rule::RunWithoutTenure, false, at);
        };
        book.members[index].2 = Some(ending);
        let effects = book.take(keeps);
        self.take_effect(member, run.partition, &effects, by_it, all, now)
    }

    /// The dead letter of a message was confirmed: what waits for it in its call takes effect.
    pub(crate) fn confirmed(
        &mut self,
        member: usize,
        (partition, e): (u32, u32),
        by_it: Counted,
        all: &[Entry],
        now: u64,
    ) -> Checked {
        let process = &mut self.processes[member];
        let book = process.books.iter_mut().find(|b| b.waits == Some(e));
        let Some(book) = book else { return Ok(()) };
        book.waits = None;
        let effects = book.take(true);
        let tenure = process.tenures[partition as usize].as_ref();
        let quiet = (by_it.done, by_it.failed) == (0, 0);
        // The hand-over has left it behind, and given back what waited for its dead letter.
        if quiet && tenure.is_none_or(|t| t.stopping.is_some()) {
            process
                .books
                .retain(|b| b.waits != Some(e) && b.partition != partition);
            return Ok(());
        }
        self.take_effect(member, partition, &effects, by_it, all, now)
    }

    fn take_effect(
        &mut self,
        member: usize,
        partition: u32,
        effects: &[(u32, Ending)],
        Counted { done, failed, .. }: Counted,
        all: &[Entry],
        now: u64,
    ) -> Checked {
        let (rules, process) = (&self.rules, &mut self.processes[member]);
        process.books.retain(|b| !b.members.is_empty());
        let count = |ending| effects.iter().filter(|(_, e)| *e == ending).count() as u64;
        let fails = count(Ending::Retry) + count(Ending::Reject);
        // Only the core knows whether a timeout asked for it.
        let fits = done == count(Ending::Done)
            && (fails..=fails + count(Ending::Cancelled)).contains(&failed);
        rules.hold(Rule::SaidOutOfTurn, fits, || {
            format!("partition={partition} at={now}: {effects:?}, but done={done} failed={failed}")
        })?;
        for &(e, ending) in effects {
            let Some(tenure) = process.tenures[partition as usize].as_mut() else {
                return rules.hold(Rule::RunWithoutTenure, false, || {
                    format!("msg={e} at={now}")
                });
            };
            match ending {
                Ending::Done => {
                    tenure.set(e, State::Finished);
                    tenure.sequences.pass(&all[e as usize]);
                    process.successes.push((all[e as usize].identity, now));
                    self.facts[e as usize].resolved = true;
                }
                Ending::Cancelled if failed == fails => {}
                Ending::Retry | Ending::Reject | Ending::Cancelled => {
                    tenure.failed(e, now, &self.config.retry);
                }
            }
        }
        Ok(())
    }
}
