//! Asking Kafka whether it answers, in its own protocol.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// A Metadata request of version 4, which every Kafka since 1.0 answers: about no topic, which
/// leaves the list of brokers.
#[rustfmt::skip]
const REQUEST: [u8; 24] = [
    0, 0, 0, 20, // Bytes that follow.
    0, 3, 0, 4, // Metadata, version 4.
    0, 0, 0, 7, // Correlation id.
    0, 5, b'p', b'r', b'o', b'b', b'e', // Who asks.
    0, 0, 0, 0, // No topic.
    0, // Create none.
];
/// Size, correlation id, throttle time, number of brokers.
const ANSWER_BEGINS: usize = 16;

/// Whether the Kafka at this port knows itself as a broker. It accepts connections before that, and
/// a client would find no broker in its metadata.
pub(super) fn answers(port: u16) -> bool {
    brokers(port).is_some_and(|brokers| brokers > 0)
}

fn brokers(port: u16) -> Option<i32> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let wait = Duration::from_secs(1);
    let mut stream = TcpStream::connect_timeout(&address, wait).ok()?;
    stream.set_read_timeout(Some(wait)).ok()?;
    stream.set_write_timeout(Some(wait)).ok()?;
    stream.write_all(&REQUEST).ok()?;
    let mut answer = [0; ANSWER_BEGINS];
    stream.read_exact(&mut answer).ok()?;
    answer.last_chunk().map(|count| i32::from_be_bytes(*count))
}
