//! Where the servers are, and what an owner may choose beyond the defaults.

use core::time::Duration;
use std::sync::Arc;

use procession_runtime::port::{PortError, PortErrorKind};

use crate::wire::Servers;
use crate::wire::connect::Credentials;

/// How to reach NATS, and how to use it.
///
/// ```
/// let options = procession_nats::NatsOptions::parse("nats://127.0.0.1:4222,127.0.0.1:4223")?;
/// # Ok::<(), procession_runtime::port::PortError>(())
/// ```
#[derive(Clone, Debug)]
pub struct NatsOptions {
    pub(crate) servers: Servers,
    /// Name of the connections, as the server's monitoring shows it.
    pub name: String,
    /// Replicas of streams and buckets that are created (1, 3 or 5).
    pub replicas: u32,
    /// The bucket of the progress records.
    pub bucket: String,
    /// How long [`NatsBroker::connect`](crate::NatsBroker::connect) tries (at most 5 s).
    pub connect_within: Duration,
}

impl NatsOptions {
    /// Reads an address: `nats://[USER:PASSWORD@|TOKEN@]HOST[:PORT][,HOST[:PORT]...]`, port 4222
    /// unless given.
    ///
    /// # Errors
    /// [`PortErrorKind::Invalid`], naming what is wrong with it.
    pub fn parse(url: &str) -> Result<Self, PortError> {
        let shown = without_secrets(url);
        let invalid = |why: &str| {
            PortError::new(
                PortErrorKind::Invalid,
                format!(
                    "the address `{shown}` {why}; write nats://HOST:PORT[,HOST:PORT], \
                     with USER:PASSWORD@ or TOKEN@ before the first host if the server asks for it"
                ),
            )
        };
        let rest = match url.split_once("://") {
            Some(("nats", rest)) => rest,
            Some(("tls" | "wss", _)) => {
                return Err(invalid("asks for TLS, which this build cannot do"));
            }
            Some((scheme, _)) => return Err(invalid(&format!("has the scheme `{scheme}`"))),
            None => return Err(invalid("has no scheme")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (credentials, hosts) = match rest.rsplit_once('@') {
            None => (Credentials::None, rest),
            Some((who, hosts)) => (
                match who.split_once(':') {
                    Some((user, password)) => Credentials::Password {
                        user: unescape(user).ok_or_else(|| invalid("has a broken % escape"))?,
                        password: unescape(password)
                            .ok_or_else(|| invalid("has a broken % escape"))?,
                    },
                    None => Credentials::Token(
                        unescape(who).ok_or_else(|| invalid("has a broken % escape"))?,
                    ),
                },
                hosts,
            ),
        };
        let addresses = hosts
            .split(',')
            .map(|host| address(host.strip_prefix("nats://").unwrap_or(host)))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|why| invalid(&why))?;
        Ok(Self {
            servers: Servers {
                shown: Arc::from(shown),
                addresses,
                credentials,
            },
            name: "procession".into(),
            replicas: 1,
            bucket: "procession-progress".into(),
            connect_within: Duration::from_secs(5),
        })
    }
}

/// `HOST`, `HOST:PORT`, `[V6]`, `[V6]:PORT`.
fn address(text: &str) -> Result<(String, u16), String> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest
            .split_once(']')
            .ok_or_else(|| format!("has no `]` in `{text}`"))?;
        (host, rest.strip_prefix(':'))
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/') {
        return Err(format!("has no host in `{text}`"));
    }
    let port = match port {
        None => 4222,
        Some(port) => match port.parse::<u16>() {
            Ok(port) if port != 0 => port,
            _ => return Err(format!("has the port `{port}`, which is not 1 to 65535")),
        },
    };
    Ok((host.to_owned(), port))
}

/// The address without user, password or token.
fn without_secrets(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => {
            format!("{}***@{}", &url[..scheme + 3], &url[at + 1..])
        }
        _ => url.to_owned(),
    }
}

/// Percent escapes of user and password.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |b: u8| {
                char::from(b)
                    .to_digit(16)
                    .and_then(|d| u8::try_from(d).ok())
            };
            let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
            bytes.push(high * 16 + low);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses() {
        let options = NatsOptions::parse("nats://127.0.0.1,b:4223,nats://[::1]:7/").unwrap();
        assert_eq!(
            options.servers.addresses,
            [
                ("127.0.0.1".to_owned(), 4222),
                ("b".to_owned(), 4223),
                ("::1".to_owned(), 7)
            ]
        );
        assert_eq!(options.servers.credentials, Credentials::None);
        let options = NatsOptions::parse("nats://me:p%40ss@h:1").unwrap();
        assert_eq!(
            options.servers.credentials,
            Credentials::Password {
                user: "me".into(),
                password: "p@ss".into()
            }
        );
        assert_eq!(&*options.servers.shown, "nats://***@h:1");
        let options = NatsOptions::parse("nats://secret@h").unwrap();
        assert_eq!(
            options.servers.credentials,
            Credentials::Token("secret".into())
        );
    }

    #[test]
    fn refuses_others_and_says_why() {
        for (url, why) in [
            ("127.0.0.1:4222", "no scheme"),
            ("kafka://h:1", "scheme `kafka`"),
            ("tls://h:1", "TLS"),
            ("nats://", "no host"),
            ("nats://h:0", "port `0`"),
            ("nats://h:x", "port `x`"),
            ("nats://h:70000", "port `70000`"),
            ("nats://a,,b", "no host"),
            ("nats://a b", "no host"),
            ("nats://[::1", "no `]`"),
            ("nats://%zz@h", "escape"),
        ] {
            let error = NatsOptions::parse(url).unwrap_err();
            assert_eq!(error.kind, PortErrorKind::Invalid);
            let text = error.to_string();
            assert!(
                text.contains(why) && text.contains("write nats://"),
                "{url}: {text}"
            );
        }
        let text = NatsOptions::parse("nats://u:hidden@h:x")
            .unwrap_err()
            .to_string();
        assert!(!text.contains("hidden"), "{text}");
    }
}
