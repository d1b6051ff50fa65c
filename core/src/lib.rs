//! Sans-IO state machines for ordered, loss-free event delivery.
//!
//! Three machines decide everything that an event bus decides, and do nothing else:
//! - [`Consumer`]: order, acks, dedupe, retries, dead letters, pressure and hand-over of one subscription;
//! - [`Producer`]: order per key, windows, retries and deadlines of publishes, one result for each;
//! - [`Claim`] and [`Claims`]: who owns a partition, on brokers without groups.
//!
//! What they deliberately are not: they open no connection, read no clock, start no thread, draw no
//! random number, and know no broker. Time is an argument, messages are opaque, all memory is allocated
//! by `new`. Equal inputs give equal outputs (S11), which is what makes failures replayable.
//!
//! The contract in one sentence: *feed it anything in any order with time that never goes back; ask it
//! anything at any moment; it never grows, blocks or reads a clock.*
//!
//! # A complete driving loop
//! The adapter of a broker that is a vector. A real one does the same with events from a socket.
//! ```
//! use procession_core::*;
//!
//! /// (key, text), at positions 1, 2, 3...
//! let log = [("order-1", "placed"), ("order-2", "placed"), ("order-1", "paid")];
//! let hash = |text: &str| text.bytes().fold(7u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
//!
//! let mut bus = Consumer::new(&Config::default())?;
//! let (partition, epoch) = (PartitionId(0), Epoch(1));
//! let mut now = Time::ZERO;
//! let mut committed = Position(1);
//! let mut handled = Vec::new();
//! let mut reading: Option<(Session, Position)> = None;
//!
//! // The broker says that the partition is ours, and where it stands.
//! let resume = Resume { log_start: Position(1), log_end: Position(4), ..Resume::default() };
//! bus.open(now, partition, epoch, &resume, None);
//!
//! let mut map = vec![0; 3_072];
//! let drained = loop {
//!     // Time.
//!     bus.handle_timeout(now);
//!
//!     // From the broker to the core: what was delivered, as long as there is credit.
//!     while let Some((session, position)) = reading {
//!         let Some((key, text)) = log.get(position.0 as usize - 1) else { break };
//!         let arrival = Arrival {
//!             partition, epoch, session,
//!             delivery: None,
//!             position,
//!             stamp: Stamp(position.0),
//!             lane: hash(key),
//!             key: Some(hash(key).into()),
//!             identity: position.0.into(),
//!             bytes: text.len() as u32,
//!             expires: None,
//!             sequence: None,
//!             quarantine: None,
//!             message: *text,
//!         };
//!         match bus.offer(now, arrival) {
//!             Ok(_) => reading = Some((session, position.next())),
//!             Err(_refused) => break, // offered again after a settle
//!         }
//!     }
//!
//!     // From the core to the broker and the handlers.
//!     while let Some(start) = bus.poll_session(now) {
//!         // Compare what is at `start.at` with `start.expect`, and say what was found.
//!         bus.session(now, start.partition, start.epoch, start.session, Continuity::Continues);
//!         reading = Some((start.session, start.at));
//!     }
//!     while let Some(dispatch) = bus.poll_dispatch(now) {
//!         handled.push(dispatch.message);
//!         bus.settle(now, dispatch.token, Outcome::Done)?;
//!     }
//!     while let Some(token) = bus.poll_cancel() {
//!         let _ = token; // drop that handler's future, then settle with `Outcome::Cancelled`
//!     }
//!     while let Some(passed) = bus.poll_passed(now) {
//!         let _ = passed; // finished without a handler: of a key whose messages are discarded
//!     }
//!     while let Some(letter) = bus.poll_dead_letter() {
//!         let token = letter.token; // store `letter.message`, then say how it went
//!         bus.dead_letter_result(now, token, Receipt::Stored);
//!     }
//!     while let Some(commit) = bus.poll_commit(now, &mut map) {
//!         committed = commit.frontier; // write it with `&map[..commit.map_len]`, then say how it went
//!         let stored = CommitResult::Stored;
//!         bus.commit_result(now, commit.partition, commit.epoch, commit.write, stored);
//!     }
//!     while let Some(release) = bus.poll_release() {
//!         let _ = release; // nothing of this partition is touched from here on
//!     }
//!     while let Some(notice) = bus.poll_notice() {
//!         let _ = notice; // tell the operator
//!     }
//!     if let Some(drained) = bus.poll_drained() {
//!         break drained;
//!     }
//!     if handled.len() == log.len() {
//!         bus.drain(now, now + Span::from_secs(10));
//!     }
//!     // Nothing more to do until something happens, or until this time.
//!     if let Some(wake) = bus.poll_timeout() {
//!         now = wake.at;
//!     }
//! };
//! assert_eq!(handled, ["placed", "placed", "paid"]);
//! assert_eq!((committed, drained.handed_back), (Position(4), 0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
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
#[cfg(feature = "marks")]
pub mod marks;
#[cfg(not(feature = "marks"))]
mod marks;
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
    Backoff, CommitCadence, Config, ConfigError, Dedupe, Expired, Keyless, Limits, OnGap, OnHung,
    OnReset, Order, Retry, SequenceOrder,
};
pub use consumer::{
    Accused, Admit, Anchor, Arrival, Commit, CommitResult, Consumer, Continuity, Copied, Credit,
    DeadLetter, Dispatch, Drained, Flow, Grant, Health, Mask, NotRestored, NotWeighed, Notice,
    NoticeKind, Outcome, ParkedKey, ParkedMode, Passed, ProgressMap, Receipt, Refusal, Refused,
    Release, Resume, SequenceGap, SnapshotError, Stale, Stall, StallState, Start, Stats,
    WEIGHT_MAX, Wake, WakeReason, Why, decode_digests, decode_map, decode_parked, decode_suspects,
    seal_snapshot,
};
pub use ids::{Epoch, Incarnation, PartitionId, Position, Session, Stamp, Token};
pub use producer::{
    Answer, Done, Full, NoRoom, Producer, ProducerConfig, ProducerStats, Publish, Published, Room,
    Transmit, Unsent,
};
pub use time::{Span, Time};
