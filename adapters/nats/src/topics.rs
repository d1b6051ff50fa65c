//! Topics as streams: created, validated, read back.

use std::sync::Arc;

use procession_core::Span;
use procession_runtime::check_topic_name;
use procession_runtime::port::{
    Layout, PortError, PortErrorKind, Storage, TopicInfo, TopicMode, TopicSpec,
};
use serde_json::{Value, json};

use crate::jetstream::{CallError, JetStream, StreamConfig, StreamInfo, code};
use crate::names::{covers, stream_of, subject_of};
use crate::shape::Shape;

/// Number of partitions when nobody says.
const PARTITIONS: u32 = 3;
/// Most partitions of a topic.
const PARTITIONS_MAX: u32 = 4_096;
/// Where a stream says how many partitions its topic has.
const METADATA: &str = "procession.partitions";
/// Where it says how its messages lie.
const LAYOUT: &str = "procession.layout";

/// Creates, updates or checks a topic.
pub(crate) async fn ensure(
    jetstream: &JetStream,
    spec: &TopicSpec,
    replicas: u32,
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
    if let (TopicMode::Skip, Some(partitions)) = (spec.mode, spec.partitions) {
        return Ok(TopicInfo {
            name: spec.name.clone(),
            partitions,
            storage: spec.storage,
            compares: spec.layout == Some(Layout::Keyed),
            no_batches: None,
            warnings: Vec::new(),
        });
    }
    let stream = stream_of(&spec.name);
    let doing = format!("topic `{}` (stream `{stream}`)", spec.name);
    let info = match jetstream.stream_info(&stream).await {
        Ok(info) => info,
        Err(CallError::Api(error)) if error.err_code == code::STREAM_NOT_FOUND => {
            if !matches!(spec.mode, TopicMode::Create | TopicMode::CreateOrUpdate) {
                return Err(missing(spec, &stream, &jetstream.shown));
            }
            match jetstream
                .create_stream(&stream_config(spec, replicas))
                .await
            {
                Ok(info) => info,
                // Somebody else was faster, with other settings: what is there is looked at.
                Err(CallError::Api(error)) if error.err_code == code::STREAM_NAME_IN_USE => {
                    jetstream
                        .stream_info(&stream)
                        .await
                        .map_err(|error| jetstream.explain(&doing, &error))?
                }
                Err(error) => return Err(jetstream.explain(&doing, &error)),
            }
        }
        Err(error) => return Err(jetstream.explain(&doing, &error)),
    };
    let checked = check(spec, &stream, &info)?;
    let known = info.known();
    let forgets = known.duplicate_window < window(spec);
    let lacks = spec.batches && !known.allow_atomic;
    if spec.mode == TopicMode::CreateOrUpdate && (forgets || lacks) {
        let mut config = info.config;
        config["duplicate_window"] = window(spec).max(known.duplicate_window).into();
        if lacks {
            config["allow_atomic"] = true.into();
        }
        let updated = jetstream
            .update_stream(&config)
            .await
            .map_err(|error| jetstream.explain(&doing, &error))?;
        return check(spec, &stream, &updated);
    }
    Ok(checked)
}

/// Reads a topic that must be there: how many partitions it has.
pub(crate) async fn look(jetstream: &JetStream, topic: &str) -> Result<TopicInfo, PortError> {
    ensure(jetstream, &existing(topic.into()), 1).await
}

/// What is asked of a topic that must be there, however it is.
pub(crate) const fn existing(name: Arc<str>) -> TopicSpec {
    TopicSpec {
        name,
        partitions: None,
        storage: Storage::File,
        mode: TopicMode::Validate,
        duplicate_window: Span::ZERO,
        layout: None,
        batches: false,
    }
}

