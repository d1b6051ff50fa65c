//! The loop of a subscription's thread.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use procession_core::{Epoch, Span, Time};
use procession_runtime::mailbox::Mailbox;
use procession_runtime::port::{
    BreakReason, FeedCommand, FeedEvent, FeedSpec, PortError, PortErrorKind,
};
use procession_runtime::{BootClock, Clock as _};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::commits::{self, Commits};
use super::dead_letters::DeadLetters;
use super::lookup::{Answer, Lookups, Question, Standing};
use super::partition::{Partition, Phase, id};
use super::reading::{BATCH, Turn};
use super::rebalance::HandOver;
use crate::context::Context;
use crate::errors;
use crate::ffi;
use crate::ffi::queue::Batch;
use crate::options::KafkaOptions;
use crate::sink::Known;
use crate::thread::Bell;

/// The member is polled at least this often, whatever happens (L4).
const POLL_EVERY: Duration = Duration::from_millis(20);
/// Waiting time before a question without an answer is asked again.
pub(super) const ASK_AGAIN: Duration = Duration::from_millis(300);
/// How often an absent broker is asked whether it is there.
const PRESENCE_EVERY: Duration = Duration::from_millis(300);
/// Events of one poll of a client: a flood of errors must not keep the loop.
const POLLS_MAX: usize = 64;

/// Everything that the thread of a subscription has.
pub(super) struct Engine {
    pub(super) topic: String,
    pub(super) c_topic: CString,
    pub(super) partitions_of_topic: u32,
    pub(super) hand_over: Span,
    commands: Arc<Mailbox<FeedCommand>>,
    command_batch: Vec<FeedCommand>,
    events: Arc<Mailbox<FeedEvent>>,
    pub(super) out: Vec<FeedEvent>,
    pub(super) bell: Arc<Bell>,
    waker: Waker,
    pub(super) member: Arc<BaseConsumer<Context>>,
    pub(super) fetcher: Arc<BaseConsumer<Context>>,
    pub(super) lookups: Lookups,
    pub(super) commits: Commits,
    pub(super) dead_letters: DeadLetters,
    /// What the group gave us.
    pub(super) owned: BTreeMap<i32, Partition>,
    /// What is about to be given up.
    pub(super) handing: Option<HandOver>,
    /// The latest epoch of each partition: they grow within the process.
    pub(super) epochs: BTreeMap<i32, Epoch>,
    /// Counts openings, questions and commits.
    pub(super) ticket: u64,
    pub(super) batch: Batch,
    connected: bool,
    presence_at: Instant,
    presence_asked: bool,
    /// How long the group may hear nothing of us before it gives our partitions away.
    session: Span,
    /// The boot clock at the last turn of the loop, and when the core was last told that we are there.
    turned: Time,
    extended: Time,
    failed: bool,
}

impl Engine {
    /// Makes the clients. Nothing is read before [`run`](Self::run).
    pub(super) fn new(
        spec: FeedSpec,
        options: &KafkaOptions,
        partitions: u32,
        known: Known,
        commands: Arc<Mailbox<FeedCommand>>,
        events: Arc<Mailbox<FeedEvent>>,
        bell: Arc<Bell>,
    ) -> Result<Self, PortError> {
        let topic = spec.topic.to_string();
        let member = client(&options.member(&spec.group), &bell)?;
        let fetcher = client(&options.fetcher(&spec.group, partitions), &bell)?;
        member
            .subscribe(&[&topic])
            .map_err(|error| errors::port_error(&format!("subscribing to `{topic}`"), &error))?;
        let lookups = Lookups::start(
            Arc::clone(&member),
            &topic,
            partitions,
            spec.start,
            options.mock,
            Arc::clone(&bell),
        )?;
        let commits = Commits::new(Arc::clone(&member), &topic, &bell)?;
        let dead_letters = DeadLetters::new(
            options.client(),
            options.partitioner,
            known,
            Arc::clone(&events),
        );
        let now = Instant::now();
        Ok(Self {
            c_topic: ffi::queue::c_string(&topic),
            topic,
            partitions_of_topic: partitions,
            hand_over: options.hand_over.into(),
            commands,
            command_batch: Vec::new(),
            events,
            out: Vec::new(),
            waker: Waker::from(Arc::clone(&bell)),
            bell,
            member,
            fetcher,
            lookups,
            commits,
            dead_letters,
            owned: BTreeMap::new(),
            handing: None,
            epochs: BTreeMap::new(),
            ticket: 0,
            batch: Batch::with_capacity(BATCH),
            connected: true,
            presence_at: now,
            presence_asked: false,
            session: options.session_timeout.into(),
            turned: BootClock.now(),
            extended: Time::ZERO,
            failed: false,
        })
    }

