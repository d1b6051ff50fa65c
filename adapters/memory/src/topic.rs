//! A topic: its partitions' logs, its recent identities, and who waits for news of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use procession_core::{Position, Stamp};
use procession_runtime::keeper::{Progress, StoredRecord, WriteAnswer};
use procession_runtime::partition_of;
use procession_runtime::port::{
    Expect, FeedSpec, Outgoing, PortError, PortErrorKind, Record, Storage,
};

use crate::hub::Budget;
use crate::log::{FIRST, PartitionLog};
use crate::recent::{Place, Recent};
use crate::signal::Signal;
use bytes::Bytes;

/// A topic. One lock for all of it, taken once per batch.
pub(crate) struct Topic {
    pub(crate) name: Arc<str>,
    pub(crate) partitions: u32,
    pub(crate) storage: Storage,
    /// What makes its positions comparable; no two topics of a process share it.
    pub(crate) created: String,
    state: Mutex<TopicState>,
}

/// What the lock of a [`Topic`] protects.
pub(crate) struct TopicState {
    pub(crate) logs: Vec<PartitionLog>,
    pub(crate) recent: Recent,
    /// Nanoseconds; identities older than this are forgotten.
    pub(crate) duplicate_window: u64,
    /// Stamp of the newest record. Stamps are unique within a topic and grow.
    newest: u64,
    /// Every group that was ever seen, with its committed frontier per partition.
    groups: BTreeMap<Arc<str>, Vec<Position>>,
    /// Progress records, by group and partition: the revision and the bytes.
    records: BTreeMap<(Arc<str>, u32), StoredRecord>,
    /// The last revision that was given out.
    revision: u64,
    /// Feeds of this topic; dead ones are dropped when the next one joins.
    readers: Vec<Reader>,
}

/// A feed of a topic.
struct Reader {
    signal: Weak<Signal>,
    #[cfg(feature = "test-hooks")]
    group: Arc<str>,
    #[cfg(feature = "test-hooks")]
    member: Arc<str>,
}

/// What became of a message that was to be stored.
pub(crate) enum Stored {
    /// It is in the log.
    At {
        place: Place,
        /// It was there already.
        duplicate: bool,
    },
    /// The last message of its key is not the expected one, but stands here; `None`: there is none.
    Conflict(Option<Position>),
    /// There is no room now; the message is given back.
    Full(Outgoing),
}

impl Topic {
    pub(crate) fn new(
        name: Arc<str>,
        partitions: u32,
        storage: Storage,
        created: String,
        duplicate_ids: usize,
    ) -> Self {
        Self {
            name,
            partitions,
            storage,
            created,
            state: Mutex::new(TopicState {
                logs: (0..partitions).map(|_| PartitionLog::default()).collect(),
                recent: Recent::new(duplicate_ids),
                duplicate_window: 0,
                newest: 0,
                groups: BTreeMap::new(),
                records: BTreeMap::new(),
                revision: 0,
                readers: Vec::new(),
            }),
        }
    }

    /// The topic's state. A panic while it was locked cannot leave a record half appended, so a
    /// poisoned lock is taken as it is.
    pub(crate) fn lock(&self) -> MutexGuard<'_, TopicState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The partition of a message: the fixed one, else by its key, else by its id.
    pub(crate) fn partition_of(&self, message: &Outgoing) -> Result<u32, PortError> {
        match message.partition {
            Some(partition) if partition < self.partitions => Ok(partition),
            Some(partition) => Err(PortError::new(
                PortErrorKind::Invalid,
                format!(
                    "partition {partition} of topic `{}` does not exist: it has {} (0 to {})",
                    self.name,
                    self.partitions,
                    self.partitions - 1
                ),
            )),
            None => {
                let bytes = message.key.as_deref().unwrap_or(message.id.as_bytes());
                Ok(partition_of(bytes, self.partitions))
            }
        }
    }
}

