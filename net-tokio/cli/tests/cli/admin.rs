//! The admin address: clients, metrics, health, and its defence against browsers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use crate::http::{get, send};
use crate::process::Process;
use crate::tunnel::{KEY, Tunnel, folder, owned, server_arguments};

#[test]
fn clients_and_metrics_are_shown() {
    let tunnel = Tunnel::start(&[], &[]);
    let shown = tunnel.clients();
    let client = &shown["clients"][0];
    assert_eq!(client["key"], KEY);
    assert_eq!(client["dialect"], "watertight");
    assert_eq!(client["ledger"]["added"], 0);
    assert!(client["connected_seconds"].as_f64().unwrap() >= 0.0);
    assert!(client["remote"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert_eq!(shown["server"]["sessions"]["live"], 1);
    let metrics = get(&tunnel.admin(), "/metrics").body;
    assert!(metrics.contains("session_server_total_add_websocket_session 1"), "{metrics}");
    assert!(metrics.contains("watertight_sessions 1"), "{metrics}");
    tunnel.stop();
}

#[test]
fn other_paths_and_methods_are_answered() {
    let tunnel = Tunnel::start(&[], &[]);
    let admin = tunnel.admin();
    assert_eq!(get(&admin, "/healthz").status, 200);
    assert!(get(&admin, "/").body.contains("/clients"));
    assert_eq!(get(&admin, "/nothing").status, 404);
    let post = send(&admin, "POST /clients HTTP/1.0\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(post.status, 405);
    assert!(post.head.contains("allow: get, head"), "{}", post.head);
    tunnel.stop();
}

#[test]
fn pages_in_a_browser_reach_nothing() {
    let tunnel = Tunnel::start(&[], &["--allow", "127.0.0.1:*"]);
    let admin = tunnel.admin();
    let port = admin.rsplit_once(':').unwrap().1;
    for path in ["/", "/clients", "/client/edge%207/http/127.0.0.1:1/"] {
        for headers in [
            "host: evil.example".to_string(),
            format!("host: evil.example:{port}"),
            format!("host: {admin}\r\nsec-fetch-site: cross-site"),
            format!("host: {admin}\r\norigin: http://evil.example"),
        ] {
            let answer = send(&admin, &format!("GET {path} HTTP/1.0\r\n{headers}\r\n\r\n"));
            assert_eq!(answer.status, 403, "{headers}: {answer:?}");
            assert!(answer.body.contains("the admin server "), "{answer:?}");
        }
    }
    for host in [admin.clone(), format!("localhost:{port}"), "[::1]:1".to_string()] {
        let request =
            format!("GET /clients HTTP/1.0\r\nhost: {host}\r\norigin: http://{host}\r\n\r\n");
        assert_eq!(send(&admin, &request).status, 200, "{host}");
    }
    tunnel.stop();
}

#[test]
fn a_unix_socket_is_for_this_user_alone() {
    let folder = folder();
    let socket = folder.path().join("admin.sock");
    let address = format!("unix:{}", socket.display());
    let arguments = [server_arguments(&folder), owned(&["--admin", &address])].concat();
    let server = Process::ready(&arguments);
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let mut stream = UnixStream::connect(&socket).unwrap();
    let request = "GET /healthz HTTP/1.0\r\nhost: docker\r\nsec-fetch-site: cross-site\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("\r\n\r\nok\n"), "{answer}");
    assert_eq!(server.stop().code, 0);
}

#[test]
fn s1_idle_connections_do_not_stop_health_checks() {
    let tunnel = Tunnel::start(&[], &[]);
    let admin = tunnel.admin();
    let ask = |socket: &mut TcpStream| {
        let request = format!("GET /healthz HTTP/1.1\r\nhost: {admin}\r\n\r\n");
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = [0; 12];
        socket.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
    };
    let mut held = Vec::new();
    for number in 0..2200 {
        let mut socket = TcpStream::connect(&admin).unwrap();
        // Half of them have had an answer, and may have another request.
        if number % 2 == 0 {
            ask(&mut socket);
        }
        held.push(socket);
    }
    assert_eq!(get(&admin, "/healthz").status, 200);
    ask(held.last_mut().unwrap());
    tunnel.stop();
}
