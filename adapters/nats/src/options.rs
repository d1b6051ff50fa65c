//! Where the servers are, and what an owner may choose beyond the defaults.

use core::time::Duration;
use std::path::PathBuf;
use std::sync::Arc;

use procession_runtime::port::{PortError, PortErrorKind};

use crate::wire::servers::Server;
use crate::wire::{Credentials, Servers, Tls};

/// So that a silent server is found within 1.1 s.
pub(crate) const HEARTBEAT: Duration = Duration::from_millis(500);

/// How to reach NATS, and how to use it.
///
/// ```
/// let options = procession_nats::NatsOptions::parse("nats://127.0.0.1:4222,127.0.0.1:4223")?;
/// # Ok::<(), procession_runtime::port::PortError>(())
/// ```
#[derive(Clone, Debug)]
pub struct NatsOptions {
    address: Address,
    /// How connections are kept from others.
    pub tls: TlsOptions,
    /// A `.creds` file: the JWT of a user and the seed of its NKEY. Read for every connection.
    pub credentials_file: Option<PathBuf>,
    /// A file with the seed of a user's NKEY (`SU...`). Read for every connection.
    pub nkey_file: Option<PathBuf>,
    /// Name of the connections, as the server's monitoring shows it.
    pub name: String,
    /// Replicas of streams and buckets that are created (1, 3 or 5).
    pub replicas: u32,
    /// The bucket of the progress records.
    pub bucket: String,
    /// How long [`NatsBroker::connect`](crate::NatsBroker::connect) tries (at most 5 s).
    pub connect_within: Duration,
    /// How often the server is to say that a pull still waits; at least 100 ms, at most 10 s. After
    /// two of them without a word a session is taken for dead and begun anew: shorter finds dead
    /// servers sooner, longer bears slower ones.
    pub heartbeat: Duration,
}

