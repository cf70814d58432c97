//! Seeds of the corpora: the bytes of the real remotedialer, one message of each type, proper handshakes, and
//! schedules of the simulation.

mod vectors;

use bytes::Bytes;
use watertight_core::ConnectionId;
use watertight_core::wire::{
    Body, ClientRoute, GoAwayCode, Hello, HelloReply, Message, ResetCode, Settings, frame_prefix,
};

use crate::dialogue;
use crate::handshake::Toward;

/// Schedules of the simulation whose random numbers are seeds.
const SCHEDULES: u16 = 300;

/// The index of the limit in [`LIMITS`](crate::framing::LIMITS) for the messages of a seed.
const LIMIT: u8 = 1;

/// The seeds of a target; none for one that starts with nothing.
///
/// # Panics
/// The recordings of the real peer cannot be read.
#[must_use]
pub fn of(target: &str) -> Vec<Vec<u8>> {
    match target {
        "message" => messages(),
        "framing" => framings(),
        "handshake" => handshakes(),
        "dialogue" => (0..SCHEDULES).map(dialogue::bytes_of_seed).collect(),
        _ => Vec::new(),
    }
}

fn messages() -> Vec<Vec<u8>> {
    let recorded = vectors::conversations().into_iter().flatten();
    recorded.chain(extension()).collect()
}

/// One message of each type that the extension adds, and of each code.
fn extension() -> Vec<Vec<u8>> {
    let bodies = [
        Body::Settings(Settings {
            initial_window: 65_536,
            max_data: 16_384,
            max_connections: 9,
            silence: 0,
        }),
        Body::Opened,
        Body::Finish,
        Body::Reset { code: ResetCode::CANCELLED, text: "stop".into() },
        Body::Credit { bytes: 70_000 },
        Body::GoAway {
            last: ConnectionId::SESSION,
            code: GoAwayCode::SHUTDOWN,
            text: "the server is shutting down".into(),
        },
        Body::Ping { opaque: *b"opaquely" },
        Body::Pong { opaque: *b"opaquely" },
        Body::Sync { newest: ConnectionId::SESSION, ids: vec![ConnectionId::SESSION] },
        Body::Data { deadline: 0, payload: Bytes::from_static(b"data") },
        Body::RemoveClient(ClientRoute { client_key: "edge/7".into(), session_key: -1 }),
        Body::Unknown { kind: 99 },
    ];
    let resets = (0..=12).map(|code: u64| Body::Reset { code: code.into(), text: String::new() });
    let farewells = (0..=5).map(|code: u64| Body::GoAway {
        last: ConnectionId::SESSION,
        code: code.into(),
        text: String::new(),
    });
    let bodies = bodies.into_iter().chain(resets).chain(farewells);
    let messages = bodies.map(|body| Message::new(ConnectionId::SESSION, body));
    messages.map(|message| message.encode().to_bytes().to_vec()).collect()
}

/// Whole conversations as streams, in pieces of several lengths.
fn framings() -> Vec<Vec<u8>> {
    let pieces: [&[u8]; 4] = [&[], &[1], &[7, 2, 150], &[0]];
    let mut conversations = vectors::conversations();
    conversations.push(extension());
    let frame = |message: &Vec<u8>| [&*frame_prefix(message.len()), message].concat();
    let with_pieces = conversations.iter().zip(pieces.iter().cycle());
    with_pieces
        .map(|(conversation, pieces)| {
            let mut seed = vec![LIMIT, u8::try_from(pieces.len()).unwrap_or(0)];
            seed.extend_from_slice(pieces);
            // Enough to have a few messages, short enough to be changed often.
            seed.extend(conversation.iter().take(12).flat_map(frame));
            seed
        })
        .collect()
}

fn handshakes() -> Vec<Vec<u8>> {
    let hello = Hello { version: 1, client_key: "edge".into(), token: "open".into() };
    let unknown = Hello { token: "shut".into(), ..hello.clone() };
    let reply = |status: u16, text: &str| HelloReply { version: 1, status, text: text.into() };
    let settings = extension().swap_remove(0);
    let framed = |settings: &[u8]| [&*frame_prefix(settings.len()), settings].concat();
    let upgrade = |extra: &str| format!("{UPGRADE}{extra}\r\n");
    let switched = |extra: &str| format!("{SWITCHED}{extra}\r\n");
    let refused = "HTTP/1.1 403 No\r\nContent-Length: 4\r\n\r\nno!\n";
    let chunked = "HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nlater\r\n0\r\n\r\n";
    let later = "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n";
    let extended = "Watertight-Protocol: 1\r\n";
    let bytes = [
        (Toward::Decoder, hello.encode().to_vec()),
        (Toward::Decoder, reply(401, "unknown token").encode().to_vec()),
        (Toward::Server, [&*hello.encode(), &framed(&settings)].concat()),
        (Toward::Server, [&*hello.encode(), &framed(&impatient())].concat()),
        (Toward::Server, unknown.encode().to_vec()),
        (Toward::Server, upgrade("").into()),
        (Toward::Server, upgrade(extended).into()),
        (Toward::Server, "GET / HTTP/1.1\r\nHost: server\r\n\r\n".into()),
        (Toward::WebSocketAgent, switched(extended).into()),
        (Toward::WebSocketAgent, [switched(extended).as_bytes(), &unmasked(&settings)].concat()),
        (Toward::WebSocketAgent, refused.into()),
        (Toward::WebSocketAgent, later.into()),
        (Toward::BaseAgent, switched("").into()),
        (Toward::BaseAgent, chunked.into()),
        (Toward::ByteStreamAgent, [&*reply(0, "").encode(), &framed(&settings)].concat()),
        (Toward::ByteStreamAgent, [&*reply(0, "").encode(), &framed(&impatient())].concat()),
        (Toward::ByteStreamAgent, reply(503, "full").encode().to_vec()),
    ];
    let ends = bytes
        .into_iter()
        .flat_map(|(toward, bytes)| [false, true].map(|stays| handshake(toward, stays, &bytes)));
    ends.chain(crowds()).collect()
}

