//! Several members and a store that compares and sets, with lost, late and unknown answers, broken
//! connections, paused processes and a store that goes back. At any time at most one member believes
//! that it owns a partition (S1), nobody writes over another's record (S6), what a commit is told is
//! true (S3), and once faults stop one member owns everything (L4).

use procession_core::{
    ClaimConfig, ClaimRecord, ClaimState, ClaimWrite, Claims, CommitResult, Epoch, MemberId,
    PartitionId, Revision, Span, Time, WriteKind, WriteResult,
};

use super::dice::Dice;
use super::{Broken, Held, Told, hold, sound};

/// A record in the store.
#[derive(Clone, Copy, Debug, Default)]
struct Register {
    record: Option<ClaimRecord>,
    revision: u64,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Call {
    Read,
    Write(ClaimWrite),
}

/// A call on its way. A write can be carried out long after its caller gave up on it.
#[derive(Clone, Copy, Debug)]
struct Request {
    member: usize,
    partition: usize,
    call: Call,
    /// What the store did.
    found: Option<Register>,
    result: Option<WriteResult>,
    /// Nobody waits for an answer any more.
    is_forgotten: bool,
}

struct Member {
    claims: Claims,
    /// Its clock has an origin of its own.
    origin: u64,
    is_paused: bool,
    is_connected: bool,
    /// The commit that its consumer waits for, per partition, and the last number.
    waiting: Vec<Option<(Epoch, u64)>>,
    epochs: Vec<Option<Epoch>>,
    asked: Vec<bool>,
    number: u64,
}

struct World<'a> {
    dice: Dice,
    told: &'a mut Told,
    now: u64,
    lease: u64,
    members: Vec<Member>,
    store: Vec<Register>,
    older: Vec<Vec<Register>>,
    requests: Vec<Request>,
    /// (member, partition, epoch, commit) of every write that was carried out.
    carried_out: Vec<(usize, usize, Epoch, Option<u64>)>,
    /// After the store went back, two may believe to own until a lease has passed.
    doubtful_until: u64,
}

/// What can happen, as often as its weight says.
const WEIGHTS: [u64; 14] = [300, 250, 250, 60, 15, 30, 15, 30, 8, 1, 100, 10, 40, 6];

pub(super) fn run(mut dice: Dice, told: &mut Told) -> Held {
    let mut weights = dice.swarm(WEIGHTS);
    // What was paused or cut off comes back, where it can be; a store that goes back is rare.
    (weights[5], weights[7]) = (WEIGHTS[5], WEIGHTS[7]);
    if dice.below(4) > 0 {
        weights[13] = 0;
    }
    let kinds = dice.swarm([6, 2, 1]);
    let (count, partitions) = (dice.log(1, 4), dice.log(1, 3) as usize);
    let lease = dice.log(500, 20_000);
    let margin = lease / 10;
    let mut members = Vec::new();
    for index in 0..count {
        let config = ClaimConfig {
            member: MemberId(u128::from(index)),
            lease: Span::from_millis(lease),
            margin: Span::from_millis(margin),
            leave_within: Span::from_millis(lease * 2 / 5),
            seed: dice.below(u64::MAX),
        };
        let claims = Claims::new(&config, partitions as u32).map_err(|e| Broken {
            promise: "core",
            what: e.to_string(),
        })?;
        members.push(Member {
            claims,
            origin: 1_000_000 * (5 - index),
            is_paused: false,
            is_connected: true,
            waiting: vec![None; partitions],
            epochs: vec![None; partitions],
            asked: vec![false; partitions],
            number: 0,
        });
    }
    let steps = dice.log(40, 600);
    let mut world = World {
        dice,
        told,
        now: 0,
        lease,
        members,
        store: vec![Register::default(); partitions],
        older: Vec::new(),
        requests: Vec::new(),
        carried_out: Vec::new(),
        doubtful_until: 0,
    };
    for _ in 0..steps {
        let what = world.dice.pick(&weights);
        world.step(what, &kinds)?;
        world.told.steps += 1;
        world.check()?;
    }
    world.heal()
}

