//! Owning a partition and being delivered from it: epochs, leases, sessions, recognised logs.

use super::grants::Totals;
use super::partition::{Delivery, Doubt, Partition, Phase};
use super::suspects::Watch;
use super::{Anchor, Consumer, Continuity, NoticeKind, Resume, Start, WakeReason, map};
use crate::marks::mark;
use crate::{Epoch, OnReset, PartitionId, Position, Session, Time, mutants};

impl<M> Consumer<M> {
    /// The partition is ours from now on, until the lease ends (`None`: the broker fences).
    ///
    /// Progress of another incarnation of the log, or beyond its end, is void as a whole and
    /// reported; a map that is not whole and sound is ignored and reported. In either case the
    /// message at the frontier runs. An epoch that is not newer than what is known is ignored; a
    /// newer one ends the old one as [`lose`](Self::lose) does, and handlers that still run keep
    /// their keys busy (S1).
    pub fn open(
        &mut self,
        now: Time,
        partition: PartitionId,
        epoch: Epoch,
        resume: &Resume<'_>,
        until: Option<Time>,
    ) {
        let now = self.tick(now);
        let index = partition.0 as usize;
        let Some(part) = self.partitions.get(index) else {
            return;
        };
        // Compared with what the broker side said, not with what the core counted up by itself.
        if part.known && epoch <= part.opened {
            return;
        }
        // A core that counted its epoch up for a rewrite may be ahead of the broker side.
        let counted = if part.known {
            epoch.max(Epoch(part.epoch.0 + 1))
        } else {
            epoch
        };
        mark!(EpochAhead, counted > epoch);
        if part.is_ours() {
            mark!(OpenedAgain);
            self.drop_partition(index);
        }
        let keep = &self.partitions[index];
        let fresh = Partition {
            phase: Phase::Open,
            known: true,
            opened: epoch,
            epoch: counted,
            incarnation: resume.incarnation,
            until: until.unwrap_or(Time::MAX),
            delivery: Delivery::Wanted(now),
            watch: if self.suspects.is_on() {
                Watch::Wanted
            } else {
                Watch::Off
            },
            paused: keep.paused,
            release: keep.release,
            weight: keep.weight,
            ..Partition::closed()
        };
        self.partitions[index] = fresh;
        self.share_out();
        self.resume(now, index, resume);
        self.begin_watch(now, index);
        self.partitions[index].gate();
        self.sessions.insert(partition.0);
        if self.partitions[index].paused {
            self.flows.insert(partition.0);
        }
        if let Some(deadline) = self.draining.filter(|_| !mutants::is(53)) {
            mark!(OpenedDraining);
            self.revoke_at(now, index, deadline);
        }
    }

    fn resume(&mut self, now: Time, index: usize, resume: &Resume<'_>) {
        let foreign = resume.recorded.is_some_and(|r| r != resume.incarnation) && !mutants::is(23);
        let recorded = resume.frontier.filter(|_| !foreign);
        let beyond = recorded.is_some_and(|f| f > resume.log_end);
        if foreign || beyond {
            mark!(ResumeVoid);
            self.notice(
                index,
                NoticeKind::ResumeVoid,
                resume.frontier.unwrap_or_default(),
            );
        }
        let anchor = resume
            .anchor
            .filter(|a| recorded.is_some_and(|f| a.position < f) && !foreign);
        // Beyond the end, the anchor can still tell where the log was cut. Until a session has looked
        // there, what is recorded stays as it is.
        let frontier = recorded.filter(|_| !beyond || anchor.is_some());
        let frontier = frontier.unwrap_or(resume.log_start);
        if frontier < resume.log_start {
            mark!(Truncated);
            self.notice(index, NoticeKind::Truncated, frontier);
        }
        let part = &mut self.partitions[index];
        part.frontier = frontier.max(resume.log_start);
        part.floor = part.frontier;
        part.anchor = anchor;
        part.unproven = (beyond && anchor.is_some()).then_some(resume.log_end);
        if !(resume.map.is_empty() || foreign || beyond) {
            self.resume_map(index, frontier, resume);
        }
        if frontier < resume.log_start {
            let range = (resume.log_start, resume.log_end);
            self.out_of_range(now, index, frontier, range);
        } else if resume.recorded.is_none() && recorded.is_some() && !beyond {
            // Where a group begins that has committed nothing (at the end of the log, say): the next owner
            // must not begin elsewhere, behind what has come meanwhile (S9).
            self.dirty(now, index, 0);
        }
    }

