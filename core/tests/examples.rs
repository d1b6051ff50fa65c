//! The example that embeds the core runs as it stands. `cargo test` builds it first.
#![allow(clippy::unwrap_used)]

use std::process::Command;

#[test]
fn custom_runtime() {
    let own = std::env::current_exe().unwrap();
    let built = own.parent().unwrap().parent().unwrap().join("examples");
    let path = built.join(format!("custom_runtime{}", std::env::consts::EXE_SUFFIX));
    let missing = "run `cargo build -p procession-core --examples`";
    let output = Command::new(path).output().expect(missing);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert_eq!(text.matches("20 in order: true").count(), 5, "{text}");
    assert!(text.contains("committed up to 101"), "{text}");
}
