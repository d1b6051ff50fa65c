//! Every limit of the in-process broker, in one place.

/// Limits of one in-process broker. Nothing in it grows past them (S7).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Bytes of all logs together, bookkeeping included (default 32 MiB). When they are used up,
    /// what every known group has committed is freed; when that is nothing, publishers wait.
    pub log_bytes: usize,
    /// The largest message, in bytes, as `Outgoing::bytes` charges it (default 1 MiB).
    pub message_bytes_max: usize,
    /// Identities that each topic remembers to recognise a second publish of the same message
    /// (default 65,536); the topic's `duplicate_window` limits them by age as well.
    pub duplicate_ids: usize,
    /// Most topics (default 1,024).
    pub topics_max: usize,
    /// Most partitions of a topic (default 4,096).
    pub partitions_max: u32,
    /// Most groups of a topic, each with a frontier that holds the log back (default 256).
    pub groups_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            log_bytes: 32 << 20,
            message_bytes_max: 1 << 20,
            duplicate_ids: 65_536,
            topics_max: 1_024,
            partitions_max: 4_096,
            groups_max: 256,
        }
    }
}

impl Settings {
    /// What publishers may fill. The last eighth is kept for dead letters: were it not, a full log
    /// would keep the consumer from burying the message that blocks the frontier, and so from ever
    /// freeing the log.
    pub(crate) const fn publish_ceiling(&self) -> usize {
        self.log_bytes - self.log_bytes / 8
    }
}