impl NatsOptions {
    /// Reads an address: `nats://[USER:PASSWORD@|TOKEN@]HOST[:PORT][,HOST[:PORT]...]`, port 4222
    /// unless given. With `tls://` there is no connection without TLS; with `nats://` there is TLS
    /// when the server asks for it.
    ///
    /// # Errors
    /// [`PortErrorKind::Invalid`], naming what is wrong with it.
    pub fn parse(url: &str) -> Result<Self, PortError> {
        let shown = without_secrets(url);
        let invalid = |why: &str| {
            PortError::new(
                PortErrorKind::Invalid,
                format!(
                    "the address `{shown}` {why}; write nats://HOST:PORT[,HOST:PORT] \
                     (tls:// for TLS), with USER:PASSWORD@ or TOKEN@ before the first host if the server asks for it"
                ),
            )
        };
        let (mut tls, rest) = match url.split_once("://") {
            Some(("nats", rest)) => (false, rest),
            Some(("tls", rest)) => (true, rest),
            Some(("ws" | "wss", _)) => {
                return Err(invalid("asks for WebSocket, which is not there"));
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
        let mut servers = Vec::new();
        for host in hosts.split(',') {
            let plain = host.strip_prefix("nats://").unwrap_or(host);
            let secure = plain.strip_prefix("tls://");
            tls |= secure.is_some();
            servers.push(Server::parse(secure.unwrap_or(plain)).map_err(|why| invalid(&why))?);
        }
        Ok(Self {
            address: Address {
                shown: Arc::from(shown),
                servers: servers.into(),
                credentials,
                tls,
            },
            tls: TlsOptions::default(),
            credentials_file: None,
            nkey_file: None,
            name: "procession".into(),
            replicas: 1,
            bucket: "procession-progress".into(),
            connect_within: Duration::from_secs(5),
            heartbeat: HEARTBEAT,
        })
    }

    /// Puts together where the servers are and who we are, and reads every file that is named.
    ///
    /// # Errors
    /// [`PortErrorKind::Invalid`], naming the field, its value and what to do.
    pub(crate) fn servers(&self) -> Result<Servers, PortError> {
        let Address {
            shown,
            servers,
            credentials,
            tls,
        } = &self.address;
        let invalid =
            |why: String| PortError::new(PortErrorKind::Invalid, format!("{shown}: {why}"));
        let credentials = match (credentials, &self.credentials_file, &self.nkey_file) {
            (known, None, None) => known.clone(),
            (Credentials::None, Some(path), None) => Credentials::Jwt(path.clone()),
            (Credentials::None, None, Some(path)) => Credentials::Nkey(path.clone()),
            (Credentials::None, Some(_), Some(_)) => {
                return Err(invalid(
                    "`credentials_file` and `nkey_file` are both given; keep the one that the \
                     server asks for"
                        .into(),
                ));
            }
            (_, file, _) => {
                let field = match file {
                    Some(_) => "credentials_file",
                    None => "nkey_file",
                };
                return Err(invalid(format!(
                    "the address holds credentials and `{field}` is given, too; keep one of them"
                )));
            }
        };
        let tls = self.tls.to_tls(*tls).map_err(invalid)?;
        credentials.check().map_err(invalid)?;
        tls.check().map_err(invalid)?;
        Ok(Servers::new(
            Arc::clone(shown),
            Arc::clone(servers),
            credentials,
            tls,
        ))
    }
}

/// An address, taken apart.
#[derive(Clone, Debug)]
struct Address {
    /// As the user wrote it, without secrets.
    shown: Arc<str>,
    servers: Arc<[Server]>,
    credentials: Credentials,
    /// No connection without TLS.
    tls: bool,
}

/// How connections are kept from others. Any of these settings asks for TLS: there is no connection
/// without it then. Files are read for every connection, so that they can be replaced at any time.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TlsOptions {
    /// A PEM file with the certificates of the CAs that servers' certificates must be signed by;
    /// `None` trusts whom the platform trusts.
    pub ca_file: Option<PathBuf>,
    /// A PEM file with the certificate that we show, and those between it and its CA; for servers
    /// that verify their clients.
    pub cert_file: Option<PathBuf>,
    /// A PEM file with the key of that certificate.
    pub key_file: Option<PathBuf>,
    /// Shake hands before the server says anything, as its own `handshake_first` wants it.
    pub handshake_first: bool,
}

impl TlsOptions {
    fn to_tls(&self, required: bool) -> Result<Tls, String> {
        let alone = |given: &str, path: &PathBuf, missing: &str| {
            let path = path.display();
            Err(format!(
                "`tls.{given}` is {path}, and `tls.{missing}` is not given; give both or none"
            ))
        };
        let identity = match (&self.cert_file, &self.key_file) {
            (Some(cert), Some(key)) => Some((cert.clone(), key.clone())),
            (None, None) => None,
            (Some(cert), None) => return alone("cert_file", cert, "key_file"),
            (None, Some(key)) => return alone("key_file", key, "cert_file"),
        };
        Ok(Tls::new(
            required || *self != Self::default(),
            self.handshake_first,
            self.ca_file.clone(),
            identity,
        ))
    }
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
        let shown: Vec<_> = options
            .address
            .servers
            .iter()
            .map(Server::to_string)
            .collect();
        assert_eq!(shown, ["127.0.0.1:4222", "b:4223", "::1:7"]);
        assert_eq!(options.address.credentials, Credentials::None);
        assert!(!options.servers().unwrap().tls.required);
        let options = NatsOptions::parse("nats://me:p%40ss@h:1").unwrap();
        assert_eq!(
            options.address.credentials,
            Credentials::Password {
                user: "me".into(),
                password: "p@ss".into()
            }
        );
        assert_eq!(&*options.address.shown, "nats://***@h:1");
        let options = NatsOptions::parse("nats://secret@h").unwrap();
        assert_eq!(
            options.address.credentials,
            Credentials::Token("secret".into())
        );
    }

    #[test]
    fn refuses_others_and_says_why() {
        for (url, why) in [
            ("127.0.0.1:4222", "no scheme"),
            ("kafka://h:1", "scheme `kafka`"),
            ("wss://h:1", "WebSocket"),
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
