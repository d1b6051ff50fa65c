//! The frames that a NATS server sends, as far as a proxy must know them.

/// Cuts a byte stream from a NATS server into frames and leaves out deliveries of stored messages
/// that its caller does not want.
#[derive(Debug, Default)]
pub struct Frames {
    /// What is not a whole line yet.
    line: Vec<u8>,
    /// Bytes of the current message's body that are still to come, and whether they pass.
    body: usize,
    passes: bool,
}

impl Frames {
    /// Takes bytes in and appends those that pass to `out`. `keep` is asked once per delivery of a
    /// stored message, in order.
    pub fn feed(&mut self, mut bytes: &[u8], out: &mut Vec<u8>, mut keep: impl FnMut() -> bool) {
        while !bytes.is_empty() {
            if self.body > 0 {
                let (body, rest) = bytes.split_at(self.body.min(bytes.len()));
                if self.passes {
                    out.extend_from_slice(body);
                }
                self.body -= body.len();
                bytes = rest;
                continue;
            }
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let (line, rest) = bytes.split_at(end.map_or(bytes.len(), |at| at + 1));
            self.line.extend_from_slice(line);
            bytes = rest;
            if end.is_some() {
                let (size, stored) = message_of(&self.line);
                self.passes = !stored || keep();
                self.body = size;
                if self.passes {
                    out.extend_from_slice(&self.line);
                }
                self.line.clear();
            }
        }
    }
}

/// Bytes of the body that follows a line, its line end included, and whether it is the delivery of
/// a stored message: those have a reply subject below `$JS.ACK.`.
fn message_of(line: &[u8]) -> (usize, bool) {
    let text = String::from_utf8_lossy(line);
    let mut words = text.split_ascii_whitespace();
    if !matches!(words.next(), Some("MSG" | "HMSG")) {
        return (0, false);
    }
    let words: Vec<_> = words.collect();
    let size = words.last().and_then(|size| size.parse::<usize>().ok());
    let stored = words
        .iter()
        .skip(2)
        .any(|word| word.starts_with("$JS.ACK."));
    (size.map_or(0, |size| size + 2), stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b"INFO {}\r\nMSG a 1 3\r\nabc\r\nHMSG a 1 $JS.ACK.s.c.1.1.1.1.0 2 5\r\n\
        \r\nxyz\r\nPING\r\nMSG a 1 $JS.ACK.s.c.1.2.2.1.0 4\r\n\r\n\r\n\r\n+OK\r\n";

    #[test]
    fn everything_passes_in_pieces_of_any_size() {
        for size in 1..STREAM.len() {
            let (mut frames, mut out, mut asked) = (Frames::default(), Vec::new(), 0);
            for piece in STREAM.chunks(size) {
                frames.feed(piece, &mut out, || {
                    asked += 1;
                    true
                });
            }
            assert_eq!((out.as_slice(), asked), (STREAM, 2), "pieces of {size}");
        }
    }

    #[test]
    fn deliveries_are_left_out_whole() {
        let (mut frames, mut out) = (Frames::default(), Vec::new());
        let mut answers = [false, true].into_iter();
        for piece in STREAM.chunks(7) {
            frames.feed(piece, &mut out, || answers.next().unwrap_or(true));
        }
        let text = String::from_utf8_lossy(&out).into_owned();
        assert!(!text.contains("xyz") && text.contains("c.1.2.2"), "{text}");
        assert!(
            text.starts_with("INFO {}\r\nMSG a 1 3\r\nabc\r\nPING\r\n"),
            "{text}"
        );
    }
}