    /// Takes over a map, if it is whole and sound.
    fn resume_map(&mut self, index: usize, frontier: Position, resume: &Resume<'_>) {
        let incarnation = if mutants::is(23) {
            None
        } else {
            Some(resume.incarnation)
        };
        match map::decode(resume.map, frontier, incarnation, resume.log_end) {
            Some(sound) => {
                mark!(MapKept);
                self.keep_parked(index, sound.parked());
                self.keep_map(index, frontier, &sound);
                self.suspect(index, Some(&sound.marked()), resume.log_end);
            }
            None => {
                mark!(MapIgnored);
                self.suspect(index, None, resume.log_end);
                self.notice(index, NoticeKind::MapIgnored, frontier);
            }
        }
    }

    /// The log begins behind what is recorded: on as the owner wants it.
    fn out_of_range(
        &mut self,
        now: Time,
        index: usize,
        recorded: Position,
        range: (Position, Position),
    ) {
        if self.config.on_reset != OnReset::Stop || mutants::is(98) {
            return self.deliver_from(now, index, range, self.config.on_reset);
        }
        mark!(StoppedOutOfRange);
        let part = &mut self.partitions[index];
        part.frontier = recorded;
        part.floor = recorded;
        part.delivery = Delivery::Idle;
        part.stopped = Some(range);
        self.notice(index, NoticeKind::OutOfRange, recorded);
    }

    /// From here on the partition is delivered.
    fn deliver_from(&mut self, now: Time, index: usize, range: (Position, Position), to: OnReset) {
        let (start, end) = range;
        let part = &mut self.partitions[index];
        let at = match to {
            OnReset::Latest => {
                mark!(ResetToEnd);
                part.anchor = None;
                self.drop_map(index);
                end
            }
            OnReset::Stop | OnReset::Earliest => part.frontier.max(start),
        };
        let part = &mut self.partitions[index];
        part.frontier = at;
        part.floor = at;
        part.delivery = Delivery::Wanted(now);
        part.gate();
        self.sessions.insert(index as u32);
        if to == OnReset::Latest {
            // A new owner must not skip anew what comes from now on.
            self.dirty(now, index, 0);
        }
    }

    /// Says where a partition goes on that has stopped because its record was out of range
    /// ([`NoticeKind::OutOfRange`]). Returns whether it had; [`OnReset::Stop`] changes nothing.
    pub fn reset(&mut self, now: Time, partition: PartitionId, to: OnReset) -> bool {
        let now = self.tick(now);
        let Some(part) = self.partitions.get_mut(partition.0 as usize) else {
            return false;
        };
        if to == OnReset::Stop || part.phase != Phase::Open {
            return false;
        }
        let Some(range) = part.stopped.take() else {
            return false;
        };
        mark!(Reset);
        self.deliver_from(now, partition.0 as usize, range, to);
        // Said once is enough: a new owner goes on there, too.
        self.dirty(now, partition.0 as usize, 0);
        true
    }

    /// The lease was renewed; past `until` the partition gives nothing. O(slots) when it had lapsed.
    pub fn extend(&mut self, now: Time, partition: PartitionId, epoch: Epoch, until: Time) {
        let now = self.tick(now);
        let Some(index) = self.ours(partition, epoch) else {
            return;
        };
        let part = &mut self.partitions[index];
        part.until = until;
        part.gate();
        if part.lapsed && now < until {
            part.lapsed = false;
            self.credit.moved = true;
            if part.phase == Phase::Open {
                self.wake_held(index);
            }
        }
    }

