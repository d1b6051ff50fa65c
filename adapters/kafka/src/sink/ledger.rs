//! What a sender knows: topics, messages without an answer, answers that wait to be told.

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashMap;
use procession_runtime::port::{Outgoing, PortError, PortErrorKind, SinkReceipt};

use super::known::TOPICS_MAX;
use super::outstanding::Outstanding;
use super::{Known, Report, receipt};
use crate::ffi::producer::{Event, Failure, Producer, Sending, Topic};
use crate::partitioner::Partitioner;

/// How long the brokers may take to say how many partitions a topic has.
const DESCRIBED_WITHIN: Duration = Duration::from_secs(5);

/// The books of a sender; the producer itself is elsewhere.
#[derive(Debug)]
pub(super) struct Ledger<T> {
    partitioner: Partitioner,
    known: Known,
    topics: HashMap<Arc<str>, Place<T>>,
    outstanding: Outstanding<T>,
    /// Numbers the questions for topics.
    questions: usize,
    /// Where messages of unknown fate were going: there they may still land.
    uncertain: BTreeSet<(String, u32)>,
    /// Why the producer sends nothing any more.
    broken: Option<String>,
    /// Something was stored since the producer was made.
    stored: bool,
    ready: Vec<Report<T>>,
}

#[derive(Debug)]
enum Place<T> {
    /// How many partitions it has, and the number of the question whether it has more by now.
    Ready {
        topic: Topic,
        partitions: u32,
        asked: Option<usize>,
    },
    /// Asked for: the number of the question, and what waits for the answer, in order.
    Asked {
        question: usize,
        waiting: Vec<(T, Arc<Outgoing>)>,
    },
}

impl<T: Copy> Ledger<T> {
    pub(super) fn new(partitioner: Partitioner, known: Known) -> Self {
        Self {
            partitioner,
            known,
            topics: HashMap::new(),
            outstanding: Outstanding::default(),
            questions: 0,
            uncertain: BTreeSet::new(),
            broken: None,
            stored: false,
            ready: Vec::new(),
        }
    }

    pub(super) fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    pub(super) const fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(super) fn tell(&mut self, report: Report<T>) {
        self.ready.push(report);
    }

    pub(super) fn hand_over(&mut self, into: &mut Vec<Report<T>>) {
        into.append(&mut self.ready);
    }

    /// Why the producer must be replaced, once.
    pub(super) const fn take_broken(&mut self) -> Option<String> {
        self.broken.take()
    }

    pub(super) fn answer(&mut self, tag: T, receipt: SinkReceipt) {
        self.ready.push(Report::Receipt(tag, receipt));
    }

    pub(super) fn send(&mut self, producer: &Producer, tag: T, message: Arc<Outgoing>) {
        if let Some(back) = self.try_send(producer, tag, message) {
            // What is behind it in its key waits for the same answer, so the order stays.
            self.find(producer, back.tag, back.message);
        }
    }

    /// Gives the message back, with what happened, when the topic is not what it was.
    fn try_send(&mut self, producer: &Producer, tag: T, message: Arc<Outgoing>) -> Option<Back<T>> {
        match self.topics.get_mut(&message.topic) {
            Some(Place::Ready {
                topic, partitions, ..
            }) => {
                let sent = hand_over(
                    producer,
                    topic,
                    *partitions,
                    self.partitioner,
                    &mut self.outstanding,
                    tag,
                    &message,
                );
                let Err((receipt, why)) = sent else {
                    return None;
                };
                if why == Refusal::Gone {
                    self.forget(&message.topic);
                    return Some(Back {
                        tag,
                        message,
                        receipt,
                    });
                }
                if why == Refusal::Beyond {
                    self.ask_again(producer, &message.topic);
                }
                self.answer(tag, receipt);
            }
            Some(Place::Asked { waiting, .. }) => waiting.push((tag, message)),
            None => self.find(producer, tag, message),
        }
        None
    }

