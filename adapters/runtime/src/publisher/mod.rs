//! Drives one `procession_core::Producer` over a sink.

mod acceptance;
mod answers;
mod cell;
mod driver;
mod handle;
mod observer;
mod options;
mod shared;
mod stored;
#[cfg(test)]
mod tests;

pub use driver::{PublisherDriver, publisher};
pub use handle::{Enqueue, Publish, PublisherHandle};
pub use observer::{NoPublishObserver, PublishObserver};
pub use options::PublisherOptions;
pub use stored::{PublishError, Stored};
