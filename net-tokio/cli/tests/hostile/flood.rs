//! An end with a good token that breaks every rule of the protocol, or keeps to the rules without
//! measure. The program at the remote stays up, stays small, and serves the others.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::ReadHalf;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::processes::{
    KEY, PATIENCE, Rest, TOKEN, Target, Tunnel, Watertight, Witness, get, in_time,
};
use crate::session::{accept, connect, data, framed, greet, join, kind, message, settings};

/// What an attacker knows.
struct Side {
    /// Its first id. The others are even or odd as this one.
    own: i64,
    /// The first id of the remote.
    other: i64,
    /// A target that may be dialled, and never reads.
    deaf: String,
}

impl Side {
    fn id(&self, number: u64) -> i64 {
        self.own + 2 * i64::try_from(number).unwrap()
    }

    /// A connection to the target, and then something about it again and again.
    fn opened(&self, number: u64, then: Vec<u8>) -> Vec<Vec<u8>> {
        if number == 0 { vec![connect(self.own, &self.deaf), then] } else { vec![then] }
    }
}

/// The message with a number, which begins at 0.
type Turn = fn(&Side, u64) -> Vec<Vec<u8>>;

/// How often something is repeated that costs the remote little: more often than answers may wait.
const MANY: u64 = 40_000;

/// The same for what costs it more.
const SOME: u64 = 2_000;

type Flood = (&'static str, u64, Option<&'static str>, Turn);

/// A message, its count, and the close reason of the session; `None` if the session continues.
const FLOODS: &[Flood] = &[
    ("dials of what is forbidden", MANY, None, |side, n| {
        vec![connect(side.id(n), "tcp/127.0.0.3:1")]
    }),
    ("dials of what is no target", MANY, None, |side, n| vec![connect(side.id(n), "\x1b[2J")]),
    ("dials of long targets", SOME, None, |side, n| vec![connect(side.id(n), &"a".repeat(60_000))]),
    ("dials without end", MANY, None, |side, n| vec![connect(side.id(n), &side.deaf)]),
    ("dials that are taken back", SOME, None, |side, n| {
        vec![connect(side.id(n), &side.deaf), message(side.id(n), kind::RESET, &[0], b"")]
    }),
    ("dials that are finished", SOME, None, |side, n| {
        vec![connect(side.id(n), &side.deaf), message(side.id(n), kind::FINISH, &[], b"")]
    }),
    ("pings", MANY, None, |_, n| vec![message(0, kind::PING, &[], &n.to_le_bytes())]),
    ("pongs", MANY, None, |_, n| vec![message(0, kind::PONG, &[], &n.to_le_bytes())]),
    ("going away", MANY, None, |_, _| vec![message(0, kind::GO_AWAY, &[0, 0], b"again")]),
    ("lists of connections", SOME, None, |_, _| {
        let ids: Vec<i64> = [0].into_iter().chain((0..10_000).map(|_| 2)).collect();
        vec![message(0, kind::SYNC, &ids, b"")]
    }),
    ("unknown messages", MANY, None, |_, n| vec![message(1, 1000, &[], &n.to_le_bytes())]),
    ("empty data", MANY, None, |side, n| side.opened(n, data(side.own, 0))),
    ("credit in crumbs", MANY, None, |side, n| {
        side.opened(n, message(side.own, kind::CREDIT, &[1], b""))
    }),
    ("data beyond the window", SOME, Some("beyond its credit"), |side, n| {
        side.opened(n, data(side.own, 10_000))
    }),
    ("data in one long message", 1, Some("longer than allowed"), |side, n| {
        side.opened(n, data(side.own, 100_000))
    }),
    ("a message that is too long", 1, Some("the limit is 262144"), |side, n| {
        side.opened(n, data(side.own, 1 << 20))
    }),
    ("data for a connection that never was", 1, Some("never opened"), |side, _| {
        vec![data(side.other, 1)]
    }),
    ("resets of connections that never were", 1, Some("never opened"), |side, _| {
        vec![message(side.own, kind::RESET, &[0], b"")]
    }),
    ("answers to dials that never were", 1, Some("never opened"), |side, _| {
        vec![message(side.other, kind::OPENED, &[], b"")]
    }),
    ("ids of the remote", 1, Some("not the sender's to use"), |side, _| {
        vec![connect(side.other, &side.deaf)]
    }),
    ("ids twice", 2, Some("used before"), |side, _| vec![connect(side.own, &side.deaf)]),
    ("credit without measure", 2, Some("credit overflows"), |side, n| {
        side.opened(n, message(side.own, kind::CREDIT, &[i64::MAX], b""))
    }),
    ("settings twice", 1, Some("Settings sent twice"), |_, _| vec![settings()]),
    ("routes of one that is no peer", MANY, None, |_, _| {
        vec![message(0, kind::ADD_CLIENT, &[], b"edge-7/1")]
    }),
    ("routes that are taken back", MANY, None, |_, _| {
        vec![message(0, kind::REMOVE_CLIENT, &[], b"edge-7/1")]
    }),
    ("messages of the other dialect", 1, Some("not allowed here"), |side, _| {
        vec![message(side.own, kind::PAUSE, &[], b"")]
    }),
    ("errors of the other dialect", 1, Some("not allowed here"), |side, _| {
        vec![message(side.own, kind::ERROR, &[], b"EOF")]
    }),
    ("lists of the other dialect", 1, Some("not allowed here"), |_, _| {
        vec![message(0, kind::SYNC_CONNECTIONS, &[], &[7; 8 * 30_000])]
    }),
    ("a list that is too long", 1, Some("invalid message"), |_, _| {
        vec![message(0, kind::SYNC, &[0; 70_000], b"")]
    }),
    ("no message", 1, Some("empty message"), |_, _| vec![Vec::new()]),
    ("a byte", 1, Some("invalid message"), |_, _| vec![vec![0x80]]),
];

