//! Measuring one run.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// One measured run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// Messages a second.
    pub(super) rate: f64,
    /// Processor time of the whole process for each message: all its threads, not the broker.
    pub(super) cpu_nanos: f64,
}

/// Time and processor time since a run's begin.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    begin: Instant,
    cpu: Duration,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self {
            begin: Instant::now(),
            cpu: cpu_time(),
        }
    }

    /// The run of `count` messages that ends now.
    pub(super) fn stop(self, count: u64) -> Run {
        // A run of nothing would be a rate of nothing over nothing.
        let count = count.max(1) as f64;
        let cpu = cpu_time().saturating_sub(self.cpu);
        Run {
            rate: count / self.begin.elapsed().as_secs_f64().max(1e-9),
            cpu_nanos: cpu.as_nanos() as f64 / count,
        }
    }
}

/// What all threads of this process have used together.
fn cpu_time() -> Duration {
    time_of(ClockId::ProcessCPUTime)
}

/// What this thread has used: other programs that want the processor too do not count.
pub(super) fn thread_time() -> Duration {
    time_of(ClockId::ThreadCPUTime)
}

fn time_of(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(time.tv_sec.unsigned_abs(), nanos)
}
