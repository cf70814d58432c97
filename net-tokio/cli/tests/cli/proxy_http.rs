//! The admin proxy's HTTP beside that of a direct connection: half-close, bodies, trailers, names,
//! answers that are cut.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc;

use tokio::runtime::Builder;
use watertight::{TcpState, acknowledged};

use crate::http::{connect, head};
use crate::process::{DEADLINE, eventually};
use crate::target::serve_each;
use crate::tunnel::Tunnel;

/// The path of the proxy for a target.
fn to(target: &str, path: &str) -> String {
    format!("/client/edge%207/http/{target}{path}")
}

fn tunnel() -> Tunnel {
    Tunnel::start(&[], &["--allow", "127.0.0.1:*"])
}

fn request(line: &str, target: &str, version: &str, rest: &str) -> String {
    format!("{line} {} HTTP/{version}\r\nHost: localhost\r\n{rest}\r\n", to(target, "/"))
}

/// Starts a service that answers each request with its head, its names as they came.
fn mirror() -> String {
    serve_each(|mut socket| {
        let head = head(&mut socket);
        let length = head.len();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{head}");
        socket.write_all(answer.as_bytes()).ok();
    })
}

/// Sends all of it, and reads to the end of the connection.
fn talk(tunnel: &Tunnel, request: &str) -> String {
    let mut socket = connect(&tunnel.admin());
    socket.write_all(request.as_bytes()).unwrap();
    rest(&mut socket)
}

fn rest(socket: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

/// Reads until the connection fails, and returns what came before.
fn until_reset(socket: &mut TcpStream) -> Vec<u8> {
    let (mut read, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        match socket.read(&mut chunk) {
            Ok(0) => panic!("an end of file after {} bytes: a cut answer looks whole", read.len()),
            Ok(length) => read.extend_from_slice(&chunk[..length]),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset, "after {} bytes", read.len());
                return read;
            }
        }
    }
}

