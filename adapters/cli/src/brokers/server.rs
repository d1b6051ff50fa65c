//! A real server as a child process.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::dirs::{fresh_dir, is_fresh_dir, unwritable};
use super::port::free_port;
use super::recipe::Recipe;
use super::said::reason;
use super::{BrokerRecord, CannotBeHad, Identity, find_records};
use crate::terminal;

/// How long a server may take to end after SIGTERM before it gets SIGKILL.
pub(super) const STOP_WITHIN: Duration = Duration::from_secs(10);

/// A server that was started from here. Dropping it kills the server.
#[derive(Debug)]
pub struct RunningServer {
    /// `nats://127.0.0.1:PORT` or `kafka://127.0.0.1:PORT`.
    pub url: String,
    /// The port.
    pub port: u16,
    /// The pid; that of the last server after a stop.
    pub pid: u32,
    /// The server's version.
    pub version: String,
    /// The server's own directory: `data`, `server.log`, `broker.json`.
    pub dir: PathBuf,
    recipe: Box<dyn Recipe>,
    child: Option<Child>,
    /// Remove the directory in the end.
    fresh: bool,
    /// Leave the server running in the end.
    stays: bool,
}

/// Where a server is to run.
pub(super) struct Place {
    /// The brokers directory.
    pub(super) brokers_dir: PathBuf,
    /// The server's own directory, kept in the end; `None` makes a fresh one and removes it.
    pub(super) dir: Option<PathBuf>,
    /// The port; `None` takes a free one.
    pub(super) port: Option<u16>,
}

impl RunningServer {
    pub(super) fn start(recipe: Box<dyn Recipe>, place: Place) -> Result<Self, CannotBeHad> {
        let brokers_dir = place.brokers_dir;
        // Servers whose owner was killed would otherwise run for ever.
        for record in find_records(&brokers_dir).iter().filter(|r| r.is_orphan()) {
            record.stop();
            if is_fresh_dir(&record.dir) {
                let _best_effort = fs::remove_dir_all(&record.dir);
            }
        }
        let fresh = place.dir.is_none();
        let dir = place.dir.unwrap_or_else(|| fresh_dir(&brokers_dir));
        fs::create_dir_all(&dir).map_err(|e| unwritable(&dir, &e))?;
        let dir = dir.canonicalize().map_err(|e| unwritable(&dir, &e))?;
        let mut server = Self {
            url: String::new(),
            port: 0,
            pid: 0,
            version: recipe.version(),
            dir,
            recipe,
            child: None,
            fresh,
            stays: false,
        };
        let progress = terminal::spinner(&format!("starting {}", server.recipe.program()));
        let started = server.start_somewhere(place.port);
        progress.finish_and_clear();
        started.map(|()| server)
    }

    fn start_somewhere(&mut self, port: Option<u16>) -> Result<(), CannotBeHad> {
        // Between the look for a free port and the server's own bind somebody else may take it.
        for _ in 0..5 {
            self.port = port.or_else(free_port).unwrap_or_default();
            self.url = format!("{}://127.0.0.1:{}", self.recipe.kind(), self.port);
            match self.spawn() {
                Ok(()) => return Ok(()),
                Err(_) if port.is_none() && self.log_says("address already in use") => {}
                Err(error) => return Err(error),
            }
        }
        Err(self.did_not_start("found no free port"))
    }

    /// Ends the server with SIGTERM and waits for its end (after 10 s: SIGKILL).
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        let Some(child) = &mut self.child else { return };
        let deadline = Instant::now() + STOP_WITHIN;
        while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
        self.kill();
    }

    /// Ends the server with SIGKILL and waits for its end.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ended_already = child.kill();
            let _reaped = child.wait();
        }
        BrokerRecord::forget(&self.dir);
    }

    /// Stops the server in its tracks (SIGSTOP): connections stay open, nothing answers.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a paused server go on (SIGCONT).
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Starts the server again on the same port and directory, and waits until it answers. One
    /// that still runs is ended with SIGTERM first.
    ///
    /// # Errors
    /// The server does not answer.
    pub fn restart(&mut self) -> Result<(), CannotBeHad> {
        self.stop();
        self.spawn()
    }

    /// Whether the server process runs.
    pub fn is_running(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|c| matches!(c.try_wait(), Ok(None)))
    }

    /// Leaves the server running; its record says how to find it.
    ///
    /// # Errors
    /// The record cannot be written.
    pub fn detach(mut self) -> Result<BrokerRecord, CannotBeHad> {
        let record = self.record(None)?;
        record.write()?;
        self.stays = true;
        Ok(record)
    }

    fn spawn(&mut self) -> Result<(), CannotBeHad> {
        let log_path = self.log_path();
        let log = File::create(&log_path).map_err(|e| unwritable(&log_path, &e))?;
        let errors = log.try_clone().map_err(|e| unwritable(&log_path, &e))?;
        let mut command = self.recipe.command(&self.dir, self.port)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            // A group of its own: Ctrl-C in the terminal is ours to handle first.
            .process_group(0)
            .spawn()
            .map_err(|e| self.did_not_start(&e.to_string()))?;
        self.pid = child.id();
        self.child = Some(child);
        self.record(Identity::of(std::process::id()))?.write()?;
        let within = self.recipe.start_within();
        let deadline = Instant::now() + within;
        loop {
            if let Some(version) = self.recipe.answers(self.port).filter(|_| self.is_running()) {
                if let Some(version) = version {
                    self.version = version;
                }
                return Ok(());
            }
            if !self.is_running() || Instant::now() > deadline {
                let why = format!("it ended or did not answer within {} s", within.as_secs());
                let error = self.did_not_start(&why);
                self.kill();
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn record(&self, owner: Option<Identity>) -> Result<BrokerRecord, CannotBeHad> {
        let process =
            Identity::of(self.pid).ok_or_else(|| self.did_not_start("it ended at once"))?;
        Ok(BrokerRecord {
            kind: self.recipe.kind().into(),
            url: self.url.clone(),
            process,
            version: self.version.clone(),
            dir: self.dir.clone(),
            owner,
        })
    }

    fn signal(&self, signal: Signal) {
        let pid = self
            .child
            .as_ref()
            .and_then(|c| i32::try_from(c.id()).ok())
            .and_then(Pid::from_raw);
        // A child that was not waited for keeps its pid, so this can hit no stranger.
        if let Some(pid) = pid {
            let _ended_already = kill_process(pid, signal);
        }
    }

    fn did_not_start(&self, why: &str) -> CannotBeHad {
        let log = fs::read(self.log_path()).unwrap_or_default();
        let (program, reason) = (self.recipe.program(), reason(&log));
        CannotBeHad::new(
            format!(
                "{program} on port {} did not start: {why}; its log says: {reason}",
                self.port
            ),
            if self.fresh {
                // Its directory goes with it.
                let kind = self.recipe.kind();
                format!("see the log that `procession brokers up {kind}` leaves")
            } else {
                format!("see {}", self.log_path().display())
            },
        )
    }

    fn log_says(&self, words: &str) -> bool {
        fs::read_to_string(self.log_path())
            .is_ok_and(|log| log.to_ascii_lowercase().contains(words))
    }

    fn log_path(&self) -> PathBuf {
        self.dir.join("server.log")
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        if self.stays {
            return;
        }
        self.kill();
        if self.fresh {
            let _best_effort = fs::remove_dir_all(&self.dir);
        }
    }
}
