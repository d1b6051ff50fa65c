//! CloudEvents in structured mode: one JSON object.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use procession_runtime::port::{Headers, HeadersBuilder, Record};

use super::encode::Encoder;
use super::json::{self, Members, Writer};
use super::{decode, starts};
use crate::envelope::{Attribute, EnvelopeError, Parts, validate};

/// The media type of this form, as the bindings write it.
pub(super) const CONTENT_TYPE: &str = "application/cloudevents+json; charset=UTF-8";

/// Reads the object: its attributes as the header fields that binary mode would have.
pub(super) fn read(record: &Record, members: &Members<'_>) -> Result<Parts, EnvelopeError> {
    for required in decode::REQUIRED {
        let name = required.name();
        if members.get(name).is_none() {
            return Err(EnvelopeError::new(
                required.label(),
                "",
                format!("the object of CloudEvents has no member `{name}`"),
                "let the publisher send specversion, id, source and type",
            ));
        }
    }
    let content_type = members.get("datacontenttype").and_then(json::string);
    let mut encoder = Encoder::new(data(record, members, content_type.as_deref())?);
    for (name, value) in members.iter() {
        if value == "null" || matches!(name, "data" | "data_base64") {
            continue;
        }
        match find(name) {
            Some(attribute) => {
                let text = if attribute == Attribute::Sequence {
                    json::scalar(value)
                } else {
                    json::string(value)
                };
                let Some(text) = text else {
                    return Err(EnvelopeError::new(
                        attribute.label(),
                        value,
                        "not a text",
                        "let the publisher write the attribute as a JSON string",
                    ));
                };
                decode::check(attribute, &text)?;
                if !text.is_empty() || decode::REQUIRED.contains(&attribute) {
                    encoder.attribute(attribute, Some(&text))?;
                }
            }
            // Whatever is no extension attribute stays in the body, which is kept.
            None => {
                if let Some(text) = json::scalar(value)
                    && validate::extension(name, &text).is_ok()
                {
                    encoder.extension(name, &text);
                }
            }
        }
    }
    if content_type.is_none() && members.get("data").is_some() {
        encoder.attribute(Attribute::ContentType, Some("application/json"))?;
    }
    for (name, value) in record.headers.iter() {
        // Attributes that are header fields, too, say the same as the object does.
        if !belongs(name) {
            encoder.field(name, value);
        }
    }
    encoder.finish_parts()
}

/// The key of an object that breaks a rule, where it can be read.
pub(super) fn key<'m>(members: &Members<'m>) -> Option<Cow<'m, str>> {
    json::string(members.get(Attribute::Key.name())?)
}

/// The members that have no place among header fields, as a JSON object; `None` without any.
pub(super) fn rest(members: &Members<'_>) -> Option<Vec<u8>> {
    let known = |name: &str, value: &str| {
        matches!(name, "data" | "data_base64")
            || find(name).is_some()
            || json::scalar(value).is_some_and(|text| validate::extension(name, &text).is_ok())
    };
    super::form_of_rest(members, |name, value| value == "null" || known(name, value))
}

/// Writes the body, and the header fields beside it. `fields` are those of Kafka's binary mode.
pub(super) fn write(fields: &Headers, payload: &Bytes) -> Result<(Headers, Bytes), EnvelopeError> {
    let bytes = fields.byte_len() + payload.len();
    let mut object = Writer::with_capacity(bytes + bytes / 4 + 64);
    let mut content_type = None;
    let mut names: Vec<String> = Vec::with_capacity(fields.len());
    for (name, value) in fields.iter() {
        let name = match name.get(3..) {
            _ if name.eq_ignore_ascii_case("content-type") => "datacontenttype".to_owned(),
            Some(rest) if starts(name, "ce_") => rest.to_ascii_lowercase(),
            _ => continue,
        };
        let bad = |problem: &'static str, fix: &'static str| {
            let value = String::from_utf8_lossy(value);
            EnvelopeError::new(format!("extension {name}"), &value, problem, fix)
        };
        let Ok(text) = core::str::from_utf8(value) else {
            return Err(bad("not UTF-8", "publish the message in binary mode"));
        };
        if names.contains(&name) {
            let problem = "it is there twice, which a JSON object does not allow";
            return Err(bad(problem, "give it once"));
        }
        if name == "datacontenttype" {
            content_type = Some(text);
        }
        object.text(&name, text);
        names.push(name);
    }
    if !payload.is_empty() {
        match (content_type, core::str::from_utf8(payload)) {
            (Some(kind), Ok(text)) if starts(kind, "text/") => object.text("data", text),
            (Some(kind), Ok(_)) if is_json(kind) => match json::embeddable(payload) {
                Some(value) => object.raw("data", value),
                None => object.text("data_base64", &STANDARD.encode(payload)),
            },
            _ => object.text("data_base64", &STANDARD.encode(payload)),
        }
    }
    Ok((beside(fields), object.finish().into()))
}

/// The header fields beside the body.
pub(super) fn beside(fields: &Headers) -> Headers {
    let mut headers = HeadersBuilder::with_capacity(fields.len() + 1, fields.byte_len());
    headers.push("content-type", CONTENT_TYPE.as_bytes());
    for (name, value) in fields.iter().filter(|(name, _)| !belongs(name)) {
        headers.push(name, value);
    }
    headers.build()
}

/// Whether a media type says that the payload is JSON.
pub(super) fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    let ends = |suffix: &str| {
        let at = kind.len().checked_sub(suffix.len());
        at.and_then(|at| kind.get(at..))
            .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
    };
    ends("/json") || ends("+json")
}

/// The payload: a part of the body where it can be one.
fn data(
    record: &Record,
    members: &Members<'_>,
    content_type: Option<&str>,
) -> Result<Bytes, EnvelopeError> {
    let bad = |problem: &'static str, fix: &'static str| {
        Err(EnvelopeError::new("payload", "", problem, fix))
    };
    match (members.get("data"), members.get("data_base64")) {
        (None, None) => Ok(Bytes::new()),
        (Some(_), Some(_)) => bad(
            "there are both `data` and `data_base64`",
            "let the publisher send one of them",
        ),
        (None, Some(coded)) => match json::string(coded).map(|text| STANDARD.decode(&*text)) {
            Some(Ok(bytes)) => Ok(bytes.into()),
            _ => bad(
                "`data_base64` is not Base64",
                "let the publisher write it as RFC 4648 says, with padding",
            ),
        },
        (Some(value), None) => {
            if content_type.is_none_or(is_json) {
                return Ok(record.payload.slice_ref(value.as_bytes()));
            }
            Ok(match json::string(value) {
                Some(text) => Bytes::copy_from_slice(text.as_bytes()),
                None => record.payload.slice_ref(value.as_bytes()),
            })
        }
    }
}

/// The attribute behind a member's name. JSON minds the case.
fn find(name: &str) -> Option<Attribute> {
    Attribute::find(name).filter(|attribute| attribute.name() == name)
}

/// Header fields that belong to the form and not to the application.
fn belongs(name: &str) -> bool {
    validate::is_attribute(name) || name.eq_ignore_ascii_case("content-type")
}
