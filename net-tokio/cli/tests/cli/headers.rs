//! Extra request headers of an agent, and their errors.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;

use crate::process::{DEADLINE, Process, program, run};

#[test]
fn an_agent_sends_the_headers_that_it_is_given() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/v3/connect", server.local_addr().unwrap());
    let mut command = program(&["agent", "--connect", &url, "--key", "edge", "--allow", "*:1"]);
    command.args(["--header", "X-API-Tunnel-Params: eyJ9"]);
    command.env("WATERTIGHT_AGENT_HEADER", "X-Left-Out: the command line counts");
    let _agent = Process::start(command);
    let (socket, _) = server.accept().unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let lines = BufReader::new(socket).lines().map(Result::unwrap);
    let head: Vec<String> =
        lines.take_while(|line| !line.is_empty()).map(|line| line.to_lowercase()).collect();
    assert_eq!(head.first().unwrap(), "get /v3/connect http/1.1");
    for header in ["x-api-tunnel-params: eyj9", "x-tunnel-id: edge"] {
        assert!(head.iter().any(|line| line == header), "{header} is missing in {head:?}");
    }
    assert!(!head.iter().any(|line| line.starts_with("x-left-out")), "{head:?}");
}

#[test]
fn headers_are_for_web_sockets() {
    let agent = ["agent", "--connect", "tcp://127.0.0.1:1", "--key", "edge", "--header", "X: y"];
    let finished = run(&agent);
    assert_eq!(finished.code, 2);
    assert!(finished.stderr.contains("--header is for the upgrade"), "{finished:?}");
}

#[test]
fn a_header_that_cannot_be_read_is_not_shown() {
    let agent = ["agent", "--connect", "ws://127.0.0.1:1", "--key", "edge", "--header", "secret"];
    let finished = run(&agent);
    assert_eq!(finished.code, 2);
    assert!(finished.stderr.contains("--header: expected `NAME: VALUE`"), "{finished:?}");
    assert!(!finished.stderr.contains("secret"), "{finished:?}");
}

#[test]
fn a_token_is_not_sent_beside_another_authorization() {
    let agent = ["agent", "--connect", "ws://127.0.0.1:1", "--key", "edge"];
    let twice = ["--token-file", "/dev/null", "--header", "authorization: Basic secret"];
    let finished = run(&[&agent[..], &twice].concat());
    assert_eq!(finished.code, 2);
    assert!(finished.stderr.contains("give one of them"), "{finished:?}");
    assert!(!finished.stderr.contains("secret"), "{finished:?}");
}
