//! The progress record: commit, lease and fence of one (group, stream, topic, partition) in one
//! JSON object. A format: see the golden tests and `docs/wire.md`.

use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use procession_core::{Anchor, Epoch, Incarnation, MemberId, PartitionId, Position, Stamp};
use serde::{Deserialize, Serialize};

use crate::escape_dots;

/// The version that this code writes and reads.
const VERSION: u64 = 1;

/// What a record says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Creation time (or another mark of the incarnation) of the log that positions belong to.
    pub created: String,
    /// Who holds the lease; empty when nobody does.
    pub owner: String,
    /// Counts the owners.
    pub epoch: Epoch,
    /// Counts the writes of the record within the epoch.
    pub write: u64,
    /// First position that is not finished; `None` before the first commit.
    pub frontier: Option<Position>,
    /// By what the log is recognised.
    pub anchor: Option<Anchor>,
    /// The progress map, raw bytes; empty for none.
    pub map: Bytes,
}

/// Why bytes are not a record that can be used.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RecordError {
    /// Written by a newer version of Procession: nothing may be decided on it.
    Newer(u64),
    /// Not a record: foreign or damaged content. It counts as no progress, and is overwritten only
    /// by compare-and-set on its revision.
    Foreign(String),
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newer(version) => write!(
                f,
                "the progress record has version {version}; this program knows versions up to \
                 {VERSION}: upgrade it, or stop the members that run the newer one and choose \
                 another group"
            ),
            Self::Foreign(why) => write!(f, "the progress record cannot be read: {why}"),
        }
    }
}

impl std::error::Error for RecordError {}

/// The record's key: `GROUP.STREAM.TOPIC.P`, with `.` inside a part as `=2E`.
#[must_use]
pub fn record_key(group: &str, stream: &str, topic: &str, partition: PartitionId) -> String {
    format!(
        "{}.{}.{}.{}",
        escape_dots(group),
        escape_dots(stream),
        escape_dots(topic),
        partition.0
    )
}

/// The digest of a log's creation mark (FNV-1a 64): what makes its positions comparable.
#[must_use]
pub fn incarnation_of(created: &str) -> Incarnation {
    Incarnation(created.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    }))
}

/// The number of a member's name (FNV-1a 128), as the claims compare it.
#[must_use]
pub fn member_id(name: &str) -> MemberId {
    let offset = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128;
    MemberId(name.bytes().fold(offset, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    }))
}

/// The wire form. Numbers of 64 bits are strings: JSON readers elsewhere round them.
#[derive(Serialize, Deserialize)]
struct Wire {
    v: u64,
    created: String,
    owner: String,
    epoch: String,
    write: String,
    #[serde(default)]
    frontier: Option<String>,
    #[serde(default)]
    anchor: Option<(String, String)>,
    #[serde(default)]
    map: String,
}

/// Only the version: everything else may look different in another one.
#[derive(Deserialize)]
struct Version {
    v: u64,
}

