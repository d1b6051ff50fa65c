//! How Apache Kafka is started.

use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::have::{KafkaProgram, ensure_kafka_in};
use super::options::KafkaOptions;
use super::probe::answers;
use super::properties::properties;
use crate::brokers::CannotBeHad;
use crate::brokers::dirs::unwritable;
use crate::brokers::port::free_port;
use crate::brokers::recipe::Recipe;
use crate::brokers::said::reason;

/// A single node of Apache Kafka: broker and controller in one process.
#[derive(Debug)]
pub(super) struct KafkaRecipe {
    program: KafkaProgram,
    for_tests: bool,
    settings: Vec<(String, String)>,
}

impl KafkaRecipe {
    pub(super) fn new(brokers_dir: &Path, options: KafkaOptions) -> Result<Self, CannotBeHad> {
        Ok(Self {
            program: ensure_kafka_in(brokers_dir, options.offline)?,
            for_tests: options.for_tests,
            settings: options.settings,
        })
    }

    /// Java with the jars on its class path; warnings and worse are logged to standard error.
    fn java(&self, heap: &[&str]) -> Command {
        let mut command = Command::new(&self.program.java);
        command
            .args(heap)
            .args(["-Djava.awt.headless=true", "-XX:+ExitOnOutOfMemoryError"])
            // The first is heard by fetched jars, the second by the binding that Kafka brings.
            .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
            .arg("-Dlog4j2.level=WARN")
            .arg("-cp")
            .arg(self.program.libs.join("*"));
        command
    }

    /// Gives the data directory its identity, which Kafka wants before its first start.
    fn format(&self, dir: &Path, settings: &Path) -> Result<(), CannotBeHad> {
        let data = dir.join("data");
        if data.join("meta.properties").is_file() {
            return Ok(());
        }
        // A start that was cut short leaves a directory which Kafka would refuse.
        if data.exists() {
            fs::remove_dir_all(&data).map_err(|e| unwritable(&data, &e))?;
        }
        let output = self
            .java(FAST_START)
            .args([
                "kafka.tools.StorageTool",
                "format",
                "-t",
                &cluster_id(),
                "-c",
            ])
            .arg(settings)
            .stdin(Stdio::null())
            .output();
        let failed = |why: String| {
            CannotBeHad::new(
                format!(
                    "Kafka's data directory {} cannot be made: {why}",
                    data.display()
                ),
                "choose another directory with --dir, or correct the settings",
            )
        };
        match output {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(failed(reason(&output.stderr))),
            Err(error) => Err(failed(error.to_string())),
        }
    }
}

/// A fifth of the memory and a third less time to start, at the price of slower code.
const FAST_START: &[&str] = &[
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-Xms64m",
    "-Xmx512m",
];
const FULL_SPEED: &[&str] = &["-XX:+UseG1GC", "-Xms256m", "-Xmx1g"];

impl Recipe for KafkaRecipe {
    fn kind(&self) -> &'static str {
        "kafka"
    }

    fn program(&self) -> &'static str {
        "Apache Kafka"
    }

    fn version(&self) -> String {
        self.program.version.clone()
    }

    fn command(&self, dir: &Path, port: u16) -> Result<Command, CannotBeHad> {
        let controller_port = (0..100)
            .filter_map(|_| free_port())
            .find(|free| *free != port)
            .unwrap_or_default();
        let path = dir.join("server.properties");
        let text = properties(dir, port, controller_port, self.for_tests, &self.settings);
        fs::write(&path, text).map_err(|e| unwritable(&path, &e))?;
        self.format(dir, &path)?;
        let heap = if self.for_tests {
            FAST_START
        } else {
            FULL_SPEED
        };
        let mut command = self.java(heap);
        command.arg("kafka.Kafka").arg(&path);
        Ok(command)
    }

    fn answers(&self, port: u16) -> Option<Option<String>> {
        answers(port).then_some(None)
    }

    fn start_within(&self) -> Duration {
        // 2 s on a machine with nothing else to do.
        Duration::from_secs(90)
    }
}

/// 16 random bytes in Base64, as Kafka wants them: 22 characters of which the last holds two bits.
fn cluster_id() -> String {
    let random = RandomState::new();
    format!(
        "{:016x}{:05x}A",
        random.hash_one(0),
        random.hash_one(1) & 0xf_ffff
    )
}
