//! What both say when they are asked.

use std::collections::{BTreeMap, BTreeSet};

use procession_core::{
    Continuity, Epoch, Flow, NoticeKind, PartitionId, Position, Session, Time, Token, Why,
    decode_digests, decode_map, decode_parked, decode_suspects,
};

use super::compare::{Pair, Stored, same};
use super::intake::digest;
use super::model::{Delivery, Part, Phase, State};

impl Pair {
    pub fn dispatch(&mut self) -> Result<(), String> {
        let now = self.model.now;
        let mut expected = self.model.startable();
        expected.sort_unstable();
        let mut started = Vec::new();
        while let Some(d) = self.core.poll_dispatch(now) {
            if !self.dispatched.insert(d.token.to_bits()) {
                return Err(format!("S6: {:?} names two dispatches", d.token));
            }
            self.tokens.push(d.token);
            if !expected.contains(&d.message) {
                return Err(format!("start of {d:?}, expected {expected:?}"));
            }
            let (p, position, attempt) = self.model.start(d.message, d.token.to_bits(), d.deadline);
            let epoch = self.model.parts[p].epoch;
            let said = (d.partition.0 as usize, d.position.0, d.epoch.0, d.attempt);
            same("start", &said, &(p, position, epoch, attempt))?;
            let (from, to) = self.model.deadlines();
            if d.deadline < from || d.deadline > to {
                return Err(format!(
                    "deadline {:?} not in {from:?}..={to:?}",
                    d.deadline
                ));
            }
            started.push(d.message);
            self.follow(d.message, d.token, d.deadline)?;
        }
        started.sort_unstable();
        self.seen.started += started.len() as u32;
        same("starts", &started, &expected)?;
        self.adopt()
    }

    /// What follows in the same call.
    fn follow(&mut self, first: u32, token: Token, deadline: Time) -> Result<(), String> {
        loop {
            let expected = self.model.follower(first);
            let Some(d) = self.core.poll_follow(self.model.now, token) else {
                // It may do without where it would have to look for copies.
                return match expected.filter(|_| !self.model.has_copies()) {
                    Some(message) => Err(format!("{message} does not follow {first}")),
                    None => Ok(()),
                };
            };
            same("follows", &Some(d.message), &expected)?;
            if !self.dispatched.insert(d.token.to_bits()) {
                return Err(format!("S6: {:?} names two dispatches", d.token));
            }
            self.tokens.push(d.token);
            self.seen.followed_calls += 1;
            let (p, position, attempt) = self.model.start(d.message, d.token.to_bits(), d.deadline);
            let epoch = self.model.parts[p].epoch;
            let said = (d.partition.0 as usize, d.position.0, d.epoch.0, d.attempt);
            same("start", &said, &(p, position, epoch, attempt))?;
            same("deadline of a call", &d.deadline, &deadline)?;
        }
    }

    fn gaps(&mut self) -> Result<(), String> {
        let expected = self.model.gaps();
        let mut gaps = Vec::new();
        while let Some(g) = self.core.poll_gap(self.model.now) {
            let at = (g.partition.0 as usize, g.position.0);
            gaps.push((at.0, at.1, g.expected, g.found));
        }
        let mut expected: Vec<_> = expected.iter().map(|g| (g.1, g.2, g.3, g.4)).collect();
        gaps.sort_unstable();
        expected.sort_unstable();
        self.seen.gaps += gaps.len() as u32;
        same("gaps", &gaps, &expected)
    }

