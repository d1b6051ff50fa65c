//! Tasks that publish, one for each key: in order, some of them impatient.

use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use procession_core::Time;
use procession_runtime::port::{Headers, Outgoing};
use procession_runtime::publisher::PublisherHandle;
use procession_runtime::{Clock, Shell, Spawner};

use crate::event::What;
use crate::observer::told;
use crate::plan::{How, Plan, Publish};
use crate::recorder::Recorder;
use crate::work;

/// What a caller needs.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) plan: Arc<Plan>,
    pub(crate) topic: Arc<str>,
    pub(crate) handle: PublisherHandle,
    pub(crate) recorder: Recorder,
    /// Numbers publishes.
    pub(crate) next: Arc<AtomicU32>,
    /// Callers that are not done.
    pub(crate) left: Arc<AtomicU32>,
    pub(crate) todo: Todo,
    /// Which caller it is.
    pub(crate) number: usize,
}

/// What callers have not heard of yet, by caller: it outlives the process.
#[derive(Clone)]
pub(crate) struct Todo(Arc<Mutex<Vec<BTreeMap<usize, Publish>>>>);

impl Todo {
    pub(crate) fn new(callers: &[Vec<Publish>]) -> Self {
        let of = |publishes: &Vec<Publish>| publishes.iter().copied().enumerate().collect();
        Self(Arc::new(Mutex::new(callers.iter().map(of).collect())))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<BTreeMap<usize, Publish>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard(&self, (caller, index): (usize, usize)) {
        self.lock()[caller].remove(&index);
    }
}

impl Caller {
    /// Publishes everything that it has not heard of, in order.
    pub(crate) async fn run(self) {
        let shell = self.recorder.shell.clone();
        let publishes = self.todo.lock()[self.number].clone();
        for (index, publish) in publishes {
            if 0 < publish.pause {
                let at = Time::from_nanos(shell.now().as_nanos() + publish.pause);
                shell.timer().until(at).await;
            }
            self.publish(publish, (self.number, index)).await;
        }
        self.left.fetch_sub(1, Ordering::Relaxed);
    }

    async fn publish(&self, publish: Publish, place: (usize, usize)) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let message = self.plan.messages[publish.message as usize];
        let deadline = self.recorder.shell.now() + publish.within;
        let outgoing = Outgoing {
            topic: Arc::clone(&self.topic),
            key: message.key.map(|key| format!("k{key}").into()),
            id: format!("m{}", publish.message).into(),
            identity: work::identity(publish.message),
            copy: publish.copy,
            headers: Headers::default(),
            payload: work::body(publish.message, number).to_vec().into(),
            partition: None,
            expect: None,
        };
        self.recorder.write(What::Called {
            publish: number,
            message: publish.message,
            deadline: deadline.as_nanos(),
        });
        let lane = message.key.map(work::lane);
        let todo = self.todo.clone();
        let heard = move |recorder: &Recorder, result| {
            todo.heard(place);
            recorder.write(What::Heard {
                publish: number,
                result: told(&result),
            });
        };
        match publish.how {
            How::Wait => {
                let result = self.handle.publish(outgoing, lane, deadline, true).await;
                heard(&self.recorder, result);
            }
            How::Enqueue => match self.handle.enqueue(outgoing, lane, deadline, true).await {
                Ok(result) => {
                    let recorder = self.recorder.clone();
                    self.recorder.shell.spawn(Box::pin(async move {
                        let result = result.await;
                        heard(&recorder, result);
                    }));
                }
                Err(error) => heard(&self.recorder, Err(error)),
            },
            How::DropEarly => {
                let mut future = pin!(self.handle.publish(outgoing, lane, deadline, true));
                poll_fn(|cx| {
                    let _ = future.as_mut().poll(cx);
                    Poll::Ready(())
                })
                .await;
                self.todo.heard(place);
            }
            How::DropLate => {
                drop(self.handle.enqueue(outgoing, lane, deadline, true).await);
                self.todo.heard(place);
            }
        }
    }
}
