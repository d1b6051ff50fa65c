//! Drives one `procession_core::Consumer` over a feed and the application's work.

mod alarms;
mod arrivals;
mod asked;
mod attempt_task;
mod attempts;
mod driver;
mod ending;
mod flight;
mod handle;
mod health;
mod held;
mod intake;
mod notice;
mod observer;
mod options;
mod outputs;
mod partition;
mod recorded;
mod shared;
mod snapshot;
#[cfg(test)]
mod tests;
mod told;
mod work;

pub use asked::{NotRecorded, Recording};
pub use driver::{SubscriptionDriver, subscribe};
pub use handle::{End, SubscriptionError, SubscriptionHandle};
pub use health::{Blocker, Health, PartitionHealth, State};
pub use notice::Notice;
pub use observer::{Ending, Fence, Incident, NoObserver, Observer};
pub use options::DriverOptions;
pub use told::NotTold;
pub use work::{Attempt, Decoded, Letter, Verdict, Work};
