//! Deliveries on their way into the core: decoded, offered, kept while it refuses.

use procession_core::{Admit, Arrival, Epoch, PartitionId, Position, Refusal, Session, Why};

use super::driver::SubscriptionDriver;
use super::held::Held;
use super::partition::Kept;
use super::{Decoded, Observer, Work};
use crate::Shell;
use crate::port::{Feed, Record};

impl<F: Feed, W: Work, S: Shell, O: Observer<W::Message>> SubscriptionDriver<F, W, S, O> {
    pub(super) fn records(
        &mut self,
        id: PartitionId,
        epoch: Epoch,
        session: Session,
        records: Vec<Record>,
    ) {
        let Some(known) = self.partition(id) else {
            return;
        };
        // Of an older session: the core would call it void.
        if known.session != Some((epoch, session)) {
            return;
        }
        let waits = !known.kept.is_empty();
        known.kept.push_back(Kept::Records {
            epoch,
            session,
            head: None,
            rest: records.into_iter(),
        });
        if !waits {
            self.offer_partition(id);
        }
    }

    /// Offers again what the core has refused, now that something may have changed.
    pub(super) fn offer_kept(&mut self) -> bool {
        let mut busy = false;
        for index in 0..self.partitions.len() {
            if self
                .partitions
                .get(index)
                .is_some_and(|p| !p.kept.is_empty())
            {
                busy |= self.offer_partition(PartitionId(u32::try_from(index).unwrap_or(u32::MAX)));
            }
        }
        busy
    }

    /// Offers what is kept of one partition, in order, until the core refuses. Returns whether the
    /// core took anything.
    pub(super) fn offer_partition(&mut self, id: PartitionId) -> bool {
        // Taken out for the time of the loop: deciding needs the whole driver.
        let Some(known) = self.partition(id) else {
            return false;
        };
        let mut kept = core::mem::take(&mut known.kept);
        let mut took = false;
        'batches: while let Some(batch) = kept.front_mut() {
            match batch {
                Kept::Advance {
                    epoch,
                    session,
                    position,
                } => self.core.advance(self.now, id, *epoch, *session, *position),
                Kept::Records {
                    epoch,
                    session,
                    head,
                    rest,
                } => {
                    while let Some(arrival) = head.take().or_else(|| {
                        let record = rest.next()?;
                        Some(self.decode(id, *epoch, *session, record))
                    }) {
                        if let Some(refused) = self.offer(arrival) {
                            *head = Some(refused);
                            break 'batches;
                        }
                        took = true;
                    }
                }
            }
            kept.pop_front();
        }
        if let Some(known) = self.partition(id) {
            known.kept = kept;
        }
        took
    }

    pub(super) fn decode(
        &self,
        partition: PartitionId,
        epoch: Epoch,
        session: Session,
        record: Record,
    ) -> Arrival<Held<W::Message>> {
        let (position, stamp, delivery) = (record.position, record.stamp, record.delivery);
        let Decoded {
            lane,
            key,
            identity,
            bytes,
            expires,
            sequence,
            quarantine,
            message,
        } = self.work.decode(partition, record);
        Arrival {
            partition,
            epoch,
            session,
            delivery,
            position,
            stamp,
            lane,
            key,
            identity,
            bytes,
            expires,
            sequence,
            quarantine,
            message: Held {
                message,
                error: None,
            },
        }
    }

    /// Offers one arrival; gives it back when it has to wait.
    pub(super) fn offer(
        &mut self,
        arrival: Arrival<Held<W::Message>>,
    ) -> Option<Arrival<Held<W::Message>>> {
        let (partition, position) = (arrival.partition, arrival.position);
        // The core keeps no copy of a duplicate; an observer needs one.
        let copy = self.observed.then(|| arrival.message.message.clone());
        let refused = match self.core.offer(self.now, arrival) {
            Ok(admit) => {
                self.admitted(admit, partition, position, copy);
                return None;
            }
            Err(refused) => refused,
        };
        let mut arrival = refused.arrival;
        match refused.why {
            Refusal::Credit | Refusal::Window => Some(arrival),
            Refusal::TooLarge => {
                arrival.quarantine = Some(Why::TooLarge);
                match self.core.offer(self.now, arrival) {
                    Ok(admit) => {
                        self.admitted(admit, partition, position, copy);
                        None
                    }
                    Err(refused) => Some(refused.arrival),
                }
            }
        }
    }

    pub(super) fn admitted(
        &mut self,
        admit: Admit,
        partition: PartitionId,
        position: Position,
        copy: Option<W::Message>,
    ) {
        if let (Admit::Duplicate, Some(copy)) = (admit, copy) {
            self.observer.duplicate(partition, position, &copy);
        }
    }
}