    pub(super) fn run(mut self) {
        self.bell.adopt();
        loop {
            let now = Instant::now();
            if !self.hear_commands() {
                break;
            }
            self.keep_lease();
            self.poll_clients(now);
            self.hear_answers(now);
            self.turn_commits(now);
            self.step_hand_over(now);
            self.begin_sessions(now);
            let more = self.read(now);
            self.flush();
            if self.failed {
                break;
            }
            if !more {
                std::thread::park_timeout(POLL_EVERY);
            }
        }
        self.flush();
        self.end();
    }

    /// Kafka has no lease that an owner could see; the session is one. While this loop turns, the client
    /// beats its heart, and the core is told that the partitions are ours for another while. A process
    /// that was paused for longer than that starts nothing when it wakes (S5), and what it owned is
    /// looked up again: the group may have given it away.
    fn keep_lease(&mut self) {
        let now = BootClock.now();
        let paused = self.session <= now.since(self.turned);
        self.turned = now;
        if paused {
            tracing::warn!(
                topic = self.topic,
                "this process stood still for longer than its session"
            );
            let open = self
                .owned
                .iter()
                .filter(|(_, partition)| partition.is_open());
            let open: Vec<i32> = open.map(|(number, _)| *number).collect();
            for number in open {
                self.reopen(number);
            }
            return;
        }
        if now.since(self.extended) < self.session.div(5) {
            return;
        }
        self.extended = now;
        let until = self.until();
        for (number, partition) in self.owned.iter().filter(|(_, p)| p.is_open()) {
            self.out.push(FeedEvent::Extended {
                partition: id(*number),
                epoch: partition.epoch,
                until,
            });
        }
    }

    /// Until when the core may take it that the partitions are ours, a tenth before the session ends.
    fn until(&self) -> Time {
        self.turned + self.session.div(10).saturating_mul(9)
    }

    /// Returns false when it is to end.
    fn hear_commands(&mut self) -> bool {
        let mut cx = std::task::Context::from_waker(&self.waker);
        let mut batch = std::mem::take(&mut self.command_batch);
        let heard = self.commands.poll_drain(&mut cx, &mut batch);
        let gone = heard == Poll::Ready(()) && batch.is_empty();
        let mut go_on = !gone;
        for command in batch.drain(..) {
            go_on &= self.command(command);
        }
        self.command_batch = batch;
        go_on
    }

    fn command(&mut self, command: FeedCommand) -> bool {
        match command {
            FeedCommand::Start(start) => {
                let number = number(start.partition);
                let open = self
                    .owned
                    .get(&number)
                    .is_some_and(|p| p.is_open() && p.epoch <= start.epoch);
                if !open {
                    self.out.push(FeedEvent::Broken {
                        partition: start.partition,
                        epoch: start.epoch,
                        session: start.session,
                        why: BreakReason::NotStarted,
                    });
                    return true;
                }
                self.stop_reading(number);
                if let Some(partition) = self.owned.get_mut(&number) {
                    partition.want(start);
                }
            }
            FeedCommand::Grant {
                partition,
                session,
                messages,
                bytes,
            } => {
                if let Some(partition) = self.owned.get_mut(&number(partition)) {
                    partition.grant(session, messages, bytes);
                }
            }
            // What was not granted is not read; there is nothing to pause.
            FeedCommand::Pause(_) | FeedCommand::Resume(_) => {}
            FeedCommand::Commit(write) => {
                let number = number(write.partition);
                match self.owned.get_mut(&number) {
                    Some(partition) if partition.is_open() && partition.epoch <= write.epoch => {
                        partition.epoch = write.epoch;
                        let incarnation = partition.incarnation;
                        self.commits.add(write, incarnation);
                    }
                    // Kafka does not fence commits by ownership, so this is the fence (S3, S5).
                    _ => self.out.push(FeedEvent::Committed {
                        partition: write.partition,
                        epoch: write.epoch,
                        write: write.write,
                        result: procession_core::CommitResult::Lost,
                    }),
                }
            }
            FeedCommand::Release { partition, epoch } => self.release(number(partition), epoch),
            FeedCommand::Bury { token, message } => {
                self.dead_letters.bury(token, message);
            }
            FeedCommand::Close => return false,
        }
        true
    }