#[test]
fn a_client_may_finish_its_side_after_the_request() {
    let tunnel = tunnel();
    for version in ["1.0", "1.1"] {
        let mut socket = connect(&tunnel.admin());
        socket.write_all(request("GET", &mirror(), version, "").as_bytes()).unwrap();
        socket.shutdown(Shutdown::Write).unwrap();
        let answer = rest(&mut socket);
        assert!(answer.starts_with(&format!("HTTP/{version} 200 OK\r\n")), "{answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    }
    // Without a request in between, the end of the client is that of the connection.
    let mut socket = connect(&tunnel.admin());
    socket.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert!(head(&mut socket).starts_with("HTTP/1.1 200 OK\r\n"));
    socket.shutdown(Shutdown::Write).unwrap();
    assert!(rest(&mut socket).ends_with("ok\n"));
    tunnel.stop();
}

#[test]
fn a_target_sees_that_the_client_has_finished() {
    // It answers once the request's connection has ended, as a direct one would let it.
    let target = serve_each(|mut socket| {
        let mut all = Vec::new();
        socket.read_to_end(&mut all).unwrap();
        socket.write_all(b"HTTP/1.0 200 OK\r\n\r\nafter the end").ok();
    });
    let tunnel = tunnel();
    for (line, rest_of_it) in [("GET", ""), ("POST", "Content-Length: 4\r\n\r\nbody")] {
        let mut socket = connect(&tunnel.admin());
        let request = request(line, &target, "1.1", rest_of_it);
        let request = request.strip_suffix("\r\n").filter(|_| line == "POST").unwrap_or(&request);
        socket.write_all(request.as_bytes()).unwrap();
        socket.shutdown(Shutdown::Write).unwrap();
        let answer = rest(&mut socket);
        assert!(answer.contains("after the end"), "{line}: {answer}");
    }
    tunnel.stop();
}

/// Starts a service that answers a chunked request with that request, up to the end of its
/// trailers.
fn chunked_mirror() -> String {
    serve_each(|mut socket| {
        let mut seen = head(&mut socket);
        if seen.to_lowercase().contains("transfer-encoding: chunked") {
            // The last chunk and its trailers end with a blank line, as a head does.
            while !seen.contains("\r\n0\r\n") {
                seen.push_str(&head(&mut socket));
            }
        }
        let length = seen.len();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{seen}");
        socket.write_all(answer.as_bytes()).ok();
    })
}

#[test]
fn a_chunked_body_is_passed_on_with_any_method() {
    let (tunnel, target) = (tunnel(), chunked_mirror());
    for method in ["GET", "HEAD", "POST", "DELETE"] {
        let body = "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nquery\r\n0\r\n";
        let answer = talk(&tunnel, &request(method, &target, "1.1", body));
        if method == "HEAD" {
            // Its answer has no body: the length is that of what arrived.
            let length = answer.split("ontent-Length: ").nth(1).unwrap();
            let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
            assert!(length > "HEAD / HTTP/1.1\r\n".len() + body.len(), "{answer}");
        } else {
            assert!(answer.contains("\r\n5\r\nquery\r\n0\r\n"), "{method}: {answer}");
        }
    }
    tunnel.stop();
}

#[test]
fn trailers_pass_in_both_directions() {
    let target = serve_each(|mut socket| {
        let mut seen = head(&mut socket);
        while !seen.contains("\r\n0\r\n") {
            seen.push_str(&head(&mut socket));
        }
        let length = seen.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: grpc-status, grpc-message\r\n\r\n\
             {length:x}\r\n{seen}\r\n0\r\ngrpc-status: 0\r\ngrpc-message: fine\r\n\r\n"
        );
        socket.write_all(answer.as_bytes()).ok();
    });
    let tunnel = tunnel();
    let body = "Connection: close, TE\r\nTE: trailers\r\nTrailer: X-Sum\r\n\
                Transfer-Encoding: chunked\r\n\r\n5\r\nquery\r\n0\r\nX-Sum: 12\r\n";
    let answer = talk(&tunnel, &request("POST", &target, "1.1", body));
    let (answer_head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(answer_head.to_lowercase().contains("trailer: grpc-status, grpc-message"), "{answer}");
    assert!(body.to_lowercase().contains("te: trailers\r\n"), "{answer}");
    assert!(body.contains("Trailer: X-Sum\r\n"), "{answer}");
    assert!(body.contains("\r\n5\r\nquery\r\n0\r\nx-sum: 12\r\n\r\n"), "{answer}");
    assert!(body.ends_with("\r\n0\r\ngrpc-status: 0\r\ngrpc-message: fine\r\n\r\n"), "{answer}");
    tunnel.stop();
}

#[test]
fn names_of_headers_keep_their_case() {
    let target = serve_each(|mut socket| {
        let head = head(&mut socket);
        let length = head.len();
        let answer =
            format!("HTTP/1.1 200 OK\r\ncOntent-LENGTH: {length}\r\nX-bAcK: 2\r\n\r\n{head}");
        socket.write_all(answer.as_bytes()).ok();
    });
    let tunnel = tunnel();
    let answer =
        talk(&tunnel, &request("GET", &target, "1.1", "X-fOrTh: 1\r\nConnection: close\r\n"));
    for line in ["\r\nX-bAcK: 2\r\n", "\r\nX-fOrTh: 1\r\n", "\r\nHost: 127"] {
        assert!(answer.contains(line), "{line} is not in {answer}");
    }
    tunnel.stop();
}

#[test]
fn a_cut_answer_does_not_look_whole() {
    // In chunks, whose end the target never sends: a client of HTTP/1.0 sees no chunks.
    let chunked = serve_each(|mut socket| {
        head(&mut socket);
        let start = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nstart\r\n";
        socket.write_all(start).unwrap();
    });
    // With a length that the target does not keep.
    let length = serve_each(|mut socket| {
        head(&mut socket);
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nstart").unwrap();
    });
    let tunnel = tunnel();
    for (target, version) in [(&chunked, "1.0"), (&chunked, "1.1"), (&length, "1.0")] {
        let mut socket = connect(&tunnel.admin());
        socket.write_all(request("GET", target, version, "").as_bytes()).unwrap();
        let received = String::from_utf8(until_reset(&mut socket)).unwrap();
        assert!(received.contains("\r\n\r\n") && received.contains("start"), "{received}");
    }
    tunnel.stop();
}

#[test]
fn an_answer_until_the_end_that_the_target_resets_does_not_look_whole() {
    let (reset, told) = mpsc::channel::<()>();
    let told = std::sync::Arc::new(std::sync::Mutex::new(told));
    let target = serve_each(move |mut socket| {
        head(&mut socket);
        socket.write_all(b"HTTP/1.1 200 OK\r\n\r\nstart").unwrap();
        told.lock().unwrap().recv().unwrap();
        socket2::SockRef::from(&socket).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    });
    let tunnel = tunnel();
    for version in ["1.0", "1.1"] {
        let mut socket = connect(&tunnel.admin());
        socket.write_all(request("GET", &target, version, "").as_bytes()).unwrap();
        let mut received = Vec::new();
        while !received.windows(5).any(|five| five == b"start") {
            let mut chunk = [0; 1000];
            let length = socket.read(&mut chunk).unwrap();
            assert!(length > 0);
            received.extend_from_slice(&chunk[..length]);
        }
        reset.send(()).unwrap();
        until_reset(&mut socket);
    }
    tunnel.stop();
}

#[test]
fn what_came_before_the_cut_is_delivered_to_a_slow_reader() {
    const LENGTH: usize = 8 << 20;
    let target = serve_each(|mut socket| {
        head(&mut socket);
        let start = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{LENGTH:x}\r\n");
        socket.write_all(start.as_bytes()).unwrap();
        socket.write_all(&vec![b'x'; LENGTH]).unwrap();
    });
    let tunnel = tunnel();
    let mut socket = connect(&tunnel.admin());
    socket.write_all(request("GET", &target, "1.0", "").as_bytes()).unwrap();
    // The rest waits in the queues until it is read, and the cut behind it.
    head(&mut socket);
    assert_eq!(until_reset(&mut socket).len(), LENGTH);
    tunnel.stop();
}

#[test]
fn an_answer_before_the_end_of_the_request_arrives_whole() {
    let target = serve_each(|mut socket| {
        head(&mut socket);
        let answer =
            "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 9\r\n\r\ntoo large";
        socket.write_all(answer.as_bytes()).unwrap();
        socket.shutdown(Shutdown::Write).unwrap();
        std::io::copy(&mut socket, &mut std::io::sink()).ok();
    });
    let tunnel = tunnel();
    for _ in 0..10 {
        let mut socket = connect(&tunnel.admin());
        let length = 16 << 20;
        let start = request("PUT", &target, "1.1", &format!("Content-Length: {length}\r\n"));
        socket.write_all(start.as_bytes()).unwrap();
        // As curl does, which reads only once it has sent all, or cannot.
        socket.write_all(&vec![7; length]).unwrap();
        let answer = head(&mut socket);
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        let mut body = [0; 9];
        socket.read_exact(&mut body).unwrap();
        assert_eq!(&body, b"too large");
    }
    tunnel.stop();
}

/// Answers without reading a body, and closes once all of the answer has been received: the kernel resets
/// the connection for what is unread.
fn answer_deaf(mut socket: TcpStream, length: usize) {
    head(&mut socket);
    let head = "HTTP/1.1 413 Too Large\r\nConnection: close";
    let head = format!("{head}\r\nContent-Length: {length}\r\n\r\n");
    socket.write_all(head.as_bytes()).unwrap();
    socket.write_all(&vec![b'x'; length]).unwrap();
    eventually("the unread byte", || (socket.peek(&mut [0]).unwrap() == 1).then_some(()));
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        socket.set_nonblocking(true).unwrap();
        let socket = tokio::net::TcpStream::from_std(socket).unwrap();
        acknowledged(|| TcpState::of(&socket), DEADLINE).await;
    });
}

