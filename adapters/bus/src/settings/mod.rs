//! Settings: a TOML file, the environment over it, and the program over both.

mod bus;
mod error;
mod kafka;
mod publish;
mod reader;
mod source;
mod subscribe;
mod tls;
mod topic;
mod value;

use std::collections::BTreeMap;
use std::path::Path;

pub use bus::BusSettings;
pub use error::SettingsError;
pub use kafka::{KafkaGroupProtocol, KafkaPartitioner, KafkaSettings};
pub use publish::{PublishSettings, WhenFull};
pub use subscribe::{OnGiveUp, SubscribeSettings};
pub use tls::TlsSettings;
pub use topic::TopicSettings;

use reader::Reader;
use source::Source;

/// All settings of a bus.
///
/// ```toml
/// [bus]
/// source = "shop"
/// topics = "create"
///
/// [bus.tls]
/// ca_file = "/etc/shop/ca.pem"
///
/// [publish]
/// deadline = "30s"
///
/// [subscribe]
/// attempts = 5
///
/// [subscribe.billing]       # the subscription of group `billing`
/// handler_timeout = "2m"
///
/// [topics.orders]
/// partitions = 12
/// ```
///
/// A variable of the environment overrides the file: `PROCESSION_PUBLISH__DEADLINE=10s`,
/// `PROCESSION_SUBSCRIBE__BILLING__HANDLER_TIMEOUT=1m` (names in upper case, `-` and `.` as `_`).
/// What the program sets overrides both; what is said of one subscription overrides what is said of
/// all. Unknown names and values that cannot be are refused.
#[derive(Clone, PartialEq, Debug, Default)]
#[non_exhaustive]
pub struct Settings {
    /// Table `[bus]`.
    pub bus: BusSettings,
    /// Table `[publish]`.
    pub publish: PublishSettings,
    /// Table `[subscribe]`: what holds for every subscription.
    pub subscribe: SubscribeSettings,
    /// Topics that the program has settings for; they override `[topics.NAME]`.
    pub topics: BTreeMap<String, TopicSettings>,
    /// For tables that name a subscription or a topic: read when that name turns up.
    sources: Vec<Source>,
}

impl Settings {
    /// Reads a TOML file, if one is given, and the environment of this process.
    ///
    /// # Errors
    /// The first setting that is unknown or cannot be.
    pub fn load(file: Option<&Path>) -> Result<Self, SettingsError> {
        // A variable that is not UTF-8 cannot be one of ours.
        let utf8 = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self::from_parts(file, std::env::vars_os().filter_map(utf8))
    }

    /// Reads a TOML file, if one is given, and these variables in place of the environment.
    ///
    /// # Errors
    /// The first setting that is unknown or cannot be.
    pub fn from_parts(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        let mut sources = Vec::new();
        if let Some(file) = file {
            sources.push(Source::file(file)?);
        }
        sources.push(Source::environment(variables.into_iter())?);
        Self::from_sources(sources)
    }

    /// Reads the text of a TOML file, without the environment.
    ///
    /// # Errors
    /// The first setting that is unknown or cannot be.
    pub fn from_toml(text: &str) -> Result<Self, SettingsError> {
        Self::from_sources(vec![Source::toml(text, "TOML")?])
    }

    /// What holds for the subscription of this name (by default its group).
    ///
    /// # Errors
    /// A setting of its table that cannot be.
    pub fn subscription(&self, name: &str) -> Result<SubscribeSettings, SettingsError> {
        let mut settings = self.subscribe.clone();
        let path = format!("subscribe.{name}");
        for source in &self.sources {
            for table in source.tables(&source.subscriptions, name) {
                settings.apply(Reader::new(&path, table))?;
            }
        }
        settings.validate(&path)?;
        Ok(settings)
    }

    /// What holds for this topic.
    ///
    /// # Errors
    /// A setting of its table that cannot be.
    pub fn topic(&self, name: &str) -> Result<TopicSettings, SettingsError> {
        if let Some(settings) = self.topics.get(name) {
            return Ok(settings.clone());
        }
        let mut settings = TopicSettings::default();
        let path = format!("topics.{name}");
        for source in &self.sources {
            for table in source.tables(&source.topics, name) {
                settings.apply(Reader::new(&path, table))?;
            }
        }
        Ok(settings)
    }

    /// Checks every range.
    ///
    /// # Errors
    /// The first setting that is out of range.
    pub fn validate(&self) -> Result<(), SettingsError> {
        self.bus.validate()?;
        self.publish.validate()?;
        self.subscribe.validate("subscribe")
    }

    fn from_sources(sources: Vec<Source>) -> Result<Self, SettingsError> {
        let mut settings = Self::default();
        for source in &sources {
            settings.bus.apply(Reader::new("bus", &source.bus))?;
            let kafka = Reader::new("bus.kafka", &source.bus_kafka);
            settings.bus.kafka.apply(kafka)?;
            let tls = Reader::new("bus.tls", &source.bus_tls);
            settings.bus.tls.apply(tls)?;
            let publish = Reader::new("publish", &source.publish);
            settings.publish.apply(publish)?;
            let subscribe = Reader::new("subscribe", &source.subscribe);
            settings.subscribe.apply(subscribe)?;
        }
        settings.sources = sources;
        settings.validate()?;
        // Tables that name something are read now, too: a mistake shows at the start.
        for source in &settings.sources {
            for (name, _) in &source.subscriptions {
                settings.subscription(name)?;
            }
            for (name, _) in &source.topics {
                settings.topic(name)?;
            }
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests;
