//! What handlers do.

use procession_core::{Dispatch, Outcome, Receipt, Span, Token};

use super::World;
use crate::checker::{Checked, Counted, Ending};
use crate::coverage::Mark;
use crate::event::Event;
use crate::member::{Behaviour, Handler};
use crate::site::Site;
use crate::tape::Core;

const MILLI: u64 = 1_000_000;

/// What a core has counted of results: successes and failures.
fn results(core: &Core) -> (u64, u64) {
    let stats = core.stats();
    (stats.done, stats.failed)
}

impl World {
    /// A message is handed to a handler, or to the call that another one has begun. Each is a handler of
    /// its own here: what is said of the messages of a call comes in any order, and at any time.
    #[inline(never)]
    pub(super) fn started(
        &mut self,
        member: u32,
        dispatch: Dispatch<u32>,
        follows: Option<Token>,
    ) -> Checked {
        let m = member as usize;
        self.mark(dispatch.token.to_bits(), 51, dispatch.position.0);
        self.note(|_, out| out.push_str(&format!("             m{member} start {dispatch:?}\n")));
        self.checker.dispatched(
            m,
            (&dispatch, follows.map(Token::to_bits)),
            &self.entries,
            &self.logs,
            self.now,
        )?;
        let (e, p) = (dispatch.message, dispatch.partition.0 as usize);
        let life = self.members[m].life;
        let owns = self.seats[p].is_some_and(|s| (s.member, s.life) == (member, life));
        if self.plan.config.suspects > 0 && owns {
            let record = &self.records[p];
            self.checker.start_recorded(&dispatch, record, self.now)?;
        }
        let starts = u64::from(self.checker.facts[e as usize].starts);
        let attempt = (u64::from(self.entries[e as usize].number), starts);
        let (behaviour, takes) = self.behaviour(e, starts);
        let process = &mut self.members[m];
        let (life, handler) = (process.life, process.handlers.len() as u32);
        process.handlers.push(Handler {
            token: dispatch.token,
            follows: follows.is_some(),
            entry: e,
            attempt,
            behaviour,
            ended: None,
            settled: false,
        });
        process.running += 1;
        if self.plan.killer == Some(u64::from(self.entries[e as usize].number)) {
            self.crash(member, 5 * MILLI);
            return if self.fate.is_healed() {
                self.checker.kills(e, self.now)
            } else {
                Ok(())
            };
        }
        if behaviour != Behaviour::Hangs {
            self.push_in(
                takes,
                Event::HandlerEnd {
                    member,
                    life,
                    handler,
                },
            );
        }
        Ok(())
    }

    /// What this attempt does, and for how long. Keyed by the message and its starts so far.
    fn behaviour(&self, e: u32, starts: u64) -> (Behaviour, u64) {
        let entry = &self.entries[e as usize];
        let n = u64::from(entry.identity);
        let fault = |site| self.fate.decide(site, n, starts);
        let slow = if fault(Site::HandlerSlow) {
            100 * MILLI
        } else {
            3 * MILLI
        };
        let takes = self.fate.draw_log(Site::Handler, n, starts, 0, slow);
        let ending = if entry.poison || fault(Site::HandlerFail) {
            Ending::Retry
        } else if fault(Site::HandlerReject) {
            Ending::Reject
        } else {
            Ending::Done
        };
        if fault(Site::HandlerHang) && self.plan.config.handler_timeout < Span::MAX {
            return (Behaviour::Hangs, 0);
        }
        if fault(Site::HandlerDeaf) {
            return (Behaviour::Deaf(ending), takes + 400 * MILLI);
        }
        (Behaviour::Ends(ending), takes)
    }

    /// A handler ends on its own.
    pub(super) fn handler_end(&mut self, member: u32, number: u32) -> Checked {
        let handler = self.members[member as usize].handlers[number as usize];
        match handler.behaviour {
            Behaviour::Ends(ending) | Behaviour::Deaf(ending) => self.ended(member, number, ending),
            Behaviour::Hangs => self.ended(member, number, Ending::Cancelled),
        }
    }

    /// A handler has ended: its effect is in the world, its result goes to the core.
    fn ended(&mut self, member: u32, number: u32, ending: Ending) -> Checked {
        let process = &mut self.members[member as usize];
        let (life, handler) = (process.life, &mut process.handlers[number as usize]);
        if handler.ended.is_some() {
            return Ok(());
        }
        handler.ended = Some(ending);
        let (e, (n, start)) = (handler.entry, handler.attempt);
        process.running -= 1;
        if let Some(core) = &process.core {
            // There is room for another one.
            core.refresh(true);
        }
        let mut runs = self.checker.processes[member as usize].runs.iter();
        if runs.any(|r| r.orphan && r.token == handler.token.to_bits()) {
            self.marks[Mark::EndsOrphaned as usize] += 1;
        }
        if ending == Ending::Done {
            self.checker.effect(e);
        }
        if self.fate.decide(Site::LateSettle, n, start) {
            let late = self.latency(Site::LateSettle, n, start);
            self.push_in(
                late,
                Event::Settle {
                    member,
                    life,
                    handler: number,
                },
            );
            return Ok(());
        }
        self.settle(member, number)
    }

