//! The trust and the identity of a TLS client.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls_pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_rustls::{TlsConnector, client};
use tracing::{info, warn};

use super::pem::Pem;
use super::provider;
use super::{ALPN, TlsError, certificate_problem, explain_failure, no_identity};
use crate::io::Io;

/// The greatest age of the system's roots. They are some hundred files or a large one, and seldom
/// change.
const SYSTEM_ROOTS_AGE: Duration = Duration::from_secs(60);

/// The trusted roots and the identity of a client. Clones share one state.
#[derive(Clone)]
pub struct ClientTls(Arc<Shared>);

struct Shared {
    /// The files, if it has any to read again.
    source: Option<Source>,
    state: Mutex<State>,
}

/// The files of a client.
struct Source {
    /// The system's roots if it is `None`.
    ca: Option<PathBuf>,
    identity: Option<(PathBuf, PathBuf)>,
}

struct State {
    config: Arc<ClientConfig>,
    contents: Contents,
    /// Why the present content of the files is not in force.
    problem: Option<String>,
}

/// The content of the files.
#[derive(Clone)]
struct Contents {
    ca: Ca,
    /// Certificates and private key.
    identity: Option<[Vec<u8>; 2]>,
}

#[derive(Clone, Debug)]
enum Ca {
    File(Vec<u8>),
    System { roots: Vec<CertificateDer<'static>>, read: Instant },
}

impl ClientTls {
    /// Trusts the system's roots, and has no certificate. The roots are read again before a
    /// connection if they are older than a minute.
    ///
    /// # Errors
    ///
    /// The system has none.
    pub fn system() -> Result<Self, TlsError> {
        Self::from_source(Source { ca: None, identity: None })
    }

    /// Trusts the roots in the PEM file `ca`, or the system's if it is `None`, and presents the
    /// certificate in the PEM files `identity` (certificates, key) to a server that requests one.
    ///
    /// The files are read again before each connection: a renewed file is used from the next
    /// connection on. Unusable files are logged, and the previous ones stay in force.
    ///
    /// # Errors
    ///
    /// The file, and the reason why it is unusable.
    pub fn from_pem_files(
        ca: Option<&Path>,
        identity: Option<(&Path, &Path)>,
    ) -> Result<Self, TlsError> {
        let identity =
            identity.map(|(certificates, key)| (certificates.to_path_buf(), key.to_path_buf()));
        Self::from_source(Source { ca: ca.map(Path::to_path_buf), identity })
    }

    /// The embedder's configuration, such as a key in hardware. If it names ALPN protocols,
    /// `http/1.1` should be among them: a WebSocket starts as that.
    #[must_use]
    pub fn from_config(config: Arc<ClientConfig>) -> Self {
        let contents = Contents { ca: Ca::File(Vec::new()), identity: None };
        let state = Mutex::new(State { config, contents, problem: None });
        Self(Arc::new(Shared { source: None, state }))
    }

    /// As [`from_pem_files`](Self::from_pem_files), from PEM texts, which do not change.
    ///
    /// # Errors
    ///
    /// The text, and the reason why it is unusable.
    pub fn from_pem(ca: Option<&[u8]>, identity: Option<(&[u8], &[u8])>) -> Result<Self, TlsError> {
        let roots = match ca {
            Some(ca) => Pem::Text("authority", ca).roots()?,
            None => trust(&system_roots()?)?,
        };
        let identity = identity.map(|(certificates, key)| {
            (Pem::Text("certificate", certificates), Pem::Text("private key", key))
        });
        Ok(Self::from_config(config(roots, identity)?))
    }

    fn from_source(source: Source) -> Result<Self, TlsError> {
        let contents = source.read(None)?;
        let config = source.config(&contents)?;
        let state = Mutex::new(State { config, contents, problem: None });
        Ok(Self(Arc::new(Shared { source: Some(source), state })))
    }

