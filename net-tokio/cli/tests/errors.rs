//! Errors of one end, one request or one byte: the right side gets an error, and all other connections
//! continue.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails here fails the test")]

mod processes;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{WebSocketStream, client_async};
use watertight::proto::wire::{Hello, frame_prefix};

use processes::{
    Answer, Authority, KEY, LAB_TOKEN, Rest, TOKEN, Target, Tunnel, TunnelBuilder, Watertight,
    Witness, exchange, get, in_time, within,
};

const PROMPTLY: Duration = Duration::from_secs(10);

/// How long a socket may take to become a session.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// A tunnel that is in use, while something goes wrong beside it.
struct Scene {
    tunnel: Tunnel,
    before: Rest,
    witness: Witness,
    echo: Target,
}

impl Scene {
    async fn start() -> Self {
        Self::with(Tunnel::by("ws")).await
    }

    async fn with(builder: TunnelBuilder) -> Self {
        let echo = Target::echo().await;
        let tunnel = builder.forward(echo.at).start().await;
        let witness = tunnel.witness(echo.at).await;
        // Each kind of port has been used once before it is known what a tunnel at rest holds.
        get(tunnel.server.admin(), "/healthz").await;
        let before = Rest::of(&tunnel).await;
        Self { tunnel, before, witness, echo }
    }

    /// Demands that nobody has noticed anything, and that nothing is left.
    async fn end(mut self) {
        self.witness.is_undisturbed().await;
        self.before.returns(&self.tunnel, PROMPTLY).await;
        self.witness.end().await;
        let (server, _) = self.tunnel.end().await;
        assert_eq!(server.ledger.sessions_removed(), server.ledger.sessions_added());
    }

    /// Starts an agent that is refused, waits until it has logged the reason, and ends it.
    async fn is_refused(&self, endpoint: &str, args: &[&str], reason: &str) {
        let agent = ["agent", "--connect", endpoint, "--allow", "127.0.0.1:*"];
        let agent = Watertight::start_refused(agent.iter().chain(args));
        agent.logs(&format!("refused by the server: 401: {reason}")).await;
        self.tunnel.server.logs(reason).await;
        let ended = agent.terminate().await;
        ended.is_settled();
        assert_eq!(ended.ledger.added(), 0);
        assert_eq!(self.tunnel.server.clients().await, [KEY]);
    }

    /// The endpoints of both kinds of session.
    fn endpoints(&self) -> [String; 2] {
        let at = self.tunnel.server.address("agents");
        [format!("ws://{at}/connect"), format!("tcp://{at}")]
    }

    /// Dials through a forward that leads nowhere.
    async fn cannot_dial(&self, at: SocketAddr, reason: &str) {
        // The reset may be faster than the news that the socket is connected.
        let ended = async { TcpStream::connect(at).await?.read_u8().await };
        let ended = within(PROMPTLY, "the end of a dial", ended).await;
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        self.tunnel.server.logs(reason).await;
    }

    async fn ask(&self, path: &str) -> Answer {
        get(self.tunnel.server.admin(), path).await
    }
}

#[tokio::test]
async fn a_wrong_token() {
    let mut scene = Scene::start().await;
    let token = scene.tunnel.private_file("wrong", "guessed");
    for endpoint in scene.endpoints() {
        // Not even the witness's own key is of any use without its token.
        let args = ["--key", KEY, "--token-file", &token];
        scene.is_refused(&endpoint, &args, "unknown token").await;
        scene.witness.is_undisturbed().await;
    }
    scene.end().await;
}

#[tokio::test]
async fn no_token() {
    let mut scene = Scene::start().await;
    for endpoint in scene.endpoints() {
        let reason = "no token: send `Authorization: Bearer TOKEN`";
        scene.is_refused(&endpoint, &["--key", "lab"], reason).await;
        scene.witness.is_undisturbed().await;
    }
    scene.end().await;
}

#[tokio::test]
async fn a_token_for_another_key() {
    let mut scene = Scene::start().await;
    let token = scene.tunnel.private_file("lab", LAB_TOKEN);
    for endpoint in scene.endpoints() {
        let args = ["--key", KEY, "--token-file", &token];
        let reason = format!("this token is not for client key \"{KEY}\"");
        scene.is_refused(&endpoint, &args, &reason).await;
        scene.witness.is_undisturbed().await;
    }
    scene.end().await;
}

