//! Header fields of a record: one block of memory, order and duplicates kept.

use core::cell::Cell;
use core::fmt;
use std::sync::Arc;

/// Header fields of a record. Names are text, values are bytes; order and duplicates are kept.
///
/// One allocation of the exact size for all fields, shared by all clones: a String and a Vec per
/// field cost four times as much per message, and a buffer with room to spare is held for as long as
/// the message is.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    /// Names and values, one after the other; then for each field the end of its name and the end of
    /// its value, as little-endian offsets of 4 bytes.
    block: Arc<[u8]>,
    fields: u32,
}

/// Bytes that a field needs at the end of the block.
const ENDS: usize = 8;
/// Fields whose ends a builder notes without an allocation: more than an envelope has as a rule.
const INLINE: usize = 16;
/// Room that a thread keeps for its next builder, in bytes at most.
const ROOM_MAX: usize = 16 << 10;

thread_local! {
    /// Where the fields of one message after the other are collected.
    static ROOM: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The thread's room, or a new one while it is used or when the thread ends.
fn room(bytes: usize) -> Vec<u8> {
    let mut room = ROOM.try_with(Cell::take).unwrap_or_default();
    room.reserve(bytes);
    room
}

fn give_back(mut room: Vec<u8>) {
    if room.capacity() <= ROOM_MAX {
        room.clear();
        let _ends_anyway = ROOM.try_with(|own| own.set(room));
    }
}

/// Collects fields into [`Headers`].
#[derive(Default, Debug)]
pub struct HeadersBuilder {
    /// The thread's own room as a rule, so that the fields cost one allocation, that of their exact
    /// size.
    block: Vec<u8>,
    ends: [(u32, u32); INLINE],
    /// The ends of the fields past the first [`INLINE`].
    more: Vec<(u32, u32)>,
    fields: usize,
}

impl HeadersBuilder {
    /// An empty builder with room for `fields` fields of `bytes` bytes in all.
    #[must_use]
    pub fn with_capacity(fields: usize, bytes: usize) -> Self {
        Self {
            block: room(bytes + ENDS * fields),
            more: Vec::with_capacity(fields.saturating_sub(INLINE)),
            ..Self::default()
        }
    }

    /// Appends a field.
    pub fn push(&mut self, name: &str, value: &[u8]) -> &mut Self {
        self.push_parts("", name.as_bytes(), value)
    }

    /// Appends a field whose name came from a broker. What is not UTF-8 in it is replaced.
    pub fn push_bytes(&mut self, name: &[u8], value: &[u8]) -> &mut Self {
        if name.is_ascii() {
            return self.push_parts("", name, value);
        }
        let name = String::from_utf8_lossy(name);
        self.push_parts("", name.as_bytes(), value)
    }

    /// Appends a field with a name of two parts.
    pub fn push_joined(&mut self, prefix: &str, name: &str, value: &[u8]) -> &mut Self {
        self.push_parts(prefix, name.as_bytes(), value)
    }

    fn push_parts(&mut self, prefix: &str, name: &[u8], value: &[u8]) -> &mut Self {
        let clamp = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        self.block.extend_from_slice(prefix.as_bytes());
        self.block.extend_from_slice(name);
        let name_end = clamp(self.block.len());
        self.block.extend_from_slice(value);
        let ends = (name_end, clamp(self.block.len()));
        match self.ends.get_mut(self.fields) {
            Some(place) => *place = ends,
            None => self.more.push(ends),
        }
        self.fields += 1;
        self
    }

    /// The finished fields.
    #[must_use]
    pub fn build(mut self) -> Headers {
        if self.fields == 0 {
            return Headers::default();
        }
        for (name, value) in self.ends.iter().take(self.fields).chain(&self.more) {
            self.block.extend_from_slice(&name.to_le_bytes());
            self.block.extend_from_slice(&value.to_le_bytes());
        }
        let headers = Headers {
            block: Arc::from(&self.block[..]),
            fields: u32::try_from(self.fields).unwrap_or(u32::MAX),
        };
        give_back(self.block);
        headers
    }
}

impl Headers {
    /// All fields, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.iter_bytes()
            .map(|(name, value)| (core::str::from_utf8(name).unwrap_or_default(), value))
    }

    /// As [`iter`](Self::iter), the names as bytes too: nobody looks at them once more.
    pub fn iter_bytes(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let (bytes, ends) = self.block.split_at(self.byte_len());
        let mut start = 0usize;
        ends.chunks_exact(ENDS).map(move |ends| {
            let (name_end, value_end) = read_ends(ends);
            let name = bytes.get(start..name_end).unwrap_or_default();
            let value = bytes.get(name_end..value_end).unwrap_or_default();
            start = value_end;
            (name, value)
        })
    }

    /// The field with this number, counted from 0: found without a search.
    #[must_use]
    pub fn at(&self, index: usize) -> Option<(&str, &[u8])> {
        let (name, value) = self.bytes_at(index)?;
        Some((core::str::from_utf8(name).unwrap_or_default(), value))
    }

    /// The value of the field with this number.
    #[must_use]
    pub fn value_at(&self, index: usize) -> Option<&[u8]> {
        self.bytes_at(index).map(|(_, value)| value)
    }

    fn bytes_at(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let (bytes, ends) = self.block.split_at(self.byte_len());
        let ends = |index: usize| ends.chunks_exact(ENDS).nth(index).map(read_ends);
        let (name_end, value_end) = ends(index)?;
        let start = match index.checked_sub(1) {
            Some(before) => ends(before)?.1,
            None => 0,
        };
        let name = bytes.get(start..name_end)?;
        let value = bytes.get(name_end..value_end)?;
        Some((name, value))
    }

    /// The first value of the field `name`, compared without regard to ASCII case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v)
    }

    /// How many fields there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.fields as usize
    }

    /// Whether there is no field.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.fields == 0
    }

    /// Bytes of all names and values.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.block.len().saturating_sub(ENDS * self.len())
    }
}

