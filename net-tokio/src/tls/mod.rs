//! TLS by rustls. The remote is always verified; that cannot be disabled.

mod client;
mod error;
mod pem;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls_pki_types::{CertificateDer, UnixTime};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{
    NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier,
};
use tracing::warn;

use crate::io::BoxIo;
use pem::Pem;

/// For [`ServerTls::from_config`] and [`ClientTls::from_config`].
pub use tokio_rustls::rustls;

pub use client::ClientTls;
pub(crate) use error::{client_certificate_failure, explain_failure, is_tls_failure};

/// Sessions start as HTTP/1.1 upgrades.
const ALPN: &[u8] = b"http/1.1";

/// Why certificates or keys are unusable.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read, or lacks the expected content.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// A PEM text lacks the expected content.
    #[error("the {what}: {reason}")]
    Pem {
        /// The purpose of the text.
        what: &'static str,
        /// The reason.
        reason: String,
    },
    /// Certificates and key do not make an identity, or a root no trust.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
    /// The system has no trusted roots, or they cannot be read.
    #[error("the system's trusted roots: {0}")]
    SystemRoots(String),
    /// This crate has neither of its features `ring` and `aws-lc-rs`, and the process has installed
    /// no default provider of cryptography.
    #[error(
        "there is no provider of cryptography: enable the feature `ring` or `aws-lc-rs` of watertight, or \
         install a default provider of rustls"
    )]
    NoProvider,
}

/// A server's identity, and the authorities of its clients. Clones share one state.
#[derive(Clone)]
pub struct ServerTls {
    current: Arc<RwLock<Current>>,
    /// The files, if it has any to read again.
    files: Option<Arc<Files>>,
}

/// The configuration in force.
#[derive(Clone)]
struct Current {
    config: Arc<ServerConfig>,
    /// The verifier of client certificates, if the library made it.
    clients: Option<Arc<dyn ClientCertVerifier>>,
}

/// The authorities whose certificates a server requires of its agents: PEM texts or the paths of
/// PEM files.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ClientAuthorities<T> {
    /// The authorities.
    pub authorities: T,
    /// Their revocation lists, if there are any. With one list, there must be one of each
    /// authority.
    pub revoked: Option<T>,
}

impl<T> ClientAuthorities<T> {
    /// Authorities without revocation lists.
    pub const fn new(authorities: T) -> Self {
        Self { authorities, revoked: None }
    }

    /// Certificates on these lists are refused.
    #[must_use]
    pub fn revoked(self, lists: T) -> Self {
        Self { revoked: Some(lists), ..self }
    }
}

/// The PEM files of a server.
struct Files {
    certificates: PathBuf,
    key: PathBuf,
    clients: Option<ClientAuthorities<PathBuf>>,
}

impl Files {
    fn read(&self) -> Result<Current, TlsError> {
        let clients = self.clients.as_ref().map(|clients| ClientAuthorities {
            authorities: Pem::File(&clients.authorities),
            revoked: clients.revoked.as_deref().map(Pem::File),
        });
        Current::new(Pem::File(&self.certificates), Pem::File(&self.key), clients)
    }
}

impl ServerTls {
    /// An identity from PEM files. With `clients`, only remotes with a certificate that one of the
    /// authorities has signed, and has not revoked, are accepted; the authentication hook gets the
    /// certificate.
    ///
    /// # Errors
    ///
    /// The file, and the reason why it is unusable.
    pub fn from_pem_files(
        certificates: &Path,
        key: &Path,
        clients: Option<ClientAuthorities<&Path>>,
    ) -> Result<Self, TlsError> {
        let [certificates, key] = [certificates, key].map(Path::to_path_buf);
        let clients = clients.map(|clients| ClientAuthorities {
            authorities: clients.authorities.to_path_buf(),
            revoked: clients.revoked.map(Path::to_path_buf),
        });
        let files = Files { certificates, key, clients };
        let current = Arc::new(RwLock::new(files.read()?));
        Ok(Self { current, files: Some(Arc::new(files)) })
    }

    /// As [`from_pem_files`](Self::from_pem_files), from PEM texts.
    ///
    /// # Errors
    ///
    /// The text, and the reason why it is unusable.
    pub fn from_pem(
        certificates: &[u8],
        key: &[u8],
        clients: Option<ClientAuthorities<&[u8]>>,
    ) -> Result<Self, TlsError> {
        let clients = clients.map(|clients| ClientAuthorities {
            authorities: Pem::Text("client authority", clients.authorities),
            revoked: clients.revoked.map(|lists| Pem::Text("list of revoked certificates", lists)),
        });
        let (certificates, key) =
            (Pem::Text("certificate", certificates), Pem::Text("private key", key));
        let current = Current::new(certificates, key, clients)?;
        Ok(Self { current: Arc::new(RwLock::new(current)), files: None })
    }

