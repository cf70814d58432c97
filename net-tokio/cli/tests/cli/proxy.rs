//! The HTTP proxy of the admin address: requests, upgrades, errors, and clients that disconnect.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::thread;

use crate::http::{connect, get, head, send, upgrade};
use crate::process::eventually;
use crate::target;
use crate::tunnel::Tunnel;

/// The path of the proxy for a target, with the client key percent-encoded.
fn to(target: &str, path: &str) -> String {
    format!("/client/edge%207/http/{target}{path}")
}

fn tunnel_to(target: &str) -> Tunnel {
    Tunnel::start(&[], &["--allow", target])
}

#[test]
fn a_request_reaches_the_target_as_it_should() {
    let target = target::start();
    let tunnel = tunnel_to(&target);
    let request = format!(
        "POST {} HTTP/1.0\r\nhost: localhost\r\ncontent-length: 5\r\nx-end: to-end\r\n\
         x-hop: by-hop\r\nconnection: x-hop\r\nkeep-alive: 5\r\n\r\nhello",
        to(&target, "/a%2Fb//c?q=1&r=%20")
    );
    let answer = send(&tunnel.admin(), &request);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(!answer.head.contains("x-hop"), "{}", answer.head);
    let seen = answer.body.to_lowercase();
    assert!(seen.starts_with("post /a%2fb//c?q=1&r=%20 http/1.1\r\n"), "{seen}");
    assert!(seen.ends_with("\r\n\r\nhello"), "{seen}");
    for header in [format!("host: {target}\r\n"), "x-end: to-end\r\n".into(), "via: ".into()] {
        assert!(seen.contains(&header), "{header} is missing in {seen}");
    }
    for header in ["x-hop", "keep-alive"] {
        assert!(!seen.contains(header), "{header} is left in {seen}");
    }
    tunnel.stop();
}

#[test]
fn an_upgrade_is_passed_through() {
    let target = target::start();
    let tunnel = tunnel_to(&target);
    let (mut socket, answer) = upgrade(&tunnel.admin(), &to(&target, "/echo"));
    assert_eq!(answer.status, 101, "{answer:?}");
    assert!(answer.head.contains("upgrade: echo"), "{}", answer.head);
    socket.write_all(b"to and fro").unwrap();
    let mut echoed = [0; 10];
    socket.read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, b"to and fro");
    socket.write_all(b", and the rest").unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    let mut rest = String::new();
    socket.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, ", and the rest");
    tunnel.stop();
}

#[test]
fn what_a_client_sends_with_its_upgrade_comes_before_its_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let tunnel = tunnel_to(&target_of(&listener));
    for _ in 0..20 {
        let mut socket = connect(&tunnel.admin());
        let line = format!("GET {} HTTP/1.1\r\n", to(&target_of(&listener), "/"));
        let fields = "Host: localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
        socket.write_all(format!("{line}{fields}early").as_bytes()).unwrap();
        let mut target = listener.accept().unwrap().0;
        head(&mut target);
        socket.shutdown(Shutdown::Write).unwrap();
        target
            .write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
            )
            .unwrap();
        let mut received = String::new();
        target.read_to_string(&mut received).unwrap();
        assert_eq!(received, "early");
        target.write_all(b"answer").unwrap();
        drop(target);
        head(&mut socket);
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "answer");
    }
    tunnel.stop();
}

/// The kernel resets the connection of a target that closes with bytes unread.
#[test]
fn n1_what_an_upgraded_target_says_before_its_reset_arrives_and_then_the_reset() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let tunnel = tunnel_to(&target_of(&listener));
    for _ in 0..20 {
        let (mut socket, mut target) = thread::scope(|scope| {
            let target = scope.spawn(|| {
                let mut socket = listener.accept().unwrap().0;
                head(&mut socket);
                socket
                    .write_all(
                        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                          Upgrade: echo\r\n\r\n",
                    )
                    .unwrap();
                socket
            });
            let (socket, answer) = upgrade(&tunnel.admin(), &to(&target_of(&listener), "/"));
            assert_eq!(answer.status, 101, "{answer:?}");
            (socket, target.join().unwrap())
        });
        // The client continues to send, so that it is a write that fails first.
        let mut sender = socket.try_clone().unwrap();
        let sending = thread::spawn(move || {
            loop {
                if let Err(error) = sender.write_all(&[7; 60_000]) {
                    return error.kind();
                }
            }
        });
        target.read_exact(&mut [0]).unwrap();
        target.write_all(&[9; 60_000]).unwrap();
        eventually("the unread byte", || (target.peek(&mut [0]).unwrap() == 1).then_some(()));
        drop(target);
        let mut received = Vec::new();
        let end = socket.read_to_end(&mut received).map_err(|error| error.kind());
        assert_eq!(received.len(), 60_000);
        // The kernel reports it once.
        let told = [sending.join().unwrap(), end.err().unwrap_or(ErrorKind::BrokenPipe)];
        assert!(told.contains(&ErrorKind::ConnectionReset), "{told:?}");
    }
    tunnel.stop();
}

fn target_of(listener: &TcpListener) -> String {
    listener.local_addr().unwrap().to_string()
}

#[test]
fn errors_have_a_status_and_words() {
    let target = target::start();
    let tunnel = tunnel_to(&target);
    let admin = tunnel.admin();
    let unknown = get(&admin, &format!("/client/nobody/http/{target}/"));
    assert_eq!(unknown.status, 404);
    assert!(unknown.body.contains("\"nobody\" is not connected"), "{}", unknown.body);
    assert!(!unknown.body.contains("edge"), "{}", unknown.body);
    let refused = get(&admin, &to("localhost:1", "/"));
    assert_eq!(refused.status, 502);
    assert!(refused.body.contains("tcp/localhost:1 is not allowed here"), "{}", refused.body);
    assert_eq!(get(&admin, "/client/edge%207/gopher/host/").status, 400);
    for path in ["/client/edge%207", "/client/edge%207/", "/client/edge%207/http", "/client/"] {
        let incomplete = get(&admin, path);
        assert_eq!(incomplete.status, 400);
        for text in ["is missing", "/client/{key}/{scheme}/{host}/{path}"] {
            assert!(incomplete.body.contains(text), "{}", incomplete.body);
        }
    }
    tunnel.stop();
}

#[test]
fn a_client_that_goes_away_leaves_nothing_behind() {
    let target = target::start_silent();
    let tunnel = tunnel_to(&target);
    let mut socket = connect(&tunnel.admin());
    let request = format!("GET {} HTTP/1.1\r\nhost: localhost\r\n\r\n", to(&target, "/"));
    socket.write_all(request.as_bytes()).unwrap();
    let live = || tunnel.clients()["server"]["connections"]["live"].as_u64().unwrap();
    eventually("the request", || (live() == 1).then_some(()));
    drop(socket);
    eventually("its end", || (live() == 0).then_some(()));
    tunnel.stop();
}

#[test]
fn a_client_that_goes_away_in_a_body_leaves_nothing_behind() {
    let target = target::start_endless();
    let tunnel = tunnel_to(&target);
    let mut socket = connect(&tunnel.admin());
    let request = format!("GET {} HTTP/1.1\r\nhost: localhost\r\n\r\n", to(&target, "/"));
    socket.write_all(request.as_bytes()).unwrap();
    socket.read_exact(&mut [0; 1 << 20]).unwrap();
    drop(socket);
    let live = || tunnel.clients()["server"]["connections"]["live"].as_u64().unwrap();
    eventually("its end", || (live() == 0).then_some(()));
    tunnel.stop();
}
