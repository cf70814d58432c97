//! Two servers, each a process, that dial through each other.

use std::net::TcpListener;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::http::get;
use crate::process::{Process, eventually, program, run};
use crate::tunnel::{KEY, agent_arguments, folder, owned, path, server_arguments, write};
use crate::{refusals, target};

/// A port that nobody listens on now. Each server gets the address at which the other one will listen.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn server(folder: &TempDir, port: u16, peering: &[&str]) -> Process {
    let listen = format!("127.0.0.1:{port}");
    let (tokens, token) = (path(folder, "tokens"), path(folder, "peer-token"));
    write(&folder.path().join("peer-token"), "# between servers\nshared\n");
    let common = ["server", "--listen", &listen, "--token-file", &tokens, "--admin", "0"];
    let arguments = [&common[..], &["--peer-token-file", &token], peering].concat();
    Process::ready(&arguments)
}

fn peers(server: &Process) -> Value {
    get(&server.address("admin"), "/peers").json()
}

#[test]
fn an_agent_of_one_server_is_reached_through_the_other() {
    let folder = folder();
    let (at_a, at_b) = (free_port(), free_port());
    let to_b = format!("ws://127.0.0.1:{at_b}/connect,b");
    let to_a = format!("ws://127.0.0.1:{at_a},a,shared");
    let a = server(&folder, at_a, &["--peer-id", "a", "--peer", &to_b]);
    let b = server(&folder, at_b, &["--peer-id", "b", "--peer", &to_a]);
    let allowed = owned(&["--allow", "127.0.0.1:*"]);
    let agent = Process::ready(&[agent_arguments(&folder, &a), allowed].concat());
    let shown =
        eventually("the route", || Some(peers(&b)).filter(|of| of["peers"][0]["routes"] == 1));
    assert_eq!(shown["peers"][0]["id"], "a");
    assert_eq!(shown["peers"][0]["incoming"]["dialect"], "watertight");
    eventually("both ways", || {
        let shown = peers(&a);
        (shown["peers"][0]["outgoing"]["state"] == "connected").then_some(())
    });
    let port = target::start().rsplit_once(':').unwrap().1.to_string();
    let through = format!("/client/{}/http/127.0.0.1:{port}/hello", KEY.replace(' ', "%20"));
    let answer = get(&b.address("admin"), &through);
    assert_eq!(answer.status, 200, "{answer:?}");
    let metrics = get(&b.address("admin"), "/metrics").body;
    for line in [
        "watertight_peer_routes 1",
        "session_server_total_add_websocket_session{peer=\"true\"}",
        "session_server_total_peer_ws_connected{peer=\"a\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is missing in\n{metrics}");
    }
    for process in [agent, a, b] {
        let ended = process.stop();
        assert_eq!(ended.code, 0, "{}\n{}", ended.stdout, ended.stderr);
        assert!(!ended.stderr.contains("shared"), "{}", ended.stderr);
    }
}

#[test]
fn s8_two_servers_prove_who_they_are_by_a_token_of_their_own() {
    let folder = folder();
    let (at_a, at_b) = (free_port(), free_port());
    write(&folder.path().join("of-a"), "b between-a-and-b\n");
    write(&folder.path().join("of-b"), "# a token for each two servers\na between-a-and-b\n");
    let start = |at: u16, id: &str, file: &str, peer: &str| {
        let listen = format!("127.0.0.1:{at}");
        let (tokens, pairs) = (path(&folder, "tokens"), path(&folder, file));
        let common = ["server", "--listen", &listen, "--token-file", &tokens, "--admin", "0"];
        let peering = ["--peer-id", id, "--peer-tokens", &pairs, "--peer", peer];
        Process::ready(&[&common[..], &peering].concat())
    };
    let a = start(at_a, "a", "of-a", &format!("ws://127.0.0.1:{at_b},b"));
    let b = start(at_b, "b", "of-b", &format!("ws://127.0.0.1:{at_a},a"));
    for server in [&a, &b] {
        eventually("both ways", || {
            let peer = &peers(server)["peers"][0];
            let is_up = peer["outgoing"]["state"] == "connected" && !peer["incoming"].is_null();
            is_up.then_some(())
        });
    }
    // A server with another token is refused, and gets no token.
    write(&folder.path().join("of-a"), "b another-word\n");
    assert_eq!(a.stop().code, 0);
    let a = start(at_a, "a", "of-a", &format!("ws://127.0.0.1:{at_b},b"));
    eventually("the refusal", || {
        let log = a.log();
        log.contains("one of the two tokens is wrong").then_some(())
    });
    assert!(peers(&b)["peers"][0]["incoming"].is_null());
    for server in [a, b] {
        let ended = server.stop();
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        assert!(
            !ended.stderr.contains("between-a-and-b") && !ended.stderr.contains("another-word")
        );
    }
}