    /// The embedder's configuration, such as a resolver of certificates that change, or a key in
    /// hardware. If it names ALPN protocols, `http/1.1` should be among them: a WebSocket starts as
    /// that.
    ///
    /// If it requires client certificates, resumption should be off ([`NoServerSessionStorage`], no
    /// tickets), as it is with [`from_pem_files`](Self::from_pem_files): the certificate of a
    /// resumed TLS session is not verified again, so that an expired one is accepted.
    #[must_use]
    pub fn from_config(config: Arc<ServerConfig>) -> Self {
        Self { current: Arc::new(RwLock::new(Current { config, clients: None })), files: None }
    }

    /// Reads the PEM files again, for all clones. Later handshakes use them; established
    /// connections are not affected. No effect without files. Blocks while it reads.
    ///
    /// # Errors
    ///
    /// The file, and the reason why it is unusable. The previous configuration stays in force.
    pub fn reload(&self) -> Result<(), TlsError> {
        if let Some(files) = &self.files {
            let current = files.read()?;
            // A panic does not poison it: the value is replaced as a whole.
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = current;
        }
        Ok(())
    }

    /// Verifies that a client with these certificates, its own first, would be accepted now: they
    /// may have expired, been revoked, or be of an authority that is not trusted any more. Succeeds
    /// without certificates, and for configurations of [`from_config`](Self::from_config), whose
    /// verifier is the embedder's.
    ///
    /// # Errors
    ///
    /// Why it would not be accepted.
    pub fn verify_client(&self, certificates: &[CertificateDer<'_>]) -> Result<(), TlsError> {
        let (Some(clients), [own, others @ ..]) = (self.current().clients, certificates) else {
            return Ok(());
        };
        clients.verify_client_cert(own, others, UnixTime::now())?;
        Ok(())
    }

    fn current(&self) -> Current {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current().config)
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

impl Current {
    fn new(
        certificates: Pem<'_>,
        key: Pem<'_>,
        clients: Option<ClientAuthorities<Pem<'_>>>,
    ) -> Result<Self, TlsError> {
        let clients = clients.map(|clients| verifier(&clients)).transpose()?;
        let config = server_config(certificates, key, clients.clone())?;
        Ok(Self { config, clients })
    }
}

fn verifier(clients: &ClientAuthorities<Pem<'_>>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let ClientAuthorities { authorities, revoked } = clients;
    let roots = Arc::new(authorities.roots()?);
    let mut builder = WebPkiClientVerifier::builder_with_provider(roots, provider()?);
    if let Some(lists) = revoked {
        // Only the agent's own certificate is checked: most intermediate authorities have no list.
        // An expired list does not contain later revocations, so that it is refused.
        builder = builder.with_crls(lists.revocations()?).only_check_end_entity_revocation();
        builder = builder.enforce_revocation_expiration();
    }
    builder.build().map_err(|error| match error {
        VerifierBuilderError::InvalidCrl(error) => {
            revoked.as_ref().unwrap_or(authorities).wrong(&rustls::Error::from(error))
        }
        error => authorities.wrong(&error),
    })
}

fn server_config(
    certificates: Pem<'_>,
    key: Pem<'_>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let asks = clients.is_some();
    let builder =
        ServerConfig::builder_with_provider(provider()?).with_safe_default_protocol_versions()?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(verifier) => builder.with_client_cert_verifier(verifier),
    };
    let chain = certificates.certificates()?;
    let problems = [certificate_problem(&chain), error::names_problem(&chain)];
    let mut config = builder
        .with_single_cert(chain, key.key()?)
        .map_err(|error| no_identity(&certificates, &key, &error))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    for problem in problems.into_iter().flatten() {
        warn!("agents will refuse {certificates}: the certificate {problem}");
    }
    if asks {
        // A resumed session presents no certificate: an expired one, or one of an authority that is
        // not trusted any more, would be accepted for as long as the session is remembered.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(Arc::new(config))
}

/// The problem for which remotes will refuse a certificate now.
fn certificate_problem(chain: &[CertificateDer<'static>]) -> Option<String> {
    error::chain_problem(chain, &*provider().ok()?, UnixTime::now())
}

/// Why certificates and key are not one identity. Certificates can be read without being parsed, so
/// that the key is not always at fault.
fn no_identity(certificates: &Pem<'_>, key: &Pem<'_>, error: &rustls::Error) -> TlsError {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            key.wrong(&format_args!("it does not belong to {certificates}"))
        }
        rustls::Error::InvalidCertificate(_) => {
            certificates.wrong(&"the text between BEGIN and END is no certificate")
        }
        _ => key.wrong(error),
    }
}

/// The provider that the process has installed as its default; without one, that of this crate's
/// features.
///
/// # Errors
///
/// There is neither.
pub(super) fn provider() -> Result<Arc<CryptoProvider>, TlsError> {
    let installed = CryptoProvider::get_default().map(Arc::clone);
    installed.or_else(of_features).ok_or(TlsError::NoProvider)
}

/// aws-lc-rs with both features: `ring` may be on by default, `aws-lc-rs` is on by request.
#[cfg(feature = "aws-lc-rs")]
fn of_features() -> Option<Arc<CryptoProvider>> {
    Some(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
}

#[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
fn of_features() -> Option<Arc<CryptoProvider>> {
    Some(Arc::new(rustls::crypto::ring::default_provider()))
}

#[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
const fn of_features() -> Option<Arc<CryptoProvider>> {
    None
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{Duration, SystemTime};

    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedKey, IsCa, Issuer, KeyPair,
        generate_simple_self_signed,
    };
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio_rustls::rustls::time_provider::TimeProvider;
    use tokio_rustls::rustls::{ClientConfig, HandshakeKind};

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
        let config = ClientConfig::builder_with_provider(provider().unwrap())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        assert!(agree(&server, &ClientTls::from_config(Arc::new(config))).await);
        server.reload().unwrap();
    }

