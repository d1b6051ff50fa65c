//! The NATS client protocol, as far as a JetStream port needs it: parsing without copies, header
//! fields in their order, and one loop that keeps a connection.
//!
//! Why not a client library: `docs/adr/0005-nats-wire.md`.

pub(crate) mod connect;
pub(crate) mod credentials;
pub(crate) mod fields;
mod file;
pub(crate) mod frame;
pub(crate) mod link;
pub(crate) mod outbox;
pub(crate) mod reply;
pub(crate) mod servers;
mod socket;
mod tls;
mod violation;

pub(crate) use connect::{ConnectError, ServerInfo};
pub(crate) use credentials::Credentials;
pub(crate) use frame::Message;
pub(crate) use link::{Handler, Moment, Next, Turn};
pub(crate) use outbox::Outbox;
pub(crate) use servers::Servers;
pub(crate) use tls::Tls;
pub(crate) use violation::{Violation, denied};
