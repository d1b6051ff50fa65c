//! From the key of a message to its partition, as other Kafka clients do it.

use core::fmt;
use core::str::FromStr;

use procession_runtime::port::Outgoing;

/// How a key becomes a partition. All producers of a topic must agree, or a key loses its order.
///
/// Both are computed here, not by the client library, so that the partition of a message is known
/// before it is handed over. A message without a key is spread by the bytes of its id: the clients
/// named below choose at random, from which the `_random` in the names comes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Partitioner {
    /// `murmur2_random`: what Java's default partitioner and Kafka's own tools do with a key.
    #[default]
    Murmur2Random,
    /// `fnv1a_random`: what sarama's `NewHashPartitioner` does with a key.
    Fnv1aRandom,
}

/// A partitioner that does not exist.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnknownPartitioner;

impl Partitioner {
    /// The name, as in settings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Murmur2Random => "murmur2_random",
            Self::Fnv1aRandom => "fnv1a_random",
        }
    }

    /// The partition of a key, from 0. `partitions` of 0 counts as 1.
    #[must_use]
    pub fn of_key(self, key: &[u8], partitions: u32) -> u32 {
        let hash = match self {
            // Java's `toPositive`: the sign is cut off, not turned.
            Self::Murmur2Random => murmur2(key) & 0x7fff_ffff,
            // sarama turns a negative remainder positive, which is the remainder of the amount.
            Self::Fnv1aRandom => fnv1a(key).cast_signed().unsigned_abs(),
        };
        hash % partitions.max(1)
    }

    /// The partition of a message: the one that it is fixed to, else that of its key, else that of
    /// its id.
    #[must_use]
    pub(crate) fn of(self, message: &Outgoing, partitions: u32) -> u32 {
        match (message.partition, &message.key) {
            (Some(fixed), _) => fixed,
            (None, Some(key)) => self.of_key(key, partitions),
            (None, None) => self.of_key(message.id.as_bytes(), partitions),
        }
    }
}

impl FromStr for Partitioner {
    type Err = UnknownPartitioner;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "murmur2_random" => Ok(Self::Murmur2Random),
            "fnv1a_random" => Ok(Self::Fnv1aRandom),
            _ => Err(UnknownPartitioner),
        }
    }
}

impl fmt::Display for UnknownPartitioner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a partitioner is `murmur2_random` or `fnv1a_random`")
    }
}

impl core::error::Error for UnknownPartitioner {}

/// MurmurHash2 with the seed of Kafka's `Utils.murmur2`.
fn murmur2(key: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    // Java counts lengths in 32 bits, and so does this.
    let mut hash = 0x9747_b28c_u32 ^ u32::try_from(key.len()).unwrap_or(u32::MAX);
    let (words, rest) = key.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (place, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

fn fnv1a(key: &[u8]) -> u32 {
    key.iter().fold(0x811c_9dc5, |hash: u32, &byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use procession_runtime::port::Headers;

    /// Key, Java's `Utils.murmur2`, and the amount of Go's `hash/fnv` as `int32`, which is what
    /// sarama takes the remainder of: the vectors by which librdkafka checks its own partitioners
    /// (`rdmurmur2.c`, `rdfnv1a.c`), where they were taken from Java and Go.
    const VECTORS: [(&str, u32, u32); 11] = [
        ("kafka", 0xd067_cf64, 0x0d33_c4e1),
        ("giberish123456789", 0x8f55_2b0c, 0x77a5_8295),
        ("1234", 0x9fc9_7b14, 0x023b_dd03),
        ("234", 0xe7c0_09ca, 0x2dea_3cd2),
        ("34", 0x8739_30da, 0x740f_a83e),
        ("4", 0x5a4b_5ca1, 0x310c_a263),
        (
            "PreAmbleWillBeRemoved,ThePrePartThatIs",
            0x7842_4f1c,
            0x65cb_d69c,
        ),
        (
            "reAmbleWillBeRemoved,ThePrePartThatIs",
            0x4a62_b377,
            0x6e49_c79a,
        ),
        (
            "eAmbleWillBeRemoved,ThePrePartThatIs",
            0xe0e4_e09e,
            0x69ee_d356,
        ),
        (
            "AmbleWillBeRemoved,ThePrePartThatIs",
            0x62b8_b43f,
            0x6abc_c023,
        ),
        ("", 0x106e_08d9, 0x7ee3_623b),
    ];

    #[test]
    fn hashes_are_those_of_java_and_go() {
        for (key, java, go) in VECTORS {
            let key = key.as_bytes();
            assert_eq!(murmur2(key), java);
            assert_eq!(fnv1a(key).cast_signed().unsigned_abs(), go);
            for partitions in [1, 3, 12, 1_000] {
                let of = |partitioner: Partitioner| partitioner.of_key(key, partitions);
                assert_eq!(
                    of(Partitioner::Murmur2Random),
                    (java & 0x7fff_ffff) % partitions
                );
                assert_eq!(of(Partitioner::Fnv1aRandom), go % partitions);
            }
        }
        assert_eq!(Partitioner::default().of_key(b"a", 0), 0);
    }

    /// The page's vectors; murmur2's are from `Utils` of Kafka 4.3.1.
    #[test]
    fn partitions_are_those_of_the_page() {
        let page = include_str!("../../../docs/wire.md");
        let (_, rest) = page.split_once("```vectors kafka-partition\n").unwrap();
        let (table, _) = rest.split_once("```").unwrap();
        let rows: Vec<Vec<&str>> = table
            .lines()
            .skip(1)
            .map(|row| row.split('|').map(str::trim).collect())
            .collect();
        assert_eq!(rows.len(), 5);
        for row in rows {
            let of = |partitioner: Partitioner, partitions| {
                partitioner
                    .of_key(row[0].as_bytes(), partitions)
                    .to_string()
            };
            let (murmur2, fnv1a) = (Partitioner::Murmur2Random, Partitioner::Fnv1aRandom);
            let got = [of(murmur2, 3), of(murmur2, 12), of(fnv1a, 3), of(fnv1a, 12)];
            assert_eq!(got, row[1..], "{}", row[0]);
        }
    }

    #[test]
    fn a_fixed_partition_comes_before_the_key_and_the_key_before_the_id() {
        let mut message = Outgoing {
            topic: "t".into(),
            key: Some(Bytes::from_static(b"kafka")),
            id: "1234".into(),
            identity: 0,
            copy: 0,
            headers: Headers::default(),
            payload: Bytes::new(),
            partition: Some(7),
            expect: None,
        };
        let of = |message: &Outgoing| Partitioner::Murmur2Random.of(message, 1_000);
        assert_eq!(of(&message), 7);
        message.partition = None;
        assert_eq!(of(&message), 0x5067_cf64 % 1_000);
        message.key = None;
        assert_eq!(of(&message), 0x1fc9_7b14 % 1_000);
    }

    #[test]
    fn names() {
        for partitioner in [Partitioner::Murmur2Random, Partitioner::Fnv1aRandom] {
            assert_eq!(partitioner.name().parse(), Ok(partitioner));
        }
        let error = "murmur2".parse::<Partitioner>().unwrap_err();
        assert!(error.to_string().contains("murmur2_random"));
    }
}
