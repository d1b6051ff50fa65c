//! Serves one sink on its connection.

use core::task::{Context, Poll};
use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;

use procession_runtime::mailbox::Mailbox;
use procession_runtime::port::{
    Layout, Parcel, PortError, PortErrorKind, SinkCommand, SinkEvent, SinkReceipt, SinkTicket,
};
use tokio::time::Instant;

use super::expecting::Expecting;
use super::known::Known;
use super::outstanding::{Outstanding, Sent};
use super::together::{self, Load};
use super::topic::{TOPICS_MAX, Topic, shape};
use crate::names::{inbox, stream_of, unique};
use crate::publish::{self, ACK_WITHIN};
use crate::requests::Unanswered;
use crate::shape::append_key;
use crate::wire::{
    ConnectError, Handler, Message, Moment, Next, Outbox, ServerInfo, Turn, Violation, fields,
};

/// The subscription of the inbox.
const INBOX: u64 = 1;
/// After a connection with unanswered publishes is lost, the next one is reported only this much
/// later: what the server had received and not yet read of the old one has landed by then, so a
/// successor that is sent now cannot overtake it (S8).
const SETTLE: Duration = Duration::from_millis(100);

/// What the thread of a sink is told.
#[derive(Debug)]
pub(crate) enum Order {
    /// What the driver wants.
    Command(SinkCommand),
    /// Give the connection up and make a new one: what has no answer then surely cannot land (S8).
    Reconnect,
}

/// The handler of a sink's connection.
pub(super) struct Publisher {
    commands: Arc<Mailbox<Order>>,
    events: Arc<Mailbox<Vec<SinkEvent>>>,
    known: Known,
    topics: HashMap<Arc<str>, Topic>,
    outstanding: Outstanding,
    /// The inbox, with a dot at its end; new for each connection.
    prefix: String,
    /// The reply subject under construction.
    reply: String,
    max_payload: usize,
    /// Subjects that this user may not use, on this connection; an inbox stands for all of them.
    denied: Vec<Arc<str>>,
    /// Numbers the questions for topics.
    questions: u64,
    /// The connection before was lost with unanswered publishes.
    uncertain: bool,
    /// Connected, and not yet reported.
    report_at: Option<Instant>,
    batch: Vec<Order>,
    results: Vec<SinkEvent>,
    closing: bool,
}

impl Publisher {
    pub(super) fn new(
        commands: Arc<Mailbox<Order>>,
        events: Arc<Mailbox<Vec<SinkEvent>>>,
        known: Known,
    ) -> Self {
        Self {
            commands,
            events,
            known,
            topics: HashMap::new(),
            outstanding: Outstanding::default(),
            prefix: String::new(),
            reply: String::new(),
            max_payload: 1 << 20,
            denied: Vec::new(),
            questions: 0,
            uncertain: false,
            report_at: None,
            batch: Vec::new(),
            results: Vec::new(),
            closing: false,
        }
    }

    fn result(&mut self, ticket: SinkTicket, receipt: SinkReceipt) {
        self.results.push(SinkEvent::Result { ticket, receipt });
    }

    fn results(&mut self, tickets: &[SinkTicket], receipt: &SinkReceipt) {
        for (ticket, receipt) in together::same(tickets, receipt) {
            self.result(ticket, receipt);
        }
    }

    /// The same for all of a load.
    fn refuse(&mut self, load: &Load, receipt: &SinkReceipt) {
        for parcel in load.parcels() {
            self.result(parcel.ticket, receipt.clone());
        }
    }

    fn send(&mut self, now: Instant, load: Load, out: &mut Outbox) {
        let Some(Parcel { message, .. }) = load.parcels().first() else {
            return;
        };
        match self.topics.get_mut(&message.topic) {
            Some(Topic::Ready(..)) => self.publish(now, &load, out),
            Some(Topic::Asked { waiting, .. }) => waiting.push(load),
            None => {
                if TOPICS_MAX <= self.topics.len() {
                    self.topics
                        .retain(|_, topic| matches!(topic, Topic::Asked { .. }));
                }
                if let Some(shape) = self.known.get(&message.topic) {
                    self.topics.insert(
                        Arc::clone(&message.topic),
                        Topic::ready(&message.topic, shape),
                    );
                    self.publish(now, &load, out);
                } else {
                    let topic = Arc::clone(&message.topic);
                    self.ask(now, topic, load, out);
                }
            }
        }
    }