    /// The session has begun, and this is what it found where it was told to start. A rewritten log
    /// is reported, and begins a new epoch with its frontier at the first new message (O(slots)).
    pub fn session(
        &mut self,
        now: Time,
        partition: PartitionId,
        epoch: Epoch,
        session: Session,
        continuity: Continuity,
    ) {
        let now = self.tick(now);
        let Some(index) = self.current(partition, epoch, session) else {
            return;
        };
        let part = &mut self.partitions[index];
        if part.delivery != Delivery::Starting {
            return;
        }
        self.credit.moved = true;
        part.delivery = Delivery::Live;
        let blind = core::mem::take(&mut part.blind);
        let unproven = part.unproven.take();
        match continuity {
            Continuity::Continues => {
                self.cut(now, index, unproven, true);
                if !blind {
                    // It found the last message after all.
                    self.believe(now, index);
                }
            }
            Continuity::CannotTell => {
                self.cut(now, index, unproven, false);
                let part = &mut self.partitions[index];
                let position = part.frontier;
                if let Some(last) = part.last.filter(|l| l.position >= position) {
                    // This session started at the last message, which is gone. If the log was
                    // rewritten, others may stand before it: delivery goes on at the frontier (S9).
                    // Holes that an earlier session told of behind it may hold messages now.
                    mark!(CannotTellBlind);
                    part.floor = last.position.next();
                    part.blind = true;
                    part.delivery = Delivery::Wanted(now);
                    self.sessions.insert(index as u32);
                    self.doubt(index);
                }
                self.notice(index, NoticeKind::CannotTell, position);
            }
            Continuity::Rewritten { from } => self.rewind(now, index, from),
        }
        self.partitions[index].gate();
    }

    /// The recorded frontier lay beyond the end of the log, and the log is not a rewritten one as far
    /// as can be told: what is written at its end from now on is new.
    fn cut(&mut self, now: Time, index: usize, end: Option<Position>, found: bool) {
        let Some(end) = end else { return };
        mark!(CutAtEnd);
        let part = &mut self.partitions[index];
        // The log grew meanwhile if it holds the anchor at or beyond the end that was told.
        let held = part.anchor.filter(|_| found).map(|a| a.position.next());
        let end = held.map_or(end, |h| end.max(h));
        part.frontier = part.frontier.min(end);
        part.floor = part.frontier;
        if part.anchor.is_some_and(|a| a.position >= end) {
            // This session started at the anchor, beyond the new frontier: what stands between would
            // never be delivered (S9). The next one starts at the frontier.
            part.anchor = None;
            part.delivery = Delivery::Wanted(now);
            self.sessions.insert(index as u32);
        }
        self.dirty(now, index, 0);
    }

    /// The session ended: connection lost, consumer gone, silence, a heartbeat ahead of what came,
    /// or it could not begin. A new one is wanted: at once after one that delivered, else after a
    /// growing waiting time.
    pub fn broken(&mut self, now: Time, partition: PartitionId, epoch: Epoch, session: Session) {
        let now = self.tick(now);
        if let Some(index) = self.current(partition, epoch, session) {
            self.end_session(now, index);
        }
    }

    pub(super) fn end_session(&mut self, now: Time, index: usize) {
        let seed = self.config.seed;
        let backoff = self.config.session_backoff;
        let part = &mut self.partitions[index];
        if part.phase != Phase::Open {
            part.delivery = Delivery::Idle;
            return part.gate();
        }
        let wait = match part.barren {
            0 => crate::Span::ZERO,
            n => backoff.after(n, seed, index as u64),
        };
        part.barren = part.barren.saturating_add(1);
        part.delivery = Delivery::Wanted(now + wait);
        part.gate();
        if wait == crate::Span::ZERO {
            self.sessions.insert(index as u32);
        } else {
            mark!(SessionWaits);
            self.look_at(now + wait, WakeReason::Session);
        }
    }