impl Progress {
    /// The record as bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let wire = Wire {
            v: VERSION,
            created: self.created.clone(),
            owner: self.owner.clone(),
            epoch: self.epoch.0.to_string(),
            write: self.write.to_string(),
            frontier: self.frontier.map(|p| p.0.to_string()),
            anchor: self
                .anchor
                .map(|a| (a.position.0.to_string(), a.stamp.0.to_string())),
            map: BASE64.encode(&self.map),
        };
        // A struct of strings and numbers cannot fail to serialise.
        serde_json::to_vec(&wire).map_or_else(|_| Bytes::new(), Bytes::from)
    }

    /// Reads a record.
    ///
    /// # Errors
    /// A newer version, or anything that is not a record.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let foreign = |why: &dyn fmt::Display| RecordError::Foreign(why.to_string());
        let Version { v } = serde_json::from_slice(bytes).map_err(|e| foreign(&e))?;
        if VERSION < v {
            return Err(RecordError::Newer(v));
        }
        if v != VERSION {
            return Err(foreign(&format_args!("its version is {v}")));
        }
        let wire: Wire = serde_json::from_slice(bytes).map_err(|e| foreign(&e))?;
        let number = |field: &str, text: &str| {
            text.parse::<u64>()
                .map_err(|e| foreign(&format_args!("`{field}` is `{text}`: {e}")))
        };
        Ok(Self {
            epoch: Epoch(number("epoch", &wire.epoch)?),
            write: number("write", &wire.write)?,
            frontier: match &wire.frontier {
                Some(text) => Some(Position(number("frontier", text)?)),
                None => None,
            },
            anchor: match &wire.anchor {
                Some((position, stamp)) => Some(Anchor {
                    position: Position(number("anchor", position)?),
                    stamp: Stamp(number("anchor", stamp)?),
                }),
                None => None,
            },
            map: BASE64
                .decode(&wire.map)
                .map_err(|e| foreign(&format_args!("`map`: {e}")))?
                .into(),
            created: wire.created,
            owner: wire.owner,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Progress {
        Progress {
            created: "2026-01-02T03:04:05.000000006Z".into(),
            owner: "billing-1".into(),
            epoch: Epoch(7),
            write: 12,
            frontier: Some(Position(u64::MAX)),
            anchor: Some(Anchor {
                position: Position(41),
                stamp: Stamp(1_767_323_045_000_000_006),
            }),
            map: Bytes::from_static(&[1, 2, 3, 255]),
        }
    }

    const GOLDEN: &str = r#"{"v":1,"created":"2026-01-02T03:04:05.000000006Z","owner":"billing-1","epoch":"7","write":"12","frontier":"18446744073709551615","anchor":["41","1767323045000000006"],"map":"AQID/w=="}"#;
    const GOLDEN_FRESH: &str = r#"{"v":1,"created":"c","owner":"","epoch":"1","write":"0","frontier":null,"anchor":null,"map":""}"#;

    #[test]
    fn golden() {
        assert_eq!(sample().encode(), GOLDEN.as_bytes());
        assert_eq!(Progress::decode(GOLDEN.as_bytes()), Ok(sample()));
        let fresh = Progress {
            created: "c".into(),
            owner: String::new(),
            epoch: Epoch(1),
            write: 0,
            frontier: None,
            anchor: None,
            map: Bytes::new(),
        };
        assert_eq!(fresh.encode(), GOLDEN_FRESH.as_bytes());
        assert_eq!(Progress::decode(GOLDEN_FRESH.as_bytes()), Ok(fresh));
    }

    #[test]
    fn a_newer_version_is_told_apart_from_damage() {
        assert_eq!(
            Progress::decode(br#"{"v":2,"anything":[]}"#),
            Err(RecordError::Newer(2))
        );
        let text = RecordError::Newer(2).to_string();
        assert!(
            text.contains("version 2") && text.contains("upgrade"),
            "{text}"
        );
        for bytes in [
            &b""[..],
            b"\xff\xfe",
            b"{}",
            b"[1]",
            br#"{"v":0,"created":"c"}"#,
            br#"{"v":1}"#,
            br#"{"v":1,"created":"c","owner":"o","epoch":"-1","write":"0","map":""}"#,
            br#"{"v":1,"created":"c","owner":"o","epoch":"1","write":"0","map":"*"}"#,
            br#"{"v":1,"created":"c","owner":"o","epoch":"1","write":"0","frontier":"x","map":""}"#,
            br#"{"v":1,"created":"c","owner":"o","epoch":1,"write":"0","map":""}"#,
        ] {
            assert!(
                matches!(Progress::decode(bytes), Err(RecordError::Foreign(_))),
                "{}",
                String::from_utf8_lossy(bytes)
            );
        }
    }

    #[test]
    fn unknown_fields_of_the_same_version_are_passed_over() {
        let text = GOLDEN.replace("{\"v\":1,", "{\"v\":1,\"note\":{\"a\":1},");
        assert_eq!(Progress::decode(text.as_bytes()), Ok(sample()));
    }

    #[test]
    fn keys_and_incarnations() {
        assert_eq!(
            record_key("billing.v2", "ORDERS", "orders.eu", PartitionId(3)),
            "billing=2Ev2.ORDERS.orders=2Eeu.3"
        );
        // FNV-1a 64, published vectors.
        assert_eq!(incarnation_of(""), Incarnation(0xcbf2_9ce4_8422_2325));
        assert_eq!(incarnation_of("a"), Incarnation(0xaf63_dc4c_8601_ec8c));
        assert_eq!(incarnation_of("foobar"), Incarnation(0x8594_4171_f739_67e8));
    }
}