impl World<'_> {
    fn clock(&self, member: usize) -> Time {
        Time::from_nanos((self.now + self.members[member].origin) * 1_000_000)
    }

    fn step(&mut self, what: usize, kinds: &[u64; 3]) -> Held {
        let member = self.dice.below(self.members.len() as u64) as usize;
        let partition = self.dice.below(self.store.len() as u64) as usize;
        let all: Vec<usize> = (0..self.requests.len()).collect();
        match what {
            0 => self.turn(member)?,
            1 => {
                if let Some(index) = self.dice.among(&all) {
                    self.carry_out(index)?;
                }
            }
            2 => {
                let kind = self.dice.pick(kinds);
                if let Some(index) = self.dice.among(&all) {
                    self.answer(index, kind);
                }
            }
            3 => {
                let counts_up = self.dice.below(10) == 0;
                self.commit(member, partition, counts_up, false)?;
            }
            4 => self.members[member].is_paused = true,
            5 => self.members[member].is_paused = false,
            6 => self.lose(member),
            7 => self.restore(member),
            // The consumer gives partition 0 up by itself.
            8 => self.commit(member, 0, false, true)?,
            9 => {
                // Member 0 stays, so that there is somebody left.
                if member > 0 {
                    let now = self.clock(member);
                    let until = now + Span::from_millis(self.lease / 3);
                    self.members[member].claims.release_all(now, until);
                }
            }
            10 => self.now += self.dice.below(self.lease * 2 / 5),
            11 => self.now += self.lease * 4 / 5 + self.dice.below(self.lease),
            12 => {
                let millis = self.dice.below(self.lease / 3);
                self.all_works(millis)?;
            }
            _ => self.roll_back(),
        }
        Ok(())
    }

    /// A turn of a member's adapter.
    fn turn(&mut self, member: usize) -> Held {
        if self.members[member].is_paused {
            return Ok(());
        }
        let now = self.clock(member);
        self.members[member].claims.handle_timeout(now);
        self.hear(member)?;
        while let Some(PartitionId(partition)) = self.members[member].claims.poll_read(now) {
            self.send(member, partition as usize, Call::Read)?;
        }
        while let Some((partition, write)) = self.members[member].claims.poll_write(now) {
            self.send(member, partition.0 as usize, Call::Write(write))?;
        }
        Ok(())
    }

    fn send(&mut self, member: usize, partition: usize, call: Call) -> Held {
        let connected = self.members[member].is_connected;
        hold("S6", connected, || "a call without a connection".into())?;
        let open = |r: &Request| (r.member, r.partition) == (member, partition) && !r.is_forgotten;
        hold("S6", !self.requests.iter().any(open), || {
            format!("m{member} has two calls of {partition} on their way")
        })?;
        self.requests.push(Request {
            member,
            partition,
            call,
            found: None,
            result: None,
            is_forgotten: false,
        });
        Ok(())
    }

    /// What the consumer of a member hears, and does.
    fn hear(&mut self, member: usize) -> Held {
        let now = self.clock(member);
        let mut revoked = Vec::new();
        let this = &mut self.members[member];
        while let Some((partition, state)) = this.claims.poll_state() {
            let p = partition.0 as usize;
            match state {
                ClaimState::Owner { epoch, .. } | ClaimState::Leaving { epoch, .. } => {
                    let grows = this.epochs[p].is_none_or(|old| old <= epoch);
                    hold("S6", grows, || format!("m{member}: the epoch of {p} falls"))?;
                    self.told.outcomes += u64::from(this.epochs[p].is_none());
                    self.told.mark(member as u64, epoch.0 << 8 | p as u64);
                    this.epochs[p] = Some(epoch);
                    if matches!(state, ClaimState::Leaving { .. }) && !this.asked[p] {
                        this.asked[p] = true;
                        revoked.push(p);
                    }
                }
                ClaimState::Lapsed { epoch } => this.epochs[p] = Some(epoch),
                ClaimState::Standby { .. } => {
                    (this.epochs[p], this.asked[p]) = (None, false);
                }
                ClaimState::Released { .. } => {
                    (this.epochs[p], this.asked[p]) = (None, false);
                    this.claims.watch(now, partition);
                }
            }
        }
        while let Some((partition, epoch, number, result)) = this.claims.poll_commit_result() {
            let p = partition.0 as usize;
            let its = this.waiting[p].take() == Some((epoch, number));
            hold("S3", its, || {
                format!("m{member}: the result of no commit of {p}")
            })?;
            let wrote = self.carried_out.contains(&(member, p, epoch, Some(number)));
            let is_true = match result {
                CommitResult::Stored => wrote,
                CommitResult::Refused => !wrote,
                CommitResult::Lost
                | CommitResult::Unknown
                | CommitResult::Retry
                | CommitResult::Denied
                | CommitResult::TooLarge => true,
            };
            self.told.mark(number, result as u64);
            hold("S3", is_true, || {
                format!("m{member}: commit {number} of {p} is {result:?}, written: {wrote}")
            })?;
        }
        for partition in revoked {
            self.commit(member, partition, false, true)?;
        }
        Ok(())
    }

    fn commit(&mut self, member: usize, partition: usize, counts_up: bool, last: bool) -> Held {
        let now = self.clock(member);
        let this = &mut self.members[member];
        let Some(epoch) = this.epochs[partition] else {
            return Ok(());
        };
        if this.is_paused || this.waiting[partition].is_some() {
            return Ok(());
        }
        let epoch = Epoch(epoch.0 + u64::from(counts_up));
        this.number += 1;
        let (id, number) = (PartitionId(partition as u32), this.number);
        let taken = this.claims.commit(now, id, epoch, number, last).is_ok();
        hold("L2", taken, || {
            format!("m{member}: no commit of {partition} is taken")
        })?;
        this.waiting[partition] = Some((epoch, number));
        if counts_up {
            this.epochs[partition] = Some(epoch);
        }
        Ok(())
    }

    /// The store carries a call out, if it was not yet.
    fn carry_out(&mut self, index: usize) -> Held {
        let request = self.requests[index];
        let register = &mut self.store[request.partition];
        match request.call {
            Call::Read => self.requests[index].found = Some(*register),
            Call::Write(_) if request.result.is_some() => {}
            Call::Write(write) if Revision(register.revision) != write.expect => {
                self.requests[index].result = Some(WriteResult::Refused);
            }
            Call::Write(write) => {
                let before = register.record;
                let me = MemberId(request.member as u128);
                let epoch = before.map_or(Epoch(0), |record| record.epoch);
                if write.kind == WriteKind::Take {
                    let grows = write.record.epoch > epoch;
                    hold("S6", grows, || format!("a take-over in epoch {epoch:?}"))?;
                } else {
                    let owner = before.and_then(|record| record.owner);
                    hold("S6", owner == Some(me), || {
                        format!("{me:?} writes over the record of {owner:?}")
                    })?;
                    let stays = write.record.epoch >= epoch;
                    hold("S6", stays, || format!("the epoch falls below {epoch:?}"))?;
                }
                register.record = Some(write.record);
                register.revision += 1;
                let revision = Revision(register.revision);
                self.requests[index].result = Some(WriteResult::Stored(revision));
                let (member, partition) = (request.member, request.partition);
                self.carried_out
                    .push((member, partition, write.record.epoch, write.commit));
                self.older.push(self.store.clone());
                self.told.mark(revision.0, write.record.epoch.0);
            }
        }
        Ok(())
    }

    /// Kinds: the truth, no answer, a passing reason.
    fn answer(&mut self, index: usize, kind: usize) {
        let request = self.requests[index];
        if self.members[request.member].is_paused || request.is_forgotten {
            return;
        }
        let now = self.clock(request.member);
        let claims = &mut self.members[request.member].claims;
        let id = PartitionId(request.partition as u32);
        let mut stays = false;
        match (request.call, kind) {
            (Call::Read, 0) => match request.found {
                Some(found) => claims.observed(now, id, found.record, Revision(found.revision)),
                None => return,
            },
            (Call::Read, _) => claims.read_failed(now, id),
            (Call::Write(write), 0) => match request.result {
                Some(result) => claims.written(now, id, write.record.write, result),
                None => return,
            },
            (Call::Write(write), 1) => {
                stays = request.result.is_none();
                claims.written(now, id, write.record.write, WriteResult::Unknown);
            }
            (Call::Write(write), _) => {
                if request.result.is_some() {
                    return;
                }
                claims.written(now, id, write.record.write, WriteResult::Retry);
            }
        }
        if stays {
            self.requests[index].is_forgotten = true;
        } else {
            self.requests.swap_remove(index);
        }
    }

    fn lose(&mut self, member: usize) {
        let now = self.clock(member);
        self.members[member].is_connected = false;
        self.members[member].claims.connection_lost(now);
        for request in self.requests.iter_mut().filter(|r| r.member == member) {
            request.is_forgotten = true;
        }
    }

    fn restore(&mut self, member: usize) {
        let now = self.clock(member);
        self.members[member].is_connected = true;
        self.members[member].claims.connection_restored(now);
    }

    /// An older copy of the store comes back: revisions repeat, what was on its way is gone.
    fn roll_back(&mut self) {
        if self.older.is_empty() {
            return;
        }
        for member in 0..self.members.len() {
            self.lose(member);
        }
        self.requests.clear();
        let index = self.dice.below(self.older.len() as u64) as usize;
        self.store = self.older[index].clone();
        self.older.truncate(index + 1);
        self.doubtful_until = self.now + self.lease;
    }

    fn check(&self) -> Held {
        for member in &self.members {
            sound(|| member.claims.check_invariants())?;
        }
        for partition in 0..self.store.len() {
            let owners = self.owners(partition);
            let one = owners.len() <= 1 || self.now < self.doubtful_until;
            hold("S1", one, || {
                format!("{owners:?} believe to own {partition}")
            })?;
        }
        Ok(())
    }

    fn owners(&self, partition: usize) -> Vec<usize> {
        let id = PartitionId(partition as u32);
        (0..self.members.len())
            .filter(|&i| self.members[i].claims.owns(self.clock(i), id))
            .collect()
    }

    /// Everything that is on its way arrives, for a while.
    fn all_works(&mut self, millis: u64) -> Held {
        let end = self.now + millis;
        while self.now < end {
            for member in 0..self.members.len() {
                self.turn(member)?;
            }
            for index in (0..self.requests.len()).rev() {
                self.carry_out(index)?;
                if self.requests[index].is_forgotten {
                    self.requests.swap_remove(index);
                } else {
                    self.answer(index, 0);
                }
            }
            for member in 0..self.members.len() {
                if !self.members[member].is_paused {
                    self.hear(member)?;
                }
            }
            self.check()?;
            self.now += (self.lease / 100).max(1);
        }
        Ok(())
    }

    /// Faults stop: one member owns everything, and goes on doing so.
    fn heal(&mut self) -> Held {
        for member in 0..self.members.len() {
            self.members[member].is_paused = false;
            self.lose(member);
            self.restore(member);
        }
        self.all_works(4 * self.lease)?;
        let owners: Vec<_> = (0..self.store.len()).map(|p| self.owners(p)).collect();
        let one = owners[0].len() == 1 && owners.iter().all(|o| *o == owners[0]);
        hold("L4", one, || format!("owners are {owners:?}"))?;
        let epochs = self.epochs();
        for member in 0..self.members.len() {
            for partition in 0..self.store.len() {
                self.commit(member, partition, false, false)?;
            }
        }
        self.all_works(2 * self.lease)?;
        let kept = self.owners(0) == owners[0] && self.epochs() == epochs;
        hold("L4", kept, || "ownership is not kept".into())?;
        let waiting = self.members.iter().flat_map(|m| m.waiting.iter().flatten());
        let waiting = waiting.count();
        hold("L2", waiting == 0, || {
            format!("{waiting} commits have no result")
        })
    }

    fn epochs(&self) -> Vec<Option<Epoch>> {
        let records = self.store.iter().map(|r| r.record);
        records.map(|r| r.map(|r| r.epoch)).collect()
    }
}