    fn publish(&mut self, now: Instant, load: &Load, out: &mut Outbox) {
        // All of a load have topic, key and partition of the first, and expect nothing if they are several.
        let Some(Parcel { ticket, message }) = load.parcels().first() else {
            return;
        };
        let Some(Topic::Ready(subjects, shape)) = self.topics.get(&message.topic) else {
            return;
        };
        let partitions = u32::try_from(subjects.len()).unwrap_or(u32::MAX);
        let partition = publish::partition(message, partitions);
        let Some(subject) = subjects.get(partition as usize) else {
            let error = PortError::new(
                PortErrorKind::Invalid,
                format!(
                    "partition {partition} of topic `{}`: it has {partitions}, counted from 0",
                    message.topic
                ),
            );
            self.refuse(load, &SinkReceipt::NotStored(error));
            return;
        };
        if message.expect.is_some() && shape.layout != Layout::Keyed {
            self.refuse(load, &cannot_compare(&message.topic));
            return;
        }
        let keyed;
        let subject = match shape.layout {
            Layout::Partitioned => subject,
            Layout::Keyed => {
                let mut subject = subject.clone();
                append_key(&mut subject, message.key.as_deref());
                keyed = subject;
                &keyed
            }
        };
        if let Some(subject) = self.denied_for(subject) {
            let receipt = publish::unanswered(Unanswered::Denied(subject));
            self.refuse(load, &receipt);
            return;
        }
        if let Load::Together(parcels) = load {
            if !shape.batches {
                self.refuse(load, &together::not_taken(&message.topic));
                return;
            }
            let subject = subject.clone();
            self.publish_together(now, parcels, (&subject, partition), out);
            return;
        }
        let mut block = out.take_block();
        let sendable = publish::header_block(message, &mut block).and_then(|()| {
            publish::check_size(block.len() + message.payload.len(), self.max_payload)
        });
        if let Err(error) = sendable {
            out.keep_block(block);
            self.result(*ticket, SinkReceipt::NotStored(error));
            return;
        }
        let sent = Sent {
            ticket: *ticket,
            partition,
            expecting: Expecting::new(message, subject),
            together: Vec::new(),
        };
        match self.outstanding.insert(now + ACK_WITHIN, sent) {
            Some(number) => {
                address(&mut self.reply, &self.prefix, number);
                out.publish_with(subject, &self.reply, &block, &message.payload);
            }
            None => self.result(*ticket, SinkReceipt::Retry(too_many())),
        }
        out.keep_block(block);
    }

    /// Several of one key as one batch. Only its end is answered.
    fn publish_together(
        &mut self,
        now: Instant,
        parcels: &[Parcel],
        (subject, partition): (&str, u32),
        out: &mut Outbox,
    ) {
        let tickets: Vec<SinkTicket> = parcels.iter().map(|parcel| parcel.ticket).collect();
        let Some(&ticket) = tickets.last() else {
            return;
        };
        let mut block = out.take_block();
        let ends = match together::blocks(parcels, &unique(), self.max_payload, &mut block) {
            Ok(ends) => ends,
            Err(error) => {
                out.keep_block(block);
                self.results(&tickets, &SinkReceipt::Apart(error));
                return;
            }
        };
        let sent = Sent {
            ticket,
            partition,
            expecting: None,
            together: tickets,
        };
        if let Some(number) = self.outstanding.insert(now + ACK_WITHIN, sent) {
            address(&mut self.reply, &self.prefix, number);
            let mut begin = 0;
            for (parcel, end) in parcels.iter().zip(ends) {
                let reply = if end == block.len() { &*self.reply } else { "" };
                out.publish_with(subject, reply, &block[begin..end], &parcel.message.payload);
                begin = end;
            }
        } else {
            let all = parcels.iter().map(|parcel| parcel.ticket);
            let tickets: Vec<SinkTicket> = all.collect();
            self.results(&tickets, &SinkReceipt::Retry(too_many()));
        }
        out.keep_block(block);
    }

