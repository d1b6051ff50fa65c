//! Topics: created, validated, read back.

use std::time::{Duration, Instant};

use procession_runtime::check_topic_name;
use procession_runtime::port::{
    Layout, PortError, PortErrorKind, Storage, TopicInfo, TopicMode, TopicSpec,
};
use rdkafka::admin::{
    AdminOptions, AlterConfig, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::control::{Admin, WITHIN, block_on};
use crate::errors;
use crate::options::KafkaOptions;

/// Number of partitions when nobody says.
const PARTITIONS: u32 = 3;
/// Most partitions of a topic.
const PARTITIONS_MAX: u32 = 4_096;
/// How long a new topic may take until all its partitions have a leader.
const READY_WITHIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(30);

/// Creates, updates or checks a topic. Blocks.
pub(crate) fn ensure(
    admin: &Admin,
    options: &KafkaOptions,
    spec: &TopicSpec,
) -> Result<TopicInfo, PortError> {
    check_topic_name(&spec.name)
        .map_err(|error| PortError::new(PortErrorKind::Invalid, error.to_string()))?;
    if let Some(partitions) = spec.partitions
        && !(1..=PARTITIONS_MAX).contains(&partitions)
    {
        return Err(PortError::new(
            PortErrorKind::Invalid,
            format!("`partitions` is {partitions}: allowed is 1 to {PARTITIONS_MAX}"),
        ));
    }
    let creates = matches!(spec.mode, TopicMode::Create | TopicMode::CreateOrUpdate);
    if spec.storage == Storage::Memory && creates {
        return Err(PortError::new(
            PortErrorKind::Unsuitable,
            format!(
                "topic `{}`: `storage` is memory, and Kafka keeps every log in files; set storage = \
                 \"file\"",
                spec.name
            ),
        ));
    }
    if spec.layout == Some(Layout::Keyed) {
        return Err(PortError::new(
            PortErrorKind::Unsuitable,
            format!(
                "topic `{}`: `layout` is keyed, and Kafka knows partitions only; set layout = \
                 \"partitioned\", or leave it out",
                spec.name
            ),
        ));
    }
    if let (TopicMode::Skip, Some(partitions)) = (spec.mode, spec.partitions) {
        return Ok(info(spec, partitions, Vec::new()));
    }
    let partitions = match look(admin, &spec.name)? {
        Some(partitions) => partitions,
        None if creates => create(admin, options, spec)?,
        None => return Err(missing(spec, options)),
    };
    if let Some(asked) = spec.partitions
        && asked != partitions
    {
        return Err(PortError::new(
            PortErrorKind::Unsuitable,
            format!(
                "topic `{}`: it has {partitions} partitions, not {asked}; the number is not changed, \
                 because keys would move to other partitions and lose their order: use {partitions}, \
                 or a new topic",
                spec.name
            ),
        ));
    }
    let mut warnings = Vec::new();
    if spec.mode != TopicMode::Skip
        && !options.mock
        && let Some(config) = settings(admin, ResourceSpecifier::Topic(&spec.name))
    {
        if spec.mode == TopicMode::CreateOrUpdate && value(&config, STAMPS) == Some(CREATE_TIME) {
            update(admin, &spec.name)?;
        }
        warnings = warnings_of(&spec.name, &config);
    }
    Ok(info(spec, partitions, warnings))
}

/// The number of partitions of a topic; `None` when it does not exist.
pub(crate) fn look(admin: &Admin, topic: &str) -> Result<Option<u32>, PortError> {
    let until = Instant::now() + WITHIN;
    loop {
        let doing = || format!("looking at topic `{topic}`");
        let metadata = admin
            .inner()
            .fetch_metadata(Some(topic), WITHIN)
            .map_err(|error| errors::port_error(&doing(), &error))?;
        let Some(found) = metadata.topics().iter().find(|t| t.name() == topic) else {
            return Ok(None);
        };
        let code = match found.error() {
            None => {
                return Ok(u32::try_from(found.partitions().len())
                    .ok()
                    .filter(|n| 0 < *n));
            }
            Some(code) => RDKafkaErrorCode::from(code),
        };
        match code {
            RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {
                return Ok(None);
            }
            // It is being created, or its leader changes.
            RDKafkaErrorCode::LeaderNotAvailable if Instant::now() < until => {
                std::thread::sleep(LOOK_AGAIN);
            }
            code => {
                return Err(errors::port_error(
                    &doing(),
                    &KafkaError::MetadataFetch(code),
                ));
            }
        }
    }
}

fn create(admin: &Admin, options: &KafkaOptions, spec: &TopicSpec) -> Result<u32, PortError> {
    let partitions = spec.partitions.unwrap_or(PARTITIONS);
    let replicas = options.replicas.map_or(-1, i32::from);
    let topic = NewTopic::new(
        &spec.name,
        i32::try_from(partitions).unwrap_or(i32::MAX),
        TopicReplication::Fixed(replicas),
    )
    // The stamp of a message is then the broker's: it grows, and tells a rewritten log.
    .set(STAMPS, APPEND_TIME);
    let doing = format!("creating topic `{}`", spec.name);
    if let Some(cluster) = admin.inner().mock_cluster() {
        // It does not know the request.
        let count = i32::try_from(partitions).unwrap_or(i32::MAX);
        return cluster
            .create_topic(&spec.name, count, 1)
            .map(|()| partitions)
            .map_err(|error| errors::port_error(&doing, &error));
    }
    let request = AdminOptions::new()
        .request_timeout(Some(WITHIN))
        .operation_timeout(Some(WITHIN));
    let created = block_on(admin.create_topics([&topic], &request))
        .map_err(|error| errors::port_error(&doing, &error))?;
    for result in created {
        match result {
            // Somebody else was faster, with other settings: what is there is looked at.
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => {
                return Err(errors::port_error(&doing, &KafkaError::AdminOp(code)));
            }
        }
    }
    // Known everywhere, and with leaders: else the first publishes would have to wait for that.
    let until = Instant::now() + READY_WITHIN;
    loop {
        let metadata = admin.inner().fetch_metadata(Some(&spec.name), WITHIN);
        if let Ok(metadata) = &metadata
            && let Some(found) = metadata.topics().iter().find(|t| t.name() == &*spec.name)
            && found.error().is_none()
            && !found.partitions().is_empty()
            && found
                .partitions()
                .iter()
                .all(|p| p.error().is_none() && 0 <= p.leader())
        {
            return Ok(u32::try_from(found.partitions().len()).unwrap_or(partitions));
        }
        if until <= Instant::now() {
            return Err(PortError::new(
                PortErrorKind::TimedOut,
                format!(
                    "{doing}: it has no leaders after {} s",
                    READY_WITHIN.as_secs()
                ),
            ));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

const STAMPS: &str = "message.timestamp.type";
const APPEND_TIME: &str = "LogAppendTime";
const CREATE_TIME: &str = "CreateTime";

fn update(admin: &Admin, topic: &str) -> Result<(), PortError> {
    let doing = format!("updating topic `{topic}`");
    let mut change = AlterConfig::new(ResourceSpecifier::Topic(topic));
    // This request replaces all settings of the topic, so those that it has are given again.
    let own = settings(admin, ResourceSpecifier::Topic(topic));
    let own: Vec<(String, String)> = own
        .iter()
        .flat_map(|config| &config.entries)
        .filter(|entry| !entry.is_default && !entry.is_read_only && entry.name != STAMPS)
        .filter(|entry| entry.source == rdkafka::admin::ConfigSource::DynamicTopic)
        .filter_map(|entry| Some((entry.name.clone(), entry.value.clone()?)))
        .collect();
    for (name, value) in &own {
        change = change.set(name, value);
    }
    change = change.set(STAMPS, APPEND_TIME);
    let request = AdminOptions::new().request_timeout(Some(WITHIN));
    let altered = block_on(admin.alter_configs([&change], &request))
        .map_err(|error| errors::port_error(&doing, &error))?;
    for result in altered {
        if let Err((_, code)) = result {
            return Err(errors::port_error(&doing, &KafkaError::AdminOp(code)));
        }
    }
    Ok(())
}

/// The settings of a topic or broker; `None` where they may not be read.
pub(crate) fn settings(admin: &Admin, what: ResourceSpecifier<'_>) -> Option<ConfigResource> {
    let request = AdminOptions::new().request_timeout(Some(WITHIN));
    let described = block_on(admin.describe_configs([&what], &request)).ok()?;
    described.into_iter().next()?.ok()
}

/// The value of a setting.
pub(crate) fn value<'a>(config: &'a ConfigResource, name: &str) -> Option<&'a str> {
    config.get(name)?.value.as_deref()
}

fn warnings_of(topic: &str, config: &ConfigResource) -> Vec<String> {
    let mut warnings = Vec::new();
    if value(config, "unclean.leader.election.enable") == Some("true") {
        warnings.push(format!(
            "topic `{topic}` has `unclean.leader.election.enable=true`: a broker that falls behind can \
             become the leader, lose messages that were acknowledged, and reuse their offsets"
        ));
    }
    if value(config, "cleanup.policy").is_some_and(|policy| policy.contains("compact")) {
        warnings.push(format!(
            "topic `{topic}` is compacted: only the last message of a key is kept, and those before it \
             may be gone before they are handled"
        ));
    }
    warnings
}

fn info(spec: &TopicSpec, partitions: u32, warnings: Vec<String>) -> TopicInfo {
    TopicInfo {
        name: spec.name.clone(),
        partitions,
        storage: Storage::File,
        compares: false,
        no_batches: None,
        warnings,
    }
}

/// The error for a topic that is not there, with the command that creates it.
pub(crate) fn missing(spec: &TopicSpec, options: &KafkaOptions) -> PortError {
    PortError::new(
        PortErrorKind::Missing,
        format!(
            "topic `{}` does not exist at {}; create it with `kafka-topics.sh --bootstrap-server {} \
             --create --topic {} --partitions {} --config {STAMPS}={APPEND_TIME}`, or set topics = \
             \"create\"",
            spec.name,
            options.shown,
            options.servers,
            spec.name,
            spec.partitions.unwrap_or(PARTITIONS),
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use procession_core::Span;

    #[test]
    fn a_missing_topic_names_the_command() {
        let spec = TopicSpec {
            name: "orders".into(),
            partitions: Some(2),
            storage: Storage::File,
            mode: TopicMode::Validate,
            duplicate_window: Span::from_secs(60),
            layout: None,
            batches: false,
        };
        let error = missing(&spec, &KafkaOptions::parse("kafka://h:1").unwrap());
        assert_eq!(error.kind, PortErrorKind::Missing);
        for part in ["--bootstrap-server h:1", "--topic orders", "--partitions 2"] {
            assert!(error.message.contains(part), "{error}");
        }
    }
}
