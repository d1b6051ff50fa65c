//! The acknowledgement subject of a JetStream delivery, which says what was delivered.

use super::frame::number;

/// What the `$JS.ACK` subject of a delivery tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Delivery<'a> {
    /// The stream.
    pub(crate) stream: &'a [u8],
    /// The consumer.
    pub(crate) consumer: &'a [u8],
    /// Sequence in the stream: the position.
    pub(crate) stream_sequence: u64,
    /// Sequence in the consumer: contiguous within a session.
    pub(crate) consumer_sequence: u64,
    /// When the message was stored, in nanoseconds since 1970.
    pub(crate) stamp: u64,
}

const PREFIX: &[u8] = b"$JS.ACK.";

/// Reads both forms:
/// `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>` and
/// `$JS.ACK.<domain>.<account>.<stream>.<consumer>.<...same...>[.<more>]`.
/// `None` for anything else: that is no delivery.
pub(crate) fn parse(reply: &[u8]) -> Option<Delivery<'_>> {
    let rest = reply.strip_prefix(PREFIX)?;
    let mut tokens = [&[][..]; 10];
    let mut count = 0usize;
    for token in rest.split(|&b| b == b'.') {
        // What a newer server appends behind the tokens that are known is none of our business.
        if let Some(slot) = tokens.get_mut(count) {
            *slot = token;
        }
        count += 1;
    }
    let first = match count {
        7 => 0,
        9.. => 2,
        _ => return None,
    };
    Some(Delivery {
        stream: tokens[first],
        consumer: tokens[first + 1],
        stream_sequence: number(tokens[first + 3])?,
        consumer_sequence: number(tokens[first + 4])?,
        stamp: number(tokens[first + 5])?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_forms() {
        let old = parse(b"$JS.ACK.orders.C1.1.42.7.1700000000123456789.3").unwrap();
        assert_eq!(
            old,
            Delivery {
                stream: b"orders",
                consumer: b"C1",
                stream_sequence: 42,
                consumer_sequence: 7,
                stamp: 1_700_000_000_123_456_789,
            }
        );
        for new in [
            &b"$JS.ACK._.ACC.orders.C1.1.42.7.1700000000123456789.3"[..],
            b"$JS.ACK.hub.ACC.orders.C1.1.42.7.1700000000123456789.3.x9f",
            b"$JS.ACK.hub.ACC.orders.C1.1.42.7.1700000000123456789.3.x9f.later",
        ] {
            assert_eq!(parse(new), Some(old));
        }
    }

    #[test]
    fn anything_else_is_no_delivery() {
        for reply in [
            &b""[..],
            b"_INBOX.a.b",
            b"$JS.ACK.",
            b"$JS.ACK.s.c.1.2.3.4",
            b"$JS.ACK.s.c.1.2.3.4.5.6",
            b"$JS.ACK.s.c.1.x.3.4.5",
            b"$JS.ACK.s.c.1.99999999999999999999.3.4.5",
        ] {
            assert_eq!(parse(reply), None, "{:?}", core::str::from_utf8(reply));
        }
    }
}
