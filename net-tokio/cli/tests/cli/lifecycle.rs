//! Signals: drain, cut, immediate exit, and their deadlines.

use std::io::{Read, Write};
use std::time::Duration;

use rustix::process::Signal;

use crate::http::{connect, get};
use crate::process::{Process, eventually, program, without_settings};
use crate::target;
use crate::tunnel::{
    KEY, TOKEN, Tunnel, agent_arguments, folder, owned, path, server_arguments, write,
};

/// A tunnel to an echo, with a connection through it that is known to be open.
fn with_open_connection(more: &[&str]) -> (Tunnel, std::net::TcpStream) {
    let echo = target::start_echo();
    let forward = format!("127.0.0.1:0={KEY}={echo}");
    let server = [&["--forward", forward.as_str()], more].concat();
    let tunnel = Tunnel::start(&server, &["--allow", &echo]);
    let mut socket = connect(&tunnel.server.address("forward"));
    exchange(&mut socket, b"before");
    (tunnel, socket)
}

fn exchange(socket: &mut std::net::TcpStream, bytes: &[u8]) {
    socket.write_all(bytes).unwrap();
    let mut answer = vec![0; bytes.len()];
    socket.read_exact(&mut answer).unwrap();
    assert_eq!(answer, bytes);
}

#[test]
fn the_first_signal_drains() {
    let (tunnel, mut socket) = with_open_connection(&[]);
    let admin = tunnel.admin();
    assert_eq!(get(&admin, "/healthz").body, "ok\n");
    tunnel.server.signal(Signal::TERM);
    eventually("draining", || (get(&admin, "/healthz").status == 503).then_some(()));
    exchange(&mut socket, b"while it drains");
    drop(socket);
    let ended = tunnel.server.wait();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let ledger = ended.last_line();
    assert!(
        ledger.starts_with("server ledger even: sessions added 1 removed 1 live 0;"),
        "{ledger}"
    );
    assert!(ledger.contains("connections added 1 removed 1 (finished 1) live 0"), "{ledger}");
}

#[test]
fn the_second_signal_cuts_what_is_open() {
    let (tunnel, mut socket) = with_open_connection(&["--drain-timeout", "1h"]);
    tunnel.server.signal(Signal::INT);
    eventually("draining", || tunnel.server.log().contains("draining").then_some(()));
    tunnel.server.signal(Signal::INT);
    let ended = tunnel.server.wait();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.last_line().contains("ledger even"), "{}", ended.stdout);
    // Cut off, and not as if the remote had finished.
    socket.read_to_end(&mut Vec::new()).unwrap_err();
}

#[test]
fn the_third_signal_ends_it_at_once() {
    let (tunnel, _socket) = with_open_connection(&["--drain-timeout", "1h"]);
    // An agent that does not answer makes the drain take seconds.
    tunnel.agent.signal(Signal::STOP);
    for line in ["draining", "another signal"] {
        tunnel.server.signal(Signal::TERM);
        eventually(line, || tunnel.server.log().contains(line).then_some(()));
    }
    tunnel.server.signal(Signal::TERM);
    let ended = tunnel.server.wait();
    assert_eq!(ended.code, 128 + 15, "{}", ended.stderr);
    assert!(!ended.stdout.contains("ledger"), "{}", ended.stdout);
}

#[test]
fn the_drain_has_a_deadline() {
    let (tunnel, socket) = with_open_connection(&["--drain-timeout", "100ms"]);
    let ended = tunnel.server.stop();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.last_line().contains("ledger even"), "{}", ended.stdout);
    drop(socket);
}

#[test]
fn an_agent_that_never_connects_stops_too() {
    let agent = program(&["agent", "--connect", "ws://127.0.0.1:1", "--key", "k"]);
    let agent = Process::start(agent);
    eventually("the complaint", || agent.log().contains("not connected").then_some(()));
    let ended = agent.stop();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(!ended.stdout.contains("ready"), "{}", ended.stdout);
    assert!(ended.last_line().starts_with("agent ledger even: "), "{}", ended.stdout);
}