#[test]
fn s6_a_peer_whose_token_is_gone_or_changed_loses_its_sessions() {
    let folder = folder();
    let (at_a, at_b) = (free_port(), free_port());
    let start = |at: u16, id: &str, tokens: &str, peer: &str| {
        write(&folder.path().join(id), tokens);
        let listen = format!("127.0.0.1:{at}");
        let (agents, pairs) = (path(&folder, "tokens"), path(&folder, id));
        let common = ["server", "--listen", &listen, "--token-file", &agents, "--admin", "0"];
        let peering = ["--peer-id", id, "--peer-tokens", &pairs, "--peer", peer];
        Process::ready(&[&common[..], &peering].concat())
    };
    let a = start(at_a, "a", "b between-a-and-b\n", &format!("ws://127.0.0.1:{at_b},b"));
    let b = start(at_b, "b", "a between-a-and-b\n", &format!("ws://127.0.0.1:{at_a},a"));
    let is_up = |server: &Process| {
        let peer = &peers(server)["peers"][0];
        peer["outgoing"]["state"] == "connected" && !peer["incoming"].is_null()
    };
    let both = || eventually("both ways", || (is_up(&a) && is_up(&b)).then_some(()));
    both();
    // What cannot be read changes nothing.
    write(&folder.path().join("a"), "b\n");
    a.signal(Signal::HUP);
    eventually("a complaint", || {
        a.log().contains("the peers' tokens from before stay in force").then_some(())
    });
    both();
    // Another token: both have to have it.
    write(&folder.path().join("a"), "b a-new-one\n");
    a.signal(Signal::HUP);
    eventually("no session", || {
        let [of_a, of_b] = [&a, &b].map(|server| peers(server)["peers"][0].clone());
        (of_a["incoming"].is_null() && of_b["incoming"].is_null()).then_some(())
    });
    write(&folder.path().join("b"), "a a-new-one\n");
    b.signal(Signal::HUP);
    both();
    // No token: no peer.
    write(&folder.path().join("a"), "");
    a.signal(Signal::HUP);
    eventually("no peer", || peers(&a)["peers"].as_array().unwrap().is_empty().then_some(()));
    eventually("the end at the other one", || {
        peers(&b)["peers"][0]["incoming"].is_null().then_some(())
    });
    for server in [a, b] {
        assert_eq!(server.stop().code, 0);
    }
}

#[test]
fn s8_clear_text_to_another_machine_is_warned_of() {
    let folder = folder();
    write(&folder.path().join("peer-token"), "shared\n");
    let token = path(&folder, "peer-token");
    // A proxy that is not there keeps both on this machine.
    let begin = |arguments: &[String]| {
        let mut command = program(arguments);
        command.env("ALL_PROXY", "http://127.0.0.1:9");
        Process::start(command)
    };
    let peering = ["--peer-id", "a", "--peer-token-file", &token, "--peer", "ws://b.example,b"];
    let server = begin(&[server_arguments(&folder), owned(&peering)].concat());
    eventually("the server's", || {
        server.log().contains("all connections go to the server in clear text").then_some(())
    });
    let agent =
        ["agent", "--connect", "ws://b.example", "--key", "k", "--token-file", token.as_str()];
    let agent = begin(&owned(&agent));
    eventually("the agent's", || {
        agent.log().contains("the token and all connections go to").then_some(())
    });
    agent.stop();
    assert_eq!(server.stop().code, 0);
}

#[test]
fn what_is_missing_or_wrong_is_named_without_the_token() {
    let folder = folder();
    write(&folder.path().join("peer-token"), "shared\n");
    let (token, none) = (path(&folder, "peer-token"), path(&folder, "none"));
    let who = ["--peer-id", "a", "--peer-token-file", token.as_str()];
    let with = |more: &[&str]| [&who[..], more].concat().iter().map(|s| s.to_string()).collect();
    let pairs = path(&folder, "pairs");
    write(&folder.path().join("pairs"), "b secret\n");
    let bad_pairs = path(&folder, "bad-pairs");
    write(&folder.path().join("bad-pairs"), "b secret\nc\n");
    let shared =
        |file: &str, peer: &str| owned(&["--peer-id", "a", "--peer-tokens", file, "--peer", peer]);
    let cases: [(Vec<String>, &str); 20] = [
        (shared(&bad_pairs, "ws://b:1,b"), "bad-pairs:2: expected `ID TOKEN`"),
        (shared(&pairs, "ws://c:1,c"), "for \"b\", which is the id of no --peer"),
        (shared(&pairs, "ws://b:1,b,secret"), "leave one out"),
        ([shared(&pairs, "ws://b:1,b"), owned(&["--peer", "ws://c:1,c"])].concat(), "has no token"),
        (shared(&none, "ws://b:1,b"), "with --peer-tokens"),
        (with(&["--peer-dns", "ws://me:secret@b:1/connect"]), "not in the URL"),
        (owned(&["--peer-dns", "ws://b:1"]), "--peer-id"),
        (with(&["--peer-dns", "tcp://b:1"]), "ws:// or wss://"),
        (with(&["--peer-dns", "ws://b:1"]), "is no IP address"),
        (with(&["--peer-dns", "ws://b:1/connect,b"]), "a URL alone"),
        (owned(&["--peer", "ws://b:1,b"]), "--peer-id"),
        (owned(&["--peer", "ws://b:1,b", "--peer-id", "a"]), "--peer-tokens"),
        (owned(&["--peer-token-file", &token]), "--peer-id"),
        (owned(&["--peer-id", "a", "--peer-token-file", &none]), "with --peer-token-file"),
        (with(&["--peer", "b:1,b,secret"]), "ws://"),
        (with(&["--peer", "ws://b:1"]), "URL,ID"),
        (with(&["--peer", "tcp://b:1,b,secret"]), "ws:// or wss://"),
        (with(&["--peer", "ws://b:1,a,secret"]), "itself"),
        (with(&["--peer", "ws://b:1,b", "--peer", "ws://c:1,b"]), "twice"),
        (with(&["--peer", "ws://b:1,b", "--peer-ca", &token]), "wss://"),
    ];
    for (arguments, text) in cases {
        let failed = run(&[server_arguments(&folder), arguments.clone()].concat());
        assert_eq!(failed.code, 2, "{arguments:?}: {}", failed.stderr);
        assert!(failed.stderr.contains(text), "{text} is missing in\n{}", failed.stderr);
        assert!(!failed.stderr.contains("secret"), "{}", failed.stderr);
    }
}

