//! Questions that block: where a partition stands, where a rewritten log begins, whether anybody is
//! there. They are asked on a thread of their own, never on the one that polls.

use std::ffi::CString;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use procession_core::{Epoch, Incarnation, Position, Session, Stamp};
use procession_runtime::port::{PortError, PortErrorKind, ResumeState, StartAt};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{Offset, TopicPartitionList};

use crate::context::Context;
use crate::errors;
use crate::ffi;
use crate::metadata::{self, Found, Metadata};
use crate::thread::Bell;

/// How long one question may take. Asked again by whoever still wants to know.
const WITHIN: Duration = Duration::from_secs(3);

/// A question.
#[derive(Debug)]
pub(super) enum Question {
    /// Where these partitions stand.
    Standing { ticket: u64, partitions: Vec<i32> },
    /// How far a log reaches, and what in it is newer than `stamp`.
    Extent {
        partition: i32,
        session: Session,
        stamp: Stamp,
    },
    /// Whether any broker answers.
    Presence,
}

/// An answer.
#[derive(Debug)]
pub(super) enum Answer {
    Standing {
        ticket: u64,
        result: Result<Vec<Standing>, PortError>,
    },
    Extent {
        partition: i32,
        session: Session,
        result: Result<Extent, PortError>,
    },
    Presence(bool),
}

/// Where a partition stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Standing {
    pub(super) partition: i32,
    /// The epoch that the group last committed in.
    pub(super) recorded_epoch: Epoch,
    pub(super) resume: ResumeState,
}

/// What a log holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Extent {
    pub(super) start: u64,
    pub(super) end: u64,
    /// The first message that is newer than the stamp that was asked for.
    pub(super) newer: Option<u64>,
}

/// The thread that asks.
#[derive(Debug)]
pub(super) struct Lookups {
    questions: Option<Sender<Question>>,
    answers: Receiver<Answer>,
    thread: Option<JoinHandle<()>>,
}

impl Lookups {
    pub(super) fn start(
        member: Arc<BaseConsumer<Context>>,
        topic: &str,
        partitions: u32,
        start: StartAt,
        mock: bool,
        bell: Arc<Bell>,
    ) -> Result<Self, PortError> {
        let (questions, asked) = channel();
        let (answered, answers) = channel();
        let asker = Asker {
            member,
            topic: topic.to_owned(),
            c_topic: ffi::queue::c_string(topic),
            partitions: i32::try_from(partitions).unwrap_or(i32::MAX),
            start,
            mock,
        };
        let thread = std::thread::Builder::new()
            .name("procession-kafka-ask".to_owned())
            .spawn(move || {
                while let Ok(question) = asked.recv() {
                    if answered.send(asker.answer(question)).is_err() {
                        return;
                    }
                    bell.ring();
                }
            })
            .map_err(|error| {
                PortError::new(
                    PortErrorKind::Refused,
                    format!("no thread for the Kafka client: {error}"),
                )
            })?;
        Ok(Self {
            questions: Some(questions),
            answers,
            thread: Some(thread),
        })
    }

    /// Asks. At most a few a partition are on their way.
    pub(super) fn ask(&self, question: Question) {
        if let Some(questions) = &self.questions {
            let _ = questions.send(question);
        }
    }

    /// The next answer, without waiting.
    pub(super) fn answer(&self) -> Option<Answer> {
        self.answers.try_recv().ok()
    }

    /// Ends the thread after the question that it is at, and waits for that.
    pub(super) fn stop(mut self) {
        self.questions = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Asker {
    member: Arc<BaseConsumer<Context>>,
    topic: String,
    c_topic: CString,
    /// How many there were when the topic was subscribed to.
    partitions: i32,
    start: StartAt,
    /// The mock cluster has no controller, which is what tells of topic ids: asking it never ends well.
    mock: bool,
}

impl Asker {
    fn answer(&self, question: Question) -> Answer {
        match question {
            Question::Standing { ticket, partitions } => Answer::Standing {
                ticket,
                result: self.standing(&partitions),
            },
            Question::Extent {
                partition,
                session,
                stamp,
            } => Answer::Extent {
                partition,
                session,
                result: self.extent(partition, stamp),
            },
            Question::Presence => {
                let metadata = self.member.fetch_metadata(Some(&self.topic), WITHIN);
                Answer::Presence(metadata.is_ok())
            }
        }
    }

    fn failed(&self, error: &KafkaError) -> PortError {
        errors::port_error(&format!("looking at topic `{}`", self.topic), error)
    }

    fn standing(&self, partitions: &[i32]) -> Result<Vec<Standing>, PortError> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition(&self.topic, *partition);
        }
        let committed = self
            .member
            .committed_offsets(list, WITHIN)
            .map_err(|error| self.failed(&error))?;
        let mut metadata = ffi::commit::metadata(&committed);
        let incarnation = self.incarnation()?;
        let mut all = Vec::with_capacity(partitions.len());
        for element in committed.elements() {
            let partition = element.partition();
            element.error().map_err(|error| self.failed(&error))?;
            let (low, high) = self
                .member
                .fetch_watermarks(&self.topic, partition, WITHIN)
                .map_err(|error| self.failed(&error))?;
            let committed = match element.offset() {
                Offset::Offset(offset) => u64::try_from(offset).ok(),
                _ => None,
            };
            let written = Written {
                committed,
                metadata: metadata.remove(&partition).unwrap_or_default(),
            };
            let extent = (natural(low), natural(high));
            all.push(self.place(partition, &written, incarnation, extent));
        }
        Ok(all)
    }