/// How the topic lies by its stream's configuration: by its metadata, else by its subjects.
///
/// # Errors
/// Why it cannot be told.
fn shape_of(topic: &str, stream: &str, config: &StreamConfig) -> Result<Shape, String> {
    let first_key = subject_of(topic, 0) + ".*";
    let layout = match config.metadata.get(LAYOUT).map(String::as_str) {
        Some("keyed") => Layout::Keyed,
        Some("partitioned") => Layout::Partitioned,
        Some(other) => {
            return Err(format!(
                "the metadata `{LAYOUT}` of stream `{stream}` says `{other}`: known are `partitioned` and \
                 `keyed`; a newer version of Procession may know it"
            ));
        }
        None if config.subjects.contains(&first_key) => Layout::Keyed,
        None => Layout::Partitioned,
    };
    let shape = |partitions| Shape {
        partitions,
        layout,
        batches: config.allow_atomic,
    };
    let declared = config.metadata.get(METADATA).and_then(|n| n.parse().ok());
    if let Some(declared) = declared {
        return Ok(shape(declared));
    }
    let most = shape(PARTITIONS_MAX);
    let listed = (0..PARTITIONS_MAX)
        .take_while(|p| config.subjects.contains(&most.filter(topic, *p)))
        .count();
    match u32::try_from(listed) {
        Ok(listed) if 0 < listed => Ok(shape(listed)),
        Ok(_) | Err(_) => Err(format!(
            "stream `{stream}` lists no subject `{topic}.0` and has no metadata `{METADATA}` (its subjects: \
             {}); create the topic's stream with subjects `{topic}.0` to `{topic}.{{n-1}}`",
            config.subjects.join(", ")
        )),
    }
}

/// What was asked for, or what is made without being asked.
fn asked(spec: &TopicSpec) -> Shape {
    Shape {
        partitions: spec.partitions.unwrap_or(PARTITIONS),
        layout: spec.layout.unwrap_or_default(),
        batches: spec.batches,
    }
}

const fn word(layout: Layout) -> &'static str {
    match layout {
        Layout::Partitioned => "partitioned",
        Layout::Keyed => "keyed",
    }
}

fn window(spec: &TopicSpec) -> u64 {
    spec.duplicate_window.as_nanos()
}

fn stream_config(spec: &TopicSpec, replicas: u32) -> Value {
    let shape = asked(spec);
    let mut metadata = json!({ METADATA: shape.partitions.to_string() });
    if shape.layout != Layout::default() {
        metadata[LAYOUT] = word(shape.layout).into();
    }
    let mut config = json!({
        "name": stream_of(&spec.name),
        "subjects": shape.filters(&spec.name),
        "retention": "limits",
        "discard": "old",
        "storage": match spec.storage { Storage::File => "file", Storage::Memory => "memory" },
        "num_replicas": replicas,
        "duplicate_window": window(spec),
        "metadata": metadata,
    });
    if shape.batches {
        config["allow_atomic"] = true.into();
    }
    config
}

/// The error for publishes in batches to a stream that takes none.
fn takes_no_batches(topic: &str, stream: &str) -> PortError {
    PortError::new(
        PortErrorKind::Unsuitable,
        format!(
            "topic `{topic}`: stream `{stream}` takes no batches (its `allow_atomic` is off), and \
             `publish.batch` is above 1; allow them with `nats stream edit {stream} --allow-batch` or \
             topics = \"create_or_update\" (nats-server 2.12 or newer), or set `publish.batch` to 1"
        ),
    )
}

/// The error for a topic that is not there, with the command that creates it.
fn missing(spec: &TopicSpec, stream: &str, shown: &str) -> PortError {
    let shape = asked(spec);
    let partitions = shape.partitions;
    let (all, metadata) = match shape.layout {
        Layout::Partitioned => (".*", String::new()),
        Layout::Keyed => (".*.*", format!(" --metadata={LAYOUT}:keyed")),
    };
    let subjects = if partitions <= 8 {
        shape.filters(&spec.name).join(",")
    } else {
        format!("{}{all}", spec.name)
    };
    let storage = match spec.storage {
        Storage::File => "file",
        Storage::Memory => "memory",
    };
    let seconds = spec
        .duplicate_window
        .as_nanos()
        .div_ceil(1_000_000_000)
        .max(60);
    PortError::new(
        PortErrorKind::Missing,
        format!(
            "topic `{}` does not exist (no stream `{stream}` at {shown}); create it with `nats \
             stream add {stream} --subjects={subjects} --metadata={METADATA}:{partitions}{metadata} \
             --storage={storage} --retention=limits --dupe-window={seconds}s --defaults`, or set \
             topics = \"create\"",
            spec.name
        ),
    )
}