    /// Whether this is a clone of the other one.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The client's side of a TLS handshake with the server `host`, a name or an address, by the
    /// present content of the files. Not cancel safe: the stream is lost. The caller sets the
    /// deadline.
    ///
    /// # Errors
    ///
    /// The server's certificate is not trusted or not for this host, or the stream failed.
    pub async fn connect<I: Io>(&self, host: &str, io: I) -> io::Result<client::TlsStream<I>> {
        let name = ServerName::try_from(host.to_string())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "no valid host name"))?;
        TlsConnector::from(self.current().await).connect(name, io).await.map_err(explain_failure)
    }

    /// The configuration in force, after the files have been read again.
    async fn current(&self) -> Arc<ClientConfig> {
        if self.0.is_outdated() {
            let shared = Arc::clone(&self.0);
            // A runtime that is shutting down reads no more.
            tokio::task::spawn_blocking(move || shared.refresh()).await.ok();
        }
        Arc::clone(&self.0.lock().config)
    }
}

impl Shared {
    /// Whether the files are to be read again.
    fn is_outdated(&self) -> bool {
        self.source.as_ref().is_some_and(|source| {
            source.ca.is_some() || source.identity.is_some() || !self.lock().contents.ca.is_recent()
        })
    }

    /// Reads the files, and puts changes in force. Blocks.
    fn refresh(&self) {
        let Some(source) = &self.source else { return };
        let before = self.lock().contents.clone();
        let read = source.read(Some(&before.ca)).and_then(|contents| {
            // TLS sessions are resumed as long as nothing has changed.
            let new = if contents.is(&before) { None } else { Some(source.config(&contents)?) };
            Ok((contents, new))
        });
        let state = &mut *self.lock();
        match read {
            Ok((contents, new)) => {
                state.contents = contents;
                state.problem = None;
                if let Some(config) = new {
                    info!("certificates for connections to servers read again");
                    state.config = config;
                }
            }
            Err(error) => {
                let problem = Some(error.to_string());
                if state.problem != problem {
                    warn!(%error, "the previous certificates stay in force");
                    state.problem = problem;
                }
            }
        }
    }

    /// A panic does not poison it: the state is consistent after each statement.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    fn read(&self, before: Option<&Ca>) -> Result<Contents, TlsError> {
        let ca = match (&self.ca, before) {
            (Some(path), _) => Ca::File(Pem::File(path).bytes()?),
            (None, Some(ca)) if ca.is_recent() => ca.clone(),
            (None, _) => Ca::System { roots: system_roots()?, read: Instant::now() },
        };
        let identity = match &self.identity {
            Some((certificates, key)) => {
                Some([Pem::File(certificates).bytes()?, Pem::File(key).bytes()?])
            }
            None => None,
        };
        Ok(Contents { ca, identity })
    }

    fn config(&self, contents: &Contents) -> Result<Arc<ClientConfig>, TlsError> {
        let roots = match (&contents.ca, &self.ca) {
            (Ca::File(text), Some(path)) => Pem::Read(path, text).roots()?,
            (Ca::File(text), None) => Pem::Text("authority", text).roots()?,
            (Ca::System { roots, .. }, _) => trust(roots)?,
        };
        let is_read = self.identity.is_some() == contents.identity.is_some();
        debug_assert!(is_read, "the files of an identity are read together");
        let identity = self.identity.as_ref().zip(contents.identity.as_ref());
        let identity = identity.map(|((certificates, key), [certificates_text, key_text])| {
            (Pem::Read(certificates, certificates_text), Pem::Read(key, key_text))
        });
        config(roots, identity)
    }
}

impl Contents {
    /// Whether both have the same content.
    fn is(&self, other: &Self) -> bool {
        let same_ca = match (&self.ca, &other.ca) {
            (Ca::File(text), Ca::File(other)) => text == other,
            (Ca::System { roots, .. }, Ca::System { roots: others, .. }) => roots == others,
            _ => false,
        };
        same_ca && self.identity == other.identity
    }
}

impl Ca {
    fn is_recent(&self) -> bool {
        matches!(self, Self::System { read, .. } if read.elapsed() < SYSTEM_ROOTS_AGE)
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTls")
    }
}

fn config(
    roots: RootCertStore,
    identity: Option<(Pem<'_>, Pem<'_>)>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider()?)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some((certificates, key)) => {
            let chain = certificates.certificates()?;
            if let Some(problem) = certificate_problem(&chain) {
                warn!("servers will refuse {certificates}: the certificate {problem}");
            }
            builder
                .with_client_auth_cert(chain, key.key()?)
                .map_err(|error| no_identity(&certificates, &key, &error))?
        }
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