/// Answers the last ping that comes.
const ANSWER: &[u8] = b"answered";

/// Sends a flood, and returns the messages of the remote. A deaf attacker reads only then.
async fn attack(socket: &mut TcpStream, side: &Side, flood: &Flood, deaf: bool) -> Vec<u8> {
    let (_, count, end, turn) = *flood;
    let (mut read, mut write) = socket.split();
    let mut said = Vec::new();
    let send = async {
        write.write_all(&framed(&[settings()])).await?;
        let mut number = 0;
        while number < count {
            let turns = (number..count).take(100).flat_map(|number| turn(side, number));
            write.write_all(&framed(&turns.collect::<Vec<_>>())).await?;
            number += 100;
        }
        write.write_all(&framed(&[message(0, kind::PING, &[], ANSWER)])).await
    };
    in_time("the end of a flood", async {
        // It may be cut off before it has sent all.
        if deaf {
            send.await.ok();
            receive(&mut read, &mut said, end).await;
        } else {
            tokio::join!(send, receive(&mut read, &mut said, end)).0.ok();
        }
    })
    .await;
    said
}

/// Reads until the last ping is answered, or to the end if one is expected.
async fn receive(read: &mut ReadHalf<'_>, said: &mut Vec<u8>, end: Option<&str>) {
    let mut looked_at = 0;
    while end.is_some() || !has(&said[looked_at..], ANSWER) {
        looked_at = said.len().saturating_sub(ANSWER.len());
        match read.read_buf(said).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => break,
        }
    }
}

fn has(bytes: &[u8], words: &[u8]) -> bool {
    bytes.windows(words.len()).any(|window| window == words)
}

/// How large a process may become that is flooded. At rest it has 15 MiB, and of one session it may
/// hold a message of 4 MiB and 64 windows of 32 KiB in each direction.
const PEAK: u64 = 48 << 20;

/// A server with an agent that is in use.
struct Scene {
    tunnel: Tunnel,
    witness: Witness,
    before: Rest,
    echo: Target,
    deaf: Target,
}

impl Scene {
    async fn start() -> Self {
        let (deaf, echo) = (Target::deaf().await, Target::echo().await);
        let allow = deaf.at.to_string();
        let server = ["--max-connections", "64", "--allow-dial", &allow];
        let tunnel = Tunnel::by("tcp").server(server).forward(echo.at).start().await;
        let witness = tunnel.witness(echo.at).await;
        get(tunnel.server.admin(), "/metrics").await;
        let before = Rest::of(&tunnel).await;
        Self { tunnel, witness, before, echo, deaf }
    }

