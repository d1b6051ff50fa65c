//! Administration: one client, and calls that block on threads of their own.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use procession_runtime::mailbox::Mailbox;
use procession_runtime::port::{PortError, PortErrorKind};
use rdkafka::ClientConfig;
use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;

use crate::errors;
use crate::options::KafkaOptions;
use crate::thread::{Bell, Ended, IoThread};

/// How long one request of administration may take.
pub(crate) const WITHIN: Duration = Duration::from_secs(5);
/// How often somebody who waits looks whether the end has come.
const LOOK: Duration = Duration::from_millis(5);

/// The client of administration.
pub(crate) type Admin = AdminClient<DefaultClientContext>;

/// Asks the brokers about topics and settings.
pub(crate) struct Control {
    admin: Mutex<Option<Arc<Admin>>>,
    working: Mutex<Vec<Ended>>,
    pub(crate) options: KafkaOptions,
}

fn client(config: &ClientConfig) -> Result<Arc<Admin>, PortError> {
    let admin = config
        .create()
        .map_err(|error| errors::port_error("making a Kafka client", &error))?;
    Ok(Arc::new(admin))
}

/// The client in which the mock cluster of this process lives; all others find it at its port. It is one
/// cluster for all buses of the process, as `memory://` is, and goes with the last of them.
fn mock(options: &KafkaOptions) -> Result<Arc<Admin>, PortError> {
    static SHARED: Mutex<Weak<Admin>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(running) = shared.upgrade() {
        return Ok(running);
    }
    let mut config = options.client();
    config.set("test.mock.num.brokers", "1");
    let running = client(&config)?;
    *shared = Arc::downgrade(&running);
    Ok(running)
}

impl Control {
    pub(crate) fn new(mut options: KafkaOptions) -> Result<Self, PortError> {
        let admin = if options.mock {
            let admin = mock(&options)?;
            let cluster = admin.inner().mock_cluster();
            options.servers = cluster.map_or_else(String::new, |c| c.bootstrap_servers());
            admin
        } else {
            client(&options.client())?
        };
        Ok(Self {
            admin: Mutex::new(Some(admin)),
            working: Mutex::default(),
            options,
        })
    }

    pub(crate) fn closed(&self) -> PortError {
        PortError::new(
            PortErrorKind::Disconnected,
            format!("the connection to {} is closed", self.options.shown),
        )
    }

    /// Runs `work` on a thread of its own, and resolves to its result. Dropping the future does not
    /// stop it.
    pub(crate) async fn run<R, W>(&self, work: W) -> Result<R, PortError>
    where
        R: Send + 'static,
        W: FnOnce(&Admin, &KafkaOptions) -> Result<R, PortError> + Send + 'static,
    {
        let admin = self
            .admin
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let admin = admin.ok_or_else(|| self.closed())?;
        let options = self.options.clone();
        let answer = Arc::new(Mailbox::new());
        let answered = Arc::clone(&answer);
        let thread = IoThread::spawn(
            "procession-kafka-admin",
            {
                let answer = Arc::clone(&answer);
                move || {
                    let result = work(&admin, &options);
                    drop(admin);
                    let _ = answer.push(result);
                }
            },
            move || answered.close(),
        )?;
        self.note(thread.ended());
        let mut batch = Vec::with_capacity(1);
        poll_fn(|cx| answer.poll_drain(cx, &mut batch)).await;
        // Only a panic leaves nothing.
        batch.pop().unwrap_or_else(|| {
            Err(PortError::new(
                PortErrorKind::Refused,
                "a request of administration ended unexpectedly",
            ))
        })
    }

    fn note(&self, ended: Ended) {
        let mut working = self.working.lock().unwrap_or_else(PoisonError::into_inner);
        working.retain(|ended| !ended.is_set());
        working.push(ended);
    }

    /// Ends the client, and waits for what is still asked. False when something was left at the end
    /// of `within`.
    pub(crate) fn close(&self, within: Duration, also: &[Ended]) -> bool {
        let until = std::time::Instant::now() + within;
        let admin = self
            .admin
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let working =
            std::mem::take(&mut *self.working.lock().unwrap_or_else(PoisonError::into_inner));
        let reaper = IoThread::spawn("procession-kafka-end", move || drop(admin), || {});
        let mut all: Vec<Ended> = working.into_iter().chain(also.iter().cloned()).collect();
        if let Ok(reaper) = &reaper {
            all.push(reaper.ended());
        }
        while !all.iter().all(Ended::is_set) {
            if until <= std::time::Instant::now() {
                return false;
            }
            std::thread::sleep(LOOK);
        }
        if let Ok(mut reaper) = reaper {
            reaper.join();
        }
        true
    }
}

/// Waits for a future on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let bell = Arc::new(Bell::default());
    bell.adopt();
    let waker = Waker::from(bell);
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

impl core::fmt::Debug for Control {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Control")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
