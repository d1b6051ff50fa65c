//! Getting Kafka: Java, and the jars from `KAFKA_HOME`, from the brokers directory, or
//! fetched once through Maven.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::java::ensure_java;
use crate::brokers::CannotBeHad;
use crate::brokers::fetch::fetch_once;
use crate::brokers::said::reason;

/// The version of Apache Kafka that is fetched when none is found.
pub const KAFKA_VERSION: &str = "4.3.1";

const FIX: &str = "set KAFKA_HOME to an Apache Kafka 4.0 or newer";
const INSTALL_MAVEN: &str =
    "install Maven, e.g. Debian's maven, or set KAFKA_HOME to an Apache Kafka 4.0 or newer";

/// What Kafka runs from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KafkaProgram {
    /// The Java.
    pub java: PathBuf,
    /// The directory of the jars.
    pub libs: PathBuf,
    /// The version of the jars.
    pub version: String,
}

/// A Java that Kafka runs on, and the jars of an Apache Kafka: those of `KAFKA_HOME`, then those in `dir`, then fetched once into
/// `dir` with progress on a terminal.
///
/// # Errors
/// There is no Java 17 or newer, `KAFKA_HOME` does not name an Apache Kafka 4.0 or newer, or there
/// are no jars and they cannot (`offline`: may not) be fetched.
pub fn ensure_kafka_in(dir: &Path, offline: bool) -> Result<KafkaProgram, CannotBeHad> {
    let java = ensure_java()?;
    let Jars { libs, version } = ensure_jars(dir, offline)?;
    Ok(KafkaProgram {
        java,
        libs,
        version,
    })
}

#[derive(PartialEq, Eq, Debug)]
struct Jars {
    libs: PathBuf,
    version: String,
}

fn ensure_jars(dir: &Path, offline: bool) -> Result<Jars, CannotBeHad> {
    if let Some(home) = std::env::var_os("KAFKA_HOME").filter(|v| !v.is_empty()) {
        return of_home(Path::new(&home));
    }
    let kept = dir.join(format!("kafka-{KAFKA_VERSION}"));
    let libs = kept.join("libs");
    let jars = || jars_in(&libs);
    if let Some(jars) = jars() {
        return Ok(jars);
    }
    if offline {
        return Err(CannotBeHad::new(
            format!(
                "Apache Kafka is not in {}, and --offline forbids to fetch it",
                kept.display()
            ),
            format!("{FIX}, or run once without --offline"),
        ));
    }
    let what = format!("Apache Kafka {KAFKA_VERSION}");
    fetch_once(
        &kept,
        &what,
        || jars().is_some(),
        |scratch| fetch_into(scratch, &libs),
    )?;
    jars().ok_or_else(|| CannotBeHad::new(format!("Maven brought no {what}"), FIX))
}

fn of_home(home: &Path) -> Result<Jars, CannotBeHad> {
    let cannot = |what: String| {
        CannotBeHad::new(
            format!("KAFKA_HOME is {}, which {what}", home.display()),
            "set it to an Apache Kafka 4.0 or newer, or unset it",
        )
    };
    let jars = jars_in(&home.join("libs")).ok_or_else(|| {
        cannot("holds no Apache Kafka: there is no libs/kafka-clients-*.jar".into())
    })?;
    let major = jars.version.split('.').next().and_then(|v| v.parse().ok());
    if major.is_none_or(|major: u32| major < 4) {
        return Err(cannot(format!("is version {}", jars.version)));
    }
    Ok(jars)
}

/// The jars in this directory. The client's jar and the server's must both be there.
fn jars_in(libs: &Path) -> Option<Jars> {
    let names: Vec<_> = fs::read_dir(libs)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    let version = names.iter().find_map(|name| {
        let rest = name.strip_prefix("kafka-clients-")?;
        let version = rest.strip_suffix(".jar")?;
        version
            .starts_with(|c: char| c.is_ascii_digit())
            .then_some(version)
    })?;
    let server = format!("kafka_2.13-{version}.jar");
    names.contains(&server).then(|| Jars {
        libs: libs.to_owned(),
        version: version.to_owned(),
    })
}

/// Lets Maven copy Kafka with all that it needs, from the repositories of Maven's own settings.
fn fetch_into(scratch: &Path, libs: &Path) -> Result<(), CannotBeHad> {
    let cannot = |what: String| CannotBeHad::new(what, FIX);
    fs::write(scratch.join("pom.xml"), pom())
        .map_err(|e| cannot(format!("cannot write to {}: {e}", scratch.display())))?;
    let output = Command::new("mvn")
        .args(["--batch-mode", "--quiet", "dependency:copy-dependencies"])
        .args(["-DincludeScope=runtime", "-DoutputDirectory=libs"])
        .current_dir(scratch)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| {
            CannotBeHad::new(
                format!("mvn (Maven), which fetches Kafka, does not run: {e}"),
                INSTALL_MAVEN,
            )
        })?;
    if !output.status.success() {
        return Err(cannot(format!(
            "Apache Kafka {KAFKA_VERSION} cannot be fetched: {}",
            first_error(&output.stdout).unwrap_or_else(|| reason(&output.stderr))
        )));
    }
    fs::rename(scratch.join("libs"), libs)
        .map_err(|e| cannot(format!("cannot write {}: {e}", libs.display())))
}

/// Maven says what is wrong first, and then at length how to learn more.
fn first_error(output: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(output);
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("[ERROR] "))?;
    Some(line.trim().to_owned())
}

/// The log goes to standard error through the simplest of the slf4j bindings, so that the reason of
/// a failed start is in `server.log`.
fn pom() -> String {
    let dependency = |group: &str, artifact: &str, version: &str| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
             <version>{version}</version></dependency>\n"
        )
    };
    let all = dependency("org.apache.kafka", "kafka_2.13", KAFKA_VERSION)
        + &dependency("org.apache.kafka", "kafka-tools", KAFKA_VERSION)
        + &dependency("org.slf4j", "slf4j-simple", "1.7.36");
    format!(
        "<project>\n<modelVersion>4.0.0</modelVersion>\n<groupId>procession</groupId>\n\
         <artifactId>kafka</artifactId>\n<version>1</version>\n<packaging>pom</packaging>\n\
         <dependencies>\n{all}</dependencies>\n</project>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jars_are_known_by_both_halves_and_their_version() {
        let scratch = tempfile::tempdir().unwrap();
        let put = |name: &str| fs::write(scratch.path().join(name), "").unwrap();
        assert_eq!(jars_in(scratch.path()), None);
        put("kafka-clients-4.0.1.jar");
        put("kafka-clients-4.0.1-test.txt");
        // A copy that was cut short is no Kafka.
        assert_eq!(jars_in(scratch.path()), None);
        put("kafka_2.13-4.0.1.jar");
        assert_eq!(jars_in(scratch.path()).unwrap().version, "4.0.1");
    }

    #[test]
    fn the_first_error_of_maven_is_the_reason() {
        let said = b"[INFO] x\n[ERROR] Could not resolve a:b\n[ERROR] \n[ERROR] Re-run with -X\n";
        assert_eq!(first_error(said).unwrap(), "Could not resolve a:b");
        assert_eq!(first_error(b"nothing"), None);
    }
}
