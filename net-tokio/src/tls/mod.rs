//! TLS by rustls. The other end is always verified; there is no way to switch that off.

mod pem;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls_pki_types::{CertificateDer, ServerName};
use thiserror::Error;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector, client};

use crate::transport::{BoxIo, Io};
use pem::Pem;

/// Sessions start as HTTP/1.1 upgrades.
const ALPN: &[u8] = b"http/1.1";

/// What is wrong with certificates or keys.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read, or has not in it what it should have.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A PEM text has not in it what it should have.
    #[error("the {what}: {reason}")]
    Pem {
        /// What it is for.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Certificates and key do not make an identity, or a root no trust.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
    /// The system has no trusted roots, or they cannot be read.
    #[error("the system's trusted roots: {0}")]
    SystemRoots(String),
}

/// A server's identity, and whom it asks for a certificate.
#[derive(Clone)]
pub struct ServerTls(TlsAcceptor);

impl ServerTls {
    /// An identity from PEM files. With `client_ca`, only ends whose certificate one of its
    /// authorities has signed are let in; the authentication hook sees the certificate.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn from_pem_files(
        certificates: &Path,
        key: &Path,
        client_ca: Option<&Path>,
    ) -> Result<Self, TlsError> {
        Self::new(Pem::File(certificates), Pem::File(key), client_ca.map(Pem::File))
    }

    /// As [`from_pem_files`](Self::from_pem_files), from PEM texts.
    ///
    /// # Errors
    /// Names the text and what is wrong with it.
    pub fn from_pem(
        certificates: &[u8],
        key: &[u8],
        client_ca: Option<&[u8]>,
    ) -> Result<Self, TlsError> {
        let client_ca = client_ca.map(|ca| Pem::Text("client authority", ca));
        Self::new(Pem::Text("certificate", certificates), Pem::Text("private key", key), client_ca)
    }

    fn new(
        certificates: Pem<'_>,
        key: Pem<'_>,
        client_ca: Option<Pem<'_>>,
    ) -> Result<Self, TlsError> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?;
        let builder = match client_ca {
            None => builder.with_no_client_auth(),
            Some(ca) => {
                let roots = Arc::new(ca.roots()?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
                let verifier = verifier.build().map_err(|error| ca.wrong(&error))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder
            .with_single_cert(certificates.certificates()?, key.key()?)
            .map_err(|error| no_identity(&certificates, &key, &error))?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// The server's side of a TLS handshake. Not cancel safe: the stream is lost. The caller sets
    /// the deadline.
    pub(crate) async fn accept(
        &self,
        io: BoxIo,
    ) -> io::Result<(BoxIo, Vec<CertificateDer<'static>>)> {
        let stream = self.0.accept(io).await?;
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let certificates = certificates.iter().map(|each| each.clone().into_owned()).collect();
        Ok((Box::new(stream), certificates))
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls")
    }
}

/// Whom a client trusts, and who it is.
#[derive(Clone)]
pub struct ClientTls(Arc<ClientConfig>);

impl ClientTls {
    /// Trusts the system's roots, and has no certificate.
    ///
    /// # Errors
    /// The system has none.
    pub fn system() -> Result<Self, TlsError> {
        Self::new(system_roots()?, None)
    }

    /// Trusts the roots in the PEM file `ca`, or the system's if it is `None`, and shows the
    /// certificate in the PEM files `identity` (certificates, key) to a server that asks.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn from_pem_files(
        ca: Option<&Path>,
        identity: Option<(&Path, &Path)>,
    ) -> Result<Self, TlsError> {
        let identity =
            identity.map(|(certificates, key)| (Pem::File(certificates), Pem::File(key)));
        Self::new(ca.map_or_else(system_roots, |ca| Pem::File(ca).roots())?, identity)
    }

    /// As [`from_pem_files`](Self::from_pem_files), from PEM texts.
    ///
    /// # Errors
    /// Names the text and what is wrong with it.
    pub fn from_pem(ca: Option<&[u8]>, identity: Option<(&[u8], &[u8])>) -> Result<Self, TlsError> {
        let roots = ca.map_or_else(system_roots, |ca| Pem::Text("authority", ca).roots())?;
        let identity = identity.map(|(certificates, key)| {
            (Pem::Text("certificate", certificates), Pem::Text("private key", key))
        });
        Self::new(roots, identity)
    }

    fn new(roots: RootCertStore, identity: Option<(Pem<'_>, Pem<'_>)>) -> Result<Self, TlsError> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some((certificates, key)) => builder
                .with_client_auth_cert(certificates.certificates()?, key.key()?)
                .map_err(|error| no_identity(&certificates, &key, &error))?,
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self(Arc::new(config)))
    }

    /// The client's side of a TLS handshake with the server `host`, a name or an address. Not
    /// cancel safe: the stream is lost. The caller sets the deadline.
    ///
    /// # Errors
    /// The server's certificate is not trusted or not for this host, or the stream failed.
    pub async fn connect<I: Io>(&self, host: &str, io: I) -> io::Result<client::TlsStream<I>> {
        let name = ServerName::try_from(host.to_string())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "no valid host name"))?;
        TlsConnector::from(Arc::clone(&self.0)).connect(name, io).await
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTls")
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn system_roots() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added > 0 {
        return Ok(roots);
    }
    let errors: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
    let reason = if errors.is_empty() { "there are none".to_string() } else { errors.join("; ") };
    Err(TlsError::SystemRoots(reason))
}

/// Why certificates and key are not one identity. Certificates can be read without being
/// understood, so it is not always the key that is wrong.
fn no_identity(certificates: &Pem<'_>, key: &Pem<'_>, error: &rustls::Error) -> TlsError {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            key.wrong(&format_args!("it does not belong to {certificates}"))
        }
        rustls::Error::InvalidCertificate(_) => certificates.wrong(error),
        _ => key.wrong(error),
    }
}
