//! Forwards of the agent, through the server.

use std::io::{Read, Write};
use std::net::Shutdown;

use crate::http::connect;
use crate::process::eventually;
use crate::target;
use crate::tunnel::Tunnel;

#[test]
fn an_agent_dials_what_the_server_permits() {
    let echo = target::start_echo();
    let forward = format!("127.0.0.1:0={echo}");
    let tunnel = Tunnel::start(&["--allow-dial", &echo], &["--forward", &forward]);
    let mut socket = connect(&tunnel.agent.address("forward"));
    socket.write_all(b"from the agent's side").unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    let mut echoed = String::new();
    socket.read_to_string(&mut echoed).unwrap();
    assert_eq!(echoed, "from the agent's side");
    tunnel.stop();
}

#[test]
fn an_agent_dials_nothing_else() {
    let echo = target::start_echo();
    let forward = format!("127.0.0.1:0={echo}");
    let tunnel = Tunnel::start(&[], &["--forward", &forward]);
    let mut socket = connect(&tunnel.agent.address("forward"));
    socket.read_to_end(&mut Vec::new()).unwrap_err();
    eventually("the reason", || {
        tunnel.agent.log().contains("does not let its clients dial").then_some(())
    });
    tunnel.stop();
}