    pub fn collect(&mut self) -> Result<(), String> {
        let now = self.model.now;
        self.gaps()?;
        let cancels: BTreeSet<u64> = std::iter::from_fn(|| self.core.poll_cancel())
            .map(Token::to_bits)
            .collect();
        self.seen.cancels += cancels.len() as u32;
        let abandons: BTreeSet<u64> = std::iter::from_fn(|| self.core.poll_abandon())
            .map(Token::to_bits)
            .collect();
        self.seen.abandons += abandons.len() as u32;
        let expected = std::mem::take(&mut self.model.abandons);
        same("abandons", &abandons, &expected)?;
        same(
            "cancels",
            &cancels,
            &std::mem::take(&mut self.model.cancels),
        )?;
        self.letters()?;
        let copies = self.model.copies();
        let mut found = Vec::new();
        while let Some(copy) = self.core.poll_duplicate(now) {
            let at = self.model.copy_taken(copy.message);
            same(
                "copy",
                &Some((copy.partition.0 as usize, copy.position.0, copy.by_sequence)),
                &at,
            )?;
            self.seen.behind += u32::from(copy.by_sequence);
            found.push(copy.message);
        }
        found.sort_unstable();
        self.seen.copies += found.len() as u32;
        // What follows of its key can be a copy in its turn.
        if !copies.iter().all(|c| found.contains(c)) || !self.model.copies().is_empty() {
            return Err(format!(
                "copies {found:?}, expected {copies:?} and what follows"
            ));
        }
        self.passes()?;
        self.commits()?;
        let mut sessions = Vec::new();
        while let Some(s) = self.core.poll_session(now) {
            let p = s.partition.0 as usize;
            sessions.push((p, s.epoch.0, s.session.0, s.at.0, s.expect));
        }
        sessions.sort_unstable_by_key(|s| s.0);
        self.seen.sessions += sessions.len() as u32;
        same("sessions", &sessions, &self.model.sessions())?;
        self.grants()?;
        self.releases()?;
        self.notices()?;
        while let Some(flow) = self.core.poll_flow() {
            let (p, pause) = match flow {
                Flow::Pause(p) => (p.0 as usize, true),
                Flow::Resume(p) => (p.0 as usize, false),
            };
            same("pause and resume alternate", &pause, &!self.paused[p])?;
            self.paused[p] = pause;
        }
        Ok(())
    }

    /// Every session that is asked for begins, and finds what it expects.
    pub fn live(&mut self) -> Result<(), String> {
        self.collect()?;
        for p in 0..self.model.parts.len() {
            let part = &self.model.parts[p];
            if part.delivery == Delivery::Starting {
                let (id, epoch, session) = (
                    PartitionId(p as u32),
                    Epoch(part.epoch),
                    Session(part.session),
                );
                let now = self.model.now;
                self.core
                    .session(now, id, epoch, session, Continuity::Continues);
                self.model
                    .session(id.0, epoch.0, session.0, Continuity::Continues);
            }
        }
        Ok(())
    }

    /// Grants are within the credit, and counted together (S7); whoever has credit has something
    /// outstanding after a round (L1).
    fn grants(&mut self) -> Result<(), String> {
        while let Some(grant) = self.core.poll_grant() {
            let p = grant.partition.0 as usize;
            let part = &mut self.model.parts[p];
            let said = (grant.epoch.0, grant.session.0);
            same("grant", &said, &(part.epoch, part.session))?;
            let (before, after) = (part.granted, (grant.messages, grant.bytes));
            part.granted = after;
            if after == before || after.0 < before.0 || after.1 < before.1 {
                return Err(format!("totals grow: {before:?}, then {grant:?}"));
            }
            let credit = self.core.credit(grant.partition);
            let outstanding = self.model.outstanding(p);
            let covered = self.model.may_be_granted(p);
            let messages = covered.0 && outstanding.0 <= u64::from(credit.messages);
            let bytes = covered.1 && outstanding.1 <= credit.bytes;
            let fed = self.model.is_fed(p);
            if !fed || (after.0 > before.0 && !messages) || (after.1 > before.1 && !bytes) {
                return Err(format!(
                    "{grant:?} after {before:?} is more than {credit:?}"
                ));
            }
            self.seen.grants += 1;
        }
        for p in (0..self.model.parts.len()).filter(|p| self.model.is_fed(*p)) {
            let credit = self.core.credit(PartitionId(p as u32));
            let outstanding = self.model.outstanding(p);
            if credit.messages > 0 && (outstanding.0 == 0 || outstanding.1 == 0) {
                return Err(format!("{p} starves: {credit:?}, {outstanding:?}"));
            }
        }
        Ok(())
    }

    fn passes(&mut self) -> Result<(), String> {
        let expected = self.model.passes();
        let mut found = Vec::new();
        while let Some(passed) = self.core.poll_passed(self.model.now) {
            let said = (passed.partition.0 as usize, passed.position.0, passed.why);
            let told = self.model.pass_taken(passed.message);
            same("passed", &Some(said), &told)?;
            self.seen.expired += u32::from(passed.why == Why::Expired);
            found.push(passed.message);
        }
        self.seen.passed += found.len() as u32;
        found.sort_unstable();
        // What follows of its key is passed in its turn.
        if !expected.iter().all(|e| found.contains(e)) || !self.model.passes().is_empty() {
            return Err(format!(
                "passed {found:?}, expected {expected:?} and what follows"
            ));
        }
        Ok(())
    }

