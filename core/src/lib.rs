//! Sans-IO state machines for ordered, loss-free event delivery.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod backoff;
mod claim;
mod config;
mod consumer;
mod ids;
#[cfg(feature = "mutants")]
pub mod mutants;
#[cfg(not(feature = "mutants"))]
mod mutants;
mod producer;
mod time;

pub use claim::{
    Busy, Claim, ClaimConfig, ClaimRecord, ClaimState, ClaimStats, ClaimWrite, Claims, MemberId,
    Revision, WriteKind, WriteResult,
};
pub use config::{
    Backoff, CommitCadence, Config, ConfigError, Dedupe, Keyless, Limits, Order, Retry,
};
pub use consumer::{
    Admit, Anchor, Arrival, Commit, CommitResult, Consumer, Continuity, Copied, Credit, DeadLetter,
    Dispatch, Drained, Flow, Notice, NoticeKind, Outcome, Receipt, Refusal, Refused, Release,
    Resume, Stale, Start, Stats, Wake, WakeReason, Why, decode_map,
};
pub use ids::{Epoch, Incarnation, PartitionId, Position, Session, Stamp, Token};
pub use producer::{
    Answer, Done, Full, NoRoom, Producer, ProducerConfig, ProducerStats, Publish, Published, Room,
    Transmit, Unsent,
};
pub use time::{Span, Time};