#[tokio::test]
async fn a_target_that_the_agent_does_not_allow() {
    let mut scene = Scene::with(Tunnel::by("ws").forward("127.0.0.3:80")).await;
    let target = "127.0.0.3:80".parse().unwrap();
    let reason = "tcp/127.0.0.3:80 is not allowed here";
    scene.cannot_dial(scene.tunnel.forward(target), reason).await;
    scene.tunnel.agent.logs(reason).await;
    scene.witness.is_undisturbed().await;
    let answer = scene.ask(&Tunnel::proxied(target, "/")).await;
    assert_eq!(answer.status, 502, "{answer:?}");
    assert!(answer.body.contains(reason) && answer.body.contains(KEY), "{answer:?}");
    scene.end().await;
}

#[tokio::test]
async fn a_target_where_nobody_listens() {
    // An address that is dialled in this test only, so that nobody takes the port meanwhile.
    let target = "127.0.0.4:9".parse().unwrap();
    let builder = Tunnel::by("ws").forward(target).allow("127.0.0.4:9");
    let mut scene = Scene::with(builder).await;
    let reason = "connect tcp/127.0.0.4:9: Connection refused";
    scene.cannot_dial(scene.tunnel.forward(target), reason).await;
    scene.tunnel.agent.logs(reason).await;
    scene.witness.is_undisturbed().await;
    let answer = scene.ask(&Tunnel::proxied(target, "/")).await;
    assert_eq!(answer.status, 502, "{answer:?}");
    assert!(answer.body.contains(reason), "{answer:?}");
    scene.end().await;
}

#[tokio::test]
async fn an_unknown_client() {
    let forward = ["--forward", "127.0.0.1:0=nobody=127.0.0.1:80"];
    let mut scene = Scene::with(Tunnel::by("ws").server(forward)).await;
    let reason = "client \"nobody\" is not connected";
    scene.cannot_dial(scene.tunnel.server.address("forward nobody="), reason).await;
    scene.witness.is_undisturbed().await;
    let answer = scene.ask("/client/nobody/http/127.0.0.1:80/").await;
    assert_eq!(answer.status, 404, "{answer:?}");
    assert!(answer.body.contains(reason), "{answer:?}");
    scene.end().await;
}

#[tokio::test]
async fn a_busy_port() {
    let mut scene = Scene::start().await;
    let token_file = scene.tunnel.private_file("tokens-of-another", TOKEN);
    let server = ["server", "--token-file", &token_file, "--listen"];
    let busy = ["agents", "forward", "admin server"].map(|of| scene.tunnel.server.address(of));
    for (option, at) in ["--listen", "--forward", "--admin"].into_iter().zip(busy) {
        let at = at.to_string();
        let args = match option {
            "--listen" => vec![at.clone()],
            "--forward" => vec!["127.0.0.1:0".into(), option.into(), format!("{at}=k=web:80")],
            _ => vec!["127.0.0.1:0".into(), option.into(), at.clone()],
        };
        let args = server.iter().copied().chain(args.iter().map(String::as_str));
        let failed = Watertight::fails(args).await;
        assert_eq!((failed.status.code(), failed.out.as_str()), (Some(3), ""), "{failed:?}");
        let reason = format!("watertight: cannot listen on {at}: address in use");
        assert!(failed.err.contains(&reason) && failed.err.contains(option), "{failed:?}");
        scene.witness.is_undisturbed().await;
    }
    scene.end().await;
}

#[tokio::test]
async fn a_malformed_forward() {
    for (forward, reason) in [
        ("8080", "expected LISTEN=KEY=TARGET"),
        ("127.0.0.1:0=web:80", "expected LISTEN=KEY=TARGET"),
        ("127.0.0.1=k=web:80", "no port in \"127.0.0.1\""),
        ("127.0.0.1:0==web:80", "no client key between the two '='"),
        ("127.0.0.1:0=k=web", "TARGET, the last part"),
        ("127.0.0.1:0=k=udp/web:53", "only tcp and unix"),
    ] {
        let args = ["server", "--listen", "127.0.0.1:0", "--token-file", "t", "--forward", forward];
        let failed = Watertight::fails(args).await;
        assert_eq!((failed.status.code(), failed.out.as_str()), (Some(2), ""), "{failed:?}");
        assert!(failed.err.contains(reason) && failed.err.contains(forward), "{failed:?}");
    }
}