    fn find(&mut self, producer: &Producer, tag: T, message: Arc<Outgoing>) {
        if TOPICS_MAX <= self.topics.len() {
            self.topics
                .retain(|_, place| matches!(place, Place::Asked { .. }));
        }
        let Some(partitions) = self.known.get(&message.topic) else {
            let question = self.questions;
            self.questions += 1;
            producer.describe(&message.topic, question, DESCRIBED_WITHIN);
            let name = Arc::clone(&message.topic);
            let waiting = Vec::from([(tag, message)]);
            self.topics.insert(name, Place::Asked { question, waiting });
            return;
        };
        match producer.topic(&message.topic) {
            Ok(topic) => {
                let place = Place::Ready {
                    topic,
                    partitions,
                    asked: None,
                };
                self.topics.insert(Arc::clone(&message.topic), place);
                if let Some(back) = self.try_send(producer, tag, message) {
                    self.answer(back.tag, back.receipt);
                }
            }
            Err(failure) => self.answer(tag, receipt::of_lookup(&message.topic, &failure)),
        }
    }

    pub(super) fn heard(&mut self, producer: &Producer, event: Event<'_>) {
        match event {
            Event::Delivered(delivery) => {
                let Some(tag) = self.outstanding.remove(delivery.tag()) else {
                    return;
                };
                let receipt = receipt::of_delivery(&delivery);
                match &receipt {
                    SinkReceipt::Stored { .. } => self.stored = true,
                    SinkReceipt::Unknown(_) => {
                        let partition = delivery.partition().unwrap_or(u32::MAX);
                        self.uncertain
                            .insert((delivery.topic().to_owned(), partition));
                    }
                    SinkReceipt::NotStored(_)
                    | SinkReceipt::Conflict(_)
                    | SinkReceipt::Apart(_)
                    | SinkReceipt::Retry(_) => {
                        if delivery
                            .failure()
                            .as_ref()
                            .is_some_and(receipt::topic_is_gone)
                        {
                            self.forget(delivery.topic());
                        }
                    }
                }
                self.answer(tag, receipt);
            }
            Event::Described { partitions, tag } => self.described(producer, tag, partitions),
            Event::Error { fatal: true, text } => {
                self.broken.get_or_insert_with(|| text.to_owned());
            }
            Event::Error { fatal: false, text } => {
                tracing::debug!(error = text, "the Kafka producer reports an error");
            }
        }
    }

    fn described(
        &mut self,
        producer: &Producer,
        question: usize,
        partitions: Result<u32, Failure>,
    ) {
        let name = self.topics.iter().find_map(|(name, place)| match place {
            Place::Asked { question: q, .. } => (*q == question).then(|| Arc::clone(name)),
            Place::Ready { .. } => None,
        });
        let Some(name) = name else {
            return self.grown(producer, question, partitions);
        };
        let Some(Place::Asked { waiting, .. }) = self.topics.remove(&name) else {
            return;
        };
        let made = partitions.and_then(|partitions| Ok((producer.topic(&name)?, partitions)));
        let (topic, partitions) = match made {
            Ok(made) => made,
            Err(failure) => {
                let receipt = receipt::of_lookup(&name, &failure);
                for (tag, _) in waiting {
                    self.answer(tag, receipt.clone());
                }
                return;
            }
        };
        self.known.insert(Arc::clone(&name), partitions);
        let place = Place::Ready {
            topic,
            partitions,
            asked: None,
        };
        self.topics.insert(name, place);
        let mut waiting = waiting.into_iter();
        for (tag, message) in waiting.by_ref() {
            let Some(back) = self.try_send(producer, tag, message) else {
                continue;
            };
            // There for the brokers, not for the client yet: none of the rest is sent.
            self.answer(back.tag, back.receipt.clone());
            for (tag, _) in waiting {
                self.answer(tag, back.receipt.clone());
            }
            break;
        }
    }

    /// A message names a partition that the topic did not have when it was looked up. It may have grown:
    /// whoever sends the message again will find it so.
    fn ask_again(&mut self, producer: &Producer, name: &str) {
        if let Some(Place::Ready { asked, .. }) = self.topics.get_mut(name)
            && asked.is_none()
        {
            *asked = Some(self.questions);
            producer.describe(name, self.questions, DESCRIBED_WITHIN);
            self.questions += 1;
        }
    }

