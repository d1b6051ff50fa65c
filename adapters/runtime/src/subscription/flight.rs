//! The flight recorder's reports: when one is made, and who makes it.

use core::hash::{BuildHasher as _, Hasher as _};
use core::panic::AssertUnwindSafe;
use std::hash::RandomState;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use procession_core::{Mask, Span, Time};
use procession_tape::{Flight, Head};

use super::asked::{Asked, NotRecorded};
use super::driver::SubscriptionDriver;
use super::shared::Shared;
use super::{Notice, Observer, Work};
use crate::Shell;
use crate::port::Feed;

/// Reports that one subscription writes by itself, and the time between two.
const FILES_MAX: u32 = 16;
const FILES_EVERY: Span = Span::from_secs(10);

/// Reports that are put into words at once; whoever asks for more is told to ask again.
const AT_ONCE: usize = 4;

/// How often all invariants of a core with a recorder are checked.
const CHECK_EVERY: Span = Span::from_secs(60);

/// What a report says above its inputs.
#[derive(Clone, Debug)]
struct Reason {
    /// The promise that is broken, if one is: its id and shape.
    verdict: Option<(&'static str, String)>,
    detail: String,
}

/// The files that a subscription has written by itself.
#[derive(Debug, Default)]
pub(super) struct Files {
    count: u32,
    last: Option<Time>,
    checked: Time,
    /// Who puts reports into words.
    writers: Vec<JoinHandle<()>>,
}

impl Files {
    /// Whether as many reports are being made as may be.
    fn is_busy(&mut self) -> bool {
        self.writers.retain(|writer| !writer.is_finished());
        AT_ONCE <= self.writers.len()
    }

    /// On a thread of its own: making the text takes longer than a driver may.
    fn beside(&mut self, work: impl FnOnce() + Send + 'static) {
        let name = "procession-flight".to_owned();
        match std::thread::Builder::new().name(name).spawn(work) {
            Ok(writer) => self.writers.push(writer),
            Err(error) => tracing::warn!(%error, "no thread for a flight report"),
        }
    }
}

impl<F: Feed, W: Work, S: Shell, O: Observer<W::Message>> SubscriptionDriver<F, W, S, O> {
    /// The owner asks for a report. It is put into words beside the driver, which goes on.
    pub(super) fn record(&mut self, asked: Asked) {
        let Some(flight) = self.core.flight.clone() else {
            return asked.answer(Err(NotRecorded::Off));
        };
        if self.files.is_busy() {
            return asked.answer(Err(NotRecorded::Busy));
        }
        let reason = self.reason("asked for".into());
        self.files
            .beside(move || asked.answer(Ok(report(&flight, &reason))));
    }

    /// Something is wrong: a report is written, where the owner wants that.
    pub(super) fn record_alarm(&mut self, what: String) {
        let files = &mut self.files;
        let soon = files
            .last
            .is_some_and(|last| self.now.since(last) < FILES_EVERY);
        let (Some(flight), Some(directory)) = (&self.core.flight, &self.options.flight_directory)
        else {
            return;
        };
        if soon || FILES_MAX <= files.count || files.is_busy() {
            return;
        }
        files.count += 1;
        files.last = Some(self.now);
        let path = file(directory, files.count);
        let (flight, shared) = (flight.clone(), Arc::clone(&self.shared));
        let reason = self.reason(what);
        self.files
            .beside(move || write(&shared, &path, &report(&flight, &reason)));
    }

    /// Checks the core from time to time; one that is broken stays so, and is told once.
    pub(super) fn watch_invariants(&mut self) {
        let due = self.files.checked + CHECK_EVERY <= self.now;
        if self.core.flight.is_none() || !due {
            return;
        }
        self.files.checked = self.now;
        if let Err(broken) = self.core.check_invariants() {
            self.files.checked = Time::MAX;
            tracing::error!(broken, "an invariant of the core does not hold");
            self.record_alarm("checked".into());
        }
    }

    /// The driver unwinds: whatever its state is, what was recorded is written now.
    pub(super) fn record_panic(&self) {
        if let (Some(flight), Some(directory)) = (&self.core.flight, &self.options.flight_directory)
        {
            let reason = Reason {
                verdict: flight.is_open().then(|| ("core", "panic".into())),
                detail: "the driver panicked".into(),
            };
            let path = file(directory, self.files.count + 1);
            let made = catch_unwind(AssertUnwindSafe(|| report(flight, &reason)));
            if let Ok(text) = made {
                write(&self.shared, &path, &text);
            }
        }
    }

    fn reason(&self, what: String) -> Reason {
        match self.core.check_invariants() {
            Ok(()) => Reason {
                verdict: None,
                detail: what,
            },
            Err(broken) => Reason {
                verdict: Some(("core", dashed(broken))),
                detail: format!("{what}: {broken}"),
            },
        }
    }
}

/// Words with dashes, as verdicts are written.
fn dashed(words: &str) -> String {
    let parts = words.split(|c: char| !c.is_ascii_alphanumeric());
    let parts: Vec<_> = parts.filter(|p| !p.is_empty()).collect();
    parts.join("-").to_ascii_lowercase()
}

fn file(directory: &Path, count: u32) -> PathBuf {
    // Processes and subscriptions beside each other may share a directory.
    let random = RandomState::new().hash_one(count) as u32;
    let process = std::process::id();
    directory.join(format!("flight-{process}-{random:08x}-{count}.procfail"))
}

fn write(shared: &Shared, path: &Path, text: &str) {
    let name: Arc<str> = path.display().to_string().into();
    let whole = path.with_extension("part");
    let written = std::fs::write(&whole, text).and_then(|()| std::fs::rename(&whole, path));
    match written {
        Ok(()) => shared.notice(Notice::FlightReport { path: name }),
        Err(error) => {
            tracing::warn!(path = %name, %error, "a flight report was not written");
            shared.notice(Notice::FlightReportFailed {
                path: name,
                error: error.to_string().into(),
            });
        }
    }
}

/// The text of a report. Keys and identities are replaced by hashes under a salt that nobody keeps.
fn report(flight: &Flight, reason: &Reason) -> String {
    let (low, high) = (RandomState::new(), RandomState::new());
    let half = |state: &RandomState, number: u128| {
        let mut hasher = state.build_hasher();
        hasher.write_u128(number);
        hasher.finish()
    };
    let hash = |number| u128::from(half(&high, number)) << 64 | u128::from(half(&low, number));
    let verdict = reason.verdict.as_ref();
    let head = Head {
        core: env!("CARGO_PKG_VERSION"),
        origin: "recorder",
        mutant: 0,
        verdict: verdict.map(|(id, shape)| (*id, shape.as_str())),
        detail: &reason.detail,
        shrunk: "",
        seed: 0,
    };
    flight.report(&head, &Mask::new(&hash))
}