    /// The result of a handler reaches the core.
    pub(super) fn settle(&mut self, member: u32, number: u32) -> Checked {
        let handler = self.members[member as usize].handlers[number as usize];
        let (Some(ending), false) = (handler.ended, handler.settled) else {
            return Ok(());
        };
        self.members[member as usize].handlers[number as usize].settled = true;
        self.tell_result(
            member,
            handler.token,
            (handler.entry, handler.follows),
            ending,
        )?;
        let (n, start) = handler.attempt;
        if self.fate.decide(Site::LateResult, n, start) {
            let life = self.members[member as usize].life;
            let late = self.latency(Site::LateResult, n, start) * 8;
            self.push_in(
                late,
                Event::Resettle {
                    member,
                    life,
                    handler: number,
                },
            );
        }
        if self.fate.decide(Site::DoubleSettle, n, start) {
            // A second result for the same attempt must change nothing (S6).
            let other = [
                Ending::Done,
                Ending::Retry,
                Ending::Reject,
                Ending::Cancelled,
            ][self.fate.draw(Site::DoubleSettle, n, start, 0, 3) as usize];
            self.tell_result(
                member,
                handler.token,
                (handler.entry, handler.follows),
                other,
            )?;
            if let Some(core) = &mut self.members[member as usize].core {
                let time = procession_core::Time::from_nanos(self.now);
                core.dead_letter_result(time, handler.token, Receipt::NotStored);
            }
        }
        Ok(())
    }

    /// A detached task tells the result of an attempt that was settled long ago (S6).
    pub(super) fn resettle(&mut self, member: u32, number: u32) -> Checked {
        let handler = self.members[member as usize].handlers[number as usize];
        let (n, start) = handler.attempt;
        let ending = [
            Ending::Done,
            Ending::Retry,
            Ending::Reject,
            Ending::Cancelled,
        ][self.fate.draw(Site::LateResult, n, start, 0, 3) as usize];
        self.tell_result(
            member,
            handler.token,
            (handler.entry, handler.follows),
            ending,
        )
    }

    fn tell_result(
        &mut self,
        member: u32,
        token: Token,
        (e, follows): (u32, bool),
        ending: Ending,
    ) -> Checked {
        let m = member as usize;
        let time = self.time();
        self.note(|_, out| {
            out.push_str(&format!(
                "             m{member} settle {token:?} msg={e} {ending:?}\n"
            ));
        });
        let Some(core) = &mut self.members[m].core else {
            return Ok(());
        };
        let outcome = match ending {
            Ending::Done if follows => Outcome::Handled(e),
            Ending::Done => Outcome::Done,
            Ending::Retry => Outcome::Retry(e),
            Ending::Reject => Outcome::Reject(e),
            Ending::Cancelled => Outcome::Cancelled(e),
        };
        // A token that nobody has changes nothing at all; of others, only results are counted.
        let known = self.checker.processes[m].runs(token.to_bits());
        let before = (!known).then(|| core.stats());
        let (done, failed) = results(core);
        let accepted = core.settle(time, token, outcome, e).is_ok();
        let after = results(core);
        let by_it = Counted {
            // What goes back counts nothing, and is told as such.
            done: after.0.saturating_sub(done),
            failed: after.1.saturating_sub(failed),
            changed: before.is_some_and(|before| before != core.stats()),
        };
        self.mark(token.to_bits(), 52, u64::from(accepted));
        self.checker.settled(
            m,
            token.to_bits(),
            (ending, accepted),
            by_it,
            &self.entries,
            self.now,
        )
    }

    /// The core asks a handler to stop.
    #[inline(never)]
    pub(super) fn cancel(&mut self, member: u32, token: Token) -> Checked {
        self.checker
            .cancelled(member as usize, token.to_bits(), self.now)?;
        let process = &self.members[member as usize];
        let Some(number) = process.handlers.iter().rposition(|h| h.token == token) else {
            return Ok(());
        };
        let handler = process.handlers[number];
        let life = process.life;
        let (n, start) = handler.attempt;
        // Half of the futures are dropped at once, the others a little later.
        let ends = match handler.behaviour {
            Behaviour::Hangs | Behaviour::Ends(_) => handler.ended.is_none(),
            Behaviour::Deaf(_) => false,
        };
        if ends {
            self.members[member as usize].handlers[number].behaviour = Behaviour::Hangs;
            let late = self
                .fate
                .draw_log(Site::Handler, n, start + 1_000, 0, 4 * MILLI);
            let handler = number as u32;
            self.push_in(
                late,
                Event::HandlerEnd {
                    member,
                    life,
                    handler,
                },
            );
        }
        Ok(())
    }

    /// The core gives an attempt up: it is settled with a copy of its message, and the handler goes on
    /// unheard.
    #[inline(never)]
    pub(super) fn forget_handler(&mut self, member: u32, token: Token) -> Checked {
        self.checker
            .given_up(member as usize, token.to_bits(), self.now)?;
        let handlers = &self.members[member as usize].handlers;
        let entry = handlers.iter().rfind(|h| h.token == token);
        let entry = entry.map(|h| (h.entry, h.follows));
        match entry {
            Some(e) => self.tell_result(member, token, e, Ending::Cancelled),
            None => Ok(()),
        }
    }

    /// Faults stop: what hangs ends soon.
    pub(super) fn end_hanging(&mut self) {
        for member in 0..self.plan.members {
            let process = &self.members[member as usize];
            let (life, count) = (process.life, process.handlers.len() as u32);
            for handler in 0..count {
                let h = self.members[member as usize].handlers[handler as usize];
                if h.ended.is_none() {
                    self.push_in(
                        10 * MILLI,
                        Event::HandlerEnd {
                            member,
                            life,
                            handler,
                        },
                    );
                }
            }
        }
    }
}