/// End of the name and of the value.
fn read_ends(ends: &[u8]) -> (usize, usize) {
    let (name, value) = ends.split_at(ENDS / 2);
    let read = |bytes: &[u8]| bytes.try_into().map_or(0, u32::from_le_bytes) as usize;
    (read(name), read(value))
}

impl<'a> FromIterator<(&'a str, &'a [u8])> for Headers {
    fn from_iter<T: IntoIterator<Item = (&'a str, &'a [u8])>>(fields: T) -> Self {
        let mut builder = HeadersBuilder::default();
        for (name, value) in fields {
            builder.push(name, value);
        }
        builder.build()
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(
                self.iter()
                    .map(|(n, v)| (n, String::from_utf8_lossy(v).into_owned())),
            )
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_comes_back_in_order_however_many_there_are() {
        for count in [0, 1, 2, INLINE - 1, INLINE, INLINE + 1, 100] {
            let fields: Vec<(String, Vec<u8>)> = (0..count)
                .map(|n| (format!("Name-{}", n % 7), vec![0xff; n % 5]))
                .collect();
            let mut builder = HeadersBuilder::with_capacity(count / 2, 8);
            for (name, value) in &fields {
                builder.push(name, value);
            }
            let headers = builder.build();
            let borrowed: Vec<_> = fields.iter().map(|(n, v)| (&**n, &**v)).collect();
            assert_eq!(headers.iter().collect::<Vec<_>>(), borrowed, "{count}");
            assert_eq!((headers.len(), headers.is_empty()), (count, count == 0));
            for (number, field) in borrowed.iter().enumerate() {
                assert_eq!(headers.at(number), Some(*field));
            }
            assert_eq!(headers.at(count), None);
            let bytes: usize = borrowed.iter().map(|(n, v)| n.len() + v.len()).sum();
            assert_eq!(headers.byte_len(), bytes);
            assert_eq!(headers, borrowed.into_iter().collect());
        }
        let mut strange = HeadersBuilder::default();
        strange
            .push_bytes(b"n\xff", b"1")
            .push_joined("ce_", "id", b"2");
        let strange = strange.build();
        let fields: Vec<_> = strange.iter().collect();
        assert_eq!(fields, [("n\u{fffd}", &b"1"[..]), ("ce_id", b"2")]);
        assert_eq!(strange.value_at(1), Some(&b"2"[..]));
        let two: Headers = [("a", &b"1"[..]), ("A", b"2")].into_iter().collect();
        assert_eq!((two.get("A"), two.get("b")), (Some(&b"1"[..]), None));
    }
}