    fn letters(&mut self) -> Result<(), String> {
        self.adopt_places()?;
        let mut expected = self.model.letters();
        expected.sort_unstable_by_key(|l| l.0);
        let mut letters = Vec::new();
        while let Some(l) = self.core.poll_dead_letter() {
            let p = l.partition.0 as usize;
            letters.push((*l.message, p, l.position.0, l.why, l.attempts, l.shorten));
            self.tokens.push(l.token);
            let (message, token) = (*l.message, l.token.to_bits());
            if expected.iter().any(|e| e.0 == message) {
                self.model.letter_sent(message, token);
            }
        }
        letters.sort_unstable_by_key(|l| l.0);
        self.seen.letters += letters.len() as u32;
        self.seen.followed += letters.iter().filter(|l| l.3 == Why::Parked).count() as u32;
        self.seen.suspects += letters.iter().filter(|l| l.3 == Why::Suspect).count() as u32;
        same("dead letters", &letters, &expected)
    }

    fn commits(&mut self) -> Result<(), String> {
        let due: Vec<(bool, bool)> = (0..self.model.parts.len())
            .map(|p| self.model.commit_due(p))
            .collect();
        let mut came = vec![false; due.len()];
        let mut buffer = [0; 600];
        while let Some(c) = self.core.poll_commit(self.model.now, &mut buffer) {
            let p = c.partition.0 as usize;
            if !due[p].0 || came[p] {
                return Err(format!(
                    "commit out of turn: {c:?}, {:?}",
                    self.model.parts[p]
                ));
            }
            came[p] = true;
            let epoch = self.model.parts[p].epoch;
            let (write, frontier, anchor, ranges, last) = self.model.commit_sent(p);
            let said = (c.epoch.0, c.write, c.frontier.0, c.anchor, c.last);
            same("commit", &said, &(epoch, write, frontier, anchor, last))?;
            let map = &buffer[..c.map_len];
            let keys = self.model.parked(p);
            if !map.is_empty() || !keys.is_empty() {
                let told = decode_parked(map, c.frontier).ok_or("a map that cannot be read")?;
                same("parked keys in a commit", &told, &keys)?;
            }
            let marks = self.model.mark(p);
            let told = decode_suspects(map, c.frontier).unwrap_or_default();
            self.marks_say(&marks, &told)?;
            self.seen.parked += keys.len() as u32;
            self.seen.maps += u32::from(!map.is_empty());
            self.map_says(p, (frontier, &ranges), map)?;
            let stored = Stored {
                frontier,
                anchor,
                map: map.to_vec(),
            };
            self.outstanding.insert((p, epoch, write), stored);
            self.seen.commits += 1;
        }
        for (p, (due, came)) in due.iter().zip(came).enumerate() {
            if due.1 && !came {
                return Err(format!("no commit of {p}: {:?}", self.model.parts[p]));
            }
        }
        Ok(())
    }

    /// A map may forget what lies far ahead; what is near it must say, and never more than is.
    fn map_says(
        &self,
        p: usize,
        (frontier, ranges): (u64, &[(u64, u64)]),
        map: &[u8],
    ) -> Result<(), String> {
        let config = &self.model.config;
        let keys = self.model.parked(p).len();
        let (anything, named) = decode_suspects(map, Position(frontier)).unwrap_or_default();
        let marked = anything || !named.is_empty();
        let marks = if marked { 2 + 9 * named.len() } else { 0 };
        let keys = if keys > 0 { 2 + 25 * keys } else { 0 };
        let room = config.map_bytes as usize - keys - marks;
        let (told, digests) = if map.is_empty() {
            (Vec::new(), Vec::new())
        } else {
            let read =
                decode_map(map, Position(frontier)).zip(decode_digests(map, Position(frontier)));
            read.ok_or("a map that cannot be read")?
        };
        let inside = |t: &(Position, Position)| ranges.iter().any(|r| r.0 <= t.0.0 && t.1.0 <= r.1);
        let window = &self.model.parts[p].window;
        let done = window.iter().filter(|(at, w)| w.done && **at > frontier);
        let said = |at: u64| told.iter().any(|t| (t.0.0..t.1.0).contains(&at));
        // As bits, with what each position costs besides.
        let each = if config.map_digests { 2 } else { 0 };
        let kept = done.clone().zip(1..).all(|((at, _), count): (_, usize)| {
            let bits = (at - frontier) as usize / 8 + 1;
            said(*at) || ranges.is_empty() || 22 + each + bits + each * count > room
        });
        let mut named = digests.iter();
        let right = !config.map_digests
            || ranges.is_empty()
            || done.clone().all(|(at, w)| {
                !said(*at) || named.next() == Some(&(Position(*at), digest(w.identity)))
            });
        if kept && right && named.next().is_none() && told.iter().all(inside) {
            return Ok(());
        }
        Err(format!(
            "map:\n     core {told:?} {digests:?}\nreference {ranges:?}"
        ))
    }

