//! Numbers to bytes and back, by one description of each structure.

use alloc::vec::Vec;

use super::super::{Anchor, Mask};
use crate::{Epoch, Position, Session, Stamp, Time};

/// What is wrong with what was read.
pub(super) type Fault = &'static str;

const SHORT: Fault = "it ends too early";
const CHOICE: Fault = "a value is none of those that there are";

/// Who is told what a structure consists of. A [`Writer`] never fails.
pub(super) trait Io {
    fn bytes<const N: usize>(&mut self, value: &mut [u8; N]) -> Result<(), Fault>;

    fn mask(&self) -> Option<&Mask<'_>>;

    fn u8(&mut self, value: &mut u8) -> Result<(), Fault> {
        let mut bytes = [*value];
        self.bytes(&mut bytes)?;
        *value = bytes[0];
        Ok(())
    }

    fn u16(&mut self, value: &mut u16) -> Result<(), Fault> {
        let mut bytes = value.to_le_bytes();
        self.bytes(&mut bytes)?;
        *value = u16::from_le_bytes(bytes);
        Ok(())
    }

    fn u32(&mut self, value: &mut u32) -> Result<(), Fault> {
        let mut bytes = value.to_le_bytes();
        self.bytes(&mut bytes)?;
        *value = u32::from_le_bytes(bytes);
        Ok(())
    }

    fn u64(&mut self, value: &mut u64) -> Result<(), Fault> {
        let mut bytes = value.to_le_bytes();
        self.bytes(&mut bytes)?;
        *value = u64::from_le_bytes(bytes);
        Ok(())
    }

    fn u128(&mut self, value: &mut u128) -> Result<(), Fault> {
        let mut bytes = value.to_le_bytes();
        self.bytes(&mut bytes)?;
        *value = u128::from_le_bytes(bytes);
        Ok(())
    }

    fn flag(&mut self, value: &mut bool) -> Result<(), Fault> {
        self.choice(value, &[false, true])
    }

    fn choice<T: Copy + PartialEq>(&mut self, value: &mut T, all: &[T]) -> Result<(), Fault> {
        let mut index = all.iter().position(|v| v == value).unwrap_or(0) as u8;
        self.u8(&mut index)?;
        *value = *all.get(usize::from(index)).ok_or(CHOICE)?;
        Ok(())
    }

    /// A value that may not be there.
    fn maybe<T: Copy>(
        &mut self,
        value: &mut Option<T>,
        none: T,
        inner: impl FnOnce(&mut Self, &mut T) -> Result<(), Fault>,
    ) -> Result<(), Fault>
    where
        Self: Sized,
    {
        let mut there = value.is_some();
        self.flag(&mut there)?;
        if there {
            let mut some = value.unwrap_or(none);
            inner(self, &mut some)?;
            *value = Some(some);
        } else {
            *value = None;
        }
        Ok(())
    }

    fn time(&mut self, value: &mut Time) -> Result<(), Fault> {
        let mut nanos = value.as_nanos();
        self.u64(&mut nanos)?;
        *value = Time::from_nanos(nanos);
        Ok(())
    }

    fn position(&mut self, value: &mut Position) -> Result<(), Fault> {
        self.u64(&mut value.0)
    }

    fn epoch(&mut self, value: &mut Epoch) -> Result<(), Fault> {
        self.u64(&mut value.0)
    }

    fn session(&mut self, value: &mut Session) -> Result<(), Fault> {
        self.u64(&mut value.0)
    }

    fn anchor(&mut self, value: &mut Option<Anchor>) -> Result<(), Fault>
    where
        Self: Sized,
    {
        let none = Anchor {
            position: Position(0),
            stamp: Stamp(0),
        };
        self.maybe(value, none, |io, anchor| {
            io.position(&mut anchor.position)?;
            io.u64(&mut anchor.stamp.0)
        })
    }

    /// A lane; masked when written.
    fn lane(&mut self, value: &mut u64) -> Result<(), Fault> {
        let mut masked = self.mask().map_or(*value, |mask| mask.lane(*value));
        self.u64(&mut masked)?;
        *value = masked;
        Ok(())
    }

    /// A key; masked when written.
    fn key(&mut self, value: &mut u128) -> Result<(), Fault> {
        let mut masked = self.mask().map_or(*value, |mask| mask.key(*value));
        self.u128(&mut masked)?;
        *value = masked;
        Ok(())
    }

    /// An identity; masked when written.
    fn identity(&mut self, value: &mut u128) -> Result<(), Fault> {
        let mut masked = self.mask().map_or(*value, |mask| mask.identity(*value));
        self.u128(&mut masked)?;
        *value = masked;
        Ok(())
    }

    /// A digest of an identity; masked when written.
    fn digest(&mut self, value: &mut u32) -> Result<(), Fault> {
        let mut masked = self.mask().map_or(*value, |mask| mask.digest(*value));
        self.u32(&mut masked)?;
        *value = masked;
        Ok(())
    }
}

/// Appends.
pub(super) struct Writer<'a> {
    pub(super) out: &'a mut Vec<u8>,
    pub(super) mask: Option<&'a Mask<'a>>,
}

impl Io for Writer<'_> {
    fn bytes<const N: usize>(&mut self, value: &mut [u8; N]) -> Result<(), Fault> {
        self.out.extend_from_slice(value);
        Ok(())
    }

    fn mask(&self) -> Option<&Mask<'_>> {
        self.mask
    }
}

impl Writer<'_> {
    /// Many of a kind, some at once.
    pub(super) fn put_all<T, const N: usize>(&mut self, all: &[T], each: impl Fn(&T) -> [u8; N]) {
        const AT_ONCE: usize = 64;
        let mut bytes = [[0; N]; AT_ONCE];
        for some in all.chunks(AT_ONCE) {
            for (bytes, value) in bytes.iter_mut().zip(some) {
                *bytes = each(value);
            }
            let bytes = bytes.get(..some.len()).unwrap_or_default();
            self.out.extend_from_slice(bytes.as_flattened());
        }
    }

    /// A number, as it is.
    pub(super) fn put(&mut self, mut value: u32) {
        told(self.u32(&mut value));
    }
}

/// Writing cannot fail.
pub(super) fn told(result: Result<(), Fault>) {
    debug_assert!(result.is_ok(), "writing failed");
}

/// Takes off the front.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl Io for Reader<'_> {
    fn bytes<const N: usize>(&mut self, value: &mut [u8; N]) -> Result<(), Fault> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(SHORT)?;
        *value = *head;
        self.0 = rest;
        Ok(())
    }

    fn mask(&self) -> Option<&Mask<'_>> {
        None
    }
}

impl<'a> Reader<'a> {
    /// A number, at most `most`.
    pub(super) fn get(&mut self, most: usize) -> Result<u32, Fault> {
        let mut value = 0;
        self.u32(&mut value)?;
        if value as usize > most {
            return Err("a number is larger than the configuration allows");
        }
        Ok(value)
    }

    /// So many bytes.
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let (head, rest) = self.0.split_at_checked(count).ok_or(SHORT)?;
        self.0 = rest;
        Ok(head)
    }
}
