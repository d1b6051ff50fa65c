//! Commits and dead letters on their way to the broker and back.

use procession_core::{
    Commit, CommitResult, DeadLetter, Epoch, NoticeKind, PartitionId, Receipt, Why,
};

use super::{Burial, World, Write};
use crate::checker::{Checked, Counted};
use crate::coverage::Mark;
use crate::event::Event;
use crate::plan::Flavour;
use crate::rule::Rule;
use crate::site::Site;
use crate::tape::Core;

impl World {
    /// The core wants progress written.
    pub(super) fn commit_sent(&mut self, member: u32, commit: Commit, map: Vec<u8>) {
        let number = self.writes.len() as u32;
        let life = self.members[member as usize].life;
        let (p, n) = write_name(&commit);
        let fault = |site| self.fate.decide(site, p, n);
        let to = self.latency(Site::CommitLost, p, n);
        let back = self.latency(Site::CommitAnswerLost, p, n);
        // What the broker would have to say, before it knows whether the writer is the owner.
        let (lands, result) = if fault(Site::CommitLost) {
            let late =
                fault(Site::CommitLate).then(|| to + back + self.latency(Site::CommitLate, p, n));
            (late, CommitResult::Unknown)
        } else if fault(Site::CommitAnswerLost) {
            (Some(to), CommitResult::Unknown)
        } else if fault(Site::CommitRefused) {
            (None, CommitResult::Refused)
        } else if fault(Site::CommitRetry) {
            (None, CommitResult::Retry)
        } else if fault(Site::CommitDenied) {
            (None, CommitResult::Denied)
        } else if commit.map_len > 0 && fault(Site::CommitTooLarge) {
            (None, CommitResult::TooLarge)
        } else {
            (Some(to), CommitResult::Stored)
        };
        self.writes.push(Write {
            member,
            life,
            commit,
            map,
            result,
            generation: self.generation,
            opens: self.opens[p as usize],
            landed: false,
        });
        if let Some(lands) = lands {
            self.push_in(lands, Event::CommitLands { write: number });
        }
        self.push_in(
            to + back + 1,
            Event::CommitAnswer {
                member,
                life,
                write: number,
            },
        );
    }

    /// A commit reaches the broker: one compare-and-set.
    pub(super) fn commit_lands(&mut self, number: u32) {
        if std::mem::replace(&mut self.writes[number as usize].landed, true) {
            return;
        }
        let Write {
            member,
            life,
            commit,
            generation,
            opens,
            ..
        } = self.writes[number as usize];
        let p = commit.partition.0 as usize;
        let owns = self.seats[p].is_some_and(|s| (s.member, s.life) == (member, life));
        let record = &self.records[p];
        // Who opens a partition writes its record anew, and what is sent expects the record as it was.
        // In a group, one connection brings what was sent before in its turn: who reads a record as it
        // opens a partition finds its own writes there.
        let anew = opens != self.opens[p];
        let fenced =
            generation != self.generation || self.plan.flavour == Flavour::JetStream && anew;
        if !owns || fenced || anew || !record.is_before(commit.epoch.0, commit.write) {
            self.hit(if !owns {
                Mark::FormerOwner
            } else if fenced {
                Mark::OldGeneration
            } else {
                Mark::Overtaken
            });
            let write = &mut self.writes[number as usize];
            if write.result == CommitResult::Stored {
                // A later write of its own has landed, it comes from an older generation, or it is
                // not the owner any more.
                write.result = if owns {
                    CommitResult::Refused
                } else {
                    CommitResult::Lost
                };
            }
            return;
        }
        if self.writes[number as usize].result == CommitResult::Unknown {
            self.hit(Mark::LandsLate);
        }
        let log = &self.logs[p];
        let copies = &mut self.copies[p];
        if copies.len() < 6 {
            copies.push(self.records[p].clone());
        }
        let map = std::mem::take(&mut self.writes[number as usize].map);
        self.records[p].store(&commit, map, log);
        self.mark(commit.frontier.0, 41, commit.write);
        self.note(|_, out| {
            out.push_str(&format!("             stored {commit:?}\n"));
        });
    }

    pub(super) fn commit_answer(&mut self, member: u32, number: u32) -> Checked {
        // At one time with its landing: nobody answers what has not come.
        if self.writes[number as usize].result == CommitResult::Stored {
            self.commit_lands(number);
        }
        let Write {
            commit,
            result,
            life,
            ..
        } = self.writes[number as usize];
        self.answer_commit(member, &commit, result)?;
        let (p, n) = write_name(&commit);
        if self.fate.decide(Site::StaleAnswer, p, n) {
            // The same answer again, much later: it must change nothing.
            let late = self.latency(Site::StaleAnswer, p, n);
            self.answer_commit(member, &commit, CommitResult::Stored)?;
            self.push_in(late, Event::Poke { member, life });
        }
        Ok(())
    }

