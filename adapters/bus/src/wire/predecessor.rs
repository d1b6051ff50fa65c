//! The JSON object of the Go event bus that came before Procession.

use std::borrow::Cow;

use bytes::Bytes;
use procession_runtime::port::{Headers, HeadersBuilder, Record};

use super::encode::Encoder;
use super::escape::{escape, unescape};
use super::form::PREDECESSOR;
use super::json::{self, Members, Writer};
use super::structured::is_json;
use super::{Binding, decode, starts};
use crate::envelope::{Attribute, EnvelopeError, Parts, validate};

/// The extension attribute that holds the predecessor's `trace_id`.
const TRACE: &str = "traceid";

/// The members of the object, in the order in which they are written.
const MEMBERS: [&str; 9] = [
    "event_id",
    "aggregate_id",
    "event_type",
    "event_version",
    "timestamp",
    "trace_id",
    "correlation_id",
    "tenant_id",
    "payload",
];

/// Header fields that the predecessor writes beside the object on Kafka.
const FIELDS: [&str; 7] = [
    "X-Event-ID",
    "X-Aggregate-ID",
    "X-Event-Version",
    "X-Event-Type",
    "X-Trace-ID",
    "X-Correlation-ID",
    "X-Tenant-ID",
];

/// Where an aggregate id is looked for that the object does not have, in any case.
const AGGREGATE: [&str; 2] = ["X-Aggregate-ID", "Aggregate-ID"];

/// Reads the object: its members as the header fields that binary mode would have.
pub(super) fn read(record: &Record, members: &Members<'_>) -> Result<Parts, EnvelopeError> {
    let id = text(members, "event_id")?;
    let kind = text(members, "event_type")?;
    let version = number(members, "event_version")?;
    let timestamp = text(members, "timestamp")?;
    decode::check(Attribute::Time, &timestamp)?;
    let payload = members.iter().find(|(name, _)| *name == "payload");
    let Some((_, payload)) = payload else {
        return Err(missing("payload"));
    };
    let aggregate = aggregate(record, members)?;
    check_aggregate(&aggregate)?;
    let mut encoder = Encoder::new(record.payload.slice_ref(payload.as_bytes()));
    encoder.attribute(Attribute::SpecVersion, Some("1.0"))?;
    encoder.attribute(Attribute::Id, Some(&id))?;
    encoder.attribute(Attribute::Source, Some(PREDECESSOR))?;
    encoder.attribute(Attribute::Type, Some(&kind))?;
    encoder.attribute(Attribute::Time, Some(&timestamp))?;
    encoder.attribute(Attribute::ContentType, Some("application/json"))?;
    encoder.attribute(Attribute::Key, Some(&aggregate))?;
    encoder.attribute(Attribute::Sequence, Some(version))?;
    for attribute in [Attribute::TraceParent, Attribute::TraceState] {
        encoder.attribute(attribute, beside_text(record, attribute.name()).as_deref())?;
    }
    let correlation = optional(members, "correlation_id")?;
    encoder.attribute(Attribute::Correlation, correlation.as_deref())?;
    if members.get("tenant_id").is_some_and(|tenant| tenant != "0") {
        let tenant = number(members, "tenant_id")?;
        encoder.attribute(Attribute::Tenant, Some(tenant))?;
    }
    if let Some(trace) = optional(members, "trace_id")? {
        validate::extension(TRACE, &trace)?;
        encoder.extension(TRACE, &trace);
    }
    for (name, value) in record.headers.iter() {
        let ours = FIELDS.into_iter().chain(AGGREGATE);
        let attribute = validate::is_attribute(name);
        let known = attribute
            && name.get(3..).is_some_and(|name| {
                Attribute::find(name).is_some() || name.eq_ignore_ascii_case(TRACE)
            });
        if !known
            && !name.eq_ignore_ascii_case("content-type")
            && !ours.into_iter().any(|own| name.eq_ignore_ascii_case(own))
        {
            encoder.field(name, value);
        }
    }
    encoder.finish_parts()
}

/// The key of an object that breaks a rule, where it can be read.
pub(super) fn key<'m>(record: &'m Record, members: &Members<'m>) -> Option<Cow<'m, str>> {
    aggregate(record, members).ok()
}

/// The members that nobody knows, as a JSON object; `None` without any.
pub(super) fn rest(members: &Members<'_>) -> Option<Vec<u8>> {
    super::form_of_rest(members, |name, _| MEMBERS.contains(&name))
}

