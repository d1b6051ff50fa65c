//! An allocator with a count, so that a program can say what a piece of its work
//! allocates.
//!
//! Each thread counts for itself, in two plain cells without a destructor: an allocation costs no
//! more than two additions, and threads that meanwhile do something else do not disturb.
//!
//! ```
//! use std::alloc::System;
//!
//! use procession_counting::{Counting, count};
//!
//! #[global_allocator]
//! static ALLOCATOR: Counting = Counting(System);
//!
//! let (allocations, _kept) = count(|| Box::new(7_u64)).expect("it is the program's allocator");
//! assert_eq!((allocations.calls, allocations.bytes), (1, 8));
//! ```
#![warn(missing_docs)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

/// An allocator, with a count. It counts once a program makes it its
/// `#[global_allocator]`.
#[derive(Clone, Copy, Debug)]
pub struct Counting<A = System>(pub A);

/// What a piece of work allocated.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Allocations {
    /// Calls that got memory: new allocations, and those that were made larger or smaller.
    pub calls: u64,
    /// Bytes that were got and not given back; negative when more was given back.
    pub bytes: i64,
}

/// Does the work and counts what this thread allocates meanwhile; `None` without doing it when
/// [`Counting`] is not the allocator of this program.
pub fn count<R>(work: impl FnOnce() -> R) -> Option<(Allocations, R)> {
    let before = now();
    drop(black_box(Box::new(0_u8)));
    let begin = now();
    if begin.calls == before.calls {
        return None;
    }
    let result = work();
    let end = now();
    let allocations = Allocations {
        calls: end.calls - begin.calls,
        bytes: end.bytes - begin.bytes,
    };
    Some((allocations, result))
}

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<i64> = const { Cell::new(0) };
}

fn now() -> Allocations {
    Allocations {
        calls: CALLS.get(),
        bytes: BYTES.get(),
    }
}

fn note(calls: u64, bytes: i64) {
    CALLS.set(CALLS.get().wrapping_add(calls));
    BYTES.set(BYTES.get().wrapping_add(bytes));
}

/// No allocation is larger than `isize::MAX`.
const fn signed(bytes: usize) -> i64 {
    bytes as i64
}

// SAFETY: every call is handed on unchanged; the cells are without a
// destructor and initialised at compile time, so counting neither allocates nor fails.
#[allow(unsafe_code)]
unsafe impl<A: GlobalAlloc> GlobalAlloc for Counting<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(1, signed(layout.size()));
        // SAFETY: the caller keeps the contract of `alloc`, which is that of the one within.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(1, signed(layout.size()));
        // SAFETY: as for `alloc`.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(0, -signed(layout.size()));
        // SAFETY: `pointer` came from this allocator, so from the one within.
        unsafe { self.0.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(1, signed(size) - signed(layout.size()));
        // SAFETY: as for `dealloc`.
        unsafe { self.0.realloc(pointer, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: Counting = Counting(System);

    #[test]
    fn what_is_kept_and_what_is_given_back_is_told_apart() {
        let (kept, mut bytes) = count(|| vec![0_u8; 100]).unwrap();
        assert_eq!((kept.calls, kept.bytes), (1, 100));
        let (grown, ()) = count(|| bytes.reserve_exact(900)).unwrap();
        assert_eq!((grown.calls, grown.bytes), (1, 900));
        let (given_back, ()) = count(|| drop(bytes)).unwrap();
        assert_eq!((given_back.calls, given_back.bytes), (0, -1_000));
    }

    #[test]
    fn another_thread_does_not_disturb() {
        let (mine, ()) = count(|| {
            std::thread::scope(|scope| {
                scope.spawn(|| drop(black_box(vec![0_u8; 1 << 20])));
            });
        })
        .unwrap();
        assert!(mine.bytes.abs() < 1 << 16, "{mine:?}");
    }
}