/// The request of an agent whose token is good.
fn upgrade(url: &str, key: &str) -> Request<()> {
    let mut request = url.into_client_request().unwrap();
    let headers = request.headers_mut();
    headers.insert("x-tunnel-id", key.parse().unwrap());
    headers.insert("authorization", format!("Bearer {TOKEN}").parse().unwrap());
    headers.insert("watertight-protocol", "1".parse().unwrap());
    request
}

/// An end that is let in and then does as it likes.
async fn let_in(scene: &Scene, key: &str) -> WebSocketStream<TcpStream> {
    let [url, _] = scene.endpoints();
    let socket = TcpStream::connect(scene.tunnel.server.address("agents")).await.unwrap();
    in_time("the upgrade", client_async(upgrade(&url, key), socket)).await.unwrap().0
}

/// Reads to the server's close message, and returns its text.
async fn goodbye(socket: &mut WebSocketStream<TcpStream>) -> CloseFrame {
    in_time("a goodbye", async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Close(Some(frame)))) => return frame,
                Some(Ok(_)) => {}
                end => panic!("no goodbye: {end:?}"),
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_text_message_on_the_web_socket() {
    let mut scene = Scene::start().await;
    let mut socket = let_in(&scene, "talker").await;
    socket.send(Message::text("hello")).await.unwrap();
    let CloseFrame { code, reason } = goodbye(&mut socket).await;
    assert_eq!(code, CloseCode::Unsupported);
    assert!(reason.contains("text message"), "{reason}");
    scene.tunnel.server.logs("the remote sent a text message").await;
    scene.witness.is_undisturbed().await;
    drop(socket);
    scene.end().await;
}

/// Bytes that look like chance and are the same in every run.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).to_le_bytes()
    };
    let mut bytes: Vec<u8> =
        std::iter::repeat_with(&mut next).take(length / 8 + 1).flatten().collect();
    bytes.truncate(length);
    bytes
}

/// How many connections with random bytes each port gets.
const ROUNDS: u64 = 40;

#[tokio::test]
async fn random_messages_on_a_session() {
    let mut scene = Scene::start().await;
    for seed in 0..ROUNDS {
        let mut socket = let_in(&scene, &format!("noisy-{seed}")).await;
        let message = Bytes::from(noise(seed, 1 + 7 * usize::try_from(seed).unwrap()));
        socket.send(Message::binary(message)).await.unwrap();
        let CloseFrame { reason, .. } = goodbye(&mut socket).await;
        assert!(reason.starts_with("the remote broke the protocol"), "seed {seed}: {reason}");
    }
    scene.witness.is_undisturbed().await;
    for seed in 0..ROUNDS {
        let mut socket = TcpStream::connect(scene.tunnel.server.address("agents")).await.unwrap();
        // A client that connects all the time would be slowed down.
        let client_key = format!("still-noisy-{seed}");
        let hello = Hello { version: 1, client_key, token: TOKEN.into() };
        socket.write_all(&hello.encode()).await.unwrap();
        let message = noise(seed, 100);
        socket.write_all(&frame_prefix(message.len())).await.unwrap();
        socket.write_all(&message).await.unwrap();
        let mut said = Vec::new();
        in_time("the end of a session", socket.read_to_end(&mut said)).await.unwrap();
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains("broke the protocol"), "seed {seed}: {said:?}");
    }
    scene.tunnel.server.logs("the remote broke the protocol").await;
    scene.end().await;
}

/// Sends `bytes` and waits until the server closes. Whether the client has announced that it is done
/// must not matter.
async fn is_closed(at: SocketAddr, bytes: &[u8], done: bool) -> Vec<u8> {
    let mut socket = TcpStream::connect(at).await.unwrap();
    let mut said = Vec::new();
    // The server may have had enough before it has read everything.
    if socket.write_all(bytes).await.is_ok() && done {
        socket.shutdown().await.ok();
    }
    let read =
        within(HANDSHAKE + PROMPTLY, "the end of a connection", socket.read_to_end(&mut said));
    read.await.ok();
    said
}

