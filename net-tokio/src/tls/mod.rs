//! TLS by rustls. The other end is always verified; there is no way to switch that off.

mod pem;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

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

/// A server's identity, and whom it asks for a certificate. Clones are the same one.
#[derive(Clone)]
pub struct ServerTls {
    config: Arc<RwLock<Arc<ServerConfig>>>,
    /// Where it comes from, if it can be read again.
    files: Option<Arc<Files>>,
}

/// The PEM files of a server.
struct Files {
    certificates: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

impl Files {
    fn read(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let client_ca = self.client_ca.as_deref().map(Pem::File);
        server_config(Pem::File(&self.certificates), Pem::File(&self.key), client_ca)
    }
}

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
        let [certificates, key] = [certificates, key].map(Path::to_path_buf);
        let files = Files { certificates, key, client_ca: client_ca.map(Path::to_path_buf) };
        let config = files.read()?;
        Ok(Self { files: Some(Arc::new(files)), ..Self::from_config(config) })
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
        let (certificates, key) =
            (Pem::Text("certificate", certificates), Pem::Text("private key", key));
        server_config(certificates, key, client_ca).map(Self::from_config)
    }

    /// What the embedder has configured, such as a resolver of certificates that change, or a key
    /// in hardware. If it names ALPN protocols, `http/1.1` should be among them: a WebSocket starts
    /// as that.
    #[must_use]
    pub fn from_config(config: Arc<ServerConfig>) -> Self {
        Self { config: Arc::new(RwLock::new(config)), files: None }
    }

    /// Reads the PEM files again, for all clones. Handshakes that begin afterwards go by them;
    /// connections that are up stay as they are. Does nothing where there are no files. Blocks while
    /// it reads.
    ///
    /// # Errors
    /// Names the file and what is wrong with it. What was in force stays in force.
    pub fn reload(&self) -> Result<(), TlsError> {
        if let Some(files) = &self.files {
            let config = files.read()?;
            // The lock guards one pointer, which is whole whatever panicked.
            *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        }
        Ok(())
    }

    fn acceptor(&self) -> TlsAcceptor {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&config))
    }

    /// The server's side of a TLS handshake. Not cancel safe: the stream is lost. The caller sets
    /// the deadline.
    pub(crate) async fn accept(
        &self,
        io: BoxIo,
    ) -> io::Result<(BoxIo, Vec<CertificateDer<'static>>)> {
        let stream = self.acceptor().accept(io).await?;
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

    /// What the embedder has configured, such as a key in hardware. If it names ALPN protocols,
    /// `http/1.1` should be among them: a WebSocket starts as that.
    #[must_use]
    pub fn from_config(config: Arc<ClientConfig>) -> Self {
        Self(config)
    }

    /// Whether this is a clone of the other one.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
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

fn server_config(
    certificates: Pem<'_>,
    key: Pem<'_>,
    client_ca: Option<Pem<'_>>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let builder =
        ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
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
    Ok(Arc::new(config))
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

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use tokio::io::duplex;

    use super::*;

    /// A certificate for `localhost`, and its key, as PEM.
    fn identity() -> [String; 2] {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_string()]).unwrap();
        [cert.pem(), signing_key.serialize_pem()]
    }

    async fn agree(server: &ServerTls, client: &ClientTls) -> bool {
        let (a, b) = duplex(64 << 10);
        let (served, connected) =
            tokio::join!(server.accept(Box::new(a)), client.connect("localhost", b));
        served.is_ok() && connected.is_ok()
    }

    #[tokio::test]
    async fn files_are_read_again_and_bad_ones_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
        let write = |texts: &[String; 2]| {
            for (path, text) in paths.iter().zip(texts) {
                std::fs::write(path, text).unwrap();
            }
        };
        let [old, new] = [identity(), identity()];
        let trust = |[ca, _]: &[String; 2]| ClientTls::from_pem(Some(ca.as_bytes()), None).unwrap();
        write(&old);
        let server = ServerTls::from_pem_files(&paths[0], &paths[1], None).unwrap();
        let clone = server.clone();
        write(&[new[0].clone(), old[1].clone()]);
        let error = server.reload().unwrap_err().to_string();
        assert!(error.contains("key.pem: it does not belong to "), "{error}");
        assert!(agree(&clone, &trust(&old)).await);
        write(&new);
        server.reload().unwrap();
        assert!(agree(&clone, &trust(&new)).await);
        assert!(!agree(&clone, &trust(&old)).await);
    }

    #[tokio::test]
    async fn configurations_of_the_embedder_are_taken_as_they_are() {
        let [cert, key] = identity();
        let (certificates, key) =
            (Pem::Text("certificate", cert.as_bytes()), Pem::Text("key", key.as_bytes()));
        let roots = certificates.roots().unwrap();
        let server = ServerTls::from_config(server_config(certificates, key, None).unwrap());
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        assert!(agree(&server, &ClientTls::from_config(Arc::new(config))).await);
        server.reload().unwrap();
    }
}