    /// The answer to a publish, or to the question whether a conflict is one with itself.
    fn answered(&mut self, now: Instant, mut sent: Sent, message: &Message<'_>, out: &mut Outbox) {
        if fields::status(message.header).is_some() {
            let receipt = publish::unanswered(Unanswered::NobodyThere);
            self.results(sent.tickets(), &receipt);
            return;
        }
        if !sent.together.is_empty() {
            let all = together::receipts(message.payload, sent.partition, sent.tickets());
            for (ticket, receipt) in all {
                self.result(ticket, receipt);
            }
            return;
        }
        let (ticket, partition) = (sent.ticket, sent.partition);
        if let Some(asked) = sent.expecting.take_if(|asked| asked.conflict.is_some()) {
            self.result(ticket, asked.judge(message.payload, partition));
            return;
        }
        match (
            publish::receipt(message.payload, partition),
            &mut sent.expecting,
        ) {
            (SinkReceipt::Conflict(said), Some(asked)) => {
                asked.conflict = Some(said);
                let (subject, body) = asked.question();
                if let Some(subject) = self.denied_for(&subject) {
                    let error = crate::wire::denied("reading", "", &subject);
                    self.result(ticket, SinkReceipt::Unknown(error));
                } else if let Some(number) = self.outstanding.insert(now + ACK_WITHIN, sent) {
                    address(&mut self.reply, &self.prefix, number);
                    out.publish(&subject, &self.reply, &body);
                } else {
                    self.result(ticket, SinkReceipt::Unknown(too_many()));
                }
            }
            (receipt, _) => self.result(ticket, receipt),
        }
    }

    /// The subject that keeps a publish to `subject` from being sent, if there is one.
    fn denied_for(&self, subject: &str) -> Option<Arc<str>> {
        let keeps = |denied: &&Arc<str>| ***denied == *subject || denied.starts_with(&self.prefix);
        self.denied.iter().find(keeps).cloned()
    }

    /// Asks how many partitions a topic has; what is to be sent waits for the answer.
    fn ask(&mut self, now: Instant, name: Arc<str>, load: Load, out: &mut Outbox) {
        let subject = format!("$JS.API.STREAM.INFO.{}", stream_of(&name));
        if let Some(subject) = self.denied_for(&subject) {
            let receipt = publish::unanswered(Unanswered::Denied(subject));
            self.refuse(&load, &receipt);
            return;
        }
        let question = self.questions;
        self.questions += 1;
        out.publish(&subject, &format!("{}t{question}", self.prefix), b"");
        let topic = Topic::Asked {
            question,
            until: now + ACK_WITHIN,
            waiting: Vec::from([load]),
        };
        self.topics.insert(name, topic);
    }

    /// The answer to a question for a topic.
    fn topic(&mut self, now: Instant, question: u64, message: &Message<'_>, out: &mut Outbox) {
        let name = self.topics.iter().find_map(|(name, topic)| match topic {
            Topic::Asked { question: q, .. } => (*q == question).then(|| Arc::clone(name)),
            Topic::Ready(..) => None,
        });
        let Some(name) = name else {
            return;
        };
        let Some(Topic::Asked { waiting, .. }) = self.topics.remove(&name) else {
            return;
        };
        let looked = match fields::status(message.header) {
            Some(_) => Err(publish::unanswered(Unanswered::NobodyThere)),
            None => shape(&name, message.payload),
        };
        match looked {
            Ok(shape) => {
                self.known.insert(Arc::clone(&name), shape);
                let topic = Topic::ready(&name, shape);
                self.topics.insert(name, topic);
                for load in waiting {
                    self.publish(now, &load, out);
                }
            }
            Err(receipt) => {
                for load in waiting {
                    self.refuse(&load, &receipt);
                }
            }
        }
    }

    /// Messages that wait for a topic and will not get it now.
    fn give_up_questions(&mut self, before: Option<Instant>, receipt: &SinkReceipt) {
        let results = &mut self.results;
        self.topics.retain(|_, topic| match topic {
            Topic::Asked { until, waiting, .. } if before.is_none_or(|now| *until <= now) => {
                for parcel in waiting.iter().flat_map(Load::parcels) {
                    results.push(SinkEvent::Result {
                        ticket: parcel.ticket,
                        receipt: receipt.clone(),
                    });
                }
                false
            }
            Topic::Asked { .. } | Topic::Ready(..) => true,
        });
    }

    fn hand_over(&mut self) {
        if !self.results.is_empty() {
            // One push for many results: the lock and the wake-up are paid once.
            let next = Vec::with_capacity(self.results.len());
            let _ = self
                .events
                .push(core::mem::replace(&mut self.results, next));
        }
    }
}

/// The reply subject of this number.
fn address(reply: &mut String, prefix: &str, number: u64) {
    use core::fmt::Write as _;
    reply.truncate(prefix.len());
    let _ = write!(reply, "{number}");
}

fn too_many() -> PortError {
    PortError::new(
        PortErrorKind::Refused,
        "too many publishes without an answer",
    )
}

