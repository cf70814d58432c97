//! A man in the middle: an attacker that answers for the server, passes on changed bytes, or sends
//! the agent elsewhere. The token reaches nobody who has not proved to be the server, and the agent
//! comes back.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, SanType, date_time_ymd,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, sink};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{ServerConfig, version};
use tokio_util::io::InspectReader;
use watertight::{BoxIo, Io};

use crate::canary::Canary;
use crate::processes::{KEY, PATIENCE, TOKEN, Watertight, eventually, in_time, write_private};

/// Keys and certificates of an authority.
struct Ca {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
}

impl Ca {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// A changed certificate for the server's name, with the issuers that vouch for it.
    fn certify(&self, change: impl FnOnce(&mut CertificateParams)) -> (KeyPair, Certificate) {
        let mut params = CertificateParams::new(vec!["localhost".to_string()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (key, certificate)
    }

    fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> TlsAcceptor {
        let (key, certificate) = self.certify(change);
        acceptor(vec![certificate.der().clone()], &key)
    }

    /// A certificate that one of the authority's has signed, which is none itself.
    fn issue_by_a_leaf(&self) -> TlsAcceptor {
        let mut params = CertificateParams::new(vec!["localhost".to_string()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "leaf");
        let [leaf_key, key] = [(); 2].map(|()| KeyPair::generate().unwrap());
        let leaf = params.signed_by(&leaf_key, &self.issuer).unwrap();
        let certificate = params.clone().signed_by(&key, &Issuer::new(params, leaf_key)).unwrap();
        acceptor(vec![certificate.der().clone(), leaf.der().clone()], &key)
    }
}

fn acceptor(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> TlsAcceptor {
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&version::TLS12, &version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key.serialize_der().try_into().unwrap());
    TlsAcceptor::from(Arc::new(config.unwrap()))
}

/// What an attacker does, one after another.
#[derive(Clone)]
enum Step {
    /// Lays TLS over what there is.
    Tls(TlsAcceptor),
    /// Waits for bytes, and sends these.
    Send(Vec<u8>),
}

/// An attacker that answers for the server.
struct Attacker {
    at: SocketAddr,
    /// All bytes that it receives, raw and decrypted.
    heard: Heard,
    _task: JoinSet<()>,
}

type Heard = Arc<Mutex<Vec<u8>>>;

impl Attacker {
    async fn start(steps: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let heard = Heard::default();
        let (keep, mut task) = (Arc::clone(&heard), JoinSet::new());
        task.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                // An agent that detects the attacker hangs up.
                act(socket, &steps, &keep).await.ok();
            }
        });
        Self { at, heard, _task: task }
    }

    fn has_heard(&self, words: &str) -> bool {
        let heard = self.heard.lock().unwrap();
        heard.windows(words.len()).any(|window| window == words.as_bytes())
    }
}

/// Keeps what is read of a stream.
fn tapped(io: impl Io, heard: &Heard) -> BoxIo {
    let heard = Arc::clone(heard);
    Box::new(InspectReader::new(io, move |bytes: &[u8]| heard.lock().unwrap().extend(bytes)))
}

async fn act(socket: TcpStream, steps: &[Step], heard: &Heard) -> std::io::Result<()> {
    let mut io = tapped(socket, heard);
    for step in steps {
        match step {
            Step::Tls(acceptor) => io = tapped(acceptor.accept(io).await?, heard),
            Step::Send(words) => {
                // Bytes that are sent together arrive together.
                let _ = io.read(&mut [0; 8192]).await?;
                io.write_all(words).await?;
            }
        }
    }
    copy(&mut io, &mut sink()).await.map(drop)
}

/// An agent's files.
struct Files {
    folder: TempDir,
    ca: Ca,
}

impl Files {
    fn new() -> Self {
        let (folder, ca) = (tempfile::tempdir().unwrap(), Ca::new());
        write_private(&folder.path().join("token"), TOKEN);
        write_private(&folder.path().join("ca.pem"), &ca.certificate.pem());
        Self { folder, ca }
    }

    /// Starts an agent toward an endpoint with an attacker in the middle.
    fn agent(&self, endpoint: &str, more: &[&str]) -> Watertight {
        let [token, ca] = ["token", "ca.pem"].map(|file| self.folder.path().join(file));
        let [token, ca] = [token, ca].map(|path| path.display().to_string());
        let args = ["agent", "--connect", endpoint, "--token-file", &token];
        let key = ["--key", KEY].into_iter().filter(|_| !more.contains(&"--key"));
        let trust = ["--ca", &ca];
        let trust = trust.iter().filter(|_| endpoint.contains("wss:") || endpoint.contains("tls:"));
        Watertight::start_refused(
            args.into_iter().chain(key).chain(trust.copied()).chain(more.iter().copied()),
        )
    }
}

