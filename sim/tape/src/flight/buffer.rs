//! Bytes that are written one entry after the other, into memory that is there already.

/// Room for what is written at once before somebody looks whether it is full.
const SLACK: usize = 4_096;

/// As many bytes as were asked for, touched; more only if one entry is very long.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    used: usize,
}

impl Buffer {
    /// With room for so many, and for one entry more. All of it is written to once: the first touch of
    /// a page costs more than all that is ever written there.
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            bytes: vec![u8::MAX; bytes + SLACK],
            used: 0,
        }
    }

    pub(super) const fn clear(&mut self) {
        self.used = 0;
    }

    #[inline]
    pub(super) const fn len(&self) -> usize {
        self.used
    }

    pub(super) fn written(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or_default()
    }

    /// An entry of `N` bytes, filled where it stands: one that is put together elsewhere is read back
    /// in other pieces than it was written in, and a processor waits for that.
    #[inline]
    pub(super) fn put<const N: usize>(&mut self, fill: impl FnOnce(&mut [u8; N])) {
        if self.bytes.len() < self.used + N {
            self.grow(N);
        }
        let rest = self.bytes.get_mut(self.used..);
        if let Some(entry) = rest.and_then(<[u8]>::first_chunk_mut) {
            fill(entry);
            self.used += N;
        }
    }

    /// A number: seven bits a byte, the lowest first.
    pub(super) fn number(&mut self, mut number: u64) {
        while number > 0x7F {
            self.put(|&mut [ref mut byte]| *byte = number as u8 | 0x80);
            number >>= 7;
        }
        self.put(|&mut [ref mut byte]| *byte = number as u8);
    }

    #[cold]
    fn grow(&mut self, more: usize) {
        self.bytes.resize(self.used + more + SLACK, 0);
    }
}

/// What is written only.
impl Clone for Buffer {
    fn clone(&self) -> Self {
        Self {
            bytes: self.written().to_vec(),
            used: self.used,
        }
    }
}
