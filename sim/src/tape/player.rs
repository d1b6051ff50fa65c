//! Plays steps to cores again.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use procession_core::{
    Config, ConfigError, Consumer, Incarnation, Mask, Outcome, Position, Resume, SnapshotError,
    Span, Time, Token,
};

use procession_tape::{Answer, Answers, Call, Poll, Settled};

use super::{Event, Step, Tape};

/// Cores that are told what a tape says.
pub struct Player {
    config: Config,
    cores: Vec<Option<Consumer<u32>>>,
    /// Tokens by their bits: only what a core gave out can be given back.
    tokens: Vec<BTreeMap<u64, Token>>,
    answers: Answers,
    map: Vec<u8>,
}

/// What came of one step.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Played {
    /// The digest of all answers up to here.
    pub digest: u32,
    /// What happened, for timelines.
    pub events: Vec<Event>,
    /// The answers in words, if they were asked for.
    pub story: String,
    /// An invariant of the core that does not hold any more.
    pub broken: Option<&'static str>,
}

/// Members of one file.
pub(crate) const MEMBERS_MAX: u32 = 64;

impl Player {
    /// Cores of this configuration; none has started yet.
    ///
    /// # Errors
    /// The first field of the configuration that is out of range.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self {
            config: config.clone(),
            cores: (0..MEMBERS_MAX).map(|_| None).collect(),
            tokens: vec![BTreeMap::new(); MEMBERS_MAX as usize],
            answers: Answers::default(),
            map: vec![0; config.map_bytes as usize],
        })
    }

    /// One step. With `aloud`, answers are put into words.
    pub fn step(&mut self, step: &Step, aloud: bool) -> Played {
        let mut played = Played::default();
        let m = step.member as usize % self.cores.len();
        let now = Time::from_nanos(step.at);
        if let Call::Restore(bytes) = &step.call {
            match restored(&self.config, bytes) {
                Ok(core) => {
                    self.tokens[m] = core.outstanding().map(|t| (t.to_bits(), t)).collect();
                    self.cores[m] = Some(core);
                    self.take(&(), &mut played, aloud, |_| None);
                }
                // No core answers like this: the difference is told.
                Err(error) => {
                    self.answers.take(&[u64::MAX]);
                    played.story = format!("{error}\n");
                }
            }
            played.digest = self.answers.short();
            return played;
        }
        if matches!(step.call, Call::Start) {
            self.cores[m] = Consumer::new(&self.config).ok();
            self.tokens[m].clear();
            self.take(&(), &mut played, aloud, |_| None);
            played.digest = self.answers.short();
            return played;
        }
        // The core is taken out, so that it and the rest of this can be borrowed beside each other.
        let Some(mut core) = self.cores[m].take() else {
            played.digest = self.answers.short();
            return played;
        };
        if let Call::Polls(polls) = &step.call {
            for &poll in polls {
                self.poll(&mut core, m, now, poll, &mut played, aloud);
            }
        } else {
            self.tell(&mut core, m, now, step, &mut played, aloud);
        }
        played.broken = core.check_invariants().err();
        played.digest = self.answers.short();
        self.cores[m] = Some(core);
        played
    }

    /// Lets every core go on from a snapshot of itself, under a mask if there is one.
    ///
    /// # Errors
    /// A snapshot was not restored.
    pub fn again(&mut self, mask: Option<&Mask<'_>>) -> Result<(), SnapshotError> {
        for core in self.cores.iter_mut().flatten() {
            let mut bytes = Vec::new();
            core.snapshot(mask, |m, out| out.extend(m.to_le_bytes()), &mut bytes);
            *core = restored(&self.config, &bytes)?;
        }
        Ok(())
    }

    fn tell(
        &mut self,
        core: &mut Consumer<u32>,
        m: usize,
        now: Time,
        step: &Step,
        played: &mut Played,
        aloud: bool,
    ) {
        match &step.call {
            Call::Start | Call::Restore(_) | Call::Polls(_) => return,
            Call::Open(open) => {
                let resume = Resume {
                    frontier: open.frontier.map(Position),
                    anchor: open.anchor(),
                    map: &open.map,
                    recorded: open.recorded.map(Incarnation),
                    incarnation: open.incarnation,
                    log_start: open.log_start,
                    log_end: open.log_end,
                };
                let until = open.until.map(Time::from_nanos);
                core.open(now, open.partition, open.epoch, &resume, until);
            }
            Call::Extend(p, e, until) => core.extend(now, *p, *e, Time::from_nanos(*until)),
            Call::Session(p, e, s, found) => core.session(now, *p, *e, *s, *found),
            Call::Broken(p, e, s) => core.broken(now, *p, *e, *s),
            Call::Advance(p, e, s, position) => core.advance(now, *p, *e, *s, *position),
            Call::Revoke(p, e, by) => core.revoke(now, *p, *e, Time::from_nanos(*by)),
            Call::Lose(p, e) => core.lose(now, *p, *e),
            Call::CommitResult(p, e, write, result) => {
                core.commit_result(now, *p, *e, *write, *result);
            }
            Call::Import(elapsed, bytes) => {
                let restored = core.import_identities(now, Span::from_nanos(*elapsed), bytes);
                return self.take(&restored, played, aloud, |_| None);
            }
            Call::Release(key) => {
                let known = core.release(now, *key);
                return self.take(&known, played, aloud, |_| None);
            }
            Call::SetParked(key, mode) => {
                let known = core.set_parked(now, *key, *mode);
                return self.take(&known, played, aloud, |_| None);
            }
            Call::Reset(p, to) => {
                let stopped = core.reset(now, *p, *to);
                return self.take(&stopped, played, aloud, |_| None);
            }
            Call::PassGap(p, key) => {
                let stopped = core.pass_gap(now, *p, *key);
                return self.take(&stopped, played, aloud, |_| None);
            }
            Call::SetLimits(limits) => core.set_limits(now, limits),
            Call::SetWeight(p, weight) => {
                let weighed = core.set_weight(now, *p, *weight).is_ok();
                return self.take(&weighed, played, aloud, |_| None);
            }
            Call::Drain(by) => core.drain(now, Time::from_nanos(*by)),
            Call::Timeout => core.handle_timeout(now),
            Call::Offer(arrival) => {
                let admit = core.offer(now, (**arrival).clone()).map_err(|r| r.why);
                let arrival = arrival.clone();
                self.take(&admit, played, aloud, |_| {
                    Some(Event::Offered { arrival, admit })
                });
                return;
            }
            Call::Settle(token, settled, message) => {
                let outcome = match settled {
                    Settled::Done => Outcome::Done,
                    Settled::Handled => Outcome::Handled(*message),
                    Settled::Retry => Outcome::Retry(*message),
                    Settled::Reject => Outcome::Reject(*message),
                    Settled::Cancelled => Outcome::Cancelled(*message),
                };
                let known = self.tokens[m].get(token).copied();
                let taken = known.is_some_and(|t| core.settle(now, t, outcome).is_ok());
                let (token, settled) = (*token, *settled);
                self.take(&taken, played, aloud, |_| {
                    Some(Event::Settled {
                        token,
                        settled,
                        taken,
                    })
                });
                return;
            }
            Call::Follow(token) => {
                let known = self.tokens[m].get(token).copied();
                let dispatch = known.and_then(|t| core.poll_follow(now, t));
                if let Some(dispatch) = &dispatch {
                    self.tokens[m].insert(dispatch.token.to_bits(), dispatch.token);
                }
                return self.take(&dispatch, played, aloud, |d| d.clone().map(Event::Started));
            }
            Call::DeadLetterResult(token, receipt) => {
                if let Some(&token) = self.tokens[m].get(token) {
                    core.dead_letter_result(now, token, *receipt);
                }
            }
        }
        self.take(&(), played, aloud, |_| None);
    }

    fn poll(
        &mut self,
        core: &mut Consumer<u32>,
        m: usize,
        now: Time,
        poll: Poll,
        played: &mut Played,
        aloud: bool,
    ) {
        match poll {
            Poll::Cancel => {
                let token = core.poll_cancel();
                self.take(&token, played, aloud, |t| {
                    t.map(|t| Event::Cancel(t.to_bits()))
                });
            }
            Poll::Abandon => {
                let token = core.poll_abandon();
                self.take(&token, played, aloud, |_| None);
            }
            Poll::Session => {
                let start = core.poll_session(now);
                self.take(&start, played, aloud, |s| s.map(Event::Session));
            }
            Poll::Dispatch => {
                let dispatch = core.poll_dispatch(now);
                if let Some(dispatch) = &dispatch {
                    self.tokens[m].insert(dispatch.token.to_bits(), dispatch.token);
                }
                self.take(&dispatch, played, aloud, |d| d.clone().map(Event::Started));
            }
            Poll::Letter => {
                let letter = core.poll_dead_letter();
                let mut words = Vec::new();
                letter.words(&mut words);
                if let Some(letter) = letter {
                    self.tokens[m].insert(letter.token.to_bits(), letter.token);
                    if aloud {
                        let _ = writeln!(played.story, "{letter:?}");
                    }
                    played.events.push(Event::Letter {
                        partition: letter.partition,
                        position: letter.position,
                        why: letter.why,
                    });
                }
                self.answers.take(&words);
            }
            Poll::Copy => {
                let copied = core.poll_duplicate(now);
                self.take(&copied, played, aloud, |c| {
                    c.as_ref().map(|c| Event::Copied(c.partition, c.position))
                });
            }
            Poll::Passed => {
                let passed = core.poll_passed(now);
                self.take(&passed, played, aloud, |p| {
                    p.as_ref().map(|p| Event::Passed(p.partition, p.position))
                });
            }
            Poll::Commit => {
                let mut map = std::mem::take(&mut self.map);
                let commit = core.poll_commit(now, &mut map);
                let with_map = commit.map(|c| (c, &map[..c.map_len]));
                self.take(&with_map, played, aloud, |c| {
                    c.map(|(commit, _)| Event::Commit(commit))
                });
                self.map = map;
            }
            Poll::Notice => {
                let notice = core.poll_notice();
                self.take(&notice, played, aloud, |n| n.map(Event::Notice));
            }
            Poll::Release => {
                let release = core.poll_release();
                self.take(&release, played, aloud, |r| r.map(Event::Release));
            }
            Poll::Flow => {
                let flow = core.poll_flow();
                self.take(&flow, played, aloud, |f| f.map(Event::Flow));
            }
            Poll::Grant => {
                let grant = core.poll_grant();
                self.take(&grant, played, aloud, |_| None);
            }
            Poll::Drained => {
                let drained = core.poll_drained();
                self.take(&drained, played, aloud, |d| d.map(Event::Drained));
                if drained.is_some() {
                    self.tokens[m].clear();
                }
            }
            Poll::Gap => {
                let gap = core.poll_gap(now);
                self.take(&gap, played, aloud, |_| None);
            }
            Poll::Timeout => {
                let wake = core.poll_timeout();
                self.take(&wake, played, aloud, |_| None);
            }
        }
    }

    fn take<A: Answer + std::fmt::Debug>(
        &mut self,
        answer: &A,
        played: &mut Played,
        aloud: bool,
        event: impl FnOnce(&A) -> Option<Event>,
    ) {
        let mut words = Vec::new();
        answer.words(&mut words);
        if aloud && words != [0] && words != [1] {
            let _ = writeln!(played.story, "{answer:?}");
        }
        self.answers.take(&words);
        played.events.extend(event(answer));
    }
}

/// A core from a snapshot. Recorders keep no messages.
fn restored(config: &Config, bytes: &[u8]) -> Result<Consumer<u32>, SnapshotError> {
    Consumer::restore(config, bytes, |message| match message {
        [] => Some(0),
        bytes => bytes.try_into().ok().map(u32::from_le_bytes),
    })
}

impl Tape {
    /// The first step whose answers are not those that were recorded.
    ///
    /// # Errors
    /// The configuration cannot be one.
    pub fn diverges(&self, config: &Config) -> Result<Option<usize>, ConfigError> {
        let mut player = Player::new(config)?;
        let mut differs =
            |(step, &digest): (&Step, &u32)| player.step(step, false).digest != digest;
        Ok(self.steps.iter().zip(&self.digests).position(&mut differs))
    }
}