/// Demands that an agent logs the error without its token, and can still be ended.
async fn complains(agent: Watertight, words: &str) {
    agent.logs(words).await;
    let log = agent.log();
    assert!(!log.contains(TOKEN) && !log.contains("panicked"), "{log}");
    agent.terminate().await.is_settled();
}

fn names(names: &[&str]) -> Vec<SanType> {
    names.iter().map(|name| SanType::DnsName((*name).try_into().unwrap())).collect()
}

/// The beginning of TLS 1.1: a server's hello with that version, RSA, AES and SHA-1.
fn tls_1_1() -> Vec<u8> {
    let record = [0x16, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2];
    [&record[..], &[7; 32], &[0, 0, 0x2f, 0]].concat()
}

#[tokio::test]
async fn a_server_that_does_not_prove_its_name_does_not_get_the_token() {
    let files = Files::new();
    let issue = |change: fn(&mut CertificateParams)| Step::Tls(files.ca.issue(change));
    let send = |words: &[u8]| Step::Send(words.to_vec());
    let switching = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
    for (step, words) in [
        (Step::Tls(Ca::new().issue(|_| {})), "is not signed by the authority"),
        (Step::Tls(files.ca.issue_by_a_leaf()), "certificate"),
        (issue(|it| it.subject_alt_names = names(&["elsewhere"])), "not valid for name"),
        (issue(|it| it.subject_alt_names = names(&["*.localhost"])), "not valid for name"),
        (issue(|it| it.subject_alt_names = names(&[])), "not valid for name"),
        (issue(|it| it.not_after = date_time_ymd(2020, 1, 1)), "has expired"),
        (issue(|it| it.not_before = date_time_ymd(4000, 1, 1)), "is not valid before"),
        (
            issue(|it| it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]),
            "does not allow extended key usage for server authentication",
        ),
        (
            issue(|it| {
                it.subject_alt_names = names(&[]);
                it.distinguished_name.push(DnType::CommonName, "localhost");
            }),
            "not valid for name",
        ),
        (send(switching), "the answer is not TLS"),
        (send(b"\0watertight!\x01\0\0"), "the answer is not TLS"),
        (send(&[0xff; 1000]), "the answer is not TLS"),
        (send(&tls_1_1()), "TLS with"),
        (send(&[0x15, 3, 1, 0, 2, 2, 70]), "speaks no version of TLS from 1.2 on"),
    ] {
        for scheme in ["wss", "tls"] {
            let attacker = Attacker::start(vec![step.clone()]).await;
            let endpoint = format!("{scheme}://localhost:{}", attacker.at.port());
            complains(files.agent(&endpoint, &[]), words).await;
            assert!(!attacker.has_heard(TOKEN), "{words}");
        }
    }
    // A server that proves it gets the token, so this attacker can receive it.
    for scheme in ["wss", "tls"] {
        let server = Attacker::start(vec![issue(|_| {}), send(b"?")]).await;
        let agent = files.agent(&format!("{scheme}://localhost:{}", server.at.port()), &[]);
        complains(agent, "not a tunnel server").await;
        assert!(server.has_heard(TOKEN));
    }
}

