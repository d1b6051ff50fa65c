//! Bytes that are written one entry after the other, into memory that is there already.

/// What is written before it goes where it is kept.
const STAGE: usize = 16 << 10;

/// A row of entries.
///
/// They are written to a small stage, which stays in the caches, and go from there to the large memory
/// behind it many at once. Whoever writes a few bytes at a time to memory that was last touched
/// thousands of messages ago waits for each line of it: that was most of what the recorder cost.
#[derive(Debug)]
pub(super) struct Buffer {
    stage: Box<[u8; STAGE]>,
    staged: usize,
    kept: Vec<u8>,
}

impl Buffer {
    /// With room for so many bytes. All of it is written to once: the first touch of a page costs more
    /// than all that is ever written there.
    pub(super) fn new(bytes: usize) -> Self {
        let mut kept = vec![u8::MAX; bytes + STAGE];
        kept.clear();
        Self {
            stage: Box::new([u8::MAX; STAGE]),
            staged: 0,
            kept,
        }
    }

    pub(super) fn clear(&mut self) {
        self.staged = 0;
        self.kept.clear();
    }

    #[inline]
    pub(super) const fn len(&self) -> usize {
        self.kept.len() + self.staged
    }

    pub(super) fn written(&self) -> Vec<u8> {
        let staged = self.stage.get(..self.staged).unwrap_or_default();
        [&self.kept[..], staged].concat()
    }

    /// An entry of `N` bytes, filled where it stands: one that is put together elsewhere is read back
    /// in other pieces than it was written in, and a processor waits for that.
    #[inline]
    pub(super) fn put<const N: usize>(&mut self, fill: impl FnOnce(&mut [u8; N])) {
        const { assert!(N <= STAGE) }
        if self.staged > STAGE - N {
            self.flush();
        }
        let rest = self.stage.get_mut(self.staged..);
        if let Some(entry) = rest.and_then(<[u8]>::first_chunk_mut) {
            fill(entry);
            self.staged += N;
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
    #[inline(never)]
    fn flush(&mut self) {
        let staged = self.stage.get(..self.staged).unwrap_or_default();
        self.kept.extend_from_slice(staged);
        self.staged = 0;
    }
}

/// What is written only.
impl Clone for Buffer {
    fn clone(&self) -> Self {
        Self {
            stage: Box::new([0; STAGE]),
            staged: 0,
            kept: self.written(),
        }
    }
}