    fn at(&self) -> SocketAddr {
        self.tunnel.server.address("agents")
    }

    /// Demands that nobody has noticed anything, and that nothing is left of an attacker who has gone.
    async fn is_undisturbed(&mut self, name: &str) {
        self.witness.is_undisturbed().await;
        drop(Witness::start(self.tunnel.forward(self.echo.at)).await);
        let admin = self.tunnel.server.admin();
        assert_eq!(get(admin, "/healthz").await.status, 200, "{name}");
        self.before.returns(&self.tunnel, PATIENCE).await;
        assert_eq!(self.tunnel.server.clients().await, [KEY], "{name}");
        let peak = self.tunnel.server.peak();
        assert!(peak < PEAK, "{name}: {peak} bytes");
    }

    async fn end(self) {
        let metrics = get(self.tunnel.server.admin(), "/metrics").await.body;
        assert!(metrics.contains("\nwatertight_connections 1\n"), "{metrics}");
        self.witness.end().await;
        self.tunnel.end().await;
    }
}

/// Demands that a flood ended as expected.
fn assert_end(name: &str, said: &[u8], end: Option<&str>) {
    let shown = String::from_utf8_lossy(&said[said.len().saturating_sub(500)..]);
    match end {
        Some(words) => assert!(has(said, words.as_bytes()), "{name}: {shown}"),
        None => assert!(has(said, ANSWER), "{name}: {shown}"),
    }
}

#[tokio::test]
async fn an_agent_that_floods_its_server_disturbs_nobody() {
    let mut scene = Scene::start().await;
    for (index, flood) in FLOODS.iter().enumerate() {
        let (name, _, end, _) = *flood;
        // A session that ends at once leaves nothing to be deaf to.
        for deaf in [false, true].into_iter().filter(|deaf| !deaf || end.is_none()) {
            let side = Side { own: 1, other: 2, deaf: format!("tcp/{}", scene.deaf.at) };
            let mut socket = join(scene.at(), &format!("flood-{index}-{deaf}")).await;
            let said = attack(&mut socket, &side, flood, deaf).await;
            assert_end(name, &said, end);
            drop(socket);
            scene.is_undisturbed(name).await;
        }
    }
    scene.end().await;
}

#[tokio::test]
async fn a_server_that_floods_its_agent_does_not_bring_it_down() {
    let deaf = Target::deaf().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    let allow = deaf.at.to_string();
    let args = ["agent", "--connect", &endpoint, "--key", KEY, "--allow", &allow];
    for flood in FLOODS {
        let (name, _, end, _) = *flood;
        let (agent, mut socket) = tokio::join!(
            Watertight::start(args.iter().chain(&["--max-connections", "64"])),
            async {
                let mut socket = listener.accept().await.unwrap().0;
                accept(&mut socket).await;
                socket
            }
        );
        let side = Side { own: 2, other: 1, deaf: format!("tcp/{}", deaf.at) };
        let said = attack(&mut socket, &side, flood, end.is_none()).await;
        assert_end(name, &said, end);
        let peak = agent.peak();
        assert!(peak < PEAK, "{name}: {peak} bytes");
        drop(socket);
        agent.terminate().await.is_settled();
    }
}

#[tokio::test]
async fn answers_that_an_attacker_does_not_read_end_its_session() {
    let mut scene = Scene::start().await;
    let side = Side { own: 1, other: 2, deaf: String::new() };
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut socket = greet(socket.connect(scene.at()).await.unwrap(), "deaf").await;
    let mut send = async || {
        socket.write_all(&framed(&[settings()])).await?;
        for number in 0.. {
            // The answer repeats what was dialled.
            socket.write_all(&framed(&[connect(side.id(number), "no target")])).await?;
        }
        std::io::Result::Ok(())
    };
    assert!(in_time("the end of a session", send()).await.is_err());
    scene.tunnel.server.logs("control messages wait to be sent and none is read").await;
    scene.is_undisturbed("answers").await;
    scene.end().await;
}

/// A frame of a WebSocket (RFC 6455, 5.2), as a client sends it with a mask of zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match u16::try_from(payload.len()).unwrap() {
        length @ 0..126 => out.push(0x80 | length.to_le_bytes()[0]),
        length => out.extend([&[0xfe][..], &length.to_be_bytes()].concat()),
    }
    out.extend([0; 4]);
    out.extend_from_slice(payload);
    out
}

