//! What a broker must be able to do: the only seam between Procession and a broker.
//!
//! A port translates. It never decides about order, acks, duplicates, retries or pressure: it
//! carries out [`FeedCommand`]s and [`SinkCommand`]s and reports what happened as events. Every
//! port runs its broker I/O on threads of its own, so that a hogged runtime never starves a lease
//! or a heartbeat (L4).

mod broker;
mod feed;
mod headers;
mod record;
mod sink;

pub use broker::{
    BoxFuture, Broker, BrokerInfo, FeedSpec, Layout, PortError, PortErrorKind, StartAt, Storage,
    TopicInfo, TopicMode, TopicSpec,
};
pub use feed::{BreakReason, Feed, FeedCommand, FeedEvent, LeaseSpec, ProgressWrite, ResumeState};
pub use headers::{Headers, HeadersBuilder};
pub use record::{Expect, Outgoing, Record};
pub use sink::{Parcel, Sink, SinkCommand, SinkEvent, SinkReceipt, SinkTicket};
