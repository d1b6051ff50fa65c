//! From the intake into the core: acceptance, waiting for room, refusal.

use core::task::Context;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use procession_core::{NoRoom, Publish, Span, Time, Token};

use super::cell::{Cell, Request};
use super::driver::{Accepted, Detail, PublisherDriver, slot_of};
use super::{PublishError, PublishObserver};
use crate::Shell;
use crate::port::Sink;

/// Publishes that wait for room are looked through for passed deadlines at most this often.
const EXPIRE_EVERY: Span = Span::from_millis(10);

impl<K: Sink, S: Shell, O: PublishObserver> PublisherDriver<K, S, O> {
    pub(super) fn hear_callers(&mut self, cx: &mut Context<'_>) -> bool {
        let mut cells = core::mem::take(&mut self.cells);
        let busy = self.shared.intake.poll_drain(cx, &mut cells).is_ready() && !cells.is_empty();
        for cell in cells.drain(..) {
            // Nobody overtakes those who wait: a key's publishes are accepted in their order (S8).
            if self.waiting.is_empty() {
                if let Some(cell) = self.accept(cell) {
                    self.wait_for_room(cell);
                }
            } else {
                match cell.take() {
                    Some(request) if request.wait_for_room => {
                        cell.put_back(request);
                        self.wait_for_room(cell);
                    }
                    Some(_) => cell.resolve(Err(PublishError::Full)),
                    None => {}
                }
            }
        }
        self.cells = cells;
        busy
    }

    /// Has a publish accepted, or gives its cell back when it has to wait for room.
    pub(super) fn accept(&mut self, cell: Arc<Cell>) -> Option<Arc<Cell>> {
        let Request {
            message,
            lane,
            deadline,
            wait_for_room,
            tell,
        } = cell.take()?;
        let told = tell.then(|| Arc::clone(&cell));
        let bytes = u32::try_from(message.bytes()).unwrap_or(u32::MAX);
        // The core keeps the message once it has accepted it; an observer needs a look at it.
        let copy = self.observed.then(|| Arc::clone(&message));
        let publish = Publish {
            lane,
            bytes,
            deadline,
            message: Accepted { message, cell },
        };
        let full = match self.core.publish(self.now, publish) {
            Ok(token) => {
                self.accepted(token);
                if let Some(copy) = copy {
                    self.observer.accepted(&copy);
                }
                if let Some(told) = told {
                    told.accept();
                }
                return None;
            }
            Err(full) => full,
        };
        let Accepted { message, cell } = full.publish.message;
        match full.why {
            NoRoom::Window if wait_for_room => {
                cell.put_back(Request {
                    message,
                    lane,
                    deadline,
                    wait_for_room,
                    tell,
                });
                Some(cell)
            }
            NoRoom::Window => {
                cell.resolve(Err(PublishError::Full));
                None
            }
            NoRoom::TooLarge => {
                let why = format!(
                    "{bytes} bytes are more than the whole publishing window of {} bytes; raise \
                     it or send less",
                    self.options.core.bytes
                );
                cell.resolve(Err(PublishError::Refused(why.into())));
                None
            }
            NoRoom::Draining | NoRoom::Closed => {
                cell.resolve(Err(PublishError::Closed));
                None
            }
        }
    }

    pub(super) fn accepted(&mut self, token: Token) {
        self.shared.outstanding.fetch_add(1, Ordering::Relaxed);
        let slot = slot_of(token.to_bits());
        if self.details.len() <= slot {
            self.details.resize_with(slot + 1, || None);
        }
        if let Some(detail) = self.details.get_mut(slot) {
            *detail = Some(Detail {
                token,
                stored: None,
                error: None,
            });
        }
    }

    pub(super) fn wait_for_room(&mut self, cell: Arc<Cell>) {
        if let Some(deadline) = cell.deadline() {
            self.expire_at = self.expire_at.min(deadline);
            self.waiting.push_back(cell);
        }
    }

    /// Accepts those who wait, in their order, while there is room.
    pub(super) fn accept_waiting(&mut self) {
        while let Some(cell) = self.waiting.pop_front() {
            if let Some(cell) = self.accept(cell) {
                self.waiting.push_front(cell);
                return;
            }
        }
        self.expire_at = Time::MAX;
    }

    /// Gives up those who waited for room until their deadline, and forgets dropped ones.
    pub(super) fn expire(&mut self) {
        let now = self.now;
        let mut next = Time::MAX;
        self.waiting.retain(|cell| match cell.deadline() {
            Some(deadline) if deadline <= now => {
                if cell.take().is_some() {
                    cell.resolve(Err(PublishError::Full));
                }
                false
            }
            Some(deadline) => {
                next = next.min(deadline);
                true
            }
            None => false,
        });
        self.expire_at = next.max(now + EXPIRE_EVERY);
        if self.waiting.is_empty() {
            self.expire_at = Time::MAX;
        }
    }

    /// Nothing new is taken: those who were not accepted learn of it.
    pub(super) fn refuse_waiting(&mut self) {
        self.shared.intake.close();
        let mut late = Vec::new();
        self.shared.intake.drain(&mut late);
        for cell in self.waiting.drain(..).chain(late) {
            if cell.take().is_some() {
                cell.resolve(Err(PublishError::Closed));
            }
        }
        self.expire_at = Time::MAX;
    }
}