/// Settings of an end with the shortest silence: it is pinged at the highest rate.
fn impatient() -> Vec<u8> {
    let settings =
        Settings { initial_window: 65_536, max_data: 16_384, max_connections: 9, silence: 1 };
    let message = Message::new(ConnectionId::SESSION, Body::Settings(settings));
    message.encode().to_bytes().to_vec()
}

const UPGRADE: &str = "GET /connect HTTP/1.1\r\nHost: server\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Tunnel-ID: edge\r\n\
    Authorization: Bearer open\r\n";

const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Accept: KEY\r\n";

/// A binary WebSocket message as a server sends it.
fn unmasked(message: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x82, u8::try_from(message.len()).unwrap_or(0)];
    frame.extend_from_slice(message);
    frame
}

/// The numbers of the steps of many sockets, and of their greetings.
const OPEN: u8 = 0;
const SAY: u8 = 2;
const GREET: u8 = 4;
const FINISH: u8 = 6;
const CLOSE: u8 = 7;
const WAIT: u8 = 8;
const AGENT: u8 = 9;
const UPGRADED: u8 = 0;
const WRONG_UPGRADE: u8 = 1;
const PREFACE: u8 = 2;
const WRONG_PREFACE: u8 = 3;
const WHOLE: u8 = 255;

/// Many sockets at one server: more than its capacity, in the stages of a handshake, of one source and of
/// several; and one client that comes again and again.
fn crowds() -> Vec<Vec<u8>> {
    let open = |sources: u8| (0..12).flat_map(move |socket: u8| [OPEN, socket % sources]);
    let greet = |greeting: u8, bytes: u8| {
        (0..12).flat_map(move |socket: u8| [GREET, socket, greeting, bytes])
    };
    let agent = [AGENT, 1];
    let wait = |millis: u16| {
        let [low, high] = millis.to_le_bytes();
        [WAIT, low, high]
    };
    let silent: Vec<u8> = open(1).chain(agent).chain(wait(5000)).chain(agent).collect();
    let halves: Vec<u8> =
        open(2).chain(greet(UPGRADED, 60)).chain(agent).chain(wait(3500)).chain(agent).collect();
    let strangers: Vec<u8> = open(4)
        .chain(greet(WRONG_PREFACE, WHOLE))
        .chain(open(3))
        .chain(greet(WRONG_UPGRADE, WHOLE))
        .chain(agent)
        .collect();
    let leaving: Vec<u8> = open(3)
        .chain([SAY, 3, 1, 0, FINISH, 2, CLOSE, 1, CLOSE, 5])
        .chain(greet(PREFACE, 9))
        .chain(agent)
        .collect();
    let one_client = |greeting: u8| -> Vec<u8> {
        let come = (0..3).flat_map(|socket| [OPEN, 0, GREET, socket, greeting, WHOLE, WAIT, 9, 0]);
        // The next one has to wait: the one before it is asked for a sign of life, and pings.
        let waits = [OPEN, 0, GREET, 3, greeting, WHOLE, SAY, 2, 6, 0x89, 0x80, 0, 0, 0, 0];
        // The last one finds nobody who answers.
        let comes = [WAIT, 232, 3, OPEN, 0, GREET, 4, greeting, WHOLE];
        come.chain(waits).chain(comes).chain(agent).collect()
    };
    let all = [silent, halves, strangers, leaving, one_client(UPGRADED), one_client(PREFACE)];
    let cases = all.iter().flat_map(|steps| {
        [(0, true), (1, false), (4, true)].map(|(handshakes, stays)| {
            let head = [Toward::MANY_SOCKETS, handshakes, u8::from(stays)];
            [head.as_slice(), steps].concat()
        })
    });
    cases.collect()
}

/// All at once; then the connection ends, or it stays.
fn handshake(toward: Toward, stays: bool, bytes: &[u8]) -> Vec<u8> {
    let place = Toward::ALONE.iter().position(|other| *other == toward);
    let toward = place.and_then(|place| u8::try_from(place).ok()).unwrap_or(0);
    let mut seed = vec![toward, 0, stays.into()];
    seed.extend_from_slice(bytes);
    seed
}
