//! Asking a NATS server whether it answers, in its own line protocol.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// The version of the server at this port, when it greets and answers a ping within a second.
pub(super) fn answers(port: u16) -> Option<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let wait = Duration::from_secs(1);
    let mut stream = TcpStream::connect_timeout(&address, wait).ok()?;
    stream.set_read_timeout(Some(wait)).ok()?;
    stream.set_write_timeout(Some(wait)).ok()?;
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let greeting = lines.next()?.ok()?;
    let info: serde_json::Value = serde_json::from_str(greeting.strip_prefix("INFO ")?).ok()?;
    stream
        .write_all(b"CONNECT {\"verbose\":false,\"name\":\"procession-probe\"}\r\nPING\r\n")
        .ok()?;
    for line in lines.take(3) {
        if line.ok()?.starts_with("PONG") {
            return Some(info.get("version")?.as_str()?.to_owned());
        }
    }
    None
}

/// A port that is free at the moment, below the range from which the system takes ports for
/// outgoing connections: there a client that keeps reconnecting to a stopped server could be given
/// the server's own port, and would then talk to itself.
pub(super) fn free_port() -> Option<u16> {
    use std::hash::{BuildHasher, RandomState};
    let seed = RandomState::new();
    (0..200u32).find_map(|attempt| {
        let spread = u16::try_from(seed.hash_one(attempt) % 11_000).ok()?;
        let port = 20_000 + spread;
        TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .ok()
            .map(|_| port)
    })
}
