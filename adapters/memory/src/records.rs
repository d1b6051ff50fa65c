//! Where a group's progress records are: in the topic, beside its logs.

use core::future::ready;
use std::sync::Arc;

use bytes::Bytes;
use procession_core::PartitionId;
use procession_runtime::keeper::{LogState, RecordStore, StoredRecord, WriteAnswer};
use procession_runtime::port::{BoxFuture, PortError};

use crate::hub::Hub;
use crate::topic::Topic;

/// Progress records of one (topic, group). Every answer is there at once.
pub(crate) struct MemoryRecords {
    pub(crate) hub: Arc<Hub>,
    pub(crate) topic: Arc<Topic>,
    pub(crate) group: Arc<str>,
}

impl RecordStore for MemoryRecords {
    fn read(
        &self,
        partition: PartitionId,
    ) -> BoxFuture<'static, Result<Option<StoredRecord>, PortError>> {
        let found = self.topic.lock().record(&self.group, partition.0);
        Box::pin(ready(Ok(found)))
    }

    fn write(
        &self,
        partition: PartitionId,
        expected: u64,
        bytes: Bytes,
    ) -> BoxFuture<'static, WriteAnswer> {
        let mut state = self.topic.lock();
        let answer = state.write_record(&self.group, partition.0, expected, bytes);
        drop(state);
        if self.hub.is_waited_for() {
            self.hub.make_room();
        }
        Box::pin(ready(answer))
    }

    fn log(&self, partition: PartitionId) -> BoxFuture<'static, Result<LogState, PortError>> {
        let state = self.topic.lock();
        let log = &state.logs[partition.0 as usize];
        Box::pin(ready(Ok(LogState {
            created: self.topic.created.clone(),
            start: log.start(),
            end: log.end(),
        })))
    }
}
