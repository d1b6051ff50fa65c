//! Hooks for histories and metrics, called in the order that a history must have.

use procession_core::{Epoch, PartitionId, Position, Why};

/// Sees everything that a subscription does with messages, progress and ownership.
///
/// Hooks are called on the driver's task, except that [`ended`](Self::ended) of an attempt that
/// became a task is called there, too, when its report arrives, and before the core learns of it.
/// Lines that permit something (`commit`, `released`) come before the request is sent; lines that
/// report come after the answer. Every method has an empty default; when [`wants`](Self::wants) says
/// no, none of the others is called and nothing is cloned for them.
pub trait Observer<M>: Send + 'static {
    /// Whether the other methods do anything. Asked once, at the start.
    fn wants(&self) -> bool {
        true
    }
    /// A partition is ours, from `position` on. Also called when the core begins a new epoch by
    /// itself, after the log was rewritten.
    fn assigned(&mut self, _partition: PartitionId, _epoch: Epoch, _position: Position) {}
    /// A partition is to be given up in order.
    fn revoked(&mut self, _partition: PartitionId, _epoch: Epoch) {}
    /// A partition is somebody else's already.
    fn lost(&mut self, _partition: PartitionId, _epoch: Epoch) {}
    /// A partition is about to be given up: nothing of this epoch starts any more. Once an epoch,
    /// before the write that ends the lease.
    fn released(&mut self, _partition: PartitionId, _epoch: Epoch) {}
    /// An attempt is about to be polled for the first time.
    fn started(&mut self, _fence: &Fence, _attempt: u32, _message: &M) {}
    /// An attempt ended; the core does not know it yet.
    fn ended(&mut self, _fence: &Fence, _attempt: u32, _message: &M, _ending: Ending) {}
    /// A copy was recognised and is not run.
    fn duplicate(&mut self, _partition: PartitionId, _position: Position, _message: &M) {}
    /// A message ended without a handler and without a dead letter.
    fn passed(&mut self, _partition: PartitionId, _position: Position, _message: &M, _why: Why) {}
    /// A dead letter was confirmed by the broker. `why` tells quarantine from failure.
    fn buried(&mut self, _partition: PartitionId, _position: Position, _message: &M, _why: Why) {}
    /// A commit is about to be sent. `beyond` are the finished ranges `[from, to)` after the
    /// frontier, as encoded in its map.
    fn commit(
        &mut self,
        _partition: PartitionId,
        _epoch: Epoch,
        _frontier: Position,
        _beyond: &[(Position, Position)],
    ) {
    }
    /// A commit was confirmed.
    fn committed(
        &mut self,
        _partition: PartitionId,
        _epoch: Epoch,
        _frontier: Position,
        _beyond: &[(Position, Position)],
    ) {
    }
    /// Something happened to a partition's log or delivery.
    fn incident(
        &mut self,
        _partition: PartitionId,
        _position: Position,
        _incident: Incident,
        _why: &str,
    ) {
    }
    /// The drain is over; `left` messages were held and not finished.
    fn drained(&mut self, _left: u32) {}
}

/// Observes nothing, at no cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NoObserver;

impl<M> Observer<M> for NoObserver {
    fn wants(&self) -> bool {
        false
    }
}

/// Hands every hook on: through a box, and to each of several. A hook that is missing here is lost there.
macro_rules! hand_on {
    ($($hook:ident($($name:ident: $of:ty),*);)*) => {
        impl<M: 'static> Observer<M> for Box<dyn Observer<M>> {
            fn wants(&self) -> bool {
                (**self).wants()
            }
            $(fn $hook(&mut self, $($name: $of),*) {
                (**self).$hook($($name),*);
            })*
        }

        /// Several: each sees everything, in their order.
        impl<M, T: Observer<M>> Observer<M> for Vec<T> {
            fn wants(&self) -> bool {
                self.iter().any(T::wants)
            }
            $(fn $hook(&mut self, $($name: $of),*) {
                self.iter_mut().for_each(|one| one.$hook($($name),*));
            })*
        }

        #[cfg(test)]
        const HOOKS: &[&str] = &[$(stringify!($hook)),*];
    };
}

hand_on! {
    assigned(partition: PartitionId, epoch: Epoch, position: Position);
    revoked(partition: PartitionId, epoch: Epoch);
    lost(partition: PartitionId, epoch: Epoch);
    released(partition: PartitionId, epoch: Epoch);
    started(fence: &Fence, attempt: u32, message: &M);
    ended(fence: &Fence, attempt: u32, message: &M, ending: Ending);
    duplicate(partition: PartitionId, position: Position, message: &M);
    passed(partition: PartitionId, position: Position, message: &M, why: Why);
    buried(partition: PartitionId, position: Position, message: &M, why: Why);
    commit(partition: PartitionId, epoch: Epoch, frontier: Position, beyond: &[(Position, Position)]);
    committed(partition: PartitionId, epoch: Epoch, frontier: Position, beyond: &[(Position, Position)]);
    incident(partition: PartitionId, position: Position, incident: Incident, why: &str);
    drained(left: u32);
}

/// (partition, epoch, position): what a handler can guard its effects with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Fence {
    /// The partition.
    pub partition: PartitionId,
    /// The epoch.
    pub epoch: Epoch,
    /// The position.
    pub position: Position,
}

/// How an attempt ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Ending {
    /// It succeeded.
    Done,
    /// It failed and may be tried again.
    Retry,
    /// It failed for good.
    Reject,
    /// It panicked: a failed attempt.
    Panic,
    /// Its future was dropped because it reached its timeout: a failed attempt.
    Timeout,
    /// Its future was dropped for another reason: its partition or the subscription ended.
    Cancelled,
}

/// What happened to a partition's log or delivery.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Incident {
    /// Deliveries were lost on the way; a new session brings them again.
    Gap,
    /// A session began or ended.
    Session,
    /// The recorded progress or the log's beginning does not fit: positions from here on are a new
    /// generation.
    Reset,
    /// The log was rewritten: positions from here on are a new generation.
    Rewritten,
    /// Anything else that an operator should know.
    Notice,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The trait as it is written above: whoever adds a hook and forgets to hand it on is told.
    #[test]
    fn every_hook_is_handed_on() {
        let source = include_str!("observer.rs");
        let (_, of) = source.split_once("pub trait Observer<M>").unwrap();
        let (of, _) = of.split_once("\n}\n").unwrap();
        let names = of.split("    fn ").skip(1);
        let names: Vec<_> = names.filter_map(|f| f.split('(').next()).collect();
        let (wants, hooks) = names.split_first().unwrap();
        assert_eq!((*wants, hooks), ("wants", HOOKS));
    }
}