#[test]
fn a_search_that_finds_nobody_is_complained_of() {
    let folder = folder();
    write(&folder.path().join("peer-token"), "shared\n");
    let token = path(&folder, "peer-token");
    for (id, text) in [("127.0.0.1", "only this one, 127.0.0.1"), ("::1", "of one kind")] {
        let who = ["--peer-id", id, "--peer-token-file", &token];
        let found = ["--peer-dns", "ws://127.0.0.1:1/connect"];
        let arguments = [server_arguments(&folder), owned(&who), owned(&found)].concat();
        let server = Process::ready(&arguments);
        eventually("the complaint", || server.log().contains(text).then_some(()));
        assert_eq!(server.stop().code, 0);
    }
}

#[test]
fn the_environment_may_hold_the_peers() {
    let folder = folder();
    write(&folder.path().join("peer-token"), "shared\n");
    let mut command = program(&[server_arguments(&folder), owned(&["--admin", "0"])].concat());
    command.env("WATERTIGHT_SERVER_PEER_ID", "a");
    command.env("WATERTIGHT_SERVER_PEER_TOKEN_FILE", path(&folder, "peer-token"));
    command.env("WATERTIGHT_SERVER_PEER", "ws://127.0.0.1:1,b,one\nws://127.0.0.1:1,c,two\n");
    let server = Process::ready_with(command);
    let shown = peers(&server);
    let ids: Vec<_> = shown["peers"].as_array().unwrap().iter().map(|peer| &peer["id"]).collect();
    assert_eq!(ids, ["b", "c"]);
    assert!(shown["peers"][0]["incoming"].is_null(), "{shown}");
    assert_eq!(server.stop().code, 0);
}

#[test]
fn peers_are_found_by_name() {
    let folder = folder();
    let (at_a, at_b) = (free_port(), free_port());
    let to_b = format!("ws://127.0.0.1:{at_b},127.0.0.2");
    let a = server(&folder, at_a, &["--peer-id", "127.0.0.1", "--peer", &to_b]);
    let name = format!("ws://localhost:{at_a}");
    let b = server(&folder, at_b, &["--peer-id", "127.0.0.2", "--peer-dns", &name]);
    eventually("a session in each direction", || {
        let shown = peers(&b);
        let found = shown["peers"].as_array().unwrap().iter().find(|of| of["id"] == "127.0.0.1");
        let found = found.filter(|of| of["outgoing"]["state"] == "connected");
        found.filter(|of| of["address"] == "127.0.0.1" && !of["incoming"].is_null()).map(|_| ())
    });
    // Addresses that come and go would be metrics without a bound.
    let metrics = get(&b.address("admin"), "/metrics").body;
    let counted = format!("session_server_total_peer_ws_connected{{peer=\"{name}");
    assert!(metrics.contains(&counted), "{metrics}");
    assert_eq!(a.stop().code, 0);
    assert_eq!(b.stop().code, 0);
}

#[test]
fn a_server_without_peers_lists_none() {
    let folder = folder();
    let server = Process::ready(&[server_arguments(&folder), owned(&["--admin", "0"])].concat());
    assert_eq!(peers(&server)["peers"], serde_json::json!([]));
    let refused = refusals::connect_with(&server, None, None);
    assert!(!refused.body.contains("peer"), "{refused:?}");
    assert_eq!(server.stop().code, 0);
}