/// Random bytes for a port, some of which begin like something that belongs there.
async fn gets_noise(at: SocketAddr, beginnings: &'static [&'static [u8]]) {
    let mut all = JoinSet::new();
    for seed in 0..ROUNDS {
        all.spawn(async move {
            let which = usize::try_from(seed).unwrap();
            let mut bytes = beginnings[which % beginnings.len()].to_vec();
            bytes.extend(noise(seed, 1 + which * which * 40));
            is_closed(at, &bytes, which % 4 < 2).await;
        });
    }
    while let Some(done) = all.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn random_bytes_on_the_agents_and_the_admin_port() {
    let mut scene = Scene::start().await;
    let agents = scene.tunnel.server.address("agents");
    gets_noise(agents, &[b"", b"\0", b"\0watertight?", b"GET /connect HTTP/1.1\r\n"]).await;
    scene.witness.is_undisturbed().await;
    gets_noise(scene.tunnel.server.admin(), &[b"", b"GET /clients HTTP/1.1\r\n"]).await;
    scene.witness.is_undisturbed().await;
    let answer = exchange(scene.tunnel.server.admin(), &noise(1, 1000)).await.unwrap();
    assert_eq!(Answer::read(&answer).status, 400);
    scene.end().await;
}

#[tokio::test]
async fn random_bytes_on_a_tls_port() {
    let mut scene = Scene::with(over_tls(&Authority::new())).await;
    let agents = scene.tunnel.server.address("agents");
    gets_noise(agents, &[b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET / "]).await;
    scene.witness.is_undisturbed().await;
    scene.end().await;
}

/// A tunnel over TLS. The authority is needed for its start only.
fn over_tls(authority: &Authority) -> TunnelBuilder {
    let [cert, key] = authority.sign("localhost");
    let server = ["--tls-cert", &cert, "--tls-key", &key];
    Tunnel::by("wss").server(server).agent(["--ca", &authority.ca()])
}

#[tokio::test]
async fn random_bytes_through_a_forward_are_what_they_are() {
    let mut scene = Scene::start().await;
    for seed in 0..ROUNDS {
        let bytes = noise(seed, 1 + usize::try_from(seed * seed).unwrap() * 40);
        let mut socket = TcpStream::connect(scene.tunnel.forward(scene.echo.at)).await.unwrap();
        socket.write_all(&bytes).await.unwrap();
        socket.shutdown().await.unwrap();
        let mut echoed = Vec::new();
        in_time("an echo", socket.read_to_end(&mut echoed)).await.unwrap();
        assert!(echoed == bytes, "seed {seed}: {} bytes", echoed.len());
    }
    scene.witness.is_undisturbed().await;
    scene.end().await;
}

#[tokio::test]
async fn a_request_with_a_huge_header() {
    let mut scene = Scene::start().await;
    let long = format!("X-Long: {}\r\n", "a".repeat(1 << 20));
    let many = "X-Many: a\r\n".repeat(1000);
    for header in [&long, &many] {
        for at in [scene.tunnel.server.address("agents"), scene.tunnel.server.admin()] {
            let request = format!("GET /connect HTTP/1.1\r\nHost: {at}\r\n{header}\r\n");
            let answer = exchange(at, request.as_bytes()).await.unwrap();
            assert_eq!(Answer::read(&answer).status, 431);
            scene.witness.is_undisturbed().await;
        }
    }
    scene.end().await;
}

#[tokio::test]
async fn clients_that_fall_silent() {
    let beginnings: [&[u8]; 6] = [
        b"",
        b"\0",
        b"\0watertight?\x01",
        b"GET /connect HT",
        b"GET /connect HTTP/1.1\r\nHost: here\r\nX-Tunnel-ID: edge-7\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ];
    let mut plain = Scene::start().await;
    let mut tls = Scene::with(over_tls(&Authority::new())).await;
    let mut silent = JoinSet::new();
    for scene in [&plain, &tls] {
        let at = scene.tunnel.server.address("agents");
        for beginning in beginnings.into_iter().cycle().take(60) {
            silent.spawn(is_closed(at, beginning, false));
        }
    }
    // A client of the admin server may be silent for longer, and is forgotten when it goes.
    let mut undecided = TcpStream::connect(plain.tunnel.server.admin()).await.unwrap();
    undecided.write_all(b"GET /clie").await.unwrap();
    // Others are let in meanwhile.
    let_in(&plain, "newcomer").await;
    for scene in [&mut plain, &mut tls] {
        scene.witness.is_undisturbed().await;
    }
    while let Some(closed) = silent.join_next().await {
        closed.unwrap();
    }
    drop(undecided);
    plain.end().await;
    tls.end().await;
}
