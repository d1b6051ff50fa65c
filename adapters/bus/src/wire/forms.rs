//! Telling the forms apart on receipt, and writing the one that a topic asks for.

use bytes::Bytes;
use memchr::memmem;
use procession_runtime::port::{Headers, Record};

use super::json::{Members, Writer};
use super::{Binding, Form, for_wire, predecessor, structured};
use crate::envelope::validate::VALUE_MAX;
use crate::envelope::{Attribute, Envelope, EnvelopeError, Original, Parts};

/// A record that has a JSON form and breaks one of its rules.
pub(super) struct Unread {
    /// Nothing but the key, where it can be read: the dead letter waits its turn behind it.
    pub(super) parts: Parts,
    pub(super) error: EnvelopeError,
}

/// Whether a media type is one of CloudEvents' own: the body holds the whole event.
pub(super) fn is_cloud_events(content_type: &str) -> bool {
    starts(content_type, "application/cloudevents")
}

/// Whether header fields say that the body holds the whole event.
pub(super) fn is_declared(parts: &Parts, headers: &Headers) -> bool {
    content_type(parts, headers).is_some_and(is_cloud_events)
}

/// Reads the body of a record as a JSON form; `None` when it has none and is a raw message.
#[cold]
pub(super) fn read(record: &Record, parts: &Parts) -> Option<Result<Parts, Unread>> {
    let body = &record.payload[..];
    let declared = match content_type(parts, &record.headers) {
        Some(kind) if is_cloud_events(kind) => {
            if !kind.contains("+json") && kind.contains(['+', '-']) {
                return Some(Err(unread(
                    None,
                    EnvelopeError::new(
                        "content type",
                        kind,
                        "this format of CloudEvents is not known",
                        "let the publisher send application/cloudevents+json, one event a message",
                    ),
                )));
            }
            true
        }
        // A publisher that says what else it is knows better than we do.
        Some(kind) if !starts(kind, "application/json") => return None,
        _ => false,
    };
    if !declared {
        let first = body.iter().find(|b| !b.is_ascii_whitespace());
        let holds = |name: &str| memmem::find(body, name.as_bytes()).is_some();
        let looks = holds("\"specversion\"") || (holds("\"event_id\"") && holds("\"event_type\""));
        if first != Some(&b'{') || !looks {
            return None;
        }
    }
    let members = match Members::read(body) {
        Ok(members) => members,
        Err(error) => {
            let problem = format!("the body is not a JSON object that can be read: {error}");
            let fix = "let the publisher send one whole object";
            let error = EnvelopeError::new("body", "", problem, fix);
            return Some(Err(unread(None, error)));
        }
    };
    let has = |name: &str| members.get(name).is_some();
    let (form, read, key) = if declared || has("specversion") {
        let key = structured::key(&members);
        (Form::Structured, structured::read(record, &members), key)
    } else if has("event_id") && has("event_type") {
        let key = predecessor::key(record, &members);
        (Form::Predecessor, predecessor::read(record, &members), key)
    } else {
        return None;
    };
    Some(match read {
        Ok(mut parts) => {
            parts.original = Some(Box::new(Original {
                form,
                headers: record.headers.clone(),
                body: record.payload.clone(),
            }));
            if form == Form::Structured {
                // As in binary mode: the broker's own key field comes first.
                parts.record_key = record.key.clone();
            }
            Ok(parts)
        }
        Err(error) => Err(unread(key.as_deref(), error)),
    })
}

/// Writes a message in a form: header fields and body.
///
/// A message that came in this form keeps its body to the byte.
pub(crate) fn write(
    envelope: &Envelope,
    form: Form,
    binding: Binding,
    source: &str,
) -> Result<(Headers, Bytes), EnvelopeError> {
    let original = envelope.parts.original.as_deref();
    if envelope.is_raw() || (form == Form::Binary && original.is_none()) {
        let headers = for_wire(envelope, binding, source);
        return Ok((headers, envelope.payload().clone()));
    }
    let same = original.filter(|original| original.form == form);
    let carried;
    let envelope = match original {
        Some(original) if same.is_none() => {
            carried = carry_rest(envelope, original)?;
            carried.as_ref().unwrap_or(envelope)
        }
        _ => envelope,
    };
    if form == Form::Binary {
        let headers = for_wire(envelope, binding, source);
        return Ok((headers, envelope.payload().clone()));
    }
    // Names without escapes, in the order of the specification, the source filled in.
    let fields = for_wire(envelope, Binding::Underscored, source);
    match (form, same) {
        (Form::Structured, Some(same)) => Ok((structured::beside(&fields), same.body.clone())),
        (Form::Structured | Form::Binary, _) => structured::write(&fields, envelope.payload()),
        (Form::Predecessor, same) => {
            let event = predecessor::Event::of(&fields, envelope.key())?;
            let body = match same {
                Some(same) => same.body.clone(),
                None => event.body(&fields, envelope.payload())?,
            };
            Ok((event.beside(&fields, binding), body))
        }
    }
}

/// What an object has beyond the fields of an envelope travels in the extension attribute
/// `otherfields` of another form.
fn carry_rest(envelope: &Envelope, original: &Original) -> Result<Option<Envelope>, EnvelopeError> {
    // It was read before; it can be read again.
    let Ok(members) = Members::read(&original.body) else {
        return Ok(None);
    };
    let rest = match original.form {
        Form::Predecessor => predecessor::rest(&members),
        Form::Structured | Form::Binary => structured::rest(&members),
    };
    let Some(rest) = rest.map(String::from_utf8).and_then(Result::ok) else {
        return Ok(None);
    };
    if VALUE_MAX < rest.len() || rest.chars().any(char::is_control) {
        return Err(EnvelopeError::new(
            "otherfields",
            &rest,
            "the fields that Procession does not know weigh more than 8192 bytes, or hold line \
             breaks",
            "publish the message in the form in which it came, or build a new one",
        ));
    }
    let mut parts = Parts {
        payload: envelope.parts.payload.clone(),
        topic: envelope.parts.topic.clone(),
        record_key: envelope.parts.record_key.clone(),
        index: envelope.parts.index,
        text: envelope.parts.text.clone(),
        ..Parts::default()
    };
    let mut headers: Vec<(&str, &[u8])> = envelope.headers().iter().collect();
    let rest = super::escape(&rest);
    headers.push(("ce-otherfields", rest.as_bytes()));
    parts.headers = headers.into_iter().collect();
    Ok(Some(parts.into()))
}

/// The members that `known` does not know, as a JSON object; `None` without any.
pub(super) fn form_of_rest(
    members: &Members<'_>,
    known: impl Fn(&str, &str) -> bool,
) -> Option<Vec<u8>> {
    let mut rest = members
        .iter()
        .filter(|(name, value)| !known(name, value))
        .peekable();
    rest.peek()?;
    let mut object = Writer::with_capacity(256);
    for (name, value) in rest {
        object.raw(name, value);
    }
    Some(object.finish())
}

/// Whether a name begins so, whatever its case.
pub(super) fn starts(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn content_type<'r>(parts: &Parts, headers: &'r Headers) -> Option<&'r str> {
    let (_, value) = headers.at(parts.index.get(Attribute::ContentType)?)?;
    core::str::from_utf8(value).ok()
}

fn unread(key: Option<&str>, error: EnvelopeError) -> Unread {
    let mut parts = Parts::default();
    let key = key.filter(|key| crate::envelope::validate::text(Attribute::Key, key).is_ok());
    if let Some(key) = key {
        parts.text.push((Attribute::Key, key.into()));
    }
    Unread { parts, error }
}
