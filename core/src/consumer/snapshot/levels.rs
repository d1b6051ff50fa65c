//! Levels: sets of small numbers, and notices.

use super::super::NoticeKind;
use super::super::bits::BitSet;
use super::super::notices::Notices;
use super::io::{Fault, Io, Reader, Writer};
use super::need;

impl BitSet {
    pub(super) fn write(&self, to: &mut Writer<'_>) {
        to.put(self.len);
        to.put(self.cursor as u32);
        for at in 0..self.words() {
            let mut left = self.word(at);
            while left != 0 {
                to.put(at as u32 * 64 + left.trailing_zeros());
                left &= left - 1;
            }
        }
    }

    /// Into an empty set that has room for numbers below `capacity`; each must be allowed.
    pub(super) fn read(
        &mut self,
        from: &mut Reader<'_>,
        capacity: usize,
        allowed: impl Fn(usize) -> bool,
    ) -> Result<(), Fault> {
        let len = from.get(capacity)?;
        self.cursor = from.get(self.words() - 1)? as usize;
        for _ in 0..len {
            let member = from.get(capacity.saturating_sub(1))?;
            need(allowed(member as usize), "a level is up that cannot be")?;
            self.insert(member);
        }
        need(self.len == len, "a level is told twice")
    }
}

impl Notices {
    pub(super) fn write(&self, to: &mut Writer<'_>) {
        let Self { raised, levels } = self;
        raised.write(to);
        for (index, (count, position)) in levels.iter().enumerate() {
            if *count > 0 {
                to.put(index as u32 + 1);
                to.put(*count);
                super::io::told(to.position(&mut { *position }));
            }
        }
        to.put(0);
    }

    pub(super) fn read(&mut self, from: &mut Reader<'_>, partitions: usize) -> Result<(), Fault> {
        let all = partitions * NoticeKind::ALL.len();
        self.raised.read(from, all, |_| true)?;
        loop {
            let index = from.get(all)? as usize;
            let Some(level) = index.checked_sub(1).and_then(|i| self.levels.get_mut(i)) else {
                return Ok(());
            };
            from.u32(&mut level.0)?;
            from.position(&mut level.1)?;
        }
    }
}
