//! What we send, collected until the socket takes it.

use bytes::{BufMut, BytesMut};

/// Frames on their way to the server, in order.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    buffer: BytesMut,
    /// The header block under construction; kept for its memory.
    block: BytesMut,
}

impl Outbox {
    /// `SUB`: messages of `subject` come with this number.
    pub(crate) fn subscribe(&mut self, subject: &str, sid: u64) {
        self.buffer.put_slice(b"SUB ");
        self.buffer.put_slice(subject.as_bytes());
        self.buffer.put_u8(b' ');
        self.number(sid);
        self.buffer.put_slice(b"\r\n");
    }

    /// `UNSUB`.
    pub(crate) fn unsubscribe(&mut self, sid: u64) {
        self.buffer.put_slice(b"UNSUB ");
        self.number(sid);
        self.buffer.put_slice(b"\r\n");
    }

    /// `PUB` without header fields; `reply` may be empty.
    pub(crate) fn publish(&mut self, subject: &str, reply: &str, payload: &[u8]) {
        self.buffer.put_slice(b"PUB ");
        self.addresses(subject, reply);
        self.number(payload.len() as u64);
        self.body(&[], payload);
    }

    /// `HPUB`: as [`publish`](Self::publish), with a finished header block.
    pub(crate) fn publish_with(
        &mut self,
        subject: &str,
        reply: &str,
        block: &[u8],
        payload: &[u8],
    ) {
        self.buffer.put_slice(b"HPUB ");
        self.addresses(subject, reply);
        self.number(block.len() as u64);
        self.buffer.put_u8(b' ');
        self.number((block.len() + payload.len()) as u64);
        self.body(block, payload);
    }

    /// Lends a buffer for a header block, empty.
    pub(crate) fn take_block(&mut self) -> BytesMut {
        let mut block = core::mem::take(&mut self.block);
        block.clear();
        block
    }

    /// Takes the buffer back.
    pub(crate) fn keep_block(&mut self, block: BytesMut) {
        self.block = block;
    }

    pub(crate) fn ping(&mut self) {
        self.buffer.put_slice(b"PING\r\n");
    }

    pub(crate) fn pong(&mut self) {
        self.buffer.put_slice(b"PONG\r\n");
    }

    /// What is to be written.
    pub(crate) fn pending(&self) -> &[u8] {
        &self.buffer
    }

    /// The socket took this many bytes.
    pub(crate) fn written(&mut self, bytes: usize) {
        bytes::Buf::advance(&mut self.buffer, bytes);
        // A burst must not pin its memory for good.
        if self.buffer.is_empty() && (1 << 20) < self.buffer.capacity() {
            self.buffer = BytesMut::new();
        }
    }

    /// Forgets everything: the connection is gone, and nothing of it may reach the next one.
    pub(crate) fn clear(&mut self) {
        self.buffer.clear();
    }

    fn addresses(&mut self, subject: &str, reply: &str) {
        self.buffer.put_slice(subject.as_bytes());
        self.buffer.put_u8(b' ');
        if !reply.is_empty() {
            self.buffer.put_slice(reply.as_bytes());
            self.buffer.put_u8(b' ');
        }
    }

    fn body(&mut self, block: &[u8], payload: &[u8]) {
        self.buffer.reserve(block.len() + payload.len() + 4);
        self.buffer.put_slice(b"\r\n");
        self.buffer.put_slice(block);
        self.buffer.put_slice(payload);
        self.buffer.put_slice(b"\r\n");
    }

    fn number(&mut self, mut value: u64) {
        let mut digits = [0u8; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            // A remainder of 10 fits into a byte.
            digits[at] = b'0' + u8::try_from(value % 10).unwrap_or(0);
            value /= 10;
            if value == 0 {
                break;
            }
        }
        self.buffer.put_slice(&digits[at..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::{Frame, parse};

    #[test]
    fn writes_the_protocol() {
        let mut out = Outbox::default();
        out.subscribe("a.*", 1);
        out.unsubscribe(10);
        out.publish("s", "", b"");
        out.publish("s", "r", b"body");
        out.publish_with("s", "r", b"NATS/1.0\r\n\r\n", b"x");
        assert_eq!(
            core::str::from_utf8(out.pending()).unwrap(),
            "SUB a.* 1\r\nUNSUB 10\r\nPUB s 0\r\n\r\nPUB s r 4\r\nbody\r\n\
             HPUB s r 12 13\r\nNATS/1.0\r\n\r\nx\r\n"
        );
        out.written(11);
        assert!(out.pending().starts_with(b"UNSUB"));
        out.clear();
        assert!(out.pending().is_empty());
    }

    #[test]
    fn what_is_written_can_be_read() {
        let mut out = Outbox::default();
        out.publish_with("s", "r", b"NATS/1.0\r\n\r\n", &[7; 1000]);
        // The server's form of the same message differs in the verb and the subscription number.
        let sent = out.pending().to_vec();
        let mut received = b"HMSG s 1 r ".to_vec();
        received.extend_from_slice(&sent[b"HPUB s r ".len()..]);
        let (frame, len) = parse(&received, 1 << 20).unwrap().unwrap();
        assert_eq!(len, received.len());
        assert!(matches!(frame, Frame::Message(m) if m.payload == [7; 1000]));
    }
}
