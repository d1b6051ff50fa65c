//! The rules of an envelope's fields, the same when publishing and when receiving.

use super::{Attribute, EnvelopeError};
use crate::wire::rfc3339;

/// Most header fields of a message, those of the envelope included.
pub(crate) const FIELDS_MAX: usize = 128;
/// Most bytes of all header names and values together.
pub(crate) const HEADER_BYTES_MAX: usize = 32 * 1024;
/// Longest name of a free header field.
pub(crate) const NAME_MAX: usize = 128;
/// Longest value of a free header field, in bytes.
pub(crate) const VALUE_MAX: usize = 8 * 1024;

/// Checks the value of a known attribute.
pub(crate) fn text(attribute: Attribute, value: &str) -> Result<(), EnvelopeError> {
    let field = attribute.label();
    if value.is_empty() {
        return Err(EnvelopeError::new(
            field,
            value,
            "it must not be empty",
            format!("give a {field}, or leave it out where it is optional"),
        ));
    }
    let max = attribute.max_bytes();
    if value.len() > max {
        return Err(EnvelopeError::new(
            field,
            value,
            format!("{} bytes long, allowed are {max}", value.len()),
            format!("use a shorter {field}"),
        ));
    }
    if has_controls(value) {
        return Err(EnvelopeError::new(
            field,
            value,
            "it contains a control character",
            "remove line breaks, tabs and other control characters",
        ));
    }
    Ok(())
}

/// Checks a W3C `traceparent` of the version that everybody writes.
pub(crate) fn traceparent(value: &str) -> Result<(), EnvelopeError> {
    let hex = |part: &str, len: usize| {
        part.len() == len && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let parts: Vec<&str> = value.split('-').collect();
    let ok = matches!(parts.as_slice(), [version, trace, span, flags]
        if hex(version, 2) && *version != "ff"
        && hex(trace, 32) && trace.bytes().any(|b| b != b'0')
        && hex(span, 16) && span.bytes().any(|b| b != b'0')
        && hex(flags, 2));
    if ok {
        return Ok(());
    }
    Err(EnvelopeError::new(
        "traceparent",
        value,
        "not a W3C trace context",
        "give 00-<32 hex digits>-<16 hex digits>-<2 hex digits>, lower case",
    ))
}

/// Checks a free header field as it is given to the builder.
pub(crate) fn free_header(name: &str, value: &str) -> Result<(), EnvelopeError> {
    let field = || format!("header {}", name.escape_debug());
    let bad = |problem: &'static str, fix: &'static str| {
        Err(EnvelopeError::new(field(), value, problem, fix))
    };
    let token =
        |b: u8| b.is_ascii_graphic() && !matches!(b, b':' | b'"' | b'(' | b')' | b',' | b';');
    if name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(token) {
        return bad(
            "its name is not allowed",
            "use 1 to 128 visible ASCII characters without : \" ( ) , ;",
        );
    }
    if is_reserved(name) {
        return bad(
            "this name is reserved (ce-, ce_, nats-, procession-, content-type)",
            "use another name, or the builder's own method for that field",
        );
    }
    if value.len() > VALUE_MAX {
        return bad(
            "longer than 8192 bytes",
            "shorten it, or move it into the payload",
        );
    }
    if has_controls(value) || value.trim() != value {
        return bad(
            "control characters and spaces at either end do not survive every broker",
            "remove them, or encode the value (for instance as base64)",
        );
    }
    Ok(())
}

/// Checks the name of a CloudEvents extension attribute.
pub(crate) fn extension(name: &str, value: &str) -> Result<(), EnvelopeError> {
    let field = || format!("extension {}", name.escape_debug());
    let bad = |problem: &'static str, fix: &'static str| {
        Err(EnvelopeError::new(field(), value, problem, fix))
    };
    let named = matches!(name.len(), 1..=20)
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if !named {
        return bad(
            "its name is not allowed",
            "use 1 to 20 characters a-z and 0-9, as CloudEvents asks",
        );
    }
    if Attribute::find(name).is_some() || name == "data" {
        return bad(
            "this attribute has a method of its own",
            "use the builder's own method",
        );
    }
    if name == "expirytime" && rfc3339::parse(value).is_none() {
        return bad(
            "not a timestamp between 1970 and 9999",
            "use `expires_at`, or write it as RFC 3339 does",
        );
    }
    if value.is_empty() || value.len() > VALUE_MAX || has_controls(value) {
        return bad(
            "empty, longer than 8192 bytes, or with control characters",
            "shorten or encode the value",
        );
    }
    Ok(())
}

/// Checks how many header fields there are and how much they weigh.
pub(crate) fn header_block(fields: usize, bytes: usize) -> Result<(), EnvelopeError> {
    if fields > FIELDS_MAX {
        return Err(EnvelopeError::new(
            "headers",
            &fields.to_string(),
            format!("more than {FIELDS_MAX} header fields"),
            "move some of them into the payload",
        ));
    }
    if bytes > HEADER_BYTES_MAX {
        return Err(EnvelopeError::new(
            "headers",
            &bytes.to_string(),
            format!("more than {HEADER_BYTES_MAX} bytes of header fields"),
            "move some of them into the payload",
        ));
    }
    Ok(())
}

/// Names that belong to the envelope, to a broker or to Procession itself.
pub(crate) fn is_reserved(name: &str) -> bool {
    let starts = |prefix: &str| {
        name.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    is_attribute(name)
        || starts("nats-")
        || starts("procession-")
        || name.eq_ignore_ascii_case("content-type")
}

/// Whether a header field holds an attribute of CloudEvents.
pub(crate) fn is_attribute(name: &str) -> bool {
    matches!(name.as_bytes(), [b'c' | b'C', b'e' | b'E', b'-' | b'_', ..])
}

fn has_controls(value: &str) -> bool {
    if value.is_ascii() {
        value.bytes().any(|b| b < 0x20 || b == 0x7f)
    } else {
        value.chars().any(char::is_control)
    }
}
