//! The Java that runs Kafka.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::brokers::CannotBeHad;
use crate::brokers::dirs::on_path;
use crate::brokers::said::reason;

/// The oldest Java that Kafka 4 runs on.
const OLDEST: u32 = 17;
const FIX: &str = "install a Java runtime of version 17 or newer, e.g. Debian's openjdk-17-jre-headless, \
     or name one with JAVA_HOME";

/// The path of a Java that Kafka runs on: that of `JAVA_HOME`, else the one on PATH.
pub(super) fn ensure_java() -> Result<PathBuf, CannotBeHad> {
    let home = std::env::var_os("JAVA_HOME").filter(|v| !v.is_empty());
    let java = match home {
        Some(home) => PathBuf::from(home).join("bin").join("java"),
        None => on_path("java")
            .ok_or_else(|| CannotBeHad::new("java, which runs Kafka, is not on PATH", FIX))?,
    };
    let cannot = |what: String| CannotBeHad::new(format!("{} {what}", java.display()), FIX);
    let output = Command::new(&java)
        .arg("-version")
        .stdin(Stdio::null())
        .output()
        .map_err(|e| cannot(format!("does not run: {e}")))?;
    if !output.status.success() {
        return Err(cannot(format!("does not run: {}", reason(&output.stderr))));
    }
    let said = String::from_utf8_lossy(&output.stderr);
    match feature_version(&said) {
        Some(version) if version >= OLDEST => Ok(java),
        Some(version) => Err(cannot(format!(
            "is of version {version}, too old for Kafka"
        ))),
        None => Err(cannot(format!(
            "does not state its version: {}",
            said.trim()
        ))),
    }
}

/// The first number of a version like `17.0.15`; `1.8.0` was the name of 8.
fn feature_version(said: &str) -> Option<u32> {
    let (_, rest) = said.split_once("version \"")?;
    let mut numbers = rest.split(|c: char| !c.is_ascii_digit());
    match numbers.next()?.parse().ok()? {
        1 => numbers.next()?.parse().ok(),
        version => Some(version),
    }
}

#[cfg(test)]
mod tests {
    use super::feature_version;

    #[test]
    fn versions_of_java() {
        for (said, version) in [
            ("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK", Some(17)),
            ("java version \"1.8.0_402\"", Some(8)),
            ("openjdk version \"21\" 2023-09-19", Some(21)),
            ("openjdk version \"26-ea\"", Some(26)),
            ("no such thing", None),
        ] {
            assert_eq!(feature_version(said), version, "{said}");
        }
    }
}
