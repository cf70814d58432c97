//! Arbitrary answers to an agent's upgrade or preface, over both transports.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, DuplexStream, duplex};
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use watertight::{Agent, AgentBuilder, AgentStatus, Endpoint};

use super::{Handshake, SOCKET, Toward, check_length, talk};

/// Stands in an answer for what proves that the request was read.
const PLACE: &[u8] = b"KEY";

/// The length of a server's text that an agent shows: its own limit, and its own text.
const REASON: usize = 4096;

pub(super) async fn web_socket(case: &Handshake<'_>) {
    let endpoint = endpoint("ws://server/connect");
    let builder = Agent::builder(endpoint, "edge");
    let extended = case.toward == Toward::WebSocketAgent;
    let builder = if extended { builder } else { builder.base_dialect() };
    connect(builder, |mut io| async move {
        let request = read_request(&mut io).await;
        let answer = prove(case.bytes, &request);
        check_length(&talk(io, &answer, case).await, case);
    })
    .await;
}

pub(super) async fn byte_stream(case: &Handshake<'_>) {
    let builder = Agent::builder(endpoint("tcp://server:1"), "edge");
    connect(builder, |io| async move {
        check_length(&talk(io, case.bytes, case).await, case);
    })
    .await;
}

/// Lets an agent connect once to a remote that acts by `answer`.
async fn connect<F: Future<Output = ()>>(
    builder: AgentBuilder,
    answer: impl FnOnce(DuplexStream) -> F,
) {
    let (connected, connecting) = oneshot::channel();
    let connected = Arc::new(Mutex::new(Some(connected)));
    let agent = builder
        .connect_timeout(Duration::from_secs(10))
        .seed(1)
        .connect_with(move || {
            let connected = connected.lock().unwrap_or_else(PoisonError::into_inner).take();
            async move {
                let (near, far) = duplex(SOCKET);
                let asked = connected.map(|connected| connected.send(far));
                // Nobody is there the next time.
                asked.map_or(Err(io::ErrorKind::ConnectionRefused.into()), |_| Ok(near))
            }
        })
        .start();
    let mut status = agent.status();
    let Ok(io) = connecting.await else { panic!("the agent does not connect") };
    // It comes back in the end, after any answer.
    let waiting = status.wait_for(|status| matches!(status, AgentStatus::Waiting { .. }));
    let (waiting, ()) = tokio::join!(waiting, answer(io));
    let Ok(AgentStatus::Waiting { reason, .. }) = waiting.as_deref() else {
        panic!("the agent does not come back: {waiting:?}");
    };
    let reason = reason.to_string();
    assert!((1..=REASON).contains(&reason.len()), "no reason, or one without end: {reason}");
    drop(waiting);
    let ledger = agent.kill().await;
    assert!(ledger.is_settled(), "{ledger:?}");
}

async fn read_request(io: &mut DuplexStream) -> Vec<u8> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let Ok(byte) = io.read_u8().await else { break };
        request.push(byte);
    }
    request
}

/// The answer, with the proof at its `KEY` marks.
fn prove(answer: &[u8], request: &[u8]) -> Vec<u8> {
    let request = String::from_utf8_lossy(request);
    let headers = request.lines().filter_map(|line| line.split_once(": "));
    let mut keys = headers.filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
    let Some((_, key)) = keys.next() else { panic!("this is no upgrade: {request}") };
    let proof = derive_accept_key(key.as_bytes());
    let mut proved = Vec::new();
    let mut rest = answer;
    while let Some((byte, after)) = rest.split_first() {
        rest = rest.strip_prefix(PLACE).unwrap_or(after);
        let is_place = rest.len() < after.len();
        proved.extend_from_slice(if is_place {
            proof.as_bytes()
        } else {
            std::slice::from_ref(byte)
        });
    }
    proved
}

fn endpoint(text: &str) -> Endpoint {
    match text.parse() {
        Ok(endpoint) => endpoint,
        Err(error) => panic!("{text}: {error}"),
    }
}