/// The head of a final frame of a kind.
const BINARY: u8 = 0x82;
const PING: u8 = 0x89;

/// Frames, by their number.
type Frames = fn(u64) -> Vec<u8>;

/// Bytes on a WebSocket that speaks the base dialect, as [`FLOODS`].
const WEB_SOCKET_FLOODS: &[(&str, u64, Option<&str>, Frames)] = &[
    ("pings", MANY, None, |n| frame(PING, &n.to_le_bytes())),
    ("pongs", MANY, None, |n| frame(0x8a, &n.to_le_bytes())),
    ("dials", MANY, None, |n| frame(BINARY, &connect(1 + i64::try_from(n).unwrap(), "tcp/x:1"))),
    ("data for nobody", MANY, None, |n| frame(BINARY, &data(1 + i64::try_from(n).unwrap(), 1))),
    ("errors", MANY, None, |_| frame(BINARY, &message(1, kind::ERROR, &[], b"again"))),
    ("pauses", MANY, None, |n| {
        frame(BINARY, &message(1, kind::PAUSE + i64::try_from(n % 2).unwrap(), &[], b""))
    }),
    ("lists", SOME, None, |_| {
        frame(BINARY, &message(0, kind::SYNC_CONNECTIONS, &[], &[7; 8 * 1000]))
    }),
    ("routes", MANY, None, |_| frame(BINARY, &message(0, kind::ADD_CLIENT, &[], b"edge-7/1"))),
    ("empty messages", 1, Some("broke the protocol"), |_| frame(BINARY, b"")),
    ("fragments without end", MANY, Some("a message of 4195000 bytes"), |n| {
        frame(if n == 0 { 2 } else { 0 }, &[7; 1000])
    }),
    ("a message of exbibytes", 1, Some("a message of 9223372036854775807 bytes"), |_| {
        [&[BINARY, 0xff, 0x7f][..], &[0xff; 11]].concat()
    }),
    ("a message without a mask", 1, Some("broke the WebSocket protocol"), |_| {
        vec![BINARY, 3, 0, 2, 2]
    }),
    ("reserved bits", 1, Some("broke the WebSocket protocol"), |_| frame(0xf2, b"\0\x02\x02")),
    ("a kind that is unknown", 1, Some("broke the WebSocket protocol"), |_| {
        frame(0x83, b"\0\x02\x02")
    }),
    ("a long ping", 1, Some("broke the WebSocket protocol"), |_| frame(PING, &[7; 126])),
    ("a ping in fragments", 1, Some("broke the WebSocket protocol"), |_| frame(9, b"7")),
    ("a continuation of nothing", 1, Some("broke the WebSocket protocol"), |_| frame(0x80, b"7")),
    ("text", 1, Some("text message"), |_| frame(0x81, b"hello")),
    ("text that is none", 1, Some("UTF-8"), |_| frame(0x81, b"\xff")),
];

#[tokio::test]
async fn an_agent_that_floods_a_web_socket_disturbs_nobody() {
    let mut scene = Scene::start().await;
    for (index, &(name, count, end, turn)) in WEB_SOCKET_FLOODS.iter().enumerate() {
        let request = format!(
            "GET /connect HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Authorization: Bearer {TOKEN}\r\nX-Tunnel-ID: web-{index}\r\n\r\n"
        );
        let mut socket = TcpStream::connect(scene.at()).await.unwrap();
        let frames: Vec<u8> = (0..count).flat_map(turn).collect();
        let (mut read, mut write) = socket.split();
        let send = async {
            write.write_all(request.as_bytes()).await?;
            write.write_all(&frames).await?;
            write.write_all(&frame(PING, ANSWER)).await
        };
        let mut said = Vec::new();
        let (sent, ()) = in_time("the end of a flood", async {
            tokio::join!(send, receive(&mut read, &mut said, end))
        })
        .await;
        // It may be cut off before it has sent all.
        sent.ok();
        assert_end(name, &said, end);
        drop(socket);
        scene.is_undisturbed(name).await;
    }
    scene.end().await;
}
