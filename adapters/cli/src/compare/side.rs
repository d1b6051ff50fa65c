//! The consuming side of a run: a bus and a subscription for each topic. `--restart-at` drops one
//! and begins another.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use procession::observe::Observe;
use procession::{Bus, Envelope, Order, Settings, State, Subscription, raw};

use super::{Plan, Stamp, Tally};
use crate::args::{Form, Without};
use crate::failure::Failure;
use crate::work::{PickedToFail, failure_of};

/// The group that consumes.
pub(super) const GROUP: &str = "compare";
/// How long the partitions may take to be ours.
const OWNED_WITHIN: Duration = Duration::from_secs(30);

/// How the consuming side is made.
pub(super) struct SideSpec {
    pub(super) url: String,
    pub(super) settings: Settings,
    pub(super) plan: Arc<Plan>,
    pub(super) tally: Arc<Tally>,
    pub(super) watch: Arc<dyn Observe>,
    pub(super) partitions: u32,
    pub(super) form: Form,
    pub(super) without: Option<Without>,
}

/// A consuming side at work.
pub(super) struct Side {
    bus: Bus,
    subscriptions: Vec<Subscription>,
}

impl SideSpec {
    /// Connects, subscribes to every topic, and waits until all partitions are ours.
    pub(super) async fn start(&self) -> Result<Side, Failure> {
        let bus = Bus::builder(&self.url)
            .settings(self.settings.clone())
            .observer(Arc::clone(&self.watch))
            .connect()
            .await
            .map_err(|e| failure_of(&self.url, &e))?;
        self.tally.owned.store(0, Relaxed);
        let mut side = Side {
            bus,
            subscriptions: Vec::new(),
        };
        for topic in &self.plan.topics {
            let subscription = self.subscribe(&side.bus, topic).await?;
            side.subscriptions.push(subscription);
        }
        let all = self.plan.topics.len() as u64 * u64::from(self.partitions);
        let deadline = tokio::time::Instant::now() + OWNED_WITHIN;
        while self.tally.owned.load(Relaxed) < all {
            if let Some(why) = side.ended().await {
                return Err(Failure::fault(format!(
                    "unresolved: a subscription ended: {why}"
                )));
            }
            if tokio::time::Instant::now() > deadline {
                let owned = self.tally.owned.load(Relaxed);
                return Err(Failure::fault(format!(
                    "unresolved: after 30 s only {owned} of {all} partitions are owned"
                )));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(side)
    }

    async fn subscribe(&self, bus: &Bus, topic: &str) -> Result<Subscription, Failure> {
        let picks = self.plan.picks;
        let form = self.form;
        let handler = raw(move |envelope: Envelope, context| async move {
            let from_payload = match form {
                Form::Envelope => None,
                Form::Raw => Stamp::read(envelope.payload()).map(Stamp::id),
            };
            let id = from_payload.as_deref().unwrap_or_else(|| envelope.id());
            let time = picks.time(id);
            let fails = picks.fails(id, context.attempt());
            if !time.is_zero() {
                tokio::time::sleep(time).await;
            }
            if fails {
                Err(PickedToFail.into())
            } else {
                Ok(())
            }
        });
        let without = self.without;
        bus.subscribe(topic, GROUP, handler)
            .with(move |settings| match without {
                Some(Without::Acks) => settings.hold_commits = true,
                Some(Without::Lanes) => settings.order = Order::Unordered,
                Some(Without::Dedupe) => settings.dedupe_ids = 0,
                None => {}
            })
            .await
            .map_err(|e| failure_of(&self.url, &e))
    }
}

impl Side {
    /// Why a subscription ended on its own, if one did.
    pub(super) async fn ended(&self) -> Option<String> {
        let ended = self
            .subscriptions
            .iter()
            .find(|s| s.health().state == State::Ended)?;
        let why = ended.drain(Duration::ZERO).await;
        Some(
            why.err()
                .map_or_else(|| "without a reason".into(), |e| e.to_string()),
        )
    }

    /// Intake stops, running handlers are cancelled, one last commit and the release are sent and
    /// answered, and all memory is dropped.
    pub(super) async fn retire(self, within: Duration) -> Result<(), Failure> {
        let ends: Vec<_> = self
            .subscriptions
            .iter()
            .map(|s| s.retire(within))
            .collect();
        for end in ends {
            end.await
                .map_err(|e| Failure::fault(format!("unresolved: the restart: {e}")))?;
        }
        self.close(within).await
    }

    /// Finishes what is held and closes.
    pub(super) async fn drain(self, within: Duration) -> Result<(), Failure> {
        let ends: Vec<_> = self.subscriptions.iter().map(|s| s.drain(within)).collect();
        for end in ends {
            end.await
                .map_err(|e| Failure::fault(format!("unresolved: the drain: {e}")))?;
        }
        self.close(within).await
    }

    async fn close(self, within: Duration) -> Result<(), Failure> {
        let closed = self.bus.close(within).await;
        closed
            .map(drop)
            .map_err(|e| Failure::fault(format!("leak: {e}")))
    }
}
