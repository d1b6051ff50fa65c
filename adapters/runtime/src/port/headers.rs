//! Header fields of a record: one buffer and offsets, order and duplicates kept.

use core::fmt;

use bytes::{BufMut, Bytes, BytesMut};

/// Header fields of a record. Names are text, values are bytes; order and duplicates are kept.
///
/// One allocation for all fields: a String and a Vec per field cost four times as much per message.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    /// Names and values, one after the other.
    buffer: Bytes,
    /// For each field: end of the name, end of the value, as offsets into `buffer`.
    ends: std::sync::Arc<[(u32, u32)]>,
}

/// Collects fields into [`Headers`].
#[derive(Default, Debug)]
pub struct HeadersBuilder {
    buffer: BytesMut,
    ends: Vec<(u32, u32)>,
}

impl HeadersBuilder {
    /// An empty builder with room for `fields` fields of `bytes` bytes in all.
    #[must_use]
    pub fn with_capacity(fields: usize, bytes: usize) -> Self {
        Self {
            buffer: BytesMut::with_capacity(bytes),
            ends: Vec::with_capacity(fields),
        }
    }

    /// Appends a field.
    pub fn push(&mut self, name: &str, value: &[u8]) -> &mut Self {
        self.buffer.put_slice(name.as_bytes());
        let name_end = self.buffer.len();
        self.buffer.put_slice(value);
        let clamp = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        self.ends.push((clamp(name_end), clamp(self.buffer.len())));
        self
    }

    /// The finished fields.
    #[must_use]
    pub fn build(self) -> Headers {
        if self.ends.is_empty() {
            return Headers::default();
        }
        Headers {
            buffer: self.buffer.freeze(),
            ends: self.ends.into(),
        }
    }
}

impl Headers {
    /// All fields, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let mut start = 0usize;
        self.ends.iter().map(move |&(name_end, value_end)| {
            let (name_end, value_end) = (name_end as usize, value_end as usize);
            let name = self.buffer.get(start..name_end).unwrap_or_default();
            let value = self.buffer.get(name_end..value_end).unwrap_or_default();
            start = value_end;
            (core::str::from_utf8(name).unwrap_or_default(), value)
        })
    }

    /// The field with this number, counted from 0: found without a search.
    #[must_use]
    pub fn at(&self, index: usize) -> Option<(&str, &[u8])> {
        let &(name_end, value_end) = self.ends.get(index)?;
        let start = match index.checked_sub(1) {
            Some(before) => self.ends.get(before)?.1,
            None => 0,
        };
        let (start, name_end) = (start as usize, name_end as usize);
        let name = self.buffer.get(start..name_end)?;
        let value = self.buffer.get(name_end..value_end as usize)?;
        Some((core::str::from_utf8(name).unwrap_or_default(), value))
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
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of all names and values.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.buffer.len()
    }
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