/// Answers to an upgrade that are none, with bars for the ends of lines and `AWAY` for another server,
/// and the error of the agent about them.
const ANSWERS: &[(&str, &str)] = &[
    ("301 Moved|Location: http://AWAY/connect|Content-Length: 0||", "301: moved to http://"),
    ("302 Found|Location: http://AWAY/connect|Content-Length: 0||", "302: moved to http://"),
    ("303 See|Location: ws://AWAY/connect|Content-Length: 0||", "303: moved to ws://"),
    ("307 Moved|Location: //AWAY/connect|Content-Length: 0||", "307: moved to //"),
    ("308 Moved|Location: https://AWAY/connect|Content-Length: 0||", "308: moved to https://"),
    ("302 Found|Location: http://AWAY/\x1b[2J|Content-Length: 0||", "not a tunnel server"),
    ("305 Use Proxy|Location: http://AWAY/|Content-Length: 0||", "305: moved to http://"),
    (
        "401 No|WWW-Authenticate: Basic realm=\"http://AWAY/\"|Content-Length: 0||",
        "401: Unauthorized",
    ),
    ("407 No|Proxy-Authenticate: Basic|Content-Length: 0||", "407: Proxy Authentication Required"),
    ("421 No|Alt-Svc: h2=\"AWAY\"|Content-Length: 0||", "421: Misdirected Request"),
    ("200 OK|Refresh: 0; url=http://AWAY/|Content-Length: 0||", "it answers 200 OK instead"),
    ("503 No|Retry-After: 0|Content-Length: 9||\x1b]0;owned\x07", "503: ]0;owned"),
    ("101 Switching||", "its upgrade does not lead to a WebSocket"),
    (
        "101 Switching|Upgrade: h2c|Connection: Upgrade||",
        "its upgrade does not lead to a WebSocket",
    ),
    (
        "101 Switching|Upgrade: websocket|Connection: Upgrade||",
        "Sec-WebSocket-Accept does not match",
    ),
    (
        "101 Switching|Upgrade: websocket|Connection: Upgrade|\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=||",
        "Sec-WebSocket-Accept does not match",
    ),
];

#[tokio::test]
async fn an_answer_that_leads_elsewhere_does_not_take_the_token_there() {
    let (files, away) = (Files::new(), Canary::start().await);
    let elsewhere = format!("localhost:{}", away.port());
    for (answer, words) in ANSWERS {
        let answer = answer.replace('|', "\r\n").replace("AWAY", &elsewhere);
        let send = Step::Send(format!("HTTP/1.1 {answer}").into_bytes());
        for steps in [vec![send.clone()], vec![Step::Tls(files.ca.issue(|_| {})), send]] {
            let scheme = if steps.len() == 1 { "ws" } else { "wss" };
            let attacker = Attacker::start(steps).await;
            let endpoint = format!("{scheme}://localhost:{}", attacker.at.port());
            complains(files.agent(&endpoint, &[]), words).await;
        }
    }
    assert_eq!(away.connections().await, 0);
}

#[tokio::test]
async fn a_proxy_in_the_way_does_not_get_the_token() {
    let (files, away) = (Files::new(), Canary::start().await);
    let send = |words: &str| Step::Send(words.replace('|', "\r\n").into_bytes());
    let found = format!(
        "HTTP/1.1 302 Found|Location: http://localhost:{}/|Content-Length: 0||",
        away.port()
    );
    for (steps, words) in [
        (vec![send(&found)], "302"),
        (vec![send("HTTP/1.1 407 No|Proxy-Authenticate: Basic|Content-Length: 0||")], "407"),
        (vec![send("HTTP/1.1 101 Switching|Upgrade: websocket||")], "refused to connect with 101"),
        (vec![send("?||")], "answer is not HTTP/1.1"),
        (
            vec![send("HTTP/1.1 200 OK||HTTP/1.1 101 Switching||")],
            "speaks before the server is asked",
        ),
        (
            vec![send("HTTP/1.1 200 OK||"), send("HTTP/1.1 101 Switching||")],
            "the answer is not TLS",
        ),
        (
            vec![send("HTTP/1.1 200 OK||"), Step::Tls(Ca::new().issue(|_| {}))],
            "is not signed by the authority",
        ),
    ] {
        let attacker = Attacker::start(steps).await;
        let proxy = format!("http://{}", attacker.at);
        complains(files.agent("wss://localhost:1/connect", &["--proxy", &proxy]), words).await;
        assert!(
            attacker.has_heard("CONNECT localhost:1 ") && !attacker.has_heard(TOKEN),
            "{words}"
        );
    }
    assert_eq!(away.connections().await, 0);
}

/// A change to a byte in transit.
#[derive(Clone, Copy, Debug)]
enum Change {
    Flipped,
    Left,
    Doubled,
    /// It and all that follows, with the connection.
    Cut,
}

/// A change to the bytes of one direction, at an offset behind the answer to the upgrade, or from the
/// beginning where there is none.
#[derive(Clone, Copy, Debug)]
struct Tampering {
    scheme: &'static str,
    to_agent: bool,
    change: Change,
    at: usize,
}

