//! TLS between agent and server: always verified, on WebSockets and byte streams.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use watertight::tls::{ClientAuthorities, ClientTls, ServerTls, TlsError};
use watertight::{Agent, AgentBuilder, AgentStatus, Refusal, Server};

use support::{KEY, TOKEN, Target, in_time, loopback, server, until};

/// An authority, and the certificates that it has signed, as files.
struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        Self { folder, issuer: Issuer::new(params, key) }
    }

    fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate for `name`, and its key.
    fn sign(&self, name: &str) -> (PathBuf, PathBuf) {
        let params = CertificateParams::new(vec![name.to_string()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let [cert_path, key_path] =
            ["cert", "key"].map(|what| self.folder.path().join(format!("{name}.{what}.pem")));
        std::fs::write(&cert_path, certificate.pem()).unwrap();
        std::fs::write(&key_path, key.serialize_pem()).unwrap();
        (cert_path, key_path)
    }

    fn server_tls(&self, name: &str, client_ca: Option<&Path>) -> ServerTls {
        let (certificate, key) = self.sign(name);
        ServerTls::from_pem_files(&certificate, &key, client_ca.map(ClientAuthorities::new))
            .unwrap()
    }

    fn trust(&self) -> ClientTls {
        ClientTls::from_pem_files(Some(&self.ca()), None).unwrap()
    }
}

async fn listen(server: &Server, tls: ServerTls) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    server.listen(listener, Some(tls));
    port
}

fn agent(scheme: &str, port: u16, tls: ClientTls) -> AgentBuilder {
    let endpoint = format!("{scheme}://localhost:{port}").parse().unwrap();
    Agent::builder(endpoint, KEY).token(TOKEN).policy(loopback()).tls(tls)
}

