//! Dials that a peer asks for: here or nowhere.

use std::sync::Arc;
use std::time::Duration;

use watertight_core::registry::{no_such_client, split_peer_target};
use watertight_core::session::OpenError;
use watertight_core::wire::{Dialect, ResetCode};

use super::relay::relay;
use crate::redial::dial_newest;
use crate::serve::{DialRefusal, answer};
use crate::server::Inner;
use crate::stream::{DialError, Incoming, TunnelStream};

/// Dials a client of this server for a peer, and joins the two streams. The peer is answered when
/// the client has answered.
pub(super) async fn serve(server: Arc<Inner>, incoming: Incoming) {
    let asked = incoming.target().to_string();
    let dial = dial(&server, incoming.dialect(), &asked, incoming.within());
    if let Some((incoming, stream)) = answer(incoming, dial).await {
        // One that was withdrawn just now resets the client's stream.
        if let Ok(incoming) = incoming.accept() {
            relay(incoming, stream).await;
        }
    }
}

/// Dials through the client's own session. What another peer announced does not count: two servers
/// that each take the other one for the client's home would pass the dial back and forth.
async fn dial(
    server: &Inner,
    dialect: Dialect,
    asked: &str,
    within: Duration,
) -> Result<TunnelStream, DialRefusal> {
    let (key, target) = split_peer_target(dialect, asked)
        .map_err(|error| DialRefusal { code: ResetCode::DIAL_REFUSED, text: error.to_string() })?;
    let newest = || {
        let session = server.sessions().lookup_local(&key);
        session.ok_or_else(|| DialError::NotConnected(key.to_string()))
    };
    dial_newest(newest, target, within).await.map_err(|error| refusal(error, &key))
}

/// What the peer is told. Where nothing was said to the client it may have another way to it.
fn refusal(error: DialError, key: &str) -> DialRefusal {
    let text = error.to_string();
    let code = match error {
        DialError::NotConnected(_)
        | DialError::NoServer
        | DialError::NotSent(OpenError::Closed | OpenError::GoingAway)
        | DialError::SessionEnded(_) => {
            let text = no_such_client(key);
            return DialRefusal { code: ResetCode::NO_SUCH_CLIENT, text };
        }
        // Whatever code a client has words for, it is not one of the way to it.
        DialError::Refused { code: Some(ResetCode::NO_SUCH_CLIENT) | None, .. } => {
            ResetCode::DIAL_FAILED
        }
        DialError::Refused { code: Some(code), .. } => code,
        DialError::Timeout => ResetCode::DIAL_TIMEOUT,
        // It is the target that is wrong: asking again is of no use.
        DialError::NotSent(OpenError::NoAddress | OpenError::TargetTooLong { .. }) => {
            ResetCode::DIAL_REFUSED
        }
        DialError::NotSent(_) => ResetCode::LIMIT,
    };
    DialRefusal { code, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_told_whether_it_may_ask_again() {
        let long = OpenError::TargetTooLong { length: 2, limit: 1 };
        for (error, code) in [
            (OpenError::Closed, ResetCode::NO_SUCH_CLIENT),
            (OpenError::GoingAway, ResetCode::NO_SUCH_CLIENT),
            (OpenError::NoAddress, ResetCode::DIAL_REFUSED),
            (long, ResetCode::DIAL_REFUSED),
            (OpenError::TooManyConnections(1), ResetCode::LIMIT),
            (OpenError::TooManyDials(1), ResetCode::LIMIT),
            (OpenError::Congested, ResetCode::LIMIT),
        ] {
            let told = refusal(DialError::NotSent(error.clone()), "edge");
            assert_eq!(told.code, code, "{error}");
        }
    }
}