    /// Lets the clients call back, and hears what they noted.
    fn poll_clients(&mut self, now: Instant) {
        for client in [&self.member, &self.fetcher] {
            for _ in 0..POLLS_MAX {
                match client.poll(Duration::ZERO) {
                    // The member reads nothing: what came before it was paused is dropped here, and
                    // fetched by the other client.
                    Some(Ok(_)) => {}
                    Some(Err(error)) => {
                        tracing::debug!(%error, "the Kafka client reports an error")
                    }
                    None => break,
                }
            }
        }
        let fetcher = self.fetcher.context().take();
        let member = self.member.context().take();
        for rebalance in member.rebalances {
            self.rebalance(now, rebalance);
        }
        if self.connected && (member.all_down || fetcher.all_down) {
            self.disconnected(now);
        }
        for (code, reason) in member.errors.into_iter().chain(fetcher.errors) {
            self.client_error(code, &reason);
        }
        if let Some((code, reason)) = self.member.client().fatal_error() {
            self.fail(
                errors::kind(code),
                &format!("the member of the group failed: {reason}"),
            );
        }
    }

    /// Errors that no waiting mends end the subscription; all others the client works on by itself.
    fn client_error(&mut self, code: RDKafkaErrorCode, reason: &str) {
        use RDKafkaErrorCode as E;
        match code {
            E::GroupAuthorizationFailed
            | E::TopicAuthorizationFailed
            | E::ClusterAuthorizationFailed
            | E::SaslAuthenticationFailed
            | E::InconsistentGroupProtocol
            | E::InvalidSessionTimeout
            | E::UnsupportedAssignor
            | E::GroupMaxSizeReached => self.fail(errors::kind(code), reason),
            _ => {}
        }
    }

    pub(super) fn fail(&mut self, kind: PortErrorKind, reason: &str) {
        if self.failed {
            return;
        }
        self.failed = true;
        let message = format!(
            "the subscription to `{}` cannot go on: {reason}",
            self.topic
        );
        self.out
            .push(FeedEvent::Failed(PortError::new(kind, message)));
    }

    /// No broker is there. Sessions end: when it is back, the log is compared before it is trusted.
    fn disconnected(&mut self, now: Instant) {
        self.connected = false;
        self.presence_at = now;
        self.presence_asked = false;
        self.out.push(FeedEvent::Disconnected);
        let reading: Vec<i32> = self.owned.keys().copied().collect();
        for number in reading {
            self.break_session(number, BreakReason::Disconnected);
        }
    }

    fn hear_answers(&mut self, now: Instant) {
        while let Some(answer) = self.lookups.answer() {
            match answer {
                Answer::Standing { ticket, result } => self.stand(now, ticket, result),
                Answer::Extent {
                    partition,
                    session,
                    result,
                } => {
                    let Some(reading) = self
                        .reading(partition)
                        .filter(|r| r.start.session == session)
                    else {
                        continue;
                    };
                    let mut out = Vec::new();
                    let turn = match result {
                        Ok(extent) => reading.measured(&extent, &mut out),
                        Err(error) => {
                            tracing::warn!(%error, "the log cannot be compared");
                            Some(Turn::Broken(BreakReason::NotStarted))
                        }
                    };
                    self.out.append(&mut out);
                    self.take_turn(now, partition, turn);
                }
                Answer::Presence(there) => {
                    self.presence_asked = false;
                    self.presence_at = now + PRESENCE_EVERY;
                    if there && !self.connected {
                        self.connected = true;
                        self.out.push(FeedEvent::Connected);
                    }
                }
            }
        }
        if !self.connected && !self.presence_asked && self.presence_at <= now {
            self.presence_asked = true;
            self.lookups.ask(Question::Presence);
        }
        self.ask_again(now);
    }