/// What a message needs to have this form.
pub(super) struct Event<'e> {
    id: &'e str,
    aggregate: &'e str,
    kind: &'e str,
    version: u64,
    timestamp: &'e str,
    trace: Option<&'e str>,
    correlation: Option<&'e str>,
    tenant: Option<u64>,
    rest: Option<&'e str>,
}

impl<'e> Event<'e> {
    /// Finds it among the fields of Kafka's binary mode, and checks it.
    pub(super) fn of(fields: &'e Headers, key: Option<&'e str>) -> Result<Self, EnvelopeError> {
        let find = |name: &str| {
            let value = fields.get(name)?;
            core::str::from_utf8(value).ok().filter(|v| !v.is_empty())
        };
        let of = |attribute: Attribute| find(attribute.header(Binding::Underscored));
        let need = |attribute: Attribute, value: Option<&'e str>, fix: &'static str| {
            value.filter(|v| !v.trim().is_empty()).ok_or_else(|| {
                let value = value.unwrap_or_default();
                let problem = "the predecessor's form needs one that is not blank";
                EnvelopeError::new(attribute.label(), value, problem, fix)
            })
        };
        let aggregate = need(Attribute::Key, key, "give the aggregate id by `key`")?;
        check_aggregate(aggregate)?;
        let sequence = of(Attribute::Sequence).unwrap_or_default();
        let version = sequence.parse().ok().filter(|version| 0 < *version);
        let Some(version) = version else {
            return Err(EnvelopeError::new(
                "sequence",
                sequence,
                "the predecessor's form needs a version above 0",
                "give it by `sequence`",
            ));
        };
        let tenant = of(Attribute::Tenant).map(|tenant| {
            tenant.parse().map_err(|_| {
                EnvelopeError::new(
                    "tenant",
                    tenant,
                    "the predecessor's form knows only numbers",
                    "give a number, or publish in another form",
                )
            })
        });
        let traceparent = of(Attribute::TraceParent);
        for name in FIELDS.into_iter().chain(AGGREGATE) {
            if let Some(value) = fields.get(name) {
                return Err(EnvelopeError::new(
                    format!("header {name}"),
                    &String::from_utf8_lossy(value),
                    "this name belongs to the predecessor's form",
                    "use another name: the form writes this field itself",
                ));
            }
        }
        Ok(Self {
            id: need(Attribute::Id, of(Attribute::Id), "give an id")?,
            aggregate,
            kind: need(Attribute::Type, of(Attribute::Type), "give a type")?,
            version,
            timestamp: need(Attribute::Time, of(Attribute::Time), "give it by `time`")?,
            trace: find("ce_traceid").or_else(|| traceparent?.split('-').nth(1)),
            correlation: of(Attribute::Correlation),
            tenant: tenant.transpose()?.filter(|tenant| 0 < *tenant),
            rest: find("ce_otherfields"),
        })
    }

    /// The body. `fields` are those of Kafka's binary mode.
    pub(super) fn body(&self, fields: &Headers, payload: &Bytes) -> Result<Bytes, EnvelopeError> {
        let content_type = fields.get("content-type").unwrap_or_default();
        let content_type = String::from_utf8_lossy(content_type);
        let value = is_json(&content_type).then(|| json::embeddable(payload));
        let Some(value) = value.flatten() else {
            return Err(EnvelopeError::new(
                "payload",
                &content_type,
                "the predecessor's form embeds one JSON value, and this is none",
                "end the builder with `json`, or publish in another form",
            ));
        };
        let mut object = Writer::with_capacity(payload.len() + fields.byte_len() + 256);
        object.text("event_id", self.id);
        object.text("aggregate_id", self.aggregate);
        object.text("event_type", self.kind);
        object.raw("event_version", &self.version.to_string());
        object.text("timestamp", self.timestamp);
        if let Some(trace) = self.trace {
            object.text("trace_id", trace);
        }
        if let Some(correlation) = self.correlation {
            object.text("correlation_id", correlation);
        }
        if let Some(tenant) = self.tenant {
            object.raw("tenant_id", &tenant.to_string());
        }
        object.raw("payload", value);
        if let Some(Ok(rest)) = self.rest.map(|rest| Members::read(rest.as_bytes())) {
            for (name, value) in rest.iter().filter(|(name, _)| !MEMBERS.contains(name)) {
                object.raw(name, value);
            }
        }
        Ok(object.finish().into())
    }

