//! Faults on demand, for tests. Not part of the crate's promises.

use procession_core::{PartitionId, Position};
use procession_runtime::port::{BreakReason, FeedEvent, PortError, SinkEvent};
use procession_runtime::{Shell, Timer};

use crate::broker::MemoryBroker;
use crate::feed::{MemoryFeed, State};
use crate::sink::MemorySink;

/// What can happen to a feed or sink.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// All sessions of the feed end.
    Break,
    /// The next deliveries of a partition are lost on the way.
    Lose { partition: PartitionId, count: u32 },
    /// The member dies without a word.
    Die,
    /// The connection of a sink is cut; what it had not stored yet lands, or never does.
    Cut { lands: bool },
}

/// Which feeds of a topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Members<'a> {
    /// Every feed.
    All,
    /// The feeds of one group.
    Group(&'a str),
    /// One member of a group, by its name or the beginning of it.
    Member(&'a str, &'a str),
}

/// Does harm to a broker.
pub struct Hooks<'a, S> {
    broker: &'a MemoryBroker<S>,
}

impl<S: Shell> MemoryBroker<S> {
    /// Faults on demand.
    pub const fn hooks(&self) -> Hooks<'_, S> {
        Hooks { broker: self }
    }
}

impl<S: Shell> Hooks<'_, S> {
    /// Ends the sessions of these feeds, as a reconnect does.
    ///
    /// # Errors
    /// A topic that does not exist; so for all of these.
    pub fn break_sessions(&self, topic: &str, members: Members<'_>) -> Result<usize, PortError> {
        self.inflict(topic, members, Fault::Break)
    }

    /// Loses the next `count` deliveries of a partition.
    ///
    /// # Errors
    /// A topic that does not exist.
    pub fn lose_deliveries(
        &self,
        topic: &str,
        members: Members<'_>,
        partition: u32,
        count: u32,
    ) -> Result<usize, PortError> {
        let partition = PartitionId(partition);
        self.inflict(topic, members, Fault::Lose { partition, count })
    }

    /// Kills members: they neither deliver nor renew nor release.
    ///
    /// # Errors
    /// A topic that does not exist.
    pub fn kill(&self, topic: &str, members: Members<'_>) -> Result<usize, PortError> {
        self.inflict(topic, members, Fault::Die)
    }

    /// Drops the last `count` records of a partition, as a broker does that loses an acknowledged
    /// tail: their positions are used again. Sessions break. Returns the new end of the log.
    ///
    /// # Errors
    /// A topic that does not exist.
    pub fn lose_tail(
        &self,
        topic: &str,
        partition: u32,
        count: usize,
    ) -> Result<Position, PortError> {
        let found = self.broker.hub.topic(topic)?;
        let mut state = found.lock();
        let log = &mut state.logs[partition as usize];
        let freed = log.drop_tail(count);
        let end = log.end();
        state.recent.forget_from(partition, end);
        drop(state);
        self.broker.hub.budget.give(freed);
        self.inflict(topic, Members::All, Fault::Break)?;
        Ok(end)
    }

    /// Forgets what a partition holds below `to`, committed or not, as retention or a purge does. Sessions go on.
    /// Returns the new start of the log.
    ///
    /// # Errors
    /// A topic that does not exist.
    pub fn purge(&self, topic: &str, partition: u32, to: Position) -> Result<Position, PortError> {
        let found = self.broker.hub.topic(topic)?;
        let mut state = found.lock();
        let log = &mut state.logs[partition as usize];
        let freed = log.free_below(to, usize::MAX);
        let start = log.start();
        drop(state);
        self.broker.hub.budget.give(freed);
        Ok(start)
    }

    /// Says that no log has room for anything, dead letters included, or that there is room again.
    pub fn fill(&self, full: bool) {
        self.broker.hub.fill(full);
    }

    /// Cuts every sink of this connection; what was sent and is not stored yet lands first, or
    /// never does. Either way its answers are lost.
    pub fn cut_sinks(&self, lands: bool) {
        for end in self.broker.ends() {
            end.inflict(Fault::Cut { lands });
        }
    }

    fn inflict(&self, topic: &str, members: Members<'_>, fault: Fault) -> Result<usize, PortError> {
        let topic = self.broker.hub.topic(topic)?;
        let state = topic.lock();
        let mut hit = 0;
        for signal in state.readers(members) {
            signal.inflict(fault);
            hit += 1;
        }
        Ok(hit)
    }
}

impl<S: Shell> MemoryFeed<S> {
    /// Carries out what a test has ordered.
    pub(crate) fn suffer(&mut self) {
        for fault in self.signal.faults() {
            match fault {
                Fault::Break => {
                    self.events.push(FeedEvent::Disconnected);
                    for delivery in self.owned.iter_mut().flatten() {
                        self.events
                            .extend(delivery.break_off(BreakReason::Disconnected));
                    }
                    self.events.push(FeedEvent::Connected);
                    self.keeper.disconnected(self.shell.now());
                    self.keeper.reconnected(self.shell.now());
                    self.keep = true;
                }
                Fault::Lose { partition, count } => {
                    if let Some(delivery) = self.delivery(partition) {
                        delivery.lose(count);
                    }
                }
                Fault::Die => {
                    self.timer.set(None);
                    self.state = State::Dead;
                }
                Fault::Cut { .. } => {}
            }
        }
    }
}

impl<C: procession_runtime::Clock> MemorySink<C> {
    /// Carries out what a test has ordered.
    pub(crate) fn suffer(&mut self) {
        for fault in self.signal.faults() {
            let Fault::Cut { lands } = fault else {
                continue;
            };
            if lands {
                self.flush();
            }
            self.forget();
            self.events.push(SinkEvent::Disconnected);
            self.events.push(SinkEvent::Connected);
        }
    }
}