    fn releases(&mut self) -> Result<(), String> {
        let mut releases = BTreeMap::new();
        while let Some(r) = self.core.poll_release() {
            let said = (
                r.epoch.0,
                r.frontier.0,
                r.handed_back,
                r.abandoned,
                r.committed,
            );
            releases.insert(r.partition.0 as usize, said);
        }
        let mut expected = BTreeMap::new();
        for (p, part) in self.model.parts.iter_mut().enumerate() {
            if let Some(r) = part.release.take() {
                let said = (r.epoch, r.frontier, r.handed_back, r.abandoned, r.committed);
                expected.insert(p, said);
            }
        }
        self.seen.releases += releases.len() as u32;
        same("releases", &releases, &expected)?;
        let drained = self
            .core
            .poll_drained()
            .map(|d| (d.handed_back, d.abandoned));
        self.seen.drained += u32::from(drained.is_some());
        same("drained", &drained, &self.model.drained())
    }

    fn notices(&mut self) -> Result<(), String> {
        let mut notices = BTreeMap::new();
        while let Some(n) = self.core.poll_notice() {
            self.seen.crowded += u32::from(n.kind == NoticeKind::ParkingFull);
            self.seen.unclean += u32::from(n.kind == NoticeKind::UncleanEnd);
            notices.insert((n.partition.0 as usize, n.kind as u8), n.count);
        }
        self.seen.notices += notices.len() as u32;
        same(
            "notices",
            &notices,
            &std::mem::take(&mut self.model.notices),
        )
    }

    /// After every operation.
    pub fn same_state(&self) -> Result<(), String> {
        self.core.check_invariants()?;
        same("stats", &self.core.stats(), &self.model.stats())?;
        let mut held: Vec<_> = self
            .core
            .held()
            .map(|(p, at)| (p.0 as usize, at.0))
            .collect();
        held.sort_unstable();
        let mine = self.model.held.iter().filter(|h| h.state != State::Orphan);
        let mut expected: Vec<_> = mine.map(|h| (h.p, h.position)).collect();
        expected.sort_unstable();
        same("held", &held, &expected)?;
        let health = self.core.health();
        let ours = || self.model.parts.iter().filter(|p| p.is_ours());
        let count = |is: &dyn Fn(&Part) -> bool| ours().filter(|p| is(p)).count() as u32;
        let told = (health.open, health.delivering, health.lapsed);
        let live = |p: &Part| p.delivery == Delivery::Live;
        let open = (count(&|_| true), count(&live), count(&|p| p.lapsed));
        same("health", &told, &open)?;
        let told = (health.uncommitted, health.stalled);
        let failing = count(&|p| p.failures > 0);
        let stalled = count(&|p| p.stalled.is_some());
        same("health", &told, &(failing, stalled))?;
        let stands = ours().filter(|p| p.phase == Phase::Open && !p.window.is_empty());
        let oldest = stands.map(|p| p.since).min();
        same("oldest", &health.oldest.map(|s| s.since), &oldest)?;
        for (p, part) in self.model.parts.iter().enumerate() {
            let id = PartitionId(p as u32);
            let ours = part.is_ours();
            same(
                "frontier",
                &self.core.frontier(id),
                &ours.then_some(Position(part.frontier)),
            )?;
            same(
                "epoch",
                &self.core.epoch(id),
                &ours.then_some(Epoch(part.epoch)),
            )?;
            let parked: Vec<_> = self.core.parked(id).collect();
            let expected = self.model.parked(p);
            same(
                "parked keys",
                &parked,
                &if ours { expected } else { Vec::new() },
            )?;
            let stall = self.core.stall(id);
            let told = stall.map(|s| (s.position.0, s.since, s.state, s.attempts, s.reported));
            same("stall", &told, &self.model.stall(p))?;
            let credit = self.core.credit(id);
            if part.phase != Phase::Open || part.lapsed {
                same("credit of what takes nothing", &credit.messages, &0)?;
            } else if credit.messages > 0 && part.delivery == Delivery::Live {
                let bytes = credit.bytes.min(self.model.config.message_bytes_max.into()) as u32;
                let overdrawn = self.model.is_overdrawn();
                if !overdrawn && self.model.price(p, bytes).is_none() {
                    return Err(format!("{credit:?} is more than there is"));
                }
            }
        }
        let wake = self.core.poll_timeout().map_or(Time::MAX, |w| w.at);
        match self.model.next_effect() {
            Some(at) if wake > at => Err(format!("wakes at {wake:?}, due at {at:?}")),
            _ => Ok(()),
        }
    }
}
