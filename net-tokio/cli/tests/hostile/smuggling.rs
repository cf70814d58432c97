//! Requests and answers that two parsers read differently, through the admin proxy. The target sees
//! one request and nothing behind it, and each client gets its own answer.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, sink};
use tokio::net::TcpStream;

use crate::message::Message;
use crate::processes::{PATIENCE, Target, Tunnel, Watertight, eventually, in_time};

/// A service that keeps the bytes of each of its connections.
struct Recorder {
    target: Target,
    kept: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Recorder {
    /// A target that answers each request with `answer`, or with its path.
    async fn start(answer: &'static [u8]) -> Self {
        let kept = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let keep = Arc::clone(&kept);
        let target = Target::start(move |socket, _| record(socket, Arc::clone(&keep), answer));
        Self { target: target.await, kept }
    }

    /// The bytes since the last call, by connections, once they have ended.
    async fn recordings(&self) -> Vec<Vec<u8>> {
        eventually(PATIENCE, "the end of the target's connections", async || {
            let open = self.target.open();
            if open == 0 { Ok(()) } else { Err(format!("{open} are open")) }
        })
        .await;
        std::mem::take(&mut *self.kept.lock().unwrap())
    }
}

async fn record(mut socket: TcpStream, kept: Arc<Mutex<Vec<Vec<u8>>>>, answer: &[u8]) {
    let (mut seen, mut answered) = (Vec::new(), 0);
    // The bytes of a connection that is reset count, too.
    while let Ok(1..) = socket.read_buf(&mut seen).await {
        let Ok((requests, _)) = Message::all(&seen) else { break };
        for request in requests.iter().skip(answered) {
            let answer = match answer {
                b"" => format!(
                    "{OK}Content-Length: {}\r\n\r\n{1}",
                    request.subject().len(),
                    request.subject()
                )
                .into(),
                answer => answer.to_vec(),
            };
            // It may have been reset meanwhile.
            socket.write_all(&answer).await.ok();
        }
        answered = requests.len();
    }
    kept.lock().unwrap().push(seen);
}

const OK: &str = "HTTP/1.1 200 OK\r\n";

/// The beginning of a request for `path` of a target.
fn get(target: &Target, path: &str) -> String {
    format!("GET {} HTTP/1.1\r\nHost: localhost\r\n", Tunnel::proxied(target.at, path))
}

/// Sends all of it, finishes the client's direction, and reads to the end.
async fn converse(tunnel: &Tunnel, request: &str) -> Vec<u8> {
    in_time("the end of an answer", async {
        let mut socket = TcpStream::connect(tunnel.server.admin()).await.unwrap();
        // It may be closed before it has read all.
        socket.write_all(request.as_bytes()).await.ok();
        socket.shutdown().await.ok();
        let mut answer = Vec::new();
        // An answer that is cut ends in a reset.
        socket.read_to_end(&mut answer).await.ok();
        answer
    })
    .await
}

/// Demands that another client gets the answer to its own request.
async fn next_client_is_served(tunnel: &Tunnel, target: &Target) {
    let answer = converse(tunnel, &(get(target, "/next") + "\r\n")).await;
    let (answers, cut) = Message::all(&answer).unwrap();
    assert!(!cut && answers.len() == 1 && answers[0].body == b"/next", "{answers:?}");
}

/// What follows a request: another one at the admin server, or a part of the first one.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A request, and the body that the target gets; none if it gets no whole request.
type Case = (&'static str, Option<&'static str>);

/// Fields of a POST whose body is the rest.
const FIELDS: &[Case] = &[
    // Two lengths.
    ("Content-Length: 6|Transfer-Encoding: chunked||0||", Some("")),
    ("Transfer-Encoding: chunked|Content-Length: 6||0||", Some("")),
    ("Content-Length: 0|Content-Length: 44||", None),
    ("Content-Length: 44|Content-Length: 0||", None),
    ("Content-Length: 5|Content-Length: 5||hello", Some("hello")),
    ("Content-Length: 5, 5||hello", None),
    ("Content-Length: 0, 44||", None),
    ("Content-Length: +5||hello", None),
    ("Content-Length: -5||hello", None),
    ("Content-Length: 0x5||hello", None),
    ("Content-Length: 5;||hello", None),
    ("Content-Length: 5 5||hello", None),
    ("Content-Length: 18446744073709551621||hello", None),
    ("Content-Length:||", None),
    ("Content-Length: 5 ||hello", Some("hello")),
    ("Content-Length: 05||hello", Some("hello")),
    // Codings.
    ("Transfer-Encoding: chunked, identity||0||", None),
    ("Transfer-Encoding: identity||0||", None),
    ("Transfer-Encoding: identity|Content-Length: 5||0||", None),
    ("Transfer-Encoding: xchunked||0||", None),
    ("Transfer-Encoding: chunked;q=1||0||", None),
    ("Transfer-Encoding: chunked|Transfer-Encoding: identity||0||", None),
    ("Transfer-Encoding : chunked|Content-Length: 5||0||", None),
    ("Transfer-Encoding: \x0bchunked|Content-Length: 5||0||", None),
    ("Transfer-Encoding: chunked\0|Content-Length: 5||0||", None),
    ("Transfer-Encoding: \"chunked\"|Content-Length: 5||0||", None),
    ("Transfer-Encoding:\tchunked||0||", Some("")),
    ("Transfer-Encoding: CHUNKED|Content-Length: 5||0||", Some("")),
    ("Transfer_Encoding: chunked|Content-Length: 5||0||", Some("0\r\n\r\n")),
    // Codings that the target would not learn of.
    ("Transfer-Encoding: gzip, chunked||0||", None),
    ("Transfer-Encoding: identity, chunked||0||", None),
    ("Transfer-Encoding: chunked, chunked||0||", None),
    ("Transfer-Encoding: identity|Transfer-Encoding: chunked||0||", None),
    // Lines.
    ("Content-Length:| 44||", None),
    ("X-A: 1| Content-Length: 44||", None),
    ("X-A: 1|\tTransfer-Encoding: chunked||0||", None),
    ("X-A: 1\rTransfer-Encoding: chunked||0||", None),
    ("X-A: 1|\rX-B: 1||", None),
    ("X-A: 1\0||", None),
    ("X-A\0: 1||", None),
    ("X\x01A: 1||", None),
    ("X A: 1||", None),
    ("X-A : 1||", None),
    ("X(A): 1||", None),
    (": 1||", None),
    ("Content-Length : 44||", None),
    ("Content-Length||", None),
    ("X-A: 1\nTransfer-Encoding: chunked||0||", Some("")),
    ("X-A: 1\nContent-Length: 5\n\nhello", Some("hello")),
    // Headers about the connection.
    ("Connection: Content-Length|Content-Length: 5||hello", Some("hello")),
    ("Connection: Transfer-Encoding|Transfer-Encoding: chunked||5|hello|0||", Some("hello")),
    ("Connection: Host, Via, Connection|Content-Length: 5||hello", Some("hello")),
    ("Connection: Upgrade|Upgrade: websocket|Content-Length: 5||hello", Some("hello")),
    ("Connection: Upgrade|Upgrade: websocket||", Some("")),
    ("Connection: Upgrade, HTTP2-Settings|Upgrade: h2c|HTTP2-Settings: AAMAAABk||", Some("")),
    ("Expect: 100-continue|Content-Length: 5||hello", Some("hello")),
    ("Expect: 200-ok|Content-Length: 5||hello", Some("hello")),
];

/// Bodies of a POST in chunks.
const CHUNKS: &[Case] = &[
    ("5;a=b|hello|0||", Some("hello")),
    ("5 |hello|0||", Some("hello")),
    ("00000000000000000005|hello|0||", Some("hello")),
    ("5|hello|0|Content-Length: 44||", Some("hello")),
    ("5;a=\"|\"|hello|0||", None),
    ("5;\n44|hello|0||", None),
    ("5;a\rb|hello|0||", None),
    ("5\nhello|0||", None),
    ("5|hello\n0||", None),
    ("5|helloXX0||", None),
    ("g|hello|0||", None),
    ("0x5|hello|0||", None),
    ("-5|hello|0||", None),
    ("+5|hello|0||", None),
    (" 5|hello|0||", None),
    ("5,5|hello|0||", None),
    ("10000000000000005|hello|0||", None),
    ("|0||", None),
    ("0|X-A: 1| Content-Length: 44||", None),
    ("0|X-A\0: 1||", None),
];

/// Whole requests, with `OWN` for the path.
const LINES: &[Case] = &[
    ("GET OWN HTTP/1.1|Host: localhost|Content-Length: 5||hello", Some("hello")),
    ("GET OWN HTTP/1.1|Host: localhost||", Some("")),
    ("GET OWN#/smuggled HTTP/1.1|Host: localhost||", Some("")),
    ("POST OWN HTTP/1.0|Connection: keep-alive|Content-Length: 5||hello", Some("hello")),
    ("POST OWN HTTP/1.0|Transfer-Encoding: chunked||0||", None),
    ("POST OWN HTTP/1.0|Content-Length: 5|Transfer-Encoding: chunked||0||", None),
    ("POST OWN HTTP/1.1| Host: localhost||", None),
    ("POST  OWN HTTP/1.1|Host: localhost||", None),
    ("POST\tOWN\tHTTP/1.1|Host: localhost||", None),
    ("POST OWN HTTP/1.1 HTTP/1.1|Host: localhost||", None),
    ("POST OWN|Host: localhost||", None),
    ("POST OWN HTTP/1.2|Host: localhost||", None),
    ("POST OWN HTTP/11|Host: localhost||", None),
    ("P(ST OWN HTTP/1.1|Host: localhost||", None),
    ("GET OWN\x7f HTTP/1.1|Host: localhost||", None),
    ("GET OWN\0 HTTP/1.1|Host: localhost||", None),
    ("GET OWN\rX HTTP/1.1|Host: localhost||", None),
];

#[tokio::test]
async fn a_request_that_can_be_read_in_two_ways_is_one_request_or_none() {
    let recorder = Recorder::start(b"").await;
    let tunnel = Tunnel::by("tcp").start().await;
    let own = Tunnel::proxied(recorder.target.at, "/own");
    let post = format!("POST {own} HTTP/1.1\r\nHost: localhost\r\n");
    let lines = |text: &str| text.replace('|', "\r\n");
    let fields = FIELDS.iter().map(|(case, body)| (post.clone() + &lines(case), body));
    let chunked = format!("{post}Transfer-Encoding: chunked\r\n\r\n");
    let chunks = CHUNKS.iter().map(|(case, body)| (chunked.clone() + &lines(case), body));
    let whole = LINES.iter().map(|(case, body)| (lines(case).replace("OWN", &own), body));
    for (request, &body) in fields.chain(chunks).chain(whole) {
        let answer = converse(&tunnel, &(request.clone() + SMUGGLED)).await;
        next_client_is_served(&tunnel, &recorder.target).await;
        let (answers, cut) = Message::all(&answer).unwrap();
        let mut statuses = answers.iter().map(Message::subject).filter(|status| *status != "100");
        let first = statuses.next().unwrap_or_default();
        assert!(!cut && (first == "200") == body.is_some(), "{request:?}: {answers:?}");
        assert!(["200", "400", "501"].contains(&first), "{request:?}: {answers:?}");
        // What follows goes to the admin server, if anywhere.
        assert!(statuses.all(|status| status == "404"), "{request:?}: {answers:?}");
        let mut whole = Vec::new();
        for seen in recorder.recordings().await {
            let (mut requests, cut) = Message::all(&seen).unwrap();
            assert!(requests.len() + usize::from(cut) <= 1, "{request:?}: {requests:?}");
            whole.append(&mut requests);
        }
        whole.retain(|request| request.subject() != "/next");
        let seen: Vec<_> = whole.iter().map(|it| String::from_utf8_lossy(&it.body)).collect();
        assert_eq!(seen, body.into_iter().collect::<Vec<_>>(), "{request:?}: {whole:?}");
    }
    tunnel.end().await;
}

#[tokio::test]
async fn what_a_client_says_to_its_hop_stays_there() {
    let recorder = Recorder::start(b"").await;
    let tunnel = Tunnel::by("tcp").start().await;
    let hops = "Connection: X-One, x-two\r\nConnection: X-Three\r\nX-One: 1\r\nX-TWO: 1\r\n\
                x-three: 1\r\nKeep-Alive: 1\r\nProxy-Connection: 1\r\nProxy-Authorization: 1\r\n\
                TE: gzip\r\nUpgrade: x\r\nX-End: 1\r\n\r\n";
    converse(&tunnel, &(get(&recorder.target, "/own") + hops)).await;
    let seen = recorder.recordings().await;
    let (requests, _) = Message::all(&seen[0]).unwrap();
    let names = "x-one x-two x-three keep-alive proxy-connection proxy-authorization te upgrade";
    for name in names.split(' ') {
        assert!(requests[0].values(name).is_empty(), "{name}: {requests:?}");
    }
    assert_eq!(requests[0].values("x-end"), ["1"]);
    tunnel.end().await;
}

/// Answers that are not passed on, with bars for the ends of lines and `OK` for a status line.
const REFUSED: &[&str] = &[
    // Lengths and codings.
    "OK|Content-Length: 2|Content-Length: 3||ok!",
    "OK|Content-Length: 2, 3||ok!",
    "OK|Content-Length: +2||ok",
    "OK|Content-Length: -2||ok",
    "OK|Content-Length: x||ok",
    "OK|Content-Length: 18446744073709551618||ok",
    "OK|Transfer-Encoding: gzip, chunked||2|ok|0||",
    "OK|Transfer-Encoding: chunked, identity||2|ok|0||",
    "OK|Transfer-Encoding: identity||ok",
    "HTTP/1.0 200 No|Transfer-Encoding: chunked||2|ok|0||",
    // Lines.
    "OK|X-A: 1| Set-Cookie: a=1|Content-Length: 2||ok",
    "OK|X-A: 1\rSet-Cookie: a=1|Content-Length: 2||ok",
    "OK|X-A: 1\0|Content-Length: 2||ok",
    "OK|X-A\0: 1|Content-Length: 2||ok",
    "OK|X A: 1|Content-Length: 2||ok",
    "OK|X-A : 1|Content-Length: 2||ok",
    "OK|: 1|Content-Length: 2||ok",
    "OK|X-A|Content-Length: 2||ok",
    // Statuses.
    "HTTP/1.1 099 No|Content-Length: 2||ok",
    "HTTP/1.1 1000 No|Content-Length: 2||ok",
    "HTTP/1.1 2x0 No|Content-Length: 2||ok",
    "HTTP/1.1 200 N\0o|Content-Length: 2||ok",
    "HTTP/1.1 200 N\ro|Content-Length: 2||ok",
    "HTTP/2 200 No|Content-Length: 2||ok",
    "HTTP/0.9 200 No|Content-Length: 2||ok",
    "ICY 200 No|Content-Length: 2||ok",
    "SSH-2.0-x||",
    "GET / HTTP/1.1||",
    "HTTP/1.1 101 Switching|Connection: Upgrade|Upgrade: x||poison",
];

/// Answers that are passed on, and are cut where they can be read no further.
const CUT: &[&str] = &[
    "OK|Transfer-Encoding: chunked||zz|ok|0||",
    "OK|Transfer-Encoding: chunked||2|okXX0||",
    "OK|Transfer-Encoding: chunked||2;\n6|poison|0||",
    "OK|Transfer-Encoding: chunked||10000000000000002|ok|0||",
];

/// Answers that are passed on, and the status and the body that arrive.
const PASSED: &[(&str, &str, &str)] = &[
    ("OK|Content-Length: 2||ok", "200", "ok"),
    ("OK|Content-Length: 2|Content-Length: 2||ok", "200", "ok"),
    ("OK|Content-Length: 3|Transfer-Encoding: chunked||2|ok|0||", "200", "ok"),
    ("OK|Transfer-Encoding: chunked|Content-Length: 3||2|ok|0||", "200", "ok"),
    ("OK|Transfer-Encoding: chunked||2;a=b|ok|0|X-A: 1||", "200", "ok"),
    ("HTTP/1.1 103 Hints|X-A: 1||OK|Content-Length: 2||ok", "200", "ok"),
    ("HTTP/1.1 100 Go|Content-Length: 6||OK|Content-Length: 2||ok", "200", "ok"),
    // Answers without a body.
    ("HTTP/1.1 204 No|Content-Length: 6||poison", "204", ""),
    ("HTTP/1.1 304 No|Content-Length: 6||poison", "304", ""),
    ("HTTP/1.1 204 No|Transfer-Encoding: chunked||6|poison|0||", "204", ""),
    // More behind it.
    ("OK|Content-Length: 2||okOK|Content-Length: 6||poison", "200", "ok"),
    ("OK|Content-Length: 0||OK|Content-Length: 6||poison", "200", ""),
    ("OK|Transfer-Encoding: chunked||2|ok|0|Content-Length: 6||poison", "200", "ok"),
    // Headers of the target for its hop.
    ("OK|Connection: Content-Length, Poison|Poison: 1|Content-Length: 2||ok", "200", "ok"),
    ("OK|Connection: Transfer-Encoding|Transfer-Encoding: chunked||2|ok|0||", "200", "ok"),
];

#[tokio::test]
async fn an_answer_that_can_be_read_in_two_ways_is_one_answer_or_none() {
    let good = Recorder::start(b"").await;
    let tunnel = Tunnel::by("tcp").start().await;
    let refused = REFUSED.iter().map(|answer| (*answer, Some(("502", ""))));
    let cut = CUT.iter().map(|answer| (*answer, None));
    let passed = PASSED.iter().map(|(answer, status, body)| (*answer, Some((*status, *body))));
    for (answer, expected) in refused.chain(cut).chain(passed) {
        let bytes = answer.replace("OK|", "HTTP/1.1 200 OK|").replace('|', "\r\n");
        let bad = Recorder::start(bytes.leak().as_bytes()).await;
        // Two requests of one client, of which the second one is for another target.
        let requests = [(&bad.target, "/own"), (&good.target, "/second")];
        let requests = requests.map(|(target, path)| get(target, path) + "\r\n").concat();
        let received = converse(&tunnel, &requests).await;
        let (answers, cut) = Message::all(&received).unwrap();
        let mut own = answers.iter().map(|answer| match answer.subject() {
            "502" => ("502", ""),
            status => (status, std::str::from_utf8(&answer.body).unwrap()),
        });
        assert_eq!(own.next(), expected, "{answer:?}: {answers:?}");
        // Behind an answer that is cut there is nothing.
        let second = expected.map(|_| ("200", "/second"));
        assert!(own.eq(second) && cut == expected.is_none(), "{answer:?}: {answers:?}");
        assert!(
            !String::from_utf8_lossy(&received).to_lowercase().contains("poison"),
            "{answer:?}"
        );
        next_client_is_served(&tunnel, &good.target).await;
    }
    tunnel.end().await;
}

/// Endless input: its beginning, and the part that repeats.
const ENDLESS_ANSWERS: [(&str, &str); 8] = [
    ("HTTP/1.1 200 ", "reason "),
    ("HTTP/1.1 200 OK|", "X-A: 1|"),
    ("HTTP/1.1 200 OK|X-A: ", "value "),
    ("HTTP/1.1 200 OK|X", "-Name"),
    ("", "HTTP/1.1 103 Early Hints||"),
    ("", "HTTP/1.1 100 Continue|X-A: 1||"),
    ("HTTP/1.1 200 OK|Transfer-Encoding: chunked||2;", "extension"),
    ("HTTP/1.1 200 OK|Transfer-Encoding: chunked||0|", "X-A: 1|"),
];

/// The same of a client.
const ENDLESS_REQUESTS: [(&str, &str); 6] = [
    ("", "POST"),
    ("POST OWN", "/path"),
    ("POST OWN HTTP/1.1|Host: localhost|", "X-A: 1|"),
    ("POST OWN HTTP/1.1|Host: localhost|X-A: ", "value "),
    ("POST OWN HTTP/1.1|Host: localhost|Transfer-Encoding: chunked||2;", "extension"),
    ("POST OWN HTTP/1.1|Host: localhost|Transfer-Encoding: chunked||0|", "X-A: 1|"),
];

/// Sends it until the remote has had enough.
async fn pour(mut socket: impl AsyncWrite + Unpin, begin: &str, again: &str) {
    let again = again.replace('|', "\r\n").repeat(1000);
    socket.write_all(begin.replace('|', "\r\n").as_bytes()).await.ok();
    while socket.write_all(again.as_bytes()).await.is_ok() {}
}

/// By how much the memory of a process may grow at most: by a head of half a megabyte, the buffers of its
/// connection, and what the allocator makes of them.
const GROWTH: u64 = 16 << 20;

#[tokio::test]
async fn what_has_no_end_is_given_up_before_it_takes_memory() {
    let recorder = Recorder::start(b"").await;
    let tunnel = Tunnel::by("tcp").start().await;
    next_client_is_served(&tunnel, &recorder.target).await;
    let before = [&tunnel.server, &tunnel.agent].map(Watertight::peak);
    for (begin, again) in ENDLESS_ANSWERS {
        let endless = Target::start(move |mut socket, _| async move {
            let ((mut read, write), mut ignored) = (socket.split(), sink());
            let (_, read) = tokio::join!(pour(write, begin, again), copy(&mut read, &mut ignored));
            read.ok();
        });
        let endless = endless.await;
        let answer = converse(&tunnel, &(get(&endless, "/own") + "\r\n")).await;
        let (answers, cut) = Message::all(&answer).unwrap();
        let is_refused = answers.first().is_some_and(|answer| answer.subject() == "502");
        assert!(is_refused || cut, "{begin:?}, {again:?}: {answers:?}");
        next_client_is_served(&tunnel, &recorder.target).await;
    }
    for (begin, again) in ENDLESS_REQUESTS {
        let begin = begin.replace("OWN", &Tunnel::proxied(recorder.target.at, "/own"));
        let mut socket = TcpStream::connect(tunnel.server.admin()).await.unwrap();
        let ((mut read, write), mut answer) = (socket.split(), Vec::new());
        let answered = async {
            tokio::select! {
                _ = read.read_to_end(&mut answer) => {}
                () = pour(write, &begin, again) => {}
            }
        };
        in_time("an answer", answered).await;
        let status = String::from_utf8_lossy(&answer);
        assert!(status.starts_with("HTTP/1.1 4"), "{begin:?}, {again:?}: {status}");
        next_client_is_served(&tunnel, &recorder.target).await;
    }
    let after = [&tunnel.server, &tunnel.agent].map(Watertight::peak);
    for (before, after) in before.into_iter().zip(after) {
        assert!(after < before + GROWTH, "{before} and then {after} bytes");
    }
    tunnel.end().await;
}