#[test]
fn an_answer_before_the_reset_of_a_target_that_reads_no_body_arrives_whole() {
    // More than the proxy takes from the target at once.
    let answer = 64 << 10;
    let target = serve_each(move |socket| answer_deaf(socket, answer));
    let tunnel = tunnel();
    for _ in 0..10 {
        let mut socket = connect(&tunnel.admin());
        let length = 16 << 20;
        let start = request("PUT", &target, "1.1", &format!("Content-Length: {length}\r\n"));
        socket.write_all(start.as_bytes()).unwrap();
        socket.write_all(&vec![7; length]).unwrap();
        let head = head(&mut socket);
        assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
        let mut body = vec![0; answer];
        socket.read_exact(&mut body).unwrap();
        assert!(body.iter().all(|byte| *byte == b'x'));
    }
    tunnel.stop();
}

#[test]
fn an_answer_that_does_not_wait_for_the_request_arrives_whole() {
    let target = serve_each(|mut socket| {
        socket
            .write_all(b"HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbusy")
            .unwrap();
        socket.shutdown(Shutdown::Write).unwrap();
        std::io::copy(&mut socket, &mut std::io::sink()).ok();
    });
    let tunnel = tunnel();
    for _ in 0..30 {
        let mut socket = connect(&tunnel.admin());
        socket.write_all(request("GET", &target, "1.1", "").as_bytes()).unwrap();
        let head = head(&mut socket);
        assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
        let mut body = [0; 4];
        socket.read_exact(&mut body).unwrap();
        assert_eq!(&body, b"busy");
    }
    tunnel.stop();
}

