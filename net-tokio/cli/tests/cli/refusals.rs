//! Refused ends, and the reasons that they get.

use crate::http::{Answer, connect};
use crate::process::{Process, eventually, program};
use crate::tunnel::{TOKEN, agent_arguments, folder, server_arguments, write};

/// Asks for a session as a client would, with any key and token.
pub(crate) fn connect_with(server: &Process, key: Option<&str>, token: Option<&str>) -> Answer {
    let mut request = String::from(
        "GET /connect HTTP/1.1\r\nhost: test\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
    );
    if let Some(key) = key {
        request += &format!("x-tunnel-id: {key}\r\n");
    }
    if let Some(token) = token {
        request += &format!("authorization: Bearer {token}\r\n");
    }
    let address = server.address("agents");
    crate::http::ask(connect(&address), &(request + "\r\n"))
}

#[test]
fn refusals_say_what_is_wrong_and_nothing_else() {
    let folder = folder();
    write(&folder.path().join("tokens"), &format!("{TOKEN}\nvip secret-of-vip\n"));
    let server = Process::ready(&server_arguments(&folder));
    for (key, token, text) in [
        (Some("k"), None, "no token: send `Authorization: Bearer"),
        (Some("k"), Some("wrong"), "unknown token"),
        (None, Some(TOKEN), "no client key: send `X-Tunnel-ID"),
        (Some("k"), Some("secret-of-vip"), "this token is not for client key \"k\""),
    ] {
        let answer = connect_with(&server, key, token);
        assert_eq!(answer.status, 401, "{answer:?}");
        assert!(answer.body.contains(text), "{answer:?}");
        assert!(!answer.body.contains("vip\""), "{answer:?}");
    }
    assert_eq!(connect_with(&server, Some("vip"), Some("secret-of-vip")).status, 101);
    assert_eq!(connect_with(&server, Some("k"), Some(TOKEN)).status, 101);
    assert_eq!(connect_with(&server, Some(&"k".repeat(5000)), Some("wrong")).status, 401);
    // Who is refused all day does not fill a disk.
    for _ in 0..8 {
        assert_eq!(connect_with(&server, Some("k"), Some("wrong")).status, 401);
    }
    let ended = server.stop();
    assert_eq!(ended.code, 0);
    assert_eq!(ended.stderr.matches("session refused").count(), 10, "{}", ended.stderr);
    let longest = ended.stderr.lines().map(str::len).max();
    assert!(longest < Some(500), "{longest:?}");
}

#[test]
fn an_agent_logs_why_it_is_refused_and_tries_again() {
    let folder = folder();
    let server = Process::ready(&server_arguments(&folder));
    let arguments = agent_arguments(&folder, &server);
    write(&folder.path().join("tokens"), "another-token\n");
    let agent = Process::start(program(&arguments));
    eventually("the refusal", || agent.log().contains("unknown token").then_some(()));
    assert_eq!(agent.stop().code, 0);
    assert_eq!(server.stop().code, 0);
}
