//! The only lock of this crate, real or loom's: the mailbox is checked with `--cfg procession_loom`.

#[cfg(procession_loom)]
use loom::sync as imp;
#[cfg(not(procession_loom))]
use std::sync as imp;

/// A mutex whose poisoning is ignored: nothing that is done under it can panic half-way.
#[derive(Debug)]
pub(crate) struct Mutex<T>(imp::Mutex<T>);

pub(crate) type MutexGuard<'a, T> = imp::MutexGuard<'a, T>;

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(imp::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        match self.0.lock() {
            Ok(guard) => guard,
            Err(poisoned) => poisoned.into_inner(),
        }
    }
}
