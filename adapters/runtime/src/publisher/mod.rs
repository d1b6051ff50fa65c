//! Drives one `procession_core::Producer` over a sink.

mod driver;
mod handle;
mod observer;

pub use driver::{PublisherDriver, PublisherOptions, publisher};
pub use handle::{Publish, PublishError, PublisherHandle, Stored};
pub use observer::{NoPublishObserver, PublishObserver};
