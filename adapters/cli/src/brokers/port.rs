//! Free ports.

use std::net::{Ipv4Addr, TcpListener};

/// A port that is free at the moment, below the range from which the system takes ports for
/// outgoing connections: there a client that keeps reconnecting to a stopped server could be given
/// the server's own port, and would then talk to itself.
pub fn free_port() -> Option<u16> {
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
