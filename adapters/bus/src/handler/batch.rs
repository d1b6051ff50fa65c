//! Several messages in one call: what is ready while the call before runs.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{self, Poll, Waker};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::Shared;

use super::{Context, Handler, HandlerError};
use crate::Envelope;

/// A handler that is called with up to `most` messages at once, each of another key unless it asks for
/// [several of one](Batch::of_one_key): for stores that take many rows in one transaction.
///
/// Nobody waits for a batch to fill: while one call runs, what becomes ready gathers for the next one, so
/// a quiet topic is handled message by message and a busy one in large batches. One call runs at a time
/// ([`Batch::at_once`] allows more).
///
/// Each message keeps its own attempt: it is retried, rejected and timed out by itself, and the next
/// message of its key waits for it (S1, S2). The call answers for each message, in their order, or for all
/// of them at once ([`Outcomes`]). `handler_timeout` counts from the moment that a message is ready, the
/// wait for the call before included; messages whose attempts are cancelled meanwhile are still in the
/// call, and their outcome is not heard. A panic fails them all. `concurrency` must allow for `most`
/// messages in the call and as many that gather.
///
/// ```
/// # use procession::{Bus, Context, Envelope, batch};
/// # async fn store(rows: &[(Envelope, Context)]) -> Result<(), std::io::Error> { Ok(()) }
/// # async fn example(bus: Bus) -> Result<(), procession::Error> {
/// let subscription = bus.subscribe("orders", "archive", batch(500, |rows| async move {
///     store(&rows).await?;    // one transaction for all of them
///     Ok(())
/// })).await?;
/// # drop(subscription);
/// # Ok(())
/// # }
/// ```
pub fn batch<F, Fut>(most: usize, handle: F) -> Batch<F>
where
    F: Fn(Vec<(Envelope, Context)>) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: Outcomes,
{
    Batch {
        handle: Arc::new(handle),
        desk: Arc::new(Desk {
            most: most.max(1),
            at_once: 1,
            state: Mutex::default(),
        }),
        of_one_key: 1,
    }
}

/// A handler of batches; made by [`batch`].
#[derive(Debug)]
pub struct Batch<F> {
    handle: Arc<F>,
    desk: Arc<Desk>,
    of_one_key: u32,
}

/// What a call says of its messages.
pub trait Outcomes: Send + 'static {
    /// An outcome for each of `count` messages, in their order. One that is missing is a failed attempt.
    fn each(self, count: usize) -> Vec<Result<(), HandlerError>>;
}

impl Outcomes for Vec<Result<(), HandlerError>> {
    fn each(self, _count: usize) -> Self {
        self
    }
}

/// All of them share one fate.
impl Outcomes for Result<(), HandlerError> {
    fn each(self, count: usize) -> Vec<Self> {
        vec![self; count]
    }
}

impl<F> Batch<F> {
    /// So many calls may run at the same time (0 counts as 1; 1 unless this is said).
    #[must_use]
    pub fn at_once(self, calls: usize) -> Self {
        let desk = Arc::new(Desk {
            most: self.desk.most,
            at_once: calls.max(1),
            state: Mutex::default(),
        });
        Self { desk, ..self }
    }

    /// A call may get up to so many messages of one key, in their order (1 unless this is said; at most what a
    /// call takes, and 256): that of the log, or with `order = "sequence"` that of their numbers, as far as
    /// none is missing. With `order = "unordered"` there is one of a key in a call.
    ///
    /// What the call says of a message counts when all before it of its key are done (S2). Behind one that
    /// failed, all of its key are handed out again, whatever was said of them, and without costing an
    /// attempt; so do not store what is behind a failure. Behind one that is rejected they count when its
    /// dead letter is stored.
    #[must_use]
    pub fn of_one_key(self, messages: u32) -> Self {
        let most = u32::try_from(self.desk.most).unwrap_or(u32::MAX).min(256);
        Self {
            of_one_key: messages.clamp(1, most),
            ..self
        }
    }
}

impl<F, Fut> Handler for Batch<F>
where
    F: Fn(Vec<(Envelope, Context)>) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: Outcomes,
{
    fn handle(
        &self,
        envelope: Envelope,
        context: Context,
    ) -> impl Future<Output = Result<(), HandlerError>> + Send + 'static {
        let handle = Arc::clone(&self.handle);
        let call = context.call();
        let (place, index) = self.desk.join((envelope, context), call);
        Member {
            desk: Arc::clone(&self.desk),
            place,
            index,
            waited: false,
            call: None,
            begin: move |messages: Vec<_>, ended: Ended| {
                let (handle, count) = (Arc::clone(&handle), messages.len());
                let call = async move {
                    let outcomes = handle(messages).await.each(count);
                    drop(ended);
                    Arc::from(outcomes)
                };
                call.boxed().shared()
            },
        }
    }

    fn of_one_key(&self) -> u32 {
        self.of_one_key
    }
}

/// What a call has answered.
type Answers = Arc<[Result<(), HandlerError>]>;
/// A call that every message in it can wait for, and that goes on while one of them does.
type Call = Shared<Pin<Box<dyn Future<Output = Answers> + Send>>>;
/// Where a call is found once it has begun, and for each message which of the call's it is.
type Place = Arc<OnceLock<(Call, Vec<usize>)>>;

/// Where messages gather for calls.
#[derive(Debug)]
struct Desk {
    most: usize,
    at_once: usize,
    state: Mutex<State>,
}

#[derive(Default, Debug)]
struct State {
    /// Bounded by the concurrency of the subscription: each message in it belongs to an attempt.
    queue: VecDeque<Gathered>,
    running: usize,
}