    /// Nothing below `position` is still to come in this session: trailing holes are passed.
    pub fn advance(
        &mut self,
        now: Time,
        partition: PartitionId,
        epoch: Epoch,
        session: Session,
        position: Position,
    ) {
        let now = self.tick(now);
        let Some(index) = self.current(partition, epoch, session) else {
            return;
        };
        if self.partitions[index].delivery != Delivery::Live {
            return;
        }
        // What stands right below is the last message, or behind it.
        self.passed_last(now, index, Position(position.0.saturating_sub(1)));
        let part = &mut self.partitions[index];
        if position <= part.floor {
            return;
        }
        mark!(HolesPassed);
        part.floor = position;
        if part.window.len == 0 {
            part.frontier = position;
            self.dirty(now, index, 0);
        }
    }

    /// Starts delivery of a partition: carry it out, and report with `session` or `broken`. It
    /// starts *at* the last received message, which must be found there again (overlap by one):
    /// starting one after it would skip in silence what a rewritten log holds (S9).
    #[inline]
    pub fn poll_session(&mut self, now: Time) -> Option<Start> {
        let now = self.tick(now);
        if self.sessions.is_empty() {
            return None;
        }
        self.next_session(now)
    }

    fn next_session(&mut self, now: Time) -> Option<Start> {
        while let Some(partition) = self.sessions.pop() {
            let part = &mut self.partitions[partition as usize];
            let Delivery::Wanted(at) = part.delivery else {
                continue;
            };
            if at > now {
                self.look_at(at, WakeReason::Session);
                continue;
            }
            part.session = Session(part.session.0 + 1);
            part.delivery = Delivery::Starting;
            self.credit.moved = true;
            part.next_delivery = 1;
            part.totals = Totals::default();
            let mut expect: Option<Anchor> = part.last.or(part.anchor).filter(|_| !part.blind);
            if mutants::is(16) {
                expect = None;
            }
            let at = match (expect, part.last) {
                (Some(anchor), _) => anchor.position,
                (None, Some(last)) if !part.blind => last.position.next(),
                (None, _) => part.frontier,
            };
            return Some(Start {
                partition: PartitionId(partition),
                epoch: part.epoch,
                session: part.session,
                at,
                expect,
            });
        }
        None
    }

    /// The partition, if this is its epoch and its session.
    fn current(&self, partition: PartitionId, epoch: Epoch, session: Session) -> Option<usize> {
        let index = partition.0 as usize;
        let part = self.partitions.get(index)?;
        let delivers = matches!(part.delivery, Delivery::Starting | Delivery::Live);
        (part.phase == Phase::Open
            && part.epoch == epoch
            && (part.session == session || mutants::is(65))
            && delivers)
            .then_some(index)
    }

    /// The log was rewritten: what is known of positions from `from` on is void. A new epoch begins
    /// there; what was queued comes again, what runs keeps its key busy and changes nothing else.
    pub(super) fn rewind(&mut self, now: Time, index: usize, from: Position) {
        mark!(Rewound);
        self.notice(index, NoticeKind::LogRewritten, from);
        // What is unfinished below the rewritten part is still in the log, and must come again.
        let from = from.min(self.partitions[index].frontier);
        self.clear_partition(index);
        self.keep_parked_only(index, Some(from));
        self.forget_suspects(index, Some(from));
        let part = &mut self.partitions[index];
        part.epoch = Epoch(part.epoch.0 + u64::from(!mutants::is(55)));
        part.write = 0;
        part.frontier = from;
        part.floor = from;
        part.last = None;
        // Another rewrite may come before anything new has.
        part.anchor = part.anchor.filter(|a| a.position < from);
        part.unproven = None;
        part.blind = false;
        part.doubt = Doubt::No;
        part.barren = 0;
        part.session = Session(0);
        part.delivery = Delivery::Wanted(now);
        part.gate();
        self.sessions.insert(index as u32);
        self.dirty(now, index, 0);
        if self.wants_mark(index) {
            self.commits.insert(index as u32);
        }
    }
}