    /// The header fields beside the body: the predecessor's own on Kafka, then what it has no member
    /// for, then the application's.
    pub(super) fn beside(&self, fields: &Headers, binding: Binding) -> Headers {
        let mut headers = HeadersBuilder::with_capacity(fields.len() + 7, fields.byte_len() + 128);
        if binding == Binding::Underscored {
            let version = self.version.to_string();
            let tenant = self.tenant.map(|tenant| tenant.to_string());
            let values = [
                Some(self.id),
                Some(self.aggregate),
                Some(&version),
                Some(self.kind),
                self.trace,
                self.correlation,
                tenant.as_deref(),
            ];
            for (name, value) in FIELDS.into_iter().zip(values) {
                if let Some(value) = value {
                    headers.push(name, value.as_bytes());
                }
            }
        }
        for (name, value) in fields.iter() {
            if name.eq_ignore_ascii_case("content-type") {
                continue;
            }
            let Some(attribute) = name.get(3..).filter(|_| starts(name, "ce_")) else {
                headers.push(name, value);
                continue;
            };
            let attribute = &*attribute.to_ascii_lowercase();
            let kept = match Attribute::find(attribute) {
                Some(known) => matches!(known, Attribute::TraceParent | Attribute::TraceState),
                None => !matches!(attribute, TRACE | "otherfields"),
            };
            if kept {
                match binding {
                    Binding::Underscored => headers.push(name, value),
                    Binding::Dashed => {
                        let text = String::from_utf8_lossy(value);
                        headers.push(&format!("ce-{attribute}"), escape(&text).as_bytes())
                    }
                };
            }
        }
        headers.build()
    }
}

/// The aggregate id: in the object, else in a header field, else the broker's key.
fn aggregate<'m>(record: &'m Record, members: &Members<'m>) -> Result<Cow<'m, str>, EnvelopeError> {
    if let Some(own) = optional(members, "aggregate_id")? {
        return Ok(own);
    }
    let fields = AGGREGATE.into_iter().filter_map(|n| record.headers.get(n));
    for value in fields.chain(record.key.as_deref()) {
        let value = core::str::from_utf8(value).unwrap_or_default();
        if !value.trim().is_empty() {
            return Ok(Cow::Borrowed(value));
        }
    }
    Err(EnvelopeError::new(
        "aggregate_id",
        "",
        "neither the object nor a header field nor the broker's key has one",
        "let the publisher send it",
    ))
}

fn check_aggregate(id: &str) -> Result<(), EnvelopeError> {
    let allowed =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b':' | b'_' | b'-' | b'.' | b'/');
    if id.len() <= 256 && id.bytes().all(allowed) {
        return Ok(());
    }
    Err(EnvelopeError::new(
        "aggregate_id",
        id,
        "the predecessor's form does not allow it",
        "use at most 256 of A-Z a-z 0-9 : _ - . /",
    ))
}

/// A text that must be there and not be blank.
fn text<'m>(members: &Members<'m>, name: &'static str) -> Result<Cow<'m, str>, EnvelopeError> {
    optional(members, name)?.ok_or_else(|| missing(name))
}

/// A text; `None` when it is missing, `null` or blank.
fn optional<'m>(
    members: &Members<'m>,
    name: &'static str,
) -> Result<Option<Cow<'m, str>>, EnvelopeError> {
    let Some(value) = members.get(name) else {
        return Ok(None);
    };
    match json::string(value) {
        Some(text) => Ok(Some(text).filter(|text| !text.trim().is_empty())),
        None => {
            let fix = "let the publisher write it as a JSON string";
            Err(EnvelopeError::new(name, value, "not a text", fix))
        }
    }
}

/// A whole number above 0, as it stands.
fn number<'m>(members: &Members<'m>, name: &'static str) -> Result<&'m str, EnvelopeError> {
    let value = members.get(name).ok_or_else(|| missing(name))?;
    if value.parse::<u64>().is_ok_and(|number| 0 < number) {
        return Ok(value);
    }
    let fix = "let the publisher write it as a JSON number";
    let problem = "not a whole number above 0";
    Err(EnvelopeError::new(name, value, problem, fix))
}

fn missing(name: &'static str) -> EnvelopeError {
    EnvelopeError::new(
        name,
        "",
        "the predecessor's object has none, or a blank one",
        "let the publisher send it",
    )
}

/// An attribute that has no member and travels in a header field beside the object.
fn beside_text(record: &Record, name: &str) -> Option<String> {
    let text = |prefix: &str| {
        let value = record.headers.get(&format!("{prefix}{name}"))?;
        core::str::from_utf8(value).ok()
    };
    let dashed = text("ce-").and_then(unescape).map(Cow::into_owned);
    let value = dashed.or_else(|| text("ce_").map(str::to_owned))?;
    Some(value).filter(|value| !value.is_empty())
}
