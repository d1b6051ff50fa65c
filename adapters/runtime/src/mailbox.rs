//! The only state that handlers, ports and publishers share with a driver.

use core::task::{Context, Poll, Waker};

use crate::sync::Mutex;

/// A queue with many writers and one reader, emptied in batches.
///
/// One lock guards the items, the reader's waker and the closed flag, so a wake-up cannot be lost
/// between looking and sleeping. The lock is held for a push, a swap of two vectors or the storing
/// of a waker, never while anything is called or dropped.
///
/// # Who bounds it
/// [`push`](Self::push) takes everything: its callers bound it by construction, with one message
/// per running handler (at most the concurrency), or one per answer that was asked for.
/// [`push_bounded`](Self::push_bounded) is for callers that nothing else bounds.
#[derive(Debug)]
pub struct Mailbox<T> {
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    items: Vec<T>,
    reader: Option<Waker>,
    closed: bool,
}

/// Why a message was not taken. It is given back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PushError<T> {
    /// The mailbox holds as many messages as the caller allows.
    Full(T),
    /// The reader is gone, or will not read any more.
    Closed(T),
}

impl<T> PushError<T> {
    /// The message.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(item) | Self::Closed(item) => item,
        }
    }
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Mailbox<T> {
    /// An empty mailbox.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: Mutex::new(State {
                items: Vec::new(),
                reader: None,
                closed: false,
            }),
        }
    }

    /// Appends a message and wakes the reader if it sleeps. The caller bounds how many there are.
    ///
    /// # Errors
    /// The message, when the mailbox is closed.
    pub fn push(&self, item: T) -> Result<(), T> {
        self.push_bounded(item, usize::MAX)
            .map_err(PushError::into_inner)
    }

    /// Appends a message unless `limit` are waiting.
    ///
    /// # Errors
    /// The message, when `limit` messages wait or the mailbox is closed.
    pub fn push_bounded(&self, item: T, limit: usize) -> Result<(), PushError<T>> {
        let reader = {
            let mut state = self.state.lock();
            if state.closed {
                return Err(PushError::Closed(item));
            }
            if limit <= state.items.len() {
                return Err(PushError::Full(item));
            }
            state.items.push(item);
            state.reader.take()
        };
        // Woken outside of the lock: a waker may run the reader at once, which takes the lock.
        if let Some(reader) = reader {
            reader.wake();
        }
        Ok(())
    }

    /// Exchanges what waits for `into`, which must be empty (its memory is reused). Ready when there
    /// was something or when the mailbox is closed and empty; else pending, with the waker kept.
    pub fn poll_drain(&self, cx: &mut Context<'_>, into: &mut Vec<T>) -> Poll<()> {
        debug_assert!(into.is_empty(), "the batch before was not used up");
        let mut state = self.state.lock();
        if !state.items.is_empty() {
            core::mem::swap(&mut state.items, into);
            return Poll::Ready(());
        }
        if state.closed {
            return Poll::Ready(());
        }
        // The old waker is replaced, not dropped, under the lock when both are the same.
        match &mut state.reader {
            Some(reader) => reader.clone_from(cx.waker()),
            empty => *empty = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Takes what waits, without waiting for more.
    pub fn drain(&self, into: &mut Vec<T>) {
        debug_assert!(into.is_empty(), "the batch before was not used up");
        core::mem::swap(&mut self.state.lock().items, into);
    }

    /// Drops the messages that `keep` says no to; for senders that take back what nobody has read.
    /// `keep` must be quick and must not touch this mailbox.
    pub fn retain(&self, keep: impl FnMut(&T) -> bool) {
        // Dropped outside of the lock: a destructor may do anything.
        let mut keep = keep;
        let dropped: Vec<T> = self
            .state
            .lock()
            .items
            .extract_if(.., |i| !keep(i))
            .collect();
        drop(dropped);
    }

    /// Refuses further messages and wakes the reader. What waits can still be drained.
    pub fn close(&self) {
        let reader = {
            let mut state = self.state.lock();
            state.closed = true;
            state.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// How many messages wait.
    pub fn len(&self) -> usize {
        self.state.lock().items.len()
    }

    /// Whether no message waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether further messages are refused.
    pub fn is_closed(&self) -> bool {
        self.state.lock().closed
    }
}

// Every interleaving is checked in `tests/loom_mailbox.rs`; these are the plain rules.
#[cfg(all(test, not(procession_loom)))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn the_reader_is_woken_once_a_sleep_and_takes_a_whole_batch() {
        let mailbox = Mailbox::new();
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&waker);
        let mut batch = Vec::new();
        assert!(mailbox.poll_drain(&mut cx, &mut batch).is_pending());
        for item in 0..3 {
            mailbox.push(item).unwrap();
        }
        assert_eq!((mailbox.len(), count.0.load(Ordering::SeqCst)), (3, 1));
        assert!(mailbox.poll_drain(&mut cx, &mut batch).is_ready());
        assert_eq!(batch, [0, 1, 2]);
        assert!(mailbox.is_empty());
    }

    #[test]
    fn full_and_closed_give_the_message_back() {
        let mailbox = Mailbox::new();
        assert_eq!(mailbox.push_bounded(1, 1), Ok(()));
        assert_eq!(mailbox.push_bounded(2, 1), Err(PushError::Full(2)));
        mailbox.close();
        assert!(mailbox.is_closed());
        assert_eq!(mailbox.push_bounded(3, 9), Err(PushError::Closed(3)));
        // What waited can still be read; then ready and empty says that it is over.
        let mut cx = Context::from_waker(Waker::noop());
        let mut batch = Vec::new();
        assert!(mailbox.poll_drain(&mut cx, &mut batch).is_ready());
        assert_eq!(core::mem::take(&mut batch), [1]);
        assert!(mailbox.poll_drain(&mut cx, &mut batch).is_ready());
        assert!(batch.is_empty());
    }

    #[test]
    fn retain_takes_back_what_nobody_has_read() {
        let mailbox = Mailbox::new();
        for item in 0..6 {
            mailbox.push(item).unwrap();
        }
        mailbox.retain(|item| item % 2 == 0);
        let mut batch = Vec::new();
        mailbox.drain(&mut batch);
        assert_eq!(batch, [0, 2, 4]);
    }
}