impl TopicState {
    /// Stores one message, unless its identity was stored within the window.
    pub(crate) fn store(
        &mut self,
        message: Outgoing,
        partition: u32,
        now: u64,
        budget: &Budget,
        ceiling: usize,
    ) -> Stored {
        let id = (message.identity, message.copy);
        if let Some(place) = self.recent.find(&id, now, self.duplicate_window) {
            return Stored::At {
                place,
                duplicate: true,
            };
        }
        if let Some(expect) = message.expect {
            let last = self.logs[partition as usize].last_of(message.key.as_ref());
            let is_last = match expect {
                Expect::First => last.is_none(),
                Expect::After(position) => last == Some(position),
            };
            if !is_last {
                return Stored::Conflict(last);
            }
        }
        let bytes = message.bytes();
        if !budget.take(PartitionLog::charge(bytes), ceiling) {
            return Stored::Full(message);
        }
        self.newest = now.max(self.newest + 1);
        let position = self.logs[partition as usize].append(Record {
            position: Position::default(),
            stamp: Stamp(self.newest),
            delivery: None,
            key: message.key,
            headers: message.headers,
            payload: message.payload,
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
        });
        let place = Place {
            partition,
            position,
        };
        self.recent.insert(id, now, place);
        Stored::At {
            place,
            duplicate: false,
        }
    }

    /// Wakes every feed of the topic.
    pub(crate) fn wake_readers(&self) {
        for reader in self
            .readers
            .iter()
            .filter_map(|reader| reader.signal.upgrade())
        {
            reader.raise();
        }
    }

    /// Takes a feed in: it is woken when something is stored, and its group holds the log back from
    /// now on. False when the topic has `groups_max` other groups already.
    pub(crate) fn join(
        &mut self,
        spec: &FeedSpec,
        signal: &Arc<Signal>,
        groups_max: usize,
    ) -> bool {
        if !self.groups.contains_key(&spec.group) {
            if self.groups.len() >= groups_max {
                return false;
            }
            let frontiers = vec![FIRST; self.logs.len()];
            self.groups.insert(Arc::clone(&spec.group), frontiers);
        }
        self.readers
            .retain(|reader| reader.signal.strong_count() > 0);
        self.readers.push(Reader {
            signal: Arc::downgrade(signal),
            #[cfg(feature = "test-hooks")]
            group: Arc::clone(&spec.group),
            #[cfg(feature = "test-hooks")]
            member: Arc::clone(&spec.member),
        });
        true
    }

    /// The progress record of a group's partition.
    pub(crate) fn record(&self, group: &Arc<str>, partition: u32) -> Option<StoredRecord> {
        self.records.get(&(Arc::clone(group), partition)).cloned()
    }

    /// Writes a progress record if its revision is still `expected` (0: there is none).
    pub(crate) fn write_record(
        &mut self,
        group: &Arc<str>,
        partition: u32,
        expected: u64,
        bytes: Bytes,
    ) -> WriteAnswer {
        let key = (Arc::clone(group), partition);
        let found = self.records.get(&key).map_or(0, |record| record.revision);
        if found != expected {
            return WriteAnswer::Refused;
        }
        if let Ok(Progress {
            frontier: Some(frontier),
            ..
        }) = Progress::decode(&bytes)
        {
            self.committed(group, partition, frontier);
        }
        self.revision += 1;
        let revision = self.revision;
        self.records.insert(key, StoredRecord { revision, bytes });
        WriteAnswer::Stored(revision)
    }

    /// A group committed a frontier. Never moves it back: a rewritten log is not retention's matter.
    fn committed(&mut self, group: &str, partition: u32, frontier: Position) {
        if let Some(frontiers) = self.groups.get_mut(group)
            && let Some(known) = frontiers.get_mut(partition as usize)
        {
            *known = frontier.max(*known);
        }
    }

    /// Frees what every known group has committed, until `wanted` bytes are free. Without a group
    /// nothing is freed: nobody has read it. Returns the bytes.
    pub(crate) fn free_committed(&mut self, wanted: usize) -> usize {
        let mut freed = 0;
        for (partition, log) in self.logs.iter_mut().enumerate() {
            let frontiers = self.groups.values().map(|frontiers| frontiers[partition]);
            if let Some(to) = frontiers.min()
                && freed < wanted
            {
                freed += log.free_below(to, wanted - freed);
            }
        }
        freed
    }
}

#[cfg(feature = "test-hooks")]
impl TopicState {
    /// The feeds of `members`.
    pub(crate) fn readers(
        &self,
        members: crate::hooks::Members<'_>,
    ) -> impl Iterator<Item = Arc<Signal>> {
        use crate::hooks::Members;
        let chosen = move |reader: &&Reader| match members {
            Members::All => true,
            Members::Group(group) => *reader.group == *group,
            Members::Member(group, member) => {
                *reader.group == *group && reader.member.starts_with(member)
            }
        };
        let readers = self.readers.iter().filter(chosen);
        readers.filter_map(|reader| reader.signal.upgrade())
    }
}
