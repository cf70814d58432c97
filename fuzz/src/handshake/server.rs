//! Arbitrary requests to a server: a session exists only where the authentication hook granted it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::duplex;
use watertight::{AuthRequest, Refusal, Server, ServerBuilder};
use watertight_core::wire::{HelloReply, PrefaceLimits};

use super::{Handshake, SOCKET, TOKEN, check_length, talk};

pub(super) async fn check(case: &Handshake<'_>) {
    let welcomed = Arc::new(AtomicUsize::new(0));
    let server = server(Arc::clone(&welcomed)).build();
    let (near, far) = duplex(SOCKET);
    server.serve_io(far, None);
    let answer = talk(near, case.bytes, case).await;
    let welcomed = welcomed.load(Relaxed);
    assert!(welcomed <= 1, "{welcomed} sessions on one connection");
    let has_token = case.bytes.windows(TOKEN.len()).any(|part| part == TOKEN.as_bytes());
    assert!(welcomed == 0 || has_token, "somebody without the token is welcome");
    check_length(&answer, case);
    check_answer(&answer, welcomed == 1);
    let ledger = server.kill().await;
    assert!(ledger.is_settled(), "{ledger:?}");
}

/// A server whose hook counts the clients that it accepts, and checks its input.
fn server(welcomed: Arc<AtomicUsize>) -> ServerBuilder {
    let builder = Server::builder(move |request: AuthRequest| {
        let (key, welcomed) = (request.client_key.clone(), Arc::clone(&welcomed));
        async move {
            let Some(key) = key.filter(|_| request.token_is(TOKEN)) else {
                return Err(Refusal::unauthorized("unknown token"));
            };
            welcomed.fetch_add(1, Relaxed);
            Ok(key)
        }
    });
    builder.handshake_timeout(Duration::from_secs(10))
}

/// It reports a session only where there may be one.
pub(super) fn check_answer(answer: &[u8], welcomed: bool) {
    let switched = answer.starts_with(b"HTTP/1.1 101 ");
    let mut rest = answer.into();
    let reply = HelloReply::decode(&mut rest, &PrefaceLimits::default());
    let accepted = matches!(&reply, Ok(Some(reply)) if reply.status == HelloReply::ACCEPTED);
    assert!(welcomed || !(switched || accepted), "a session for somebody unknown");
}
