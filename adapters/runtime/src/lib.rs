//! The driver around `procession-core`, and the ports that brokers implement.
//!
//! * [`port`]: what a broker must be able to do.
//! * [`subscription`]: drives one `procession_core::Consumer` over a feed and the application's
//!   [`Work`](subscription::Work).
//! * [`publisher`]: drives one `procession_core::Producer` over a sink.
//! * [`keeper`]: claims, leases and progress records for brokers without groups.
//! * [`mailbox`]: the only state that handlers, ports or publishers share with a driver.
//!
//! Nothing here decides about order, acks, duplicates, retries or pressure: the core does. Clock,
//! timers and tasks come in through [`Shell`], so a simulator can run the drivers on an executor of
//! its own; tokio's types appear in the module `tokio` only.
#![warn(missing_docs)]

mod cancellation;
mod clock;
pub mod keeper;
pub mod mailbox;
mod names;
pub mod port;
pub mod publisher;
mod shell;
pub mod subscription;
mod sync;
#[cfg(test)]
mod testing;
#[cfg(feature = "tokio")]
pub mod tokio;
mod waiters;

pub use cancellation::Cancellation;
pub use clock::{BootClock, Clock};
pub use names::{
    GROUP_NAME_BYTES_MAX, NameError, NameFault, TOPIC_NAME_BYTES_MAX, check_group_name,
    check_topic_name, escape_dots, partition_of,
};
pub use shell::{Shell, Spawner, Timer};