#[test]
fn heads_of_many_lines_pass_both_ways() {
    const LINES: usize = 300;
    let target = serve_each(|mut socket| {
        let request = head(&mut socket);
        let lines = request.lines().filter(|line| line.starts_with("x-line-")).count();
        let fields: String = (0..LINES).map(|line| format!("x-back-{line}: {line}\r\n")).collect();
        let answer =
            format!("HTTP/1.1 200 OK\r\nx-lines: {lines}\r\n{fields}Content-Length: 0\r\n\r\n");
        socket.write_all(answer.as_bytes()).unwrap();
    });
    let tunnel = tunnel();
    let mut socket = connect(&tunnel.admin());
    let lines: String = (0..LINES).map(|line| format!("x-line-{line}: {line}\r\n")).collect();
    socket.write_all(request("GET", &target, "1.1", &lines).as_bytes()).unwrap();
    let head = head(&mut socket);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.contains(&format!("x-lines: {LINES}\r\n")), "{head}");
    assert_eq!(head.lines().filter(|line| line.starts_with("x-back-")).count(), LINES);
    tunnel.stop();
}

#[test]
fn a_body_that_its_client_cuts_is_the_clients_fault() {
    let target = serve_each(|mut socket| {
        std::io::copy(&mut socket, &mut std::io::sink()).ok();
    });
    let tunnel = tunnel();
    let mut socket = connect(&tunnel.admin());
    let start = request("PUT", &target, "1.1", "Content-Length: 10\r\n");
    socket.write_all(start.as_bytes()).unwrap();
    socket.write_all(b"half").unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    let head = head(&mut socket);
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    tunnel.stop();
}

#[test]
fn a_client_that_speaks_http_2_is_told_to_speak_http_1() {
    let tunnel = tunnel();
    let mut socket = connect(&tunnel.admin());
    socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    socket.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    // SETTINGS without an entry, then GOAWAY.
    assert_eq!(&answer[..9], &[0, 0, 0, 4, 0, 0, 0, 0, 0]);
    assert_eq!(&answer[12..18], &[7, 0, 0, 0, 0, 0]);
    const HTTP_1_1_REQUIRED: [u8; 4] = [0, 0, 0, 13];
    assert_eq!(&answer[18..26], &[[0; 4], HTTP_1_1_REQUIRED].concat());
    let text = String::from_utf8(answer[26..].to_vec()).unwrap();
    assert!(text.contains("HTTP/1.1"), "{text}");
    assert_eq!(usize::from(answer[11]), 8 + text.len());
    tunnel.stop();
}