    /// A clock that a test moves.
    #[derive(Debug)]
    struct Ahead(AtomicU64);

    impl TimeProvider for Ahead {
        fn current_time(&self) -> Option<UnixTime> {
            let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
            Some(UnixTime::since_unix_epoch(
                now + Duration::from_secs(self.0.load(Ordering::Relaxed)),
            ))
        }
    }

    /// An authority for clients, and a client certificate of it with its key, as PEM.
    fn client_identity() -> [String; 3] {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let mut params = CertificateParams::new(vec!["edge".to_string()]).unwrap();
        params.not_after = (SystemTime::now() + Duration::from_secs(3600)).into();
        let key = KeyPair::generate().unwrap();
        [ca, params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem()]
    }

    /// The kind of the handshake, if the server accepted the client.
    async fn visit(server: &ServerTls, client: &ClientTls) -> Option<HandshakeKind> {
        let (a, b) = duplex(64 << 10);
        let serve = async {
            let (mut io, _) = server.accept(Box::new(a)).await.ok()?;
            io.write_u8(7).await.ok()?;
            io.flush().await.ok()
        };
        let connect = async {
            let mut stream = client.connect("localhost", b).await.ok()?;
            // Tickets and refusals follow the client's side of the handshake.
            stream.read_u8().await.ok()?;
            stream.get_ref().1.handshake_kind()
        };
        tokio::join!(serve, connect).1
    }

    #[tokio::test]
    async fn a_client_certificate_that_has_expired_is_not_let_in_by_resumption() {
        let [cert, key] = identity();
        let [client_ca, client_cert, client_key] = client_identity();
        let server = |clients: Option<ClientAuthorities<Pem<'_>>>| {
            let pem = |what, text: &'static str| Pem::Text(what, text.as_bytes());
            let [cert, key] = [&cert, &key].map(|text| &*text.clone().leak());
            let config = Current::new(pem("certificate", cert), pem("key", key), clients);
            let Current { mut config, .. } = config.unwrap();
            let clock = Arc::new(Ahead(AtomicU64::new(0)));
            Arc::get_mut(&mut config).unwrap().time_provider = Arc::clone(&clock) as Arc<_>;
            (ServerTls::from_config(config), clock)
        };
        let client = || {
            let identity = Some((client_cert.as_bytes(), client_key.as_bytes()));
            ClientTls::from_pem(Some(cert.as_bytes()), identity).unwrap()
        };
        let (asking, clock) =
            server(Some(ClientAuthorities::new(Pem::Text("authority", client_ca.as_bytes()))));
        let agent = client();
        for _ in 0..2 {
            assert_eq!(visit(&asking, &agent).await, Some(HandshakeKind::Full));
        }
        clock.0.store(7200, Ordering::Relaxed);
        assert_eq!(visit(&asking, &agent).await, None);
        // Without client certificates, sessions are resumed.
        let (open, _clock) = server(None);
        let agent = client();
        assert_eq!(visit(&open, &agent).await, Some(HandshakeKind::Full));
        assert_eq!(visit(&open, &agent).await, Some(HandshakeKind::Resumed));
    }
}