    /// Asks where the partitions stand that still wait to be opened.
    pub(super) fn look_up(&mut self, partitions: Vec<i32>) {
        if partitions.is_empty() {
            return;
        }
        self.ticket += 1;
        for number in &partitions {
            if let Some(partition) = self.owned.get_mut(number) {
                partition.phase = Phase::Looking { again: None };
                partition.ticket = self.ticket;
            }
        }
        self.lookups.ask(Question::Standing {
            ticket: self.ticket,
            partitions,
        });
    }

    fn ask_again(&mut self, now: Instant) {
        let due = self.owned.iter().filter(|(_, partition)| {
            matches!(partition.phase, Phase::Looking { again: Some(at) } if at <= now)
        });
        let due: Vec<i32> = due.map(|(number, _)| *number).collect();
        self.look_up(due);
    }

    /// Where partitions stand is known: the core gets them.
    fn stand(&mut self, now: Instant, ticket: u64, result: Result<Vec<Standing>, PortError>) {
        let all = match result {
            Ok(all) => all,
            Err(error) => {
                tracing::warn!(%error, "where partitions stand cannot be found out; trying again");
                for partition in self.owned.values_mut().filter(|p| p.ticket == ticket) {
                    if let Phase::Looking { again } = &mut partition.phase {
                        *again = Some(now + ASK_AGAIN);
                    }
                }
                return;
            }
        };
        let generation = ffi::group::generation(&self.member);
        let until = self.until();
        for standing in all {
            let number = standing.partition;
            let Some(partition) = self.owned.get_mut(&number) else {
                continue;
            };
            if partition.ticket != ticket || !matches!(partition.phase, Phase::Looking { .. }) {
                continue;
            }
            // The generation grows over all members, the record over all commits, and what was known
            // here over the life of this feed: the epoch is newer than each.
            let known = self.epochs.get(&number).copied().unwrap_or_default();
            let epoch = generation
                .max(standing.recorded_epoch.0 + 1)
                .max(known.0 + 1);
            let epoch = Epoch(epoch);
            self.epochs.insert(number, epoch);
            partition.phase = Phase::Open;
            partition.epoch = epoch;
            partition.opened = epoch;
            partition.incarnation = standing.resume.incarnation;
            self.out.push(FeedEvent::Assigned {
                partition: id(number),
                epoch,
                resume: standing.resume,
                until: Some(until),
            });
        }
    }

    fn turn_commits(&mut self, now: Instant) {
        let standing = self.commits.poll(now, &mut self.out);
        if let commits::Standing::Expelled { before } = standing {
            self.expelled(before);
        }
        self.ticket += 1;
        self.commits.send(now, self.ticket, &mut self.out);
    }

    /// A list of partitions of the topic.
    pub(super) fn list(&self, partitions: &[i32], offset: Offset) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            let mut element = list.add_partition(&self.topic, *partition);
            // It fails for offsets that are negative, and none is.
            let _ = element.set_offset(offset);
        }
        list
    }

    fn flush(&mut self) {
        for event in self.out.drain(..) {
            // Bounded by credit and by commands. After the end there is nobody to read.
            let _ = self.events.push(event);
        }
    }
}

fn client(
    config: &ClientConfig,
    bell: &Arc<Bell>,
) -> Result<Arc<BaseConsumer<Context>>, PortError> {
    let mut client: BaseConsumer<Context> = config
        .create_with_context(Context::default())
        .map_err(|error| errors::port_error("making a Kafka client", &error))?;
    let bell = Arc::clone(bell);
    client.set_nonempty_callback(move || bell.ring());
    Ok(Arc::new(client))
}

/// The number of a partition as Kafka has it.
fn number(partition: procession_core::PartitionId) -> i32 {
    i32::try_from(partition.0).unwrap_or(i32::MAX)
}
