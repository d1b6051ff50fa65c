//! An event bus that keeps aggregates in order.
//!
//! A service publishes [`Envelope`]s keyed by aggregate and subscribes a [`Handler`]; Procession
//! sees to it that every envelope reaches its handler in per-key order, once, under pressure, on
//! NATS JetStream or in the memory of the process, and that nothing is lost or leaked when handlers
//! fail, brokers reconnect or processes die.
//!
//! ```
#![doc = include_str!("../examples/memory.rs")]
//! ```
//!
//! What is where: [`Bus`] connects, publishes and subscribes; [`Subscription`] drains and tells of
//! its health; [`settings`] has every knob; [`observe`] shows everything that happens. The wire
//! format is fixed in `docs/wire.md`.
#![warn(missing_docs)]

#[doc(hidden)]
pub mod bench;
mod builder;
mod bus;
mod consume;
mod credit;
mod dead_letter;
mod envelope;
mod error;
mod fan_out;
#[cfg(test)]
mod golden;
mod handler;
pub mod identity;
#[cfg(feature = "metrics")]
pub mod metrics;
pub mod observe;
mod publish;
pub mod settings;
mod subscribe;
mod subscription;
mod topics;
mod wire;
mod work;

pub use builder::BusBuilder;
pub use bus::Bus;
pub use consume::{Cancelled, Consume, Deliveries, Delivery};
pub use dead_letter::dead_letter_topic;
pub use envelope::{Envelope, EnvelopeBuilder, EnvelopeError};
pub use error::Error;
#[cfg(feature = "tower")]
pub use handler::tower;
pub use handler::{Batch, Context, Handler, HandlerError, Json, Outcomes, batch, json, raw};
pub use publish::{Expect, PublishError, Receipt, Stored};
pub use settings::{
    KafkaGroupProtocol, KafkaPartitioner, KafkaSettings, OnGiveUp, Settings, SettingsError,
};
pub use subscribe::Subscribe;
pub use subscription::{Drained, Ended, Notices, Subscription};
pub use wire::Form;

pub use procession_core::{
    Epoch, Expired, Keyless, NotWeighed, NoticeKind, OnGap, OnHung, OnReset, Order, ParkedMode,
    PartitionId, Position, Stats, WEIGHT_MAX, Why,
};
pub use procession_runtime::NameError;
pub use procession_runtime::port::{
    Broker, BrokerInfo, Headers, Layout, PortError, PortErrorKind, StartAt, Storage, TopicInfo,
    TopicMode,
};
pub use procession_runtime::subscription::{
    Blocker, Fence, Health, NotRecorded, NotTold, Notice, PartitionHealth, Recording, State,
    SubscriptionError,
};

/// The pages whose code is compiled, and run, with the documentation tests.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../../README.md")]
    struct Readme;
    #[doc = include_str!("../../../docs/first-service.md")]
    struct FirstService;
    #[doc = include_str!("../../../docs/flight-recorder.md")]
    struct FlightRecorder;
    #[doc = include_str!("../../../docs/ordering.md")]
    struct Ordering;
    #[doc = include_str!("../../../docs/retries-and-dead-letters.md")]
    struct RetriesAndDeadLetters;
    #[doc = include_str!("../../../docs/moving-over.md")]
    struct MovingOver;
    #[doc = include_str!("../../../docs/operating.md")]
    struct Operating;
    #[doc = include_str!("../../../docs/metrics.md")]
    struct Metrics;
    #[doc = include_str!("../../../docs/embedding.md")]
    struct Embedding;
}