/// The headers about the origin of a request, as a target gets them.
fn forwarded(tunnel: &Tunnel, headers: &str) -> Vec<String> {
    let target = mirror();
    let headers = format!("{headers}Connection: close\r\n");
    let answer = talk(tunnel, &request("GET", &target, "1.1", &headers));
    let (_, seen) = answer.split_once("\r\n\r\n").unwrap();
    let prefix = format!("/client/edge%207/http/{target}");
    let lines = seen.lines().filter(|line| line.to_lowercase().contains("forwarded"));
    lines.map(|line| line.replace(&prefix, "{prefix}")).collect()
}

const CLAIMS: &str = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n\
                      X-Forwarded-Host: web.example\r\nX-Forwarded-Prefix: /a\r\n\
                      Forwarded: for=192.0.2.1;proto=https\r\n";

fn sorted(lines: &[&str]) -> Vec<String> {
    let mut lines: Vec<_> = lines.iter().map(|line| line.to_lowercase()).collect();
    lines.sort();
    lines
}

fn as_seen(tunnel: &Tunnel, headers: &str) -> Vec<String> {
    let seen = forwarded(tunnel, headers);
    sorted(&seen.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn a_target_is_told_who_asks() {
    let own = [
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: http",
        "x-forwarded-host: localhost",
        "x-forwarded-prefix: {prefix}",
        "forwarded: for=127.0.0.1;host=localhost;proto=http",
    ];
    let appended = [
        "x-forwarded-for: 192.0.2.1, 127.0.0.1",
        "x-forwarded-proto: https",
        "x-forwarded-host: web.example",
        "x-forwarded-prefix: /a, {prefix}",
        "forwarded: for=192.0.2.1;proto=https, for=127.0.0.1;host=localhost;proto=http",
    ];
    let kept = [
        "x-forwarded-for: 192.0.2.1",
        "x-forwarded-proto: https",
        "x-forwarded-host: web.example",
        "x-forwarded-prefix: /a",
        "forwarded: for=192.0.2.1;proto=https",
    ];
    for (rule, without, with) in [
        (None, &own[..], &appended[..]),
        (Some("append"), &own, &appended),
        (Some("replace"), &own, &own),
        (Some("keep"), &[], &kept),
    ] {
        let options: Vec<&str> = rule.iter().flat_map(|rule| ["--admin-forwarded", rule]).collect();
        let tunnel = Tunnel::start(&options, &["--allow", "127.0.0.1:*"]);
        assert_eq!(as_seen(&tunnel, ""), sorted(without), "{rule:?}");
        assert_eq!(as_seen(&tunnel, CLAIMS), sorted(with), "{rule:?}");
        tunnel.stop();
    }
}

#[test]
fn places_and_cookies_of_an_answer_are_left_alone() {
    let target = serve_each(|mut socket| {
        head(&mut socket);
        let answer = "HTTP/1.1 302 Found\r\nLocation: /login\r\nSet-Cookie: a=1; Path=/\r\n\
                      Content-Length: 0\r\n\r\n";
        socket.write_all(answer.as_bytes()).ok();
    });
    let tunnel = tunnel();
    let answer = talk(&tunnel, &request("GET", &target, "1.1", "Connection: close\r\n"));
    assert!(answer.contains("Location: /login\r\n"), "{answer}");
    assert!(answer.contains("Set-Cookie: a=1; Path=/\r\n"), "{answer}");
    tunnel.stop();
}

#[test]
fn a_client_that_resets_its_connection_leaves_nothing_behind() {
    let target = serve_each(|mut socket| {
        std::io::copy(&mut socket, &mut std::io::sink()).ok();
    });
    let tunnel = tunnel();
    let mut socket = connect(&tunnel.admin());
    socket.write_all(request("GET", &target, "1.1", "").as_bytes()).unwrap();
    let live = || tunnel.clients()["server"]["connections"]["live"].as_u64().unwrap();
    eventually("the request", || (live() == 1).then_some(()));
    socket2::SockRef::from(&socket).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(socket);
    eventually("its end", || (live() == 0).then_some(()));
    tunnel.stop();
}