    /// The answer to that.
    fn grown(&mut self, producer: &Producer, question: usize, found: Result<u32, Failure>) {
        let place = self
            .topics
            .iter_mut()
            .find_map(|(name, place)| match place {
                Place::Ready {
                    topic,
                    partitions,
                    asked,
                } if *asked == Some(question) => {
                    *asked = None;
                    Some((name, topic, partitions))
                }
                Place::Ready { .. } | Place::Asked { .. } => None,
            });
        let (Some((name, topic, partitions)), Ok(found)) = (place, found) else {
            return;
        };
        if *partitions < found
            && let Ok(anew) = producer.topic(name)
        {
            (*topic, *partitions) = (anew, found);
            self.known.insert(Arc::clone(name), found);
        }
    }

    /// The topic is not what it was: the next message asks again.
    fn forget(&mut self, topic: &str) {
        if let Some(Place::Ready { .. }) = self.topics.get(topic) {
            self.topics.remove(topic);
        }
        self.known.forget(topic);
    }

    /// Leaves the producer: what waits for a topic was never sent.
    pub(super) fn leave(&mut self, why: &str) {
        for (_, place) in self.topics.drain() {
            if let Place::Asked { waiting, .. } = place {
                let answers = waiting
                    .into_iter()
                    .map(|(tag, _)| Report::Receipt(tag, receipt::not_sent(why)));
                self.ready.extend(answers);
            }
        }
    }

    /// The producer is gone: of what it has not reported, nobody knows. Where messages may still
    /// land, and whether anything was stored with this producer.
    pub(super) fn close_account(&mut self) -> (BTreeSet<(String, u32)>, bool) {
        let unknown = SinkReceipt::Unknown(PortError::new(
            PortErrorKind::Disconnected,
            "the producer was given up before the message was acknowledged",
        ));
        let answers = self
            .outstanding
            .take()
            .map(|tag| Report::Receipt(tag, unknown.clone()));
        self.ready.extend(answers);
        self.broken = None;
        (
            core::mem::take(&mut self.uncertain),
            core::mem::take(&mut self.stored),
        )
    }
}

/// A message that was not sent, because its topic is not what it was.
struct Back<T> {
    tag: T,
    message: Arc<Outgoing>,
    receipt: SinkReceipt,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Refusal {
    /// It has to do with this message only.
    Own,
    /// It names a partition that the topic did not have when it was looked up; maybe it has grown.
    Beyond,
    /// The topic is not there for the client.
    Gone,
}

/// Hands a message to the producer, or says why not, and whether the topic is to be looked up again.
fn hand_over<T: Copy>(
    producer: &Producer,
    topic: &Topic,
    partitions: u32,
    partitioner: Partitioner,
    outstanding: &mut Outstanding<T>,
    tag: T,
    message: &Outgoing,
) -> Result<(), (SinkReceipt, Refusal)> {
    let partition = partitioner.of(message, partitions);
    if partitions <= partition {
        let error = PortError::new(
            PortErrorKind::Invalid,
            format!(
                "partition {partition} of topic `{}`: it has {partitions}, counted from 0",
                message.topic
            ),
        );
        return Err((SinkReceipt::NotStored(error), Refusal::Beyond));
    }
    let Ok(place) = outstanding.insert(tag) else {
        let error = PortError::new(
            PortErrorKind::Refused,
            "too many messages without an answer",
        );
        return Err((SinkReceipt::Retry(error), Refusal::Own));
    };
    let sending = Sending {
        partition,
        key: message.key.as_deref(),
        payload: &message.payload,
        headers: &message.headers,
        tag: place,
    };
    producer.send(topic, &sending).map_err(|failure| {
        outstanding.remove(place);
        let receipt = receipt::of_send(&message.topic, &failure);
        let why = if receipt::topic_is_gone(&failure) {
            Refusal::Gone
        } else {
            Refusal::Own
        };
        (receipt, why)
    })
}
