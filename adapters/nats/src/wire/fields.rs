//! The header block of a NATS message: `NATS/1.0 [status [description]]`, then `Name: value` lines.

use bytes::{BufMut, BytesMut};
use memchr::memchr;
use procession_runtime::port::{Headers, HeadersBuilder};

/// The first line of every header block.
const VERSION: &[u8] = b"NATS/1.0";

/// The status of a message that the server itself sent (100, 404, 408, 409, 503); `None` for others.
pub(crate) fn status(block: &[u8]) -> Option<(u16, &str)> {
    let rest = first_line(block).strip_prefix(VERSION)?.trim_ascii();
    let (code, text) = match memchr(b' ', rest) {
        Some(space) => rest.split_at(space),
        None => (rest, &rest[rest.len()..]),
    };
    let code = u16::try_from(super::frame::number(code)?).ok()?;
    Some((code, core::str::from_utf8(text.trim_ascii()).unwrap_or("")))
}

/// All fields, in order, with duplicates. Total: a line without a colon becomes a field without a
/// value, names that are not text are replaced in part, values are kept as bytes.
pub(crate) fn decode(block: &[u8]) -> Headers {
    let fields = Fields::new(block);
    if fields.rest.is_empty() {
        return Headers::default();
    }
    let mut headers = HeadersBuilder::with_capacity(8, block.len());
    for (name, value) in fields {
        match core::str::from_utf8(name) {
            Ok(name) => headers.push(name, value),
            Err(_) => headers.push(&String::from_utf8_lossy(name), value),
        };
    }
    headers.build()
}

/// The first value of a field.
pub(crate) fn get<'a>(block: &'a [u8], name: &str) -> Option<&'a [u8]> {
    Fields::new(block)
        .find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes()))
        .map(|(_, value)| value)
}

/// The first value of a field, as a number.
pub(crate) fn get_number(block: &[u8], name: &str) -> Option<u64> {
    super::frame::number(get(block, name)?)
}

/// Begins a header block.
pub(crate) fn begin(out: &mut BytesMut) {
    out.put_slice(VERSION);
    out.put_slice(b"\r\n");
}

/// Appends a field; false, and nothing appended, when it cannot be sent as a header line.
pub(crate) fn append(out: &mut BytesMut, name: &str, value: &[u8]) -> bool {
    let breaks = |bytes: &[u8]| memchr::memchr3(b'\r', b'\n', 0, bytes).is_some();
    if name.is_empty() || breaks(name.as_bytes()) || name.contains(':') || breaks(value) {
        return false;
    }
    out.put_slice(name.as_bytes());
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
    true
}

/// Ends a header block.
pub(crate) fn end(out: &mut BytesMut) {
    out.put_slice(b"\r\n");
}

/// The `Name: value` lines of a block.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn new(block: &'a [u8]) -> Self {
        let skip = (first_line(block).len() + 2).min(block.len());
        let rest = &block[skip..];
        let rest = rest.strip_suffix(b"\r\n").unwrap_or(rest);
        Self { rest }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let line = first_line(self.rest);
            let skip = (line.len() + 2).min(self.rest.len());
            self.rest = &self.rest[skip..];
            if line.is_empty() {
                continue;
            }
            let (name, value) = match memchr(b':', line) {
                Some(colon) => (&line[..colon], &line[colon + 1..]),
                None => (line, &line[line.len()..]),
            };
            return Some((name.trim_ascii(), value.trim_ascii()));
        }
        None
    }
}

/// Up to the first line break; everything when there is none.
fn first_line(block: &[u8]) -> &[u8] {
    let mut from = 0;
    while let Some(at) = memchr(b'\r', &block[from..]) {
        if block.get(from + at + 1) == Some(&b'\n') {
            return &block[..from + at];
        }
        from += at + 1;
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_statuses() {
        assert_eq!(
            status(b"NATS/1.0 100 Idle Heartbeat\r\n\r\n"),
            Some((100, "Idle Heartbeat"))
        );
        assert_eq!(status(b"NATS/1.0 503\r\n\r\n"), Some((503, "")));
        assert_eq!(status(b"NATS/1.0\r\nA: b\r\n\r\n"), None);
        assert_eq!(status(b""), None);
        assert_eq!(status(b"NATS/1.0 99999999 x\r\n\r\n"), None);
    }

    #[test]
    fn keeps_order_duplicates_and_bytes() {
        let block =
            b"NATS/1.0\r\nB: 2\r\nA:1\r\nB:   3 \r\nRaw: \xff\xfe\r\nempty:\r\nnocolon\r\n\r\n";
        let headers = decode(block);
        let fields: Vec<_> = headers.iter().collect();
        assert_eq!(
            fields,
            [
                ("B", &b"2"[..]),
                ("A", b"1"),
                ("B", b"3"),
                ("Raw", b"\xff\xfe"),
                ("empty", b""),
                ("nocolon", b""),
            ]
        );
        assert_eq!(get(block, "a"), Some(&b"1"[..]));
        assert_eq!(get_number(block, "b"), Some(2));
        assert_eq!(get_number(block, "raw"), None);
    }

    #[test]
    fn total_on_any_bytes() {
        // Every prefix and every single-byte change of a block decodes to something.
        let block = b"NATS/1.0 409 x\r\nName: value\r\nOther:x\r\n\r\n";
        for cut in 0..=block.len() {
            let _ = (decode(&block[..cut]), status(&block[..cut]));
        }
        for at in 0..block.len() {
            for byte in [0, b'\r', b'\n', b':', 0xff] {
                let mut changed = block.to_vec();
                changed[at] = byte;
                let _ = (decode(&changed), status(&changed), get(&changed, "name"));
            }
        }
    }

    #[test]
    fn refuses_fields_that_would_break_the_block() {
        let mut out = BytesMut::new();
        begin(&mut out);
        assert!(append(&mut out, "a", b"1"));
        assert!(!append(&mut out, "b", b"x\r\nNats-Rollup: all"));
        assert!(!append(&mut out, "b:c", b"x"));
        assert!(!append(&mut out, "", b"x"));
        end(&mut out);
        assert_eq!(&out[..], b"NATS/1.0\r\na: 1\r\n\r\n");
    }
}