fn system_roots() -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let errors: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
        return Err(no_roots(errors));
    }
    Ok(found.certs)
}

/// Trusts the certificates that can be parsed.
fn trust(certificates: &[CertificateDer<'static>]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    match roots.add_parsable_certificates(certificates.iter().cloned()) {
        (0, _) => Err(no_roots(Vec::new())),
        _ => Ok(roots),
    }
}

fn no_roots(errors: Vec<String>) -> TlsError {
    let reason = if errors.is_empty() { "there are none".to_string() } else { errors.join("; ") };
    TlsError::SystemRoots(reason)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use tokio::io::duplex;

    use super::*;
    use crate::tls::ServerTls;

    /// A server for `localhost`, and its certificate, which is its own authority.
    fn server() -> (ServerTls, String) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_string()]).unwrap();
        let key = signing_key.serialize_pem();
        let tls = ServerTls::from_pem(cert.pem().as_bytes(), key.as_bytes(), None).unwrap();
        (tls, cert.pem())
    }

    async fn agree(server: &ServerTls, client: &ClientTls) -> bool {
        let (a, b) = duplex(64 << 10);
        let (served, connected) =
            tokio::join!(server.accept(Box::new(a)), client.connect("localhost", b));
        served.is_ok() && connected.is_ok()
    }

    #[tokio::test]
    async fn an_authority_that_is_renewed_counts_from_the_next_connection_on() {
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        let ((old, old_ca), (new, new_ca)) = (server(), server());
        std::fs::write(&ca, &old_ca).unwrap();
        let client = ClientTls::from_pem_files(Some(&ca), None).unwrap();
        assert!(agree(&old, &client).await && !agree(&new, &client).await);
        let before = client.current().await;
        assert!(Arc::ptr_eq(&before, &client.current().await), "sessions are resumed");
        // Without a valid file, the old one stays in force.
        for bad in ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
        {
            std::fs::write(&ca, bad).unwrap();
            assert!(agree(&old, &client).await, "{bad:?}");
        }
        std::fs::remove_file(&ca).unwrap();
        assert!(agree(&old, &client).await);
        std::fs::write(&ca, &new_ca).unwrap();
        assert!(agree(&new, &client).await && !agree(&old, &client).await);
        std::fs::write(&ca, old_ca + &new_ca).unwrap();
        assert!(agree(&new, &client).await && agree(&old, &client).await);
    }

    #[tokio::test]
    async fn an_identity_counts_once_both_of_its_files_are_renewed() {
        let folder = tempfile::tempdir().unwrap();
        let [ca, cert, key] = ["ca", "cert", "key"].map(|name| folder.path().join(name));
        let issue = |parts: &[&Path]| {
            let CertifiedKey { cert, signing_key } =
                generate_simple_self_signed(["edge".to_string()]).unwrap();
            let texts = [cert.pem(), signing_key.serialize_pem()];
            for (path, text) in parts.iter().zip(texts) {
                std::fs::write(path, text).unwrap();
            }
        };
        issue(&[&cert, &key]);
        std::fs::write(&ca, server().1).unwrap();
        let client = ClientTls::from_pem_files(Some(&ca), Some((&cert, &key))).unwrap();
        let first = client.current().await;
        issue(&[&cert]);
        assert!(Arc::ptr_eq(&first, &client.current().await), "the key is not the certificate's");
        issue(&[&cert, &key]);
        assert!(!Arc::ptr_eq(&first, &client.current().await));
    }

    #[tokio::test]
    async fn the_systems_roots_are_not_read_for_each_connection() {
        // A machine may have none.
        let Ok(client) = ClientTls::system() else { return };
        assert!(!client.0.is_outdated());
        let first = client.current().await;
        if let Ca::System { read, .. } = &mut client.0.lock().contents.ca {
            *read = read.checked_sub(SYSTEM_ROOTS_AGE).unwrap();
        }
        assert!(client.0.is_outdated());
        assert!(Arc::ptr_eq(&first, &client.current().await), "they are the same");
        assert!(!client.0.is_outdated());
    }
}