#[test]
fn silence_ends_a_session_when_it_is_told_to() {
    let tunnel = Tunnel::start(&["--silence", "1s"], &[]);
    tunnel.agent.signal(Signal::STOP);
    let silent = || tunnel.server.log().contains("nothing heard of the remote");
    eventually("the end of the session", || silent().then_some(()));
    tunnel.agent.signal(Signal::CONT);
    tunnel.stop();
}

#[test]
fn an_agent_carries_no_more_connections_than_it_may() {
    let echo = target::start_echo();
    let forward = format!("127.0.0.1:0={KEY}={echo}");
    let agent = ["--allow", &echo, "--max-connections", "1"];
    let tunnel = Tunnel::start(&["--forward", &forward], &agent);
    let address = tunnel.server.address("forward");
    let mut first = connect(&address);
    exchange(&mut first, b"one");
    let mut second = connect(&address);
    second.write_all(b"two").ok();
    assert!(!matches!(second.read(&mut [0]), Ok(1..)), "the second has been carried");
    exchange(&mut first, b"and one more");
    drop(first);
    eventually("room for another one", || {
        let mut next = connect(&address);
        next.write_all(b"3").ok()?;
        matches!(next.read(&mut [0]), Ok(1)).then_some(())
    });
    tunnel.stop();
}

#[test]
fn a_handshake_takes_no_longer_than_it_may() {
    let folder = folder();
    let more = owned(&["--handshake-timeout", "100ms"]);
    let server = Process::ready(&[server_arguments(&folder), more].concat());
    let mut socket = connect(&server.address("agents"));
    // The default is 10 s.
    socket.set_read_timeout(Some(Duration::from_secs(7))).unwrap();
    assert_eq!(socket.read(&mut [0]).unwrap(), 0);
    assert_eq!(server.stop().code, 0);
}

#[test]
fn an_agent_is_ready_once_it_is_connected() {
    let folder = folder();
    let socket = format!("unix:{}", path(&folder, "socket"));
    let tokens = path(&folder, "tokens");
    let forward = format!("unix:{}=localhost:80", path(&folder, "forward"));
    let arguments = ["--key", "k", "--token-file", &tokens, "--forward", &forward];
    let agent = [&["agent", "--connect", &socket][..], &arguments].concat();
    let agent = Process::start(program(&agent));
    eventually("the complaint", || agent.log().contains("not connected").then_some(()));
    // The log and the output are written by two threads.
    let forward = eventually("the forward's address", || agent.find_address("forward"));
    assert!(forward.starts_with("unix:"), "{forward}");
    assert!(!agent.is_ready());
    let server = Process::ready(&["server", "--listen", &socket, "--token-file", &tokens]);
    eventually("readiness", || agent.is_ready().then_some(()));
    eventually("the session", || server.log().contains("session started").then_some(()));
    assert_eq!(agent.stop().code, 0);
    assert_eq!(server.stop().code, 0);
}

#[test]
fn programs_read_the_output_as_json() {
    let folder = folder();
    let server = Process::start(program(
        &[server_arguments(&folder), owned(&["--log-format", "json"])].concat(),
    ));
    eventually("listening", || server.log().contains("\"listening\"").then_some(()));
    let ended = server.stop();
    let lines: Vec<serde_json::Value> =
        ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["listening"] == "agents"), "{}", ended.stdout);
    let ledger = lines.last().unwrap();
    assert_eq!(ledger["ledger"], "server");
    assert_eq!(ledger["even"], true);
    assert_eq!(ledger["tasks"], 0);
    for line in ended.stderr.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

