//! Any bytes as a progress map: never a panic, and what is read lies beyond the frontier, in order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use procession_core::{Position, decode_map};

fuzz_target!(|input: (u64, &[u8])| {
    let (frontier, map) = input;
    let Some(ranges) = decode_map(map, Position(frontier)) else { return };
    let mut before = Position(frontier);
    for (from, to) in ranges {
        assert!(before < from && from < to, "ranges are in order and do not touch");
        before = to;
    }
});
