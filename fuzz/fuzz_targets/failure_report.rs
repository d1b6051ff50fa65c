//! See `bodies::failure_report`.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../src/bodies.rs"]
#[allow(dead_code)]
mod bodies;

fuzz_target!(|bytes: &[u8]| bodies::failure_report(bytes));