#[test]
fn hangup_reads_the_tokens_again_and_keeps_the_old_ones_if_they_are_bad() {
    let folder = folder();
    let server = Process::ready(&server_arguments(&folder));
    let tokens = folder.path().join("tokens");
    write(&tokens, "a b c\n");
    server.signal(Signal::HUP);
    eventually("the complaint", || {
        let log = server.log();
        (log.contains("stay in force") && log.contains("tokens:1: ")).then_some(())
    });
    let status =
        |token: &str| crate::refusals::connect_with(&server, Some("k"), Some(token)).status;
    assert_eq!(status(TOKEN), 101);
    write(&tokens, "another\n");
    server.signal(Signal::HUP);
    eventually("the new tokens", || server.log().contains("read again").then_some(()));
    assert_eq!(status(TOKEN), 401);
    assert_eq!(status("another"), 101);
    assert_eq!(server.stop().code, 0);
}

#[test]
fn a_server_without_file_descriptors_waits_for_some() {
    let folder = folder();
    let server = Process::ready(&server_arguments(&folder));
    let agents = server.address("agents");
    server.limit_files(4);
    let idle: Vec<_> = (0..8).map(|_| connect(&agents)).collect();
    let complaint = "cannot accept connections for the moment error=Too many open files";
    eventually("the complaint", || server.log().contains(complaint).then_some(()));
    drop(idle);
    let served = crate::refusals::connect_with(&server, Some("k"), Some(TOKEN));
    assert_eq!(served.status, 101);
    assert_eq!(server.stop().code, 0);
}

#[test]
fn a_socket_file_of_a_dead_server_is_no_obstacle() {
    let folder = folder();
    let socket = format!("unix:{}", path(&folder, "s"));
    let arguments =
        owned(&["server", "--listen", &socket, "--token-file", &path(&folder, "tokens")]);
    let first = Process::ready(&arguments);
    let refused = crate::process::run(&arguments);
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    first.signal(Signal::KILL);
    first.wait();
    assert!(folder.path().join("s").exists());
    assert_eq!(Process::ready(&arguments).stop().code, 0);
    assert!(!folder.path().join("s").exists());
}

#[test]
fn agents_connect_at_the_path_that_the_server_is_told() {
    let folder = folder();
    let more = owned(&["--connect-path", "/tunnel/connect"]);
    let server = Process::ready(&[server_arguments(&folder), more].concat());
    let arguments = agent_arguments(&folder, &server);
    let elsewhere = Process::start(program(&arguments));
    let refused = || elsewhere.log().contains("agents connect to /tunnel/connect");
    eventually("the refusal", || refused().then_some(()));
    let there = arguments.iter().map(|text| text.replace("/connect", "/tunnel/connect"));
    let agent = Process::ready(&there.collect::<Vec<_>>());
    assert_eq!(agent.stop().code, 0);
}

#[test]
fn an_agent_takes_a_changed_token_to_its_next_connection() {
    let folder = folder();
    let socket = format!("unix:{}", path(&folder, "socket"));
    let server = || {
        let tokens = path(&folder, "tokens");
        Process::ready(&["server", "--listen", &socket, "--token-file", &tokens])
    };
    let first = server();
    let token = path(&folder, "token");
    write(token.as_ref(), TOKEN);
    let arguments = ["agent", "--connect", &socket, "--key", "k", "--token-file", &token];
    let agent = Process::ready(&arguments);
    for file in ["tokens", "token"] {
        write(&folder.path().join(file), "another-token\n");
    }
    agent.signal(Signal::HUP);
    assert_eq!(first.stop().code, 0);
    let second = server();
    eventually("its return", || second.log().contains("session started").then_some(()));
    assert_eq!(agent.stop().code, 0);
}

#[test]
fn the_limit_on_descriptors_is_raised_as_far_as_it_goes() {
    let folder = folder();
    let arguments = server_arguments(&folder).join(" ");
    let script = format!("ulimit -Sn 64; exec {} {arguments}", env!("CARGO_BIN_EXE_watertight"));
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &script]);
    without_settings(&mut command);
    let server = Process::ready_with(command);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.id())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let mut numbers = files.split_whitespace().skip(3);
    assert_eq!(numbers.next(), numbers.next(), "{files}");
    assert_eq!(server.stop().code, 0);
}
