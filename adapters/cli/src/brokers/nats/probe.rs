//! Asking a NATS server whether it answers, in its own line protocol.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
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