/// Why the agent is not connected.
async fn reason(agent: &Agent) -> String {
    let mut status = agent.status();
    let waiting = |status: &AgentStatus| matches!(status, AgentStatus::Waiting { .. });
    match in_time(status.wait_for(waiting)).await.unwrap().clone() {
        AgentStatus::Waiting { reason, .. } => reason.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_trusted_server_is_reached() {
    let authority = Authority::new();
    let target = Target::count().await;
    for scheme in ["wss", "tls"] {
        let server = server().build();
        let port = listen(&server, authority.server_tls("localhost", None)).await;
        let agent = agent(scheme, port, authority.trust()).start();
        in_time(agent.connected()).await.unwrap();
        until(|| !server.clients().is_empty()).await;
        let mut stream = server.dial(KEY, &target.target()).await.unwrap();
        stream.write_all(&vec![1; 1 << 20]).await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(in_time(stream.read_u64()).await.unwrap(), 1 << 20);
        drop(stream);
        assert!(agent.shutdown(Duration::from_secs(5)).await.is_settled());
        assert!(server.shutdown(Duration::from_secs(5)).await.is_settled());
    }
}

#[tokio::test]
async fn an_unknown_authority_or_another_name_is_refused() {
    let (authority, other) = (Authority::new(), Authority::new());
    for (name, trust) in [("localhost", other.trust()), ("elsewhere", authority.trust())] {
        for scheme in ["wss", "tls"] {
            let server = server().build();
            let port = listen(&server, authority.server_tls(name, None)).await;
            let agent = agent(scheme, port, trust.clone()).start();
            let reason = reason(&agent).await;
            assert!(reason.contains("certificate"), "{reason}");
            assert!(agent.shutdown(Duration::ZERO).await.is_settled());
            assert!(server.shutdown(Duration::ZERO).await.is_settled());
        }
    }
}

#[tokio::test]
async fn plain_text_on_a_tls_port_disturbs_nobody() {
    let authority = Authority::new();
    let server = server().build();
    let port = listen(&server, authority.server_tls("localhost", None)).await;
    let plain = agent("ws", port, authority.trust()).start();
    reason(&plain).await;
    let good = agent("wss", port, authority.trust()).start();
    in_time(good.connected()).await.unwrap();
    assert!(plain.shutdown(Duration::ZERO).await.is_settled());
    assert!(good.shutdown(Duration::ZERO).await.is_settled());
    assert!(server.shutdown(Duration::ZERO).await.is_settled());
}

#[tokio::test]
async fn a_client_certificate_is_asked_for_and_seen() {
    let authority = Authority::new();
    let server = Server::builder(|request| async move {
        if request.certificates.is_empty() {
            return Err(Refusal::unauthorized("no certificate"));
        }
        request.client_key.ok_or_else(|| Refusal::unauthorized("no key"))
    })
    .build();
    let tls = authority.server_tls("localhost", Some(&authority.ca()));
    let port = listen(&server, tls).await;

    let without = agent("wss", port, authority.trust()).start();
    reason(&without).await;
    assert!(without.shutdown(Duration::ZERO).await.is_settled());

    let (certificate, key) = authority.sign("edge");
    let identity = Some((certificate.as_path(), key.as_path()));
    let tls = ClientTls::from_pem_files(Some(&authority.ca()), identity).unwrap();
    let with = agent("wss", port, tls).start();
    in_time(with.connected()).await.unwrap();
    assert!(with.shutdown(Duration::ZERO).await.is_settled());
    assert!(server.shutdown(Duration::ZERO).await.is_settled());
}

#[test]
fn wrong_files_are_named() {
    let authority = Authority::new();
    let (certificate, key) = authority.sign("localhost");
    let (_, other_key) = authority.sign("other");
    let missing = authority.folder.path().join("missing.pem");
    for (certificate, key, named) in [
        (&missing, &key, &missing),
        (&certificate, &missing, &missing),
        (&key, &key, &key),
        (&certificate, &certificate, &certificate),
        (&certificate, &other_key, &other_key),
    ] {
        let error = ServerTls::from_pem_files(certificate, key, None).unwrap_err();
        assert!(matches!(error, TlsError::File { .. }), "{error:?}");
        assert!(error.to_string().starts_with(&named.display().to_string()), "{error}");
    }
}

/// Why an agent that connects by `scheme` to a server with `tls` is not connected.
async fn refusal(scheme: &str, tls: Option<ServerTls>, agent_tls: ClientTls) -> String {
    let server = server().build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    server.listen(listener, tls);
    let agent = agent(scheme, port, agent_tls).start();
    let reason = reason(&agent).await;
    assert!(agent.shutdown(Duration::ZERO).await.is_settled());
    assert!(server.shutdown(Duration::ZERO).await.is_settled());
    reason
}

#[tokio::test]
async fn a_port_of_the_other_kind_is_named_in_the_error() {
    let authority = Authority::new();
    for (scheme, plain) in [("wss", "ws"), ("tls", "tcp")] {
        let reason = refusal(scheme, None, authority.trust()).await;
        assert!(reason.contains("the answer is not TLS") && reason.contains(plain), "{reason}");
        let tls = authority.server_tls("localhost", None);
        let reason = refusal(plain, Some(tls), authority.trust()).await;
        assert!(reason.contains(&format!("connect to {scheme}://localhost:")), "{reason}");
    }
}

#[tokio::test]
async fn the_problem_of_a_certificate_is_reported() {
    let authority = Authority::new();
    // The authority's certificate as the server's own, as `openssl req -x509` makes it.
    let mut params = CertificateParams::new(vec!["localhost".to_string()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&key).unwrap().pem();
    let own = || ServerTls::from_pem(ca.as_bytes(), key.serialize_pem().as_bytes(), None).unwrap();
    let trust = ClientTls::from_pem(Some(ca.as_bytes()), None).unwrap();
    for scheme in ["wss", "tls"] {
        let reason = refusal(scheme, Some(own()), trust.clone()).await;
        assert!(reason.contains("authority's own (CA:TRUE)"), "{reason}");
        let reason = refusal(scheme, Some(own()), authority.trust()).await;
        assert!(reason.contains("certificate"), "{reason}");
        let tls = || authority.server_tls("localhost", Some(&authority.ca()));
        let reason = refusal(scheme, Some(tls()), authority.trust()).await;
        assert!(reason.contains("the server asks for a client certificate"), "{reason}");
        let other = Authority::new();
        let (certificate, key) = other.sign("edge");
        let identity = Some((certificate.as_path(), key.as_path()));
        let stranger = ClientTls::from_pem_files(Some(&authority.ca()), identity).unwrap();
        let reason = refusal(scheme, Some(tls()), stranger).await;
        assert!(reason.contains("the server refuses the client certificate"), "{reason}");
    }
}
