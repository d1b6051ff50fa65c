//! Ctrl-C and SIGTERM: the first one drains, the second one ends at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Becomes true when the process is asked to end.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    asked: watch::Receiver<bool>,
}

impl Stop {
    /// Listens from now on.
    ///
    /// # Errors
    /// The signals cannot be listened to.
    pub(crate) fn listen() -> std::io::Result<Self> {
        let (ask, asked) = watch::channel(false);
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::spawn(async move {
            for again in [false, true] {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    // Nobody listens any more: the runtime is about to end.
                    () = ask.closed() => return,
                }
                if again {
                    std::process::exit(130);
                }
                ask.send_replace(true);
            }
        });
        Ok(Self { asked })
    }

    /// Whether the process was asked to end.
    #[must_use]
    pub(crate) fn is_asked(&self) -> bool {
        *self.asked.borrow()
    }

    /// Resolves when the process is asked to end.
    pub(crate) async fn asked(&self) {
        let mut asked = self.asked.clone();
        if asked.wait_for(|asked| *asked).await.is_err() {
            // The listener is gone; there will be no signal.
            std::future::pending::<()>().await;
        }
    }
}
