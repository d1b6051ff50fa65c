//! What a NATS server sends, one frame at a time, borrowed from the read buffer.

use core::fmt;

use memchr::memchr;

/// One protocol frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Frame<'a> {
    /// `MSG` and `HMSG`.
    Message(Message<'a>),
    /// `PING`: to be answered.
    Ping,
    /// `PONG`.
    Pong,
    /// `+OK`.
    Ok,
    /// `-ERR`, without its quotes.
    Err(&'a str),
    /// `INFO`: JSON.
    Info(&'a [u8]),
}

/// A message of one of our subscriptions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Message<'a> {
    /// The subject under which it was published.
    pub(crate) subject: &'a [u8],
    /// The subscription.
    pub(crate) sid: u64,
    /// Where an answer is expected; on JetStream deliveries the acknowledgement subject.
    pub(crate) reply: &'a [u8],
    /// The header block, from `NATS/1.0` to its empty line; empty without one.
    pub(crate) header: &'a [u8],
    /// The body.
    pub(crate) payload: &'a [u8],
}

impl Message<'_> {
    /// What the server counts against a pull's `max_bytes`.
    pub(crate) fn wire_bytes(&self) -> u64 {
        (self.subject.len() + self.reply.len() + self.header.len() + self.payload.len()) as u64
    }
}

/// The peer does not speak the NATS protocol, or a frame is larger than anything it may send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ProtocolError(pub(crate) String);

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Longest control line that is believed: the server's own limit is 4,096 bytes for what clients
/// send; its `INFO` may list many servers.
const LINE_MAX: usize = 64 << 10;

/// Reads the first frame of `buffer` and how many bytes it takes; `None` when it is not complete.
///
/// `frame_max` bounds the size of a message's header block and body.
pub(crate) fn parse(
    buffer: &[u8],
    frame_max: usize,
) -> Result<Option<(Frame<'_>, usize)>, ProtocolError> {
    let Some(line_end) = memchr(b'\n', buffer) else {
        if LINE_MAX < buffer.len() {
            return Err(ProtocolError(format!("a line of over {LINE_MAX} bytes")));
        }
        return Ok(None);
    };
    let after = line_end + 1;
    let line = buffer.get(..line_end).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (verb, rest) = match memchr(b' ', line) {
        Some(space) => line.split_at(space),
        None => (line, &line[line.len()..]),
    };
    let frame = match verb {
        b"MSG" => return message(buffer, rest, after, frame_max, false),
        b"HMSG" => return message(buffer, rest, after, frame_max, true),
        b"PING" => Frame::Ping,
        b"PONG" => Frame::Pong,
        b"+OK" => Frame::Ok,
        b"-ERR" => {
            let text = core::str::from_utf8(rest).unwrap_or("an error that is not text");
            Frame::Err(text.trim().trim_matches('\''))
        }
        b"INFO" => Frame::Info(rest.trim_ascii()),
        other => {
            let shown = String::from_utf8_lossy(other.get(..other.len().min(32)).unwrap_or(other));
            return Err(ProtocolError(format!("not a NATS frame: {shown:?}")));
        }
    };
    Ok(Some((frame, after)))
}

/// `MSG <subject> <sid> [reply] <bytes>` and `HMSG <subject> <sid> [reply] <header> <total>`.
fn message<'a>(
    buffer: &'a [u8],
    arguments: &'a [u8],
    after: usize,
    frame_max: usize,
    with_header: bool,
) -> Result<Option<(Frame<'a>, usize)>, ProtocolError> {
    let malformed = || ProtocolError("a message line with wrong arguments".into());
    let mut words = [&[][..]; 5];
    let mut count = 0usize;
    for word in arguments
        .split(|&b| b == b' ' || b == b'\t')
        .filter(|w| !w.is_empty())
    {
        *words.get_mut(count).ok_or_else(malformed)? = word;
        count += 1;
    }
    let sizes = if with_header { 2 } else { 1 };
    let reply = match count.checked_sub(2 + sizes) {
        Some(0) => &[][..],
        Some(1) => words[2],
        _ => return Err(malformed()),
    };
    let sid = number(words[1]).ok_or_else(malformed)?;
    let total = number(words[count - 1]).ok_or_else(malformed)?;
    let header_len = if with_header {
        number(words[count - 2]).ok_or_else(malformed)?
    } else {
        0
    };
    if total < header_len {
        return Err(malformed());
    }
    if (frame_max as u64) < total {
        return Err(ProtocolError(format!(
            "a message of {total} bytes; the server's limit is {frame_max}"
        )));
    }
    let body = after + header_len as usize;
    let end = after + total as usize;
    // The body is followed by an empty line.
    if buffer.len() < end + 2 {
        return Ok(None);
    }
    let message = Message {
        subject: words[0],
        sid,
        reply,
        header: &buffer[after..body],
        payload: &buffer[body..end],
    };
    Ok(Some((Frame::Message(message), end + 2)))
}

/// A decimal number; `None` when it is none or does not fit.
pub(crate) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || 20 < digits.len() {
        return None;
    }
    let mut value = 0u64;
    for &digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if 9 < digit {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 1 << 20;

    fn one(bytes: &[u8]) -> (Frame<'_>, usize) {
        parse(bytes, MAX).unwrap().unwrap()
    }

    #[test]
    fn reads_every_frame() {
        assert_eq!(one(b"PING\r\n"), (Frame::Ping, 6));
        assert_eq!(one(b"PONG\r\nPING\r\n"), (Frame::Pong, 6));
        assert_eq!(one(b"+OK\r\n"), (Frame::Ok, 5));
        assert_eq!(
            one(b"-ERR 'Authorization Violation'\r\n").0,
            Frame::Err("Authorization Violation")
        );
        assert_eq!(one(b"INFO {\"a\":1} \r\n").0, Frame::Info(b"{\"a\":1}"));
        let (frame, len) = one(b"MSG a.b 7 reply.to 5\r\nhello\r\nPING\r\n");
        assert_eq!(len, 29);
        assert_eq!(
            frame,
            Frame::Message(Message {
                subject: b"a.b",
                sid: 7,
                reply: b"reply.to",
                header: b"",
                payload: b"hello",
            })
        );
        let (frame, _) = one(b"HMSG a 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n");
        assert_eq!(
            frame,
            Frame::Message(Message {
                subject: b"a",
                sid: 1,
                reply: b"",
                header: b"NATS/1.0\r\n\r\n",
                payload: b"hi",
            })
        );
    }

    #[test]
    fn waits_for_the_rest() {
        let whole = b"HMSG a 1 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n";
        for cut in 0..whole.len() {
            assert_eq!(parse(&whole[..cut], MAX), Ok(None), "cut at {cut}");
        }
        assert!(parse(whole, MAX).unwrap().is_some());
    }

    #[test]
    fn refuses_what_is_not_nats() {
        for bytes in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"MSG a 1\r\n",
            b"MSG a x 5\r\n",
            b"MSG a 1 r 5 6 7\r\n",
            b"HMSG a 1 20 10\r\n",
            b"MSG a 1 99999999999999999999999\r\n",
            b"MSG a 1 99999999\r\n",
        ] {
            assert!(
                parse(bytes, MAX).is_err(),
                "{:?}",
                core::str::from_utf8(bytes)
            );
        }
        assert!(parse(&vec![b'x'; LINE_MAX + 1], MAX).is_err());
    }

    #[test]
    fn numbers_do_not_wrap() {
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(number(b"18446744073709551616"), None);
        assert_eq!(number(b""), None);
        assert_eq!(number(b"-1"), None);
    }
}