/// The messages of a call that has not begun.
#[derive(Default)]
struct Gathered {
    place: Place,
    /// Messages of a key that are still to come: they are handed out together, and are in one call (S1).
    expected: u32,
    /// Those of cancelled attempts are gone.
    messages: Vec<Option<(Envelope, Context)>>,
    wakers: Vec<Option<Waker>>,
}

impl fmt::Debug for Gathered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gathered")
            .field(&self.messages.len())
            .finish()
    }
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message gathers for the next call; it is the `number`th of `count` that come right after each
    /// other.
    fn join(&self, message: (Envelope, Context), (number, count): (u32, u32)) -> (Place, usize) {
        let mut state = self.state();
        let room = if number == 0 { count as usize } else { 0 };
        let full = |gathered: &Gathered| {
            let held = gathered.messages.len();
            0 < held && self.most < held + room
        };
        if state.queue.back().is_none_or(full) {
            state.queue.push_back(Gathered::default());
        }
        let Some(gathered) = state.queue.back_mut() else {
            return (Place::default(), 0);
        };
        gathered.expected = count.saturating_sub(number + 1);
        gathered.messages.push(Some(message));
        gathered.wakers.push(None);
        (Arc::clone(&gathered.place), gathered.messages.len() - 1)
    }

    /// Somebody whose turn it may be to begin the next call.
    fn next(&self) -> Option<Waker> {
        let mut state = self.state();
        if self.at_once <= state.running {
            return None;
        }
        while let Some(first) = state.queue.front_mut() {
            if first.messages.iter().any(Option::is_some) {
                return first.wakers.iter_mut().find_map(Option::take);
            }
            // All of its attempts were cancelled.
            state.queue.pop_front();
        }
        None
    }

    fn nudge(&self) {
        if let Some(next) = self.next() {
            next.wake();
        }
    }
}

impl State {
    fn find(&mut self, place: &Place) -> Option<&mut Gathered> {
        let mut queue = self.queue.iter_mut();
        queue.find(|gathered| Arc::ptr_eq(&gathered.place, place))
    }
}

/// A call that runs: its end, also by a panic or because nobody waits any more, makes room for the next.
struct Ended(Arc<Desk>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.state().running -= 1;
        self.0.nudge();
    }
}

/// One message's attempt: waits for the call that it is in, and begins it when its turn has come.
struct Member<B> {
    desk: Arc<Desk>,
    place: Place,
    index: usize,
    /// It was polled before: what else is ready has had its chance to join.
    waited: bool,
    /// This one's own share in the call, once it has begun.
    call: Option<Call>,
    begin: B,
}

impl<B> Unpin for Member<B> {}

impl<B: Fn(Vec<(Envelope, Context)>, Ended) -> Call> Future for Member<B> {
    type Output = Result<(), HandlerError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.place.get().is_none() && !this.try_begin(cx) {
            return Poll::Pending;
        }
        let Some((call, numbers)) = this.place.get() else {
            return Poll::Pending;
        };
        // Kept: who lets go of its share is not woken any more.
        let call = this.call.get_or_insert_with(|| call.clone());
        let answers = task::ready!(call.poll_unpin(cx));
        let number = numbers.get(this.index);
        Poll::Ready(match number.and_then(|number| answers.get(*number)) {
            Some(answer) => answer.clone(),
            None => Err(HandlerError::new(
                "the handler of a batch gave fewer outcomes than it was given messages",
            )),
        })
    }
}

impl<B: Fn(Vec<(Envelope, Context)>, Ended) -> Call> Member<B> {
    /// Begins the call if that is due. Whether it has begun.
    fn try_begin(&mut self, cx: &task::Context<'_>) -> bool {
        let waited = core::mem::replace(&mut self.waited, true);
        let mut state = self.desk.state();
        let first = state.queue.front();
        let is_first = first
            .is_some_and(|first| Arc::ptr_eq(&first.place, &self.place) && first.expected == 0);
        let due = is_first && state.running < self.desk.at_once;
        if !due || !waited {
            let Some(gathered) = state.find(&self.place) else {
                // Begun by another one, just now.
                return self.place.get().is_some();
            };
            if let Some(waker) = gathered.wakers.get_mut(self.index) {
                *waker = Some(cx.waker().clone());
            }
            drop(state);
            if due {
                cx.waker().wake_by_ref();
            }
            return false;
        }
        let Some(gathered) = state.queue.pop_front() else {
            return false;
        };
        state.running += 1;
        let mut numbers = Vec::with_capacity(gathered.messages.len());
        let mut messages = Vec::with_capacity(gathered.messages.len());
        for message in gathered.messages {
            numbers.push(messages.len());
            messages.extend(message);
        }
        // Under the lock, so that no member finds itself neither gathering nor in a call. Nothing of the
        // handler's runs before the call is polled.
        let call = (self.begin)(messages, Ended(Arc::clone(&self.desk)));
        let _first = self.place.set((call, numbers));
        drop(state);
        gathered.wakers.into_iter().flatten().for_each(Waker::wake);
        self.desk.nudge();
        true
    }
}

/// Cancelled: a message that is not in a call yet will not be.
impl<B> Drop for Member<B> {
    fn drop(&mut self) {
        if self.place.get().is_some() {
            return;
        }
        let mut state = self.desk.state();
        let Some(gathered) = state.find(&self.place) else {
            return;
        };
        let message = gathered.messages.get_mut(self.index).and_then(Option::take);
        let waker = gathered.wakers.get_mut(self.index).and_then(Option::take);
        drop(state);
        drop((message, waker));
        self.desk.nudge();
    }
}
