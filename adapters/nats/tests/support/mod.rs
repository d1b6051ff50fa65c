//! A real nats-server for tests, had through the set-up of the command line; stopped when dropped.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test binary uses another part of this module"
)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use procession_cli::brokers::{CannotBeHad, ensure_nats};
use procession_core::Span;
use procession_nats::{NatsBroker, NatsOptions};
use procession_runtime::port::{Broker as _, Storage, TopicInfo, TopicMode, TopicSpec};

pub mod certificates;
pub mod driver;
pub mod proxy;
pub mod raw;

/// A nats-server with JetStream on a port of 127.0.0.1.
pub struct Server {
    binary: PathBuf,
    pub dir: Arc<tempfile::TempDir>,
    pub port: u16,
    configured: bool,
    child: Option<Child>,
}

impl Server {
    /// Starts one, or says in plain sight why the test does not run. With
    /// `PROCESSION_BROKERS=required` not running is a failure.
    pub fn start(test: &str) -> Option<Self> {
        let mut this = Self::prepare(test)?;
        this.up();
        Some(this)
    }

    /// As [`start`](Self::start), with this configuration besides.
    pub fn start_with(test: &str, configuration: &str) -> Option<Self> {
        let mut this = Self::prepare(test)?;
        this.configure(configuration);
        this.up();
        Some(this)
    }

    /// Replaces the configuration that the next start reads.
    pub fn configure(&mut self, configuration: &str) {
        std::fs::write(self.configuration(), configuration).expect("it can be written");
        self.configured = true;
    }

    fn configuration(&self) -> PathBuf {
        self.dir.path().join("server.conf")
    }

    /// A server that does not run yet.
    pub fn prepare(test: &str) -> Option<Self> {
        let binary = match ensure_nats(false) {
            Ok(binary) => binary,
            Err(CannotBeHad { what, fix }) => {
                assert!(
                    std::env::var("PROCESSION_BROKERS").as_deref() != Ok("required"),
                    "{test}: {what}, and PROCESSION_BROKERS=required; {fix}"
                );
                // Past the test harness, which would keep it from the eyes of those who count.
                let line = format!("SKIPPED {test}: {what}; {fix}\n");
                let _ = std::io::stderr().write_all(line.as_bytes());
                return None;
            }
        };
        Some(Self {
            binary,
            dir: Arc::new(tempfile::tempdir().expect("a temporary directory")),
            port: free_port(),
            configured: false,
            child: None,
        })
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Starts the server on the same port and directory, and waits until it answers.
    pub fn up(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let mut command = Command::new(&self.binary);
        if self.configured {
            command.arg("-c").arg(self.configuration());
        }
        let child = command
            .args([
                "-js",
                "-a",
                "127.0.0.1",
                "-p",
                &self.port.to_string(),
                "-sd",
            ])
            .arg(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server starts");
        self.child = Some(child);
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(10) {
            if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) {
                stream
                    .set_read_timeout(Some(Duration::from_secs(2)))
                    .expect("a timeout can be set");
                // One that waits for a TLS handshake says nothing; it is there all the same.
                let silent = std::fs::read_to_string(self.configuration())
                    .is_ok_and(|text| text.contains("handshake_first"));
                let mut start = [0; 5];
                if silent || stream.read_exact(&mut start).is_ok() && &start == b"INFO " {
                    return;
                }
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("nats-server did not answer within 10 s");
    }

    /// SIGTERM, and waits for its end.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let pid = rustix::process::Pid::from_child(&child);
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("SIGTERM");
            child.wait().expect("it ends");
        }
    }

    /// Lame duck mode: takes no more clients and asks those that are there to go elsewhere.
    pub fn end_slowly(&self) {
        self.signal(rustix::process::Signal::USR2);
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("SIGKILL");
            child.wait().expect("it ends");
        }
    }

    /// SIGSTOP and SIGCONT: connected, and silent.
    pub fn freeze(&self) {
        self.signal(rustix::process::Signal::STOP);
        // The signal works a little later: until then the server still answers.
        let pid = self.child.as_ref().expect("it runs").id();
        loop {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("its state");
            let state = stat
                .rsplit_once(") ")
                .and_then(|(_, rest)| rest.chars().next());
            if state == Some('T') {
                return;
            }
            std::thread::yield_now();
        }
    }

    pub fn thaw(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let child = self.child.as_ref().expect("it runs");
        let pid = rustix::process::Pid::from_child(child);
        rustix::process::kill_process(pid, signal).expect("a signal can be sent");
    }

    pub async fn broker(&self) -> NatsBroker {
        self.broker_at(&self.url()).await
    }

    /// One that bears 10 s of silence: for tests of one session on a machine that may stand still.
    pub async fn patient_broker(&self) -> NatsBroker {
        let mut options = NatsOptions::parse(&self.url()).expect("a good address");
        options.heartbeat = Duration::from_secs(5);
        NatsBroker::connect(options).await.expect("a connection")
    }

    pub async fn broker_at(&self, url: &str) -> NatsBroker {
        let options = NatsOptions::parse(url).expect("a good address");
        NatsBroker::connect(options).await.expect("a connection")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Creates a topic with file storage.
pub async fn topic(broker: &NatsBroker, name: &str, partitions: u32) -> TopicInfo {
    broker
        .topic(spec(name, Some(partitions), TopicMode::Create))
        .await
        .expect("the topic is created")
}

pub fn spec(name: &str, partitions: Option<u32>, mode: TopicMode) -> TopicSpec {
    TopicSpec {
        name: name.into(),
        partitions,
        storage: Storage::File,
        mode,
        duplicate_window: Span::from_secs(60),
        layout: None,
        batches: false,
    }
}

/// A runtime for one test.
pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}

pub fn free_port() -> u16 {
    procession_cli::brokers::free_port().expect("a free port")
}
