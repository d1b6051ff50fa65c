//! A NATS server as a child process.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::have::{default_dir, ensure_nats_in, version_of};
use super::probe::{answers, free_port};
use super::{BrokerRecord, CannotBeHad, Identity, NatsOptions, find_records};

/// How long a server may take until it answers: recovering a large store takes its time.
const START_WITHIN: Duration = Duration::from_secs(30);
/// How long a server may take to end after SIGTERM before it gets SIGKILL.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// A NATS server that was started from here. Dropping it kills the server.
#[derive(Debug)]
pub struct RunningNats {
    /// `nats://127.0.0.1:PORT`.
    pub url: String,
    /// The port.
    pub port: u16,
    /// The pid; that of the last server after a stop.
    pub pid: u32,
    /// The server's version.
    pub version: String,
    /// The server's own directory: `data`, `server.log`, `broker.json`.
    pub dir: PathBuf,
    binary: PathBuf,
    arguments: Vec<String>,
    child: Option<Child>,
    /// Remove the directory in the end.
    fresh: bool,
    /// Leave the server running in the end.
    stays: bool,
}

impl RunningNats {
    pub(super) fn start(options: NatsOptions) -> Result<Self, CannotBeHad> {
        let brokers_dir = options.brokers_dir.unwrap_or_else(default_dir);
        let binary = ensure_nats_in(&brokers_dir, options.offline)?;
        // Servers whose owner was killed would otherwise run for ever.
        for record in find_records(&brokers_dir).iter().filter(|r| r.is_orphan()) {
            record.stop();
            if is_fresh_dir(&record.dir) {
                let _best_effort = fs::remove_dir_all(&record.dir);
            }
        }
        let fresh = options.dir.is_none();
        let dir = options.dir.unwrap_or_else(|| fresh_dir(&brokers_dir));
        fs::create_dir_all(&dir).map_err(|e| unwritable(&dir, &e))?;
        let dir = dir.canonicalize().map_err(|e| unwritable(&dir, &e))?;
        let mut server = Self {
            url: String::new(),
            port: 0,
            pid: 0,
            version: version_of(&binary).unwrap_or_default(),
            dir,
            binary,
            arguments: options.arguments,
            child: None,
            fresh,
            stays: false,
        };
        // Between the look for a free port and the server's own bind somebody else may take it.
        for _ in 0..5 {
            server.port = options.port.or_else(free_port).unwrap_or_default();
            server.url = format!("nats://127.0.0.1:{}", server.port);
            match server.spawn() {
                Ok(()) => return Ok(server),
                Err(_) if options.port.is_none() && server.log_says("address already in use") => {}
                Err(error) => return Err(error),
            }
        }
        Err(server.did_not_start("found no free port"))
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
        let data = self.dir.join("data");
        fs::create_dir_all(&data).map_err(|e| unwritable(&data, &e))?;
        let child = Command::new(&self.binary)
            .args([
                "-js",
                "-a",
                "127.0.0.1",
                "-p",
                &self.port.to_string(),
                "-sd",
            ])
            .arg(&data)
            .args(&self.arguments)
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
        let deadline = Instant::now() + START_WITHIN;
        loop {
            if let Some(version) = answers(self.port).filter(|_| self.is_running()) {
                self.version = version;
                return Ok(());
            }
            if !self.is_running() || Instant::now() > deadline {
                let error = self.did_not_start("it ended or did not answer within 30 s");
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
            kind: "nats".into(),
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
        let log = fs::read_to_string(self.log_path()).unwrap_or_default();
        let last = log
            .lines()
            .rfind(|l| !l.trim().is_empty())
            .unwrap_or("(empty)");
        CannotBeHad::new(
            format!(
                "nats-server on port {} did not start: {why}; its log ends: {last}",
                self.port
            ),
            format!("see {}", self.log_path().display()),
        )
    }

    fn log_says(&self, words: &str) -> bool {
        fs::read_to_string(self.log_path()).is_ok_and(|log| log.contains(words))
    }

    fn log_path(&self) -> PathBuf {
        self.dir.join("server.log")
    }
}

impl Drop for RunningNats {
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

fn unwritable(path: &Path, error: &dyn std::fmt::Display) -> CannotBeHad {
    CannotBeHad::new(
        format!("cannot write to {}: {error}", path.display()),
        "choose another directory with --dir, or make it writable",
    )
}

const FRESH: &str = "run-";

fn fresh_dir(brokers_dir: &Path) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let n = COUNT.fetch_add(1, Ordering::Relaxed);
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| d.as_micros());
    brokers_dir.join(format!("{FRESH}{}-{n}-{since}", std::process::id()))
}

fn is_fresh_dir(dir: &Path) -> bool {
    dir.file_name()
        .is_some_and(|n| n.to_string_lossy().starts_with(FRESH))
}
