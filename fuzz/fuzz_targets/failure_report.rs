//! Any text as a failure report: never a panic; what is read is written back the same, and can be
//! played.
#![no_main]

use libfuzzer_sys::fuzz_target;
use procession_sim::{parse, print, replay};

fuzz_target!(|text: &str| {
    let Ok((failure, _)) = parse(text) else { return };
    let again = print(&failure);
    let (read, right) = parse(&again).expect("what is written is read");
    assert!(right && read == failure, "it comes back the same");
    let small = failure.config.limits.messages <= 10_000 && failure.config.window_pool <= 300_000;
    if small {
        let _whatever = replay(&failure, Some(200), false, &mut |_, _, _| {});
    }
});