    fn place(
        &self,
        partition: i32,
        written: &Written,
        incarnation: Incarnation,
        (low, high): (u64, u64),
    ) -> Standing {
        let found = match written.committed {
            Some(_) => Metadata::decode(&written.metadata),
            None => Found::Nothing,
        };
        let mut frontier = written.committed.map(Position);
        // A partition that came later is handled from its beginning (S9): what lies in it was published
        // after the subscription began.
        if frontier.is_none() && self.start == StartAt::Latest && partition < self.partitions {
            frontier = Some(Position(high));
        }
        let mut resume = ResumeState {
            frontier,
            incarnation,
            log_start: Position(low),
            log_end: Position(high),
            ..ResumeState::default()
        };
        let mut recorded_epoch = Epoch(0);
        match found {
            Found::Nothing => {}
            // For the core to refuse, and to say so.
            Found::Foreign(bytes) => resume.map = bytes,
            Found::Ours(ours) => {
                recorded_epoch = ours.epoch;
                resume.anchor = ours.anchor;
                resume.map = ours.map;
                // Without a topic id on either side nothing can be said.
                let known = ours.incarnation != Incarnation(0) && incarnation != Incarnation(0);
                resume.recorded = known.then_some(ours.incarnation);
            }
        }
        Standing {
            partition,
            recorded_epoch,
            resume,
        }
    }

    /// The incarnation of the topic; 0 where brokers have no topic ids or do not tell.
    fn incarnation(&self) -> Result<Incarnation, PortError> {
        if self.mock {
            return Ok(Incarnation(0));
        }
        match ffi::topic_id::topic_id(self.member.client(), &self.c_topic, WITHIN) {
            Ok(id) if id == [0; 16] => Ok(Incarnation(0)),
            Ok(id) => Ok(metadata::incarnation(id)),
            Err(code) => {
                use rdkafka::error::RDKafkaErrorCode as E;
                match code {
                    E::UnsupportedFeature
                    | E::UnsupportedVersion
                    | E::TopicAuthorizationFailed
                    | E::ClusterAuthorizationFailed => Ok(Incarnation(0)),
                    code => Err(self.failed(&KafkaError::MetadataFetch(code))),
                }
            }
        }
    }

    fn extent(&self, partition: i32, stamp: Stamp) -> Result<Extent, PortError> {
        let (low, high) = self
            .member
            .fetch_watermarks(&self.topic, partition, WITHIN)
            .map_err(|error| self.failed(&error))?;
        let newer = self
            .newer(partition, stamp)
            .map_err(|error| self.failed(&error))?;
        Ok(Extent {
            start: natural(low),
            end: natural(high),
            newer,
        })
    }

    fn newer(&self, partition: i32, stamp: Stamp) -> KafkaResult<Option<u64>> {
        let time = i64::try_from(stamp.0).unwrap_or(i64::MAX - 1) + 1;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, partition, Offset::Offset(time))?;
        let found = self.member.offsets_for_times(list, WITHIN)?;
        let offset = found.elements().first().map(|element| element.offset());
        Ok(match offset {
            Some(Offset::Offset(offset)) => u64::try_from(offset).ok(),
            _ => None,
        })
    }
}

/// What the group holds for a partition.
struct Written {
    committed: Option<u64>,
    metadata: Vec<u8>,
}

fn natural(offset: i64) -> u64 {
    u64::try_from(offset).unwrap_or(0)
}
