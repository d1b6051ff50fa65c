//! TLS: what is trusted, what we show, and what a failure means.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{
    AlertDescription, CertificateError, ClientConfig, Error as RustlsError, InvalidMessage,
    RootCertStore,
};

use super::servers::Server;
use super::{ConnectError, file};

const CA_FILE: &str = "tls.ca_file";
const CERT_FILE: &str = "tls.cert_file";
const KEY_FILE: &str = "tls.key_file";

/// How connections are kept from others. Files are read for every connection: certificates are
/// replaced before they expire, while we run.
#[derive(Clone, Default, Debug)]
pub(crate) struct Tls {
    /// No connection without TLS, even when the server does not ask for it.
    pub(crate) required: bool,
    /// The server expects the handshake before it says anything.
    pub(crate) handshake_first: bool,
    /// Trusted in place of what the platform trusts.
    ca_file: Option<PathBuf>,
    /// The certificate chain that we show, and its key.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
    /// What the platform trusts; read once, when it is needed.
    platform: Arc<OnceLock<Result<Arc<RootCertStore>, String>>>,
}

impl Tls {
    pub(crate) fn new(
        required: bool,
        handshake_first: bool,
        ca_file: Option<PathBuf>,
        identity: Option<(PathBuf, PathBuf)>,
    ) -> Self {
        Self {
            required,
            handshake_first,
            ca_file,
            identity,
            platform: Arc::default(),
        }
    }

    /// Reads the files that are named.
    ///
    /// # Errors
    /// In words, with the field, the path and what to do.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.ca_file.is_some() || self.identity.is_some() {
            self.config()?;
        }
        Ok(())
    }

    /// Shakes hands; the server has proved the name of `server` afterwards.
    pub(crate) async fn secure(
        &self,
        stream: TcpStream,
        server: &Server,
    ) -> Result<TlsStream<TcpStream>, ConnectError> {
        let unsuitable = |why: String| ConnectError::Unsuitable(format!("{server}: {why}"));
        let config = self.config().map_err(unsuitable)?;
        let name = ServerName::try_from(server.name().to_owned()).map_err(|_| {
            unsuitable(format!(
                "`{}` is not a name that a certificate can carry; write a host name or an address",
                server.name()
            ))
        })?;
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .map_err(|error| self.explain(server, &error))
    }

    /// What an error on this connection means, when TLS has to do with it.
    pub(crate) fn explain(&self, server: &Server, error: &io::Error) -> ConnectError {
        let Some(tls) = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<RustlsError>())
        else {
            return ConnectError::Unreachable(format!("{server}: {error}"));
        };
        let unsuitable = |why: String| ConnectError::Unsuitable(format!("{server}: {why}"));
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "there are many, and they speak for themselves"
        )]
        match tls {
            RustlsError::InvalidCertificate(why) => unsuitable(self.certificate(server, why)),
            RustlsError::AlertReceived(
                alert @ (AlertDescription::CertificateRequired
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied),
            ) => ConnectError::Denied(match &self.identity {
                None => no_certificate(server),
                Some((path, _)) => format!(
                    "{server} refused our certificate ({alert:?}); `{CERT_FILE}` is {}: give one \
                     that the server's CA has signed for clients and that is valid now",
                    path.display()
                ),
            }),
            RustlsError::InvalidMessage(InvalidMessage::InvalidContentType)
                if self.handshake_first =>
            {
                unsuitable(
                    "it does not begin with a TLS handshake; remove `tls.handshake_first`, or set \
                     `handshake_first` in the server's `tls` block"
                        .into(),
                )
            }
            _ => unsuitable(format!("the TLS handshake failed: {tls}")),
        }
    }

    fn certificate(&self, server: &Server, why: &CertificateError) -> String {
        let name = server.name();
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "there are many, and they speak for themselves"
        )]
        match why {
            // A bad signature: by an authority that only has the name of one we trust.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                let (trusted, fix) = match &self.ca_file {
                    Some(path) => (
                        format!("`{CA_FILE}` ({})", path.display()),
                        "give the file of the CA that signed it".to_owned(),
                    ),
                    None => (
                        "this platform".to_owned(),
                        format!("name the file of the CA that signed it with `{CA_FILE}`"),
                    ),
                };
                format!("its certificate is signed by nobody whom {trusted} trusts; {fix}")
            }
            CertificateError::NotValidForNameContext { presented, .. } => format!(
                "its certificate is for {}, not for `{name}`; use a name of the certificate in the \
                 address, or add this one to it",
                presented.join(", ")
            ),
            CertificateError::NotValidForName => format!(
                "its certificate is not for `{name}`; use a name of the certificate in the address, \
                 or add this one to it"
            ),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired; renew it, or set this machine's clock".into()
            }
            _ => format!("its certificate cannot be used: {why}"),
        }
    }

    fn config(&self) -> Result<ClientConfig, String> {
        let roots = match &self.ca_file {
            Some(path) => Arc::new(authorities(path)?),
            None => self.platform.get_or_init(platform).clone()?,
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be used: {error}"))?
            .with_root_certificates(roots);
        let Some((cert_path, key_path)) = &self.identity else {
            return Ok(builder.with_no_client_auth());
        };
        let chain = certificates(CERT_FILE, cert_path)?;
        let key =
            PrivateKeyDer::from_pem_slice(&file::read(KEY_FILE, key_path)?).map_err(|_| {
                let fix = "give a PEM file with a key (-----BEGIN PRIVATE KEY-----)";
                file::unfit(KEY_FILE, key_path, "it holds no private key", fix)
            })?;
        builder.with_client_auth_cert(chain, key).map_err(|error| {
            let problem = format!("it does not go with `{CERT_FILE}`: {error}");
            file::unfit(
                KEY_FILE,
                key_path,
                &problem,
                "give the key of that certificate",
            )
        })
    }
}

/// What to say to who has no certificate and needs one.
pub(crate) fn no_certificate(server: &Server) -> String {
    format!(
        "{server} asks for a certificate of ours; name it with `{CERT_FILE}` and its key with \
         `{KEY_FILE}`"
    )
}

/// What the platform trusts.
fn platform() -> Result<Arc<RootCertStore>, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    // One that cannot be read among many is no reason to trust none.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(format!(
            "this platform names no CA that it trusts; install its CA certificates, or name a file \
             with `{CA_FILE}`"
        ));
    }
    Ok(Arc::new(roots))
}

fn authorities(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(CA_FILE, path)? {
        roots.add(certificate).map_err(|error| {
            let problem = format!("it holds a certificate that cannot be used: {error}");
            file::unfit(CA_FILE, path, &problem, PEM_FIX)
        })?;
    }
    Ok(roots)
}

const PEM_FIX: &str = "give a PEM file with certificates (-----BEGIN CERTIFICATE-----)";

fn certificates(field: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = file::read(field, path)?;
    let all = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| file::unfit(field, path, "it is not PEM", PEM_FIX))?;
    if all.is_empty() {
        return Err(file::unfit(field, path, "it holds no certificate", PEM_FIX));
    }
    Ok(all)
}