/// Only where a key is a subject does the server know which message of it is the last.
fn cannot_compare(topic: &str) -> SinkReceipt {
    SinkReceipt::NotStored(PortError::new(
        PortErrorKind::Unsuitable,
        format!(
            "topic `{topic}` is laid out by partition: the server does not know the last message of a \
             key; create a topic with layout = \"keyed\""
        ),
    ))
}

impl Handler for Publisher {
    fn connected(&mut self, now: Instant, server: &ServerInfo, out: &mut Outbox) {
        self.max_payload = server.max_payload;
        self.denied.clear();
        self.prefix = format!("{}.", inbox());
        self.reply.clone_from(&self.prefix);
        out.subscribe(&format!("{}*", self.prefix), INBOX);
        let settle = if self.uncertain {
            SETTLE
        } else {
            Duration::ZERO
        };
        self.report_at = Some(now + settle);
    }

    fn disconnected(&mut self, _now: Instant) {
        // What has no answer is uncertain; the core sends it again under the same message id.
        self.uncertain |= self.outstanding.len() != 0;
        self.outstanding.clear();
        self.give_up_questions(None, &publish::unanswered(Unanswered::NotSent));
        // A connection that was never reported is not reported as lost.
        if self.report_at.take().is_none() {
            self.results.push(SinkEvent::Disconnected);
        }
        self.hand_over();
    }

    /// What was sent to the subject before keeps its deadline, and is uncertain then: which one the
    /// server dropped is not said.
    fn complaint(&mut self, text: &str) {
        tracing::warn!(text, "the NATS server reports an error");
        if let Some(Violation::Publish(subject) | Violation::Subscribe(subject)) =
            Violation::read(text)
            && self.denied.len() < TOPICS_MAX
            && !self.denied.iter().any(|denied| **denied == *subject)
        {
            self.denied.push(subject.into());
        }
    }

    fn unreachable(&mut self, error: &ConnectError) {
        tracing::debug!(?error, "NATS cannot be reached");
    }

    fn message(&mut self, now: Instant, message: &Message<'_>, out: &mut Outbox) {
        let Some(token) = message.subject.strip_prefix(self.prefix.as_bytes()) else {
            return;
        };
        if let Some(question) = token.strip_prefix(b"t") {
            if let Some(question) = crate::wire::frame::number(question) {
                self.topic(now, question, message, out);
            }
            return;
        }
        let sent = crate::wire::frame::number(token).and_then(|n| self.outstanding.remove(n));
        if let Some(sent) = sent {
            self.answered(now, sent, message, out);
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>, moment: Moment, out: Option<&mut Outbox>) -> Turn {
        // Until the connection is reported, it is not used.
        let mut out = out.filter(|_| self.report_at.is_none_or(|at| at <= moment.now));
        if out.is_some() && self.report_at.take().is_some() {
            self.uncertain = false;
            self.results.push(SinkEvent::Connected);
        }
        let mut reconnect = false;
        let mut batch = core::mem::take(&mut self.batch);
        while let Poll::Ready(()) = self.commands.poll_drain(cx, &mut batch) {
            if batch.is_empty() {
                self.closing = true;
                break;
            }
            for order in batch.drain(..) {
                let command = match order {
                    Order::Command(command) => command,
                    Order::Reconnect => {
                        // What the old connection still carries may land a little later.
                        self.uncertain = true;
                        reconnect = true;
                        continue;
                    }
                };
                let load = match command {
                    SinkCommand::Close => {
                        self.closing = true;
                        continue;
                    }
                    SinkCommand::Send { ticket, message } => Load::One(Parcel { ticket, message }),
                    SinkCommand::SendTogether(parcels) => Load::Together(parcels),
                };
                match out.as_deref_mut() {
                    Some(out) => self.send(moment.now, load, out),
                    None => self.refuse(&load, &publish::unanswered(Unanswered::NotSent)),
                }
            }
        }
        self.batch = batch;
        while let Some(sent) = self.outstanding.expire(moment.now) {
            self.results(sent.tickets(), &publish::unanswered(Unanswered::TimedOut));
        }
        self.give_up_questions(Some(moment.now), &publish::unanswered(Unanswered::NotSent));
        self.hand_over();
        let asked = self.topics.values().filter_map(|topic| match topic {
            Topic::Asked { until, .. } => Some(*until),
            Topic::Ready(..) => None,
        });
        Turn {
            wake_at: asked
                .chain(self.outstanding.due())
                .chain(self.report_at)
                .min(),
            waiting: self.outstanding.len() != 0,
            next: match (self.closing, reconnect) {
                (true, _) => Next::Close,
                (false, true) => Next::Reconnect,
                (false, false) => Next::Go,
            },
        }
    }
}