/// A path to the server on which the first connection is tampered with, and no other one.
async fn tampering(server: SocketAddr, tampering: Tampering) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let mut task = JoinSet::new();
    task.spawn(async move {
        for number in 0.. {
            let (mut agent, mut server) =
                (listener.accept().await.unwrap().0, TcpStream::connect(server).await.unwrap());
            let ((from_agent, to_agent), (from_server, to_server)) =
                (agent.split(), server.split());
            let tamper =
                |to_agent| (number == 0 && tampering.to_agent == to_agent).then_some(tampering);
            // The end of one direction is that of the connection.
            tokio::select! {
                _ = pass(from_agent, to_server, tamper(false)) => {}
                _ = pass(from_server, to_agent, tamper(true)) => {}
            }
        }
    });
    (at, task)
}

async fn pass(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    tampering: Option<Tampering>,
) -> std::io::Result<()> {
    let (mut seen, mut passed, mut is_done) = (Vec::new(), 0, tampering.is_none());
    while from.read_buf(&mut seen).await? > 0 {
        if let Some(Tampering { scheme, change, at, .. }) = tampering.filter(|_| !is_done) {
            let head = seen.windows(4).position(|window| window == b"\r\n\r\n").map(|end| end + 4);
            let start = if scheme == "ws" { head } else { Some(0) };
            if let Some(at) = start.map(|start| start + at).filter(|at| *at < seen.len()) {
                is_done = true;
                match change {
                    Change::Flipped => seen[at] ^= 0xff,
                    Change::Left => drop(seen.remove(at)),
                    Change::Doubled => seen.insert(at, seen[at]),
                    Change::Cut => return to.write_all(&seen[passed..at]).await,
                }
            }
        }
        to.write_all(&seen[passed..]).await?;
        passed = seen.len();
    }
    Ok(())
}

/// Where the first bytes of a message, of a preface and of TLS can be tampered with so that it shows.
const PLACES: [(&str, bool, &[usize]); 6] = [
    ("ws", true, &[0, 1, 2, 4]),
    ("ws", false, &[0, 1, 3]),
    ("tcp", true, &[0, 11, 12, 15]),
    ("tcp", false, &[0, 11, 12, 20, 40]),
    ("wss", true, &[0, 3, 10, 100, 600]),
    ("wss", false, &[0, 3, 10, 100]),
];

#[tokio::test]
async fn what_is_changed_on_the_way_ends_the_session_and_the_agent_comes_back() {
    let files = Files::new();
    let file = |name: &str, content: &str| {
        let path = files.folder.path().join(name);
        write_private(&path, content);
        path.display().to_string()
    };
    let (key, certificate) = files.ca.certify(|_| {});
    let [cert, key] = [("cert", certificate.pem()), ("key", key.serialize_pem())]
        .map(|(name, content)| file(name, &content));
    let tokens = file("tokens", TOKEN);
    let args = ["server", "--listen=127.0.0.1:0", "--admin=0", "--token-file", &tokens];
    let args = [&args[..], &["--silence=2s", "--handshake-timeout=2s"]].concat();
    let plain = Watertight::start(&args).await;
    let secured =
        Watertight::start([&args[..], &["--tls-cert", &cert, "--tls-key", &key]].concat()).await;
    let changes = [Change::Flipped, Change::Left, Change::Doubled, Change::Cut];
    let all = PLACES.into_iter().flat_map(|(scheme, to_agent, places)| {
        let at = places.iter().flat_map(move |at| changes.map(|change| (*at, change)));
        at.map(move |(at, change)| Tampering { scheme, to_agent, change, at })
    });
    let attempts = all.enumerate().map(async |(number, changed)| {
        let server = if ["ws", "tcp"].contains(&changed.scheme) { &plain } else { &secured };
        let (at, _task) = tampering(server.address("agents"), changed).await;
        let endpoint = format!("{}://localhost:{}", changed.scheme, at.port());
        let key = format!("agent-{number}");
        let agent =
            files.agent(&endpoint, &["--silence=2s", "--reconnect-spread=0s", "--key", &key]);
        agent.logs("\"message\":\"not connected\"").await;
        agent.logs("\"message\":\"connected\"").await;
        eventually(PATIENCE, &format!("{changed:?}"), async || {
            let log = agent.log();
            let last = log.lines().rfind(|line| line.contains("connected\"")).unwrap_or_default();
            if last.contains("\"connected\"") { Ok(()) } else { Err(log) }
        })
        .await;
        assert!(!agent.log().contains("panicked"), "{changed:?}: {}", agent.log());
        agent.terminate().await.is_settled();
    });
    in_time("the return of all", join_all(attempts)).await;
    for server in [plain, secured] {
        assert!(!server.log().contains("panicked"), "{}", server.log());
        server.terminate().await.is_settled();
    }
}
