//! What this process uses, sampled from one side thread so that the measured one is not disturbed.

mod course;

use std::fs;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub(crate) use course::Course;
use serde_json::{Value, json};
use tokio::runtime::Handle;

/// Between two samples.
const EVERY: Duration = Duration::from_millis(20);

/// What the process uses at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Usage {
    /// Tasks of the runtime.
    pub(crate) tasks: u64,
    /// Threads, the sampling one included.
    pub(crate) threads: u64,
    /// Open sockets.
    pub(crate) sockets: u64,
    /// Resident memory in bytes.
    pub(crate) rss_bytes: u64,
}

/// Before, at the peak of each figure, after everything was closed, and the way between.
#[derive(Clone, Debug)]
pub(crate) struct Usages {
    /// Before anything was started.
    pub(crate) before: Usage,
    /// The highest of each figure.
    pub(crate) peak: Usage,
    /// After everything was closed.
    pub(crate) after: Usage,
    /// How it came to that.
    pub(crate) course: Course,
    /// Time of processors that the process took, from before to after.
    pub(crate) cpu: Duration,
}

impl Usage {
    /// What the process uses now, with the tasks of this runtime.
    #[must_use]
    pub(crate) fn now(runtime: &Handle) -> Self {
        let count = |dir: &str| fs::read_dir(dir).map_or(0, |entries| entries.count() as u64);
        Self {
            tasks: runtime.metrics().num_alive_tasks() as u64,
            threads: count("/proc/self/task"),
            sockets: sockets(),
            rss_bytes: rss_bytes(),
        }
    }

    fn max(self, other: Self) -> Self {
        Self {
            tasks: self.tasks.max(other.tasks),
            threads: self.threads.max(other.threads),
            sockets: self.sockets.max(other.sockets),
            rss_bytes: self.rss_bytes.max(other.rss_bytes),
        }
    }

    /// Whether tasks, threads or sockets are left that were not there before.
    #[must_use]
    pub(crate) fn leaks_beyond(&self, before: &Self) -> bool {
        self.tasks > before.tasks || self.threads > before.threads || self.sockets > before.sockets
    }
}

impl Usages {
    /// `tasks`, `threads`, `sockets`, `rss_bytes`, each with before, peak and after; `cpu_seconds`
    /// and `over_time`.
    pub(crate) fn write_into(&self, value: &mut Value) {
        type Figure = (&'static str, fn(&Usage) -> u64);
        let figures: [Figure; 4] = [
            ("tasks", |u| u.tasks),
            ("threads", |u| u.threads),
            ("sockets", |u| u.sockets),
            ("rss_bytes", |u| u.rss_bytes),
        ];
        for (name, of) in figures {
            value[name] = json!({
                "before": of(&self.before), "peak": of(&self.peak), "after": of(&self.after),
            });
        }
        value["cpu_seconds"] = json!(self.cpu.as_secs_f64());
        value["over_time"] = self.course.json();
    }
}

/// The side thread.
pub(crate) struct Sampler {
    stop: Sender<()>,
    thread: JoinHandle<Course>,
    began: Instant,
    cpu: Duration,
    before: Usage,
    runtime: Handle,
}

impl Sampler {
    /// Starts the side thread, and takes the figures from before.
    #[must_use]
    pub(crate) fn start(runtime: Handle) -> Self {
        let (stop, stopped) = channel();
        let (begin, begun) = channel();
        let handle = runtime.clone();
        let began = Instant::now();
        let thread = std::thread::spawn(move || {
            let _started = begin.send(());
            watch(&handle, began, &stopped)
        });
        // The thread itself belongs to `before`.
        let _started = begun.recv();
        Self {
            stop,
            thread,
            began,
            cpu: cpu_time(),
            before: Usage::now(&runtime),
            runtime,
        }
    }

    /// Call when everything is closed: waits up to 5 s until nothing is left, and ends the thread.
    pub(crate) async fn finish(self) -> Usages {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
        let mut after = Usage::now(&self.runtime);
        while after.leaks_beyond(&self.before) && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
            after = Usage::now(&self.runtime);
        }
        drop(self.stop);
        let course = self.thread.join();
        let mut course = course.unwrap_or_else(|_| Course::new(EVERY));
        course.end(self.began.elapsed(), after);
        Usages {
            before: self.before,
            peak: course.peak().max(self.before),
            after,
            course,
            cpu: cpu_time().saturating_sub(self.cpu),
        }
    }
}

fn watch(runtime: &Handle, began: Instant, stopped: &Receiver<()>) -> Course {
    let mut course = Course::new(EVERY);
    loop {
        course.add(began.elapsed(), Usage::now(runtime));
        if stopped.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout) {
            return course;
        }
    }
}

/// Time of processors that this process took, all threads together.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

fn sockets() -> u64 {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else {
        return 0;
    };
    entries
        .filter_map(|e| fs::read_link(e.ok()?.path()).ok())
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .count() as u64
}

fn rss_bytes() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|s| s.split_ascii_whitespace().nth(1)?.parse::<u64>().ok());
    pages.unwrap_or_default() * rustix::param::page_size() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many that other tests of this process, which come and go, do not matter.
    const MANY: usize = 64;

    #[tokio::test]
    async fn sockets_and_threads_are_seen_and_missed_when_gone() {
        let sampler = Sampler::start(Handle::current());
        let sockets: Vec<_> = (0..MANY)
            .map(|_| std::net::UdpSocket::bind("127.0.0.1:0").unwrap())
            .collect();
        let (stop, stopped) = channel::<()>();
        let stopped = std::sync::Arc::new(std::sync::Mutex::new(stopped));
        let threads: Vec<_> = (0..MANY)
            .map(|_| {
                let stopped = std::sync::Arc::clone(&stopped);
                std::thread::spawn(move || drop(stopped.lock().map(|s| s.recv())))
            })
            .collect();
        let before = sampler.before;
        let now = Usage::now(&Handle::current());
        assert!(now.leaks_beyond(&before));
        tokio::time::sleep(5 * EVERY).await;
        drop((stop, sockets));
        for thread in threads {
            thread.join().unwrap();
        }
        let usages = sampler.finish().await;
        let half = MANY as u64 / 2;
        assert!(usages.peak.sockets > before.sockets + half, "{usages:?}");
        assert!(usages.peak.threads > before.threads + half, "{usages:?}");
        assert!(usages.after.threads < before.threads + half, "{usages:?}");
        assert!(usages.after.rss_bytes > 1 << 20);
        assert!(usages.cpu > Duration::ZERO);
    }
}
