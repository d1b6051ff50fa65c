//! Table `[bus]`.

use std::path::PathBuf;
use std::time::Duration;

use procession_runtime::port::TopicMode;

use super::kafka::KafkaSettings;
use super::reader::Reader;
use super::{SettingsError, TlsSettings, topic, value};

/// Settings of the bus as a whole: table `[bus]`.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct BusSettings {
    /// Source of envelopes that are built without one. Default: the executable's name.
    pub source: Option<String>,
    /// This process's name in its groups; a random part is added at each subscribe. Default: the
    /// executable's name and the process id.
    pub member: Option<String>,
    /// What to do about topics that are missing or different: `validate` (default), `create`,
    /// `create_or_update`, `skip`. On `memory://` the default is `create`.
    pub topics: Option<TopicMode>,
    /// How long `connect` may take to prove that the broker is there. Default 5 s.
    pub connect_timeout: Duration,
    /// Messages that all subscriptions together may hold; split evenly over those that are open.
    /// Default 10,000.
    pub credit_messages: u32,
    /// The same in bytes. Default 64 MiB.
    pub credit_bytes: u64,
    /// Largest log of `memory://`, in bytes; publishers wait while it is full. Default 32 MiB.
    pub memory_log_bytes: u64,
    /// Table `[bus.kafka]`: what speaks of Kafka only.
    pub kafka: KafkaSettings,
    /// Table `[bus.tls]`: how connections are kept from others.
    pub tls: TlsSettings,
    /// A `.creds` file for NATS: the JWT of a user and the seed of its NKEY. Read for every
    /// connection.
    pub credentials_file: Option<PathBuf>,
    /// A file with the seed of an NKEY for NATS. Read for every connection.
    pub nkey_file: Option<PathBuf>,
    /// Seed of the lanes' hash. Default: random for each process.
    pub lane_seed: Option<u64>,
    /// Seed of all jitter. Default: random for each process.
    pub jitter_seed: Option<u64>,
}

impl Default for BusSettings {
    fn default() -> Self {
        Self {
            source: None,
            member: None,
            topics: None,
            connect_timeout: Duration::from_secs(5),
            credit_messages: 10_000,
            credit_bytes: 64 << 20,
            memory_log_bytes: 32 << 20,
            kafka: KafkaSettings::default(),
            tls: TlsSettings::default(),
            credentials_file: None,
            nkey_file: None,
            lane_seed: None,
            jitter_seed: None,
        }
    }
}

impl BusSettings {
    pub(super) fn apply(&mut self, mut r: Reader<'_>) -> Result<(), SettingsError> {
        r.some("source", &mut self.source, value::text)?;
        r.some("member", &mut self.member, value::text)?;
        r.word("topics", topic::MODES, |mode| self.topics = Some(mode))?;
        r.duration("connect_timeout", &mut self.connect_timeout)?;
        r.number("credit_messages", &mut self.credit_messages)?;
        r.bytes("credit_bytes", &mut self.credit_bytes)?;
        r.bytes("memory_log_bytes", &mut self.memory_log_bytes)?;
        r.some("credentials_file", &mut self.credentials_file, value::path)?;
        r.some("nkey_file", &mut self.nkey_file, value::path)?;
        r.some("lane_seed", &mut self.lane_seed, value::number)?;
        r.some("jitter_seed", &mut self.jitter_seed, value::number)?;
        r.finish()
    }

    pub(super) fn validate(&self) -> Result<(), SettingsError> {
        let bad = |field: &str, value: String, fix: &str| {
            let field = format!("bus.{field}");
            Err(SettingsError::new(field, value, "", "out of range", fix))
        };
        if self.credit_messages == 0 {
            return bad("credit_messages", "0".into(), "allowed is at least 1");
        }
        if self.credit_bytes == 0 {
            return bad("credit_bytes", "0".into(), "allowed is at least 1");
        }
        self.kafka.validate()?;
        if self.connect_timeout.is_zero() {
            return bad("connect_timeout", "0s".into(), "allowed is more than 0");
        }
        if let (Some(_), Some(path)) = (&self.credentials_file, &self.nkey_file) {
            return Err(SettingsError::new(
                "bus.nkey_file",
                path.display().to_string(),
                "",
                "`bus.credentials_file` is set, too",
                "keep the one that the server asks for",
            ));
        }
        self.tls.validate()?;
        for (field, name) in [("source", &self.source), ("member", &self.member)] {
            if let Some(name) = name
                && (name.is_empty() || name.len() > 256 || name.chars().any(char::is_control))
            {
                let value = format!("{name:?}");
                return bad(
                    field,
                    value,
                    "allowed are 1 to 256 bytes without control characters",
                );
            }
        }
        Ok(())
    }
}