/// Checks what is there against what was asked for, and against what Procession can use.
pub(crate) fn check(
    spec: &TopicSpec,
    stream: &str,
    info: &StreamInfo,
) -> Result<TopicInfo, PortError> {
    let config = info.known();
    let topic = &spec.name;
    let unsuitable =
        |why: String| PortError::new(PortErrorKind::Unsuitable, format!("topic `{topic}`: {why}"));
    if !matches!(config.retention.as_str(), "" | "limits") {
        return Err(unsuitable(format!(
            "stream `{stream}` has {} retention, which deletes messages by acknowledgement; \
             Procession reads a log and acknowledges nothing: use a stream with `limits` retention",
            config.retention
        )));
    }
    let shape = shape_of(topic, stream, &config).map_err(unsuitable)?;
    let partitions = shape.partitions;
    if !(1..=PARTITIONS_MAX).contains(&partitions) {
        return Err(unsuitable(format!(
            "the metadata `{METADATA}` of stream `{stream}` says {partitions}: allowed is 1 to \
             {PARTITIONS_MAX}"
        )));
    }
    // A filter that no subject matches would wait for ever without a word.
    for subject in shape.filters(topic) {
        if !config
            .subjects
            .iter()
            .any(|filter| covers(filter, &subject))
        {
            return Err(unsuitable(format!(
                "no subject of stream `{stream}` matches `{subject}` (they are: {}), although it \
                 is to have {partitions} partitions; add the subject, or correct `{METADATA}`",
                config.subjects.join(", ")
            )));
        }
    }
    if let Some(asked) = spec.partitions
        && asked != partitions
    {
        return Err(unsuitable(format!(
            "it has {partitions} partitions, not {asked}; the number cannot be changed, because \
             keys would move to other partitions and lose their order: use {partitions}, or a new \
             topic"
        )));
    }
    if let Some(asked) = spec.layout
        && asked != shape.layout
    {
        return Err(unsuitable(format!(
            "its layout is {}, not {}; it cannot be changed, because what is stored stays as it lies: \
             use layout = \"{}\", or a new topic",
            word(shape.layout),
            word(asked),
            word(shape.layout)
        )));
    }
    let mut warnings = Vec::new();
    if config.persist_mode == "async" {
        warnings.push(format!(
            "stream `{stream}` has `persist_mode: async`: a server that is killed loses messages \
             that it had acknowledged, and reuses their sequences"
        ));
    }
    if config.duplicate_window < window(spec) {
        warnings.push(format!(
            "stream `{stream}` forgets message ids after {} ms, and should remember them for {} \
             ms: a publish that is repeated later may be stored twice",
            config.duplicate_window / 1_000_000,
            window(spec) / 1_000_000
        ));
    }
    if spec.batches && shape.batches && config.storage == "file" && config.num_replicas <= 1 {
        warnings.push(format!(
            "stream `{stream}` has one replica, in files: the server makes files for each batch and deletes \
             them, which takes a millisecond and more; where the way to it is short and keys have few \
             messages waiting, `publish.batch` above 1 is slower than 1"
        ));
    }
    let storage = match config.storage.as_str() {
        "memory" => Storage::Memory,
        _ => Storage::File,
    };
    if storage != spec.storage && spec.mode != TopicMode::Validate {
        warnings.push(format!(
            "stream `{stream}` keeps its messages in {} storage, not as asked for",
            config.storage
        ));
    }
    Ok(TopicInfo {
        name: topic.clone(),
        partitions,
        storage,
        compares: shape.layout == Layout::Keyed,
        no_batches: (!shape.batches).then(|| takes_no_batches(topic, stream)),
        warnings,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jetstream::StreamState;

    fn spec(partitions: Option<u32>) -> TopicSpec {
        TopicSpec {
            name: "orders".into(),
            partitions,
            storage: Storage::File,
            mode: TopicMode::Validate,
            duplicate_window: Span::from_secs(60),
            layout: None,
            batches: false,
        }
    }

    fn info(config: Value) -> StreamInfo {
        StreamInfo {
            config,
            created: String::new(),
            state: StreamState::default(),
        }
    }

    #[test]
    fn what_is_created_is_accepted() {
        for partitions in [1, 3, 200] {
            let spec = spec(Some(partitions));
            let checked = check(&spec, "orders", &info(stream_config(&spec, 1))).unwrap();
            assert_eq!(checked.partitions, partitions);
            assert_eq!(checked.warnings, [""; 0]);
        }
    }

    #[test]
    fn partitions_from_subjects() {
        let config = json!({"subjects": ["orders.0", "orders.1", "orders.3"], "retention": "limits",
            "storage": "file", "duplicate_window": 120_000_000_000u64});
        assert_eq!(
            check(&spec(None), "orders", &info(config))
                .unwrap()
                .partitions,
            2
        );
    }

    #[test]
    fn refuses_what_cannot_work_and_says_what_to_do() {
        let good = stream_config(&spec(Some(3)), 1);
        let with = |field: &str, value: Value| {
            let mut config = good.clone();
            config[field] = value;
            config
        };
        for (config, partitions, says) in [
            (
                with("retention", json!("workqueue")),
                None,
                "`limits` retention",
            ),
            (
                with("retention", json!("interest")),
                None,
                "`limits` retention",
            ),
            (
                with("subjects", json!(["other.>"])),
                None,
                "matches `orders.0`",
            ),
            (
                with("metadata", json!({METADATA: "4"})),
                None,
                "matches `orders.3`",
            ),
            (
                with("metadata", json!({METADATA: "0"})),
                None,
                "allowed is 1",
            ),
            (
                json!({"subjects": ["x.>"], "retention": "limits"}),
                None,
                "lists no subject `orders.0`",
            ),
            (good.clone(), Some(4), "has 3 partitions, not 4"),
        ] {
            let error = check(&spec(partitions), "orders", &info(config)).unwrap_err();
            assert_eq!(error.kind, PortErrorKind::Unsuitable);
            assert!(error.message.contains(says), "{}", error.message);
        }
    }

    #[test]
    fn warns_of_what_is_weaker_than_it_looks() {
        let mut config = stream_config(&spec(None), 1);
        config["persist_mode"] = "async".into();
        config["duplicate_window"] = 1_000_000.into();
        let checked = check(&spec(None), "orders", &info(config)).unwrap();
        assert!(checked.warnings.iter().any(|w| w.contains("persist_mode")));
        assert!(checked.warnings.iter().any(|w| w.contains("stored twice")));
    }

    #[test]
    fn batches_are_allowed_where_they_are_wanted_and_their_price_is_told() {
        let mut wanted = spec(None);
        let plain = info(stream_config(&wanted, 1));
        assert!(plain.config.get("allow_atomic").is_none());
        let why = check(&wanted, "orders", &plain)
            .unwrap()
            .no_batches
            .unwrap();
        for part in [
            "allow_atomic",
            "publish.batch",
            "nats stream edit orders",
            "2.12",
        ] {
            assert!(why.message.contains(part), "{}", why.message);
        }
        wanted.batches = true;
        let price = |storage, replicas| {
            let spec = TopicSpec {
                storage,
                ..wanted.clone()
            };
            let checked = check(&spec, "orders", &info(stream_config(&spec, replicas))).unwrap();
            assert_eq!(checked.no_batches, None);
            checked
                .warnings
                .iter()
                .any(|w| w.contains("one replica, in files"))
        };
        assert!(price(Storage::File, 1));
        assert!(!price(Storage::File, 3) && !price(Storage::Memory, 1));
    }

    #[test]
    fn a_missing_topic_names_the_command() {
        let error = missing(&spec(Some(2)), "orders", "nats://h:1");
        assert_eq!(error.kind, PortErrorKind::Missing);
        for part in [
            "nats stream add orders",
            "--subjects=orders.0,orders.1",
            "--metadata=procession.partitions:2",
            "nats://h:1",
            "topics = \"create\"",
        ] {
            assert!(error.message.contains(part), "{}", error.message);
        }
    }
}
