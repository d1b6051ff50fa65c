//! Any bytes as a progress record: never a panic, and what is read is written back the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use procession_runtime::keeper::Progress;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(record) = Progress::decode(bytes) {
        let again = Progress::decode(&record.encode()).expect("what is written is read");
        assert_eq!(record, again);
    }
});
