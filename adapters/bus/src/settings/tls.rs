//! Table `[bus.tls]`.

use std::path::PathBuf;

use super::reader::Reader;
use super::{SettingsError, value};

/// How connections are kept from others: table `[bus.tls]`. Any of these settings asks for TLS:
/// there is no connection without it then. For NATS; the files are read for every connection, so
/// they can be replaced at any time.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct TlsSettings {
    /// A PEM file with the certificates of the CAs that servers' certificates must be signed by.
    /// Default: those that the platform trusts.
    pub ca_file: Option<PathBuf>,
    /// A PEM file with the certificate that we show, for servers that verify their clients; with
    /// `key_file`.
    pub cert_file: Option<PathBuf>,
    /// A PEM file with the key of that certificate.
    pub key_file: Option<PathBuf>,
    /// Shake hands before the server says anything, as its own `handshake_first` wants it. Default:
    /// false.
    pub handshake_first: bool,
}

impl TlsSettings {
    pub(super) fn apply(&mut self, mut r: Reader<'_>) -> Result<(), SettingsError> {
        r.some("ca_file", &mut self.ca_file, value::path)?;
        r.some("cert_file", &mut self.cert_file, value::path)?;
        r.some("key_file", &mut self.key_file, value::path)?;
        r.flag("handshake_first", &mut self.handshake_first)?;
        r.finish()
    }

    pub(super) fn validate(&self) -> Result<(), SettingsError> {
        let alone = |given: &str, path: &PathBuf, missing: &str| {
            Err(SettingsError::new(
                format!("bus.tls.{given}"),
                path.display().to_string(),
                "",
                format!("`bus.tls.{missing}` is not set"),
                "set both or none",
            ))
        };
        match (&self.cert_file, &self.key_file) {
            (Some(cert), None) => alone("cert_file", cert, "key_file"),
            (None, Some(key)) => alone("key_file", key, "cert_file"),
            (Some(_), Some(_)) | (None, None) => Ok(()),
        }
    }
}