    fn answer_commit(&mut self, member: u32, commit: &Commit, result: CommitResult) -> Checked {
        let m = member as usize;
        let partition = commit.partition.0;
        let same_epoch = self
            .checker
            .tenure(m, partition)
            .is_some_and(|t| t.epoch == commit.epoch.0);
        let current = self
            .checker
            .tenure(m, partition)
            .is_some_and(|t| t.outstanding == Some((commit.epoch.0, commit.write)));
        self.note(|_, out| out.push_str(&format!("             answer {result:?}\n")));
        let time = self.time();
        let Some(core) = &mut self.members[m].core else {
            return Ok(());
        };
        let told = |core: &Core| (core.stats(), core.frontier(commit.partition));
        let before = (!current).then(|| told(core));
        core.commit_result(
            time,
            PartitionId(partition),
            Epoch(commit.epoch.0),
            commit.write,
            result,
        );
        if let Some(before) = before {
            let same = told(core) == before;
            let rules = &self.checker.rules;
            return rules.hold(Rule::StaleAnswer, same, || {
                format!("write={} at={}", commit.write, self.now)
            });
        }
        self.checker
            .commit_answered(m, commit, result == CommitResult::Stored);
        match result {
            CommitResult::Lost => {
                self.strand(member, partition);
                self.members[m].feeds[partition as usize].close();
                self.checker.ended(m, partition);
            }
            CommitResult::Denied if same_epoch => {
                self.checker
                    .expect_notice(m, partition, &[NoticeKind::CommitDenied]);
            }
            CommitResult::TooLarge if same_epoch => {
                self.checker
                    .expect_notice(m, partition, &[NoticeKind::MapTooLarge]);
            }
            CommitResult::Stored
            | CommitResult::Denied
            | CommitResult::TooLarge
            | CommitResult::Refused
            | CommitResult::Retry
            | CommitResult::Unknown => {}
        }
        Ok(())
    }

    /// The core wants a dead letter stored.
    #[inline(never)]
    pub(super) fn burial_sent(
        &mut self,
        member: u32,
        letter: (procession_core::Token, u32, u32, Why, u32, u8),
    ) -> Checked {
        let (token, partition, entry, why, attempts, shorten) = letter;
        let m = member as usize;
        self.checker.burial_asked(
            m,
            partition,
            entry,
            (why, attempts),
            &self.entries,
            self.now,
        )?;
        let number = self.burials.len() as u32;
        // Named by the message and how often it was asked for before.
        let n = u64::from(self.entries[entry as usize].number);
        let before = self.burials.iter().filter(|b| b.entry == entry).count() as u64;
        let fault = |site| self.fate.decide(site, n, before);
        let receipt = if fault(Site::BurialFails) {
            Receipt::NotStored
        } else if shorten < 2 && fault(Site::BurialTooLarge) {
            Receipt::TooLarge
        } else if fault(Site::BurialUnknown) {
            Receipt::Unknown
        } else {
            Receipt::Stored
        };
        let epoch = self.checker.tenure(m, partition).map_or(0, |t| t.epoch);
        self.burials.push(Burial {
            token,
            partition,
            epoch,
            entry,
            why,
            name: (n, before),
            receipt,
            answered: false,
        });
        let life = self.members[m].life;
        let wait = self.latency(Site::BurialFails, n, before);
        self.push_in(
            wait,
            Event::BurialAnswer {
                member,
                life,
                burial: number,
            },
        );
        Ok(())
    }

    pub(super) fn burial_answer(&mut self, member: u32, number: u32) -> Checked {
        let burial = self.burials[number as usize];
        let m = member as usize;
        let time = self.time();
        let Some(core) = &mut self.members[m].core else {
            return Ok(());
        };
        let before = core.stats();
        core.dead_letter_result(time, burial.token, burial.receipt);
        let after = core.stats();
        // It counts only in the epoch that asked for it, and once.
        let current = !burial.answered
            && self
                .checker
                .tenure(m, burial.partition)
                .is_some_and(|t| t.epoch == burial.epoch);
        if !current && !burial.answered {
            self.marks[Mark::LetterTooLate as usize] += 1;
        }
        let counted = after.dead > before.dead;
        let by_it = Counted {
            done: after.done.saturating_sub(before.done),
            failed: after.failed.saturating_sub(before.failed),
            changed: counted,
        };
        let right = counted == (current && burial.receipt == Receipt::Stored);
        self.checker.rules.hold(Rule::LetterCounted, right, || {
            format!("msg={} at={}: {burial:?}", burial.entry, self.now)
        })?;
        if counted {
            let (e, entry) = (burial.entry, self.entries[burial.entry as usize]);
            self.checker
                .buried(m, burial.partition, (e, burial.why), &entry);
            let at = (burial.partition, e);
            self.checker
                .confirmed(m, at, by_it, &self.entries, self.now)?;
        } else if current && matches!(burial.receipt, Receipt::NotStored | Receipt::Unknown) {
            let kinds = &[NoticeKind::DeadLetterRetried];
            self.checker.expect_notice(m, burial.partition, kinds);
        }
        self.burials[number as usize].answered = true;
        let (n, before) = burial.name;
        let stale = n | 1 << 63;
        if counted && self.fate.decide(Site::StaleAnswer, stale, before) {
            self.burials[number as usize].receipt = Receipt::Stored;
            let life = self.members[m].life;
            let late = self.latency(Site::StaleAnswer, stale, before);
            self.push_in(
                late,
                Event::BurialAnswer {
                    member,
                    life,
                    burial: number,
                },
            );
        }
        Ok(())
    }
}

/// Names a write, for decisions: its partition, its epoch and number.
fn write_name(commit: &Commit) -> (u64, u64) {
    let number = commit.epoch.0 << 32 | commit.write;
    (u64::from(commit.partition.0), number)
}

/// What a dead letter says, with the message by its number.
pub(super) fn letter_parts(
    letter: &DeadLetter<'_, u32>,
) -> (procession_core::Token, u32, u32, Why, u32, u8) {
    let DeadLetter {
        token,
        partition,
        why,
        attempts,
        shorten,
        message,
        ..
    } = letter;
    (*token, partition.0, **message, *why, *attempts, *shorten)
}
