//! Mutual proofs of two peer servers' identities, without sending a token.
//!
//! Each end knows two tokens: its own, and the remote's. The connector's request and the acceptor's
//! answer carry a nonce each. Then each end sends one binary message, the HMAC-SHA-256 of both
//! nonces and both ids under both tokens: the connector first, so that connecting alone yields
//! nothing to guess a weak token by. Messages of the remote are not processed before its proof is
//! verified.
//!
//! The proofs authenticate the two ends; only TLS excludes a third party on the path.

use std::future::poll_fn;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use thiserror::Error;
use watertight_core::Role;

use crate::io::Io;
use crate::transport::{Received, Transport, TransportError, WebSocket};

/// Bytes of a proof.
const LENGTH: usize = 32;

/// The purpose of the proofs, with the version of the exchange.
const PURPOSE: &[u8] = b"watertight peer 1";

/// The inputs of both proofs.
pub(crate) struct Exchange<'a> {
    pub(crate) connector: Party<'a>,
    pub(crate) acceptor: Party<'a>,
}

/// One end of the exchange.
#[derive(Clone, Copy)]
pub(crate) struct Party<'a> {
    pub(crate) id: &'a str,
    /// The token with which it proves its id.
    pub(crate) token: &'a str,
    /// Unique to an exchange.
    pub(crate) nonce: &'a str,
}

/// Why there is no proof.
#[derive(Debug, Error)]
pub(crate) enum Unproved {
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The remote ended the exchange, for this reason.
    #[error("{0}")]
    Refused(String),
    /// The remote's message is no proof, or a wrong one.
    #[error("the proof is wrong")]
    Wrong,
}

impl Exchange<'_> {
    /// The proof of one end, before it is finished.
    fn mac(&self, prover: Role) -> Result<Hmac<Sha256>, Unproved> {
        let [connector, acceptor] = [&self.connector, &self.acceptor];
        let key = joined(&[connector.token.as_bytes(), acceptor.token.as_bytes()]);
        let mut mac = Hmac::new_from_slice(&key).map_err(|_| Unproved::Wrong)?;
        let role: &[u8] = match prover {
            Role::Connector => b"connector",
            Role::Acceptor => b"acceptor",
        };
        let nonces = [connector.nonce, acceptor.nonce].map(str::as_bytes);
        let ids = [connector.id, acceptor.id].map(str::as_bytes);
        mac.update(&joined(&[PURPOSE, role, nonces[0], nonces[1], ids[0], ids[1]]));
        Ok(mac)
    }

    fn prove(&self, prover: Role) -> Result<Bytes, Unproved> {
        let proof = self.mac(prover)?.finalize().into_bytes();
        debug_assert_eq!(proof.len(), LENGTH, "a proof has the length that is received");
        Ok(Bytes::copy_from_slice(&proof))
    }

    /// Compares in constant time.
    fn check(&self, prover: Role, proof: &[u8]) -> Result<(), Unproved> {
        self.mac(prover)?.verify_slice(proof).map_err(|_| Unproved::Wrong)
    }
}

/// Prefixes each part with its length: two lists of parts never have the same bytes.
fn joined(parts: &[&[u8]]) -> Vec<u8> {
    let mut joined = Vec::new();
    for part in parts {
        joined.extend_from_slice(&(part.len() as u64).to_be_bytes());
        joined.extend_from_slice(part);
    }
    joined
}

/// The connector's side: proves, and waits for the acceptor's proof. Not cancel safe: the WebSocket is
/// lost. The caller sets the deadline.
pub(crate) async fn prove<I: Io>(
    socket: &mut WebSocket<I>,
    exchange: &Exchange<'_>,
) -> Result<(), Unproved> {
    send(socket, exchange.prove(Role::Connector)?).await?;
    let proof = receive(socket).await?;
    exchange.check(Role::Acceptor, &proof)
}

/// The acceptor's side: waits for the connector's proof, and answers a right one. Not cancel safe: the
/// WebSocket is lost. The caller sets the deadline.
pub(crate) async fn challenge<I: Io>(
    socket: &mut WebSocket<I>,
    exchange: &Exchange<'_>,
) -> Result<(), Unproved> {
    let proof = receive(socket).await?;
    exchange.check(Role::Connector, &proof)?;
    send(socket, exchange.prove(Role::Acceptor)?).await
}

async fn send<I: Io>(socket: &mut WebSocket<I>, proof: Bytes) -> Result<(), Unproved> {
    socket.send_bytes(proof)?;
    Ok(poll_fn(|cx| socket.poll_flush(cx)).await?)
}

async fn receive<I: Io>(socket: &mut WebSocket<I>) -> Result<Bytes, Unproved> {
    loop {
        match poll_fn(|cx| socket.poll_recv(cx)).await? {
            Received::Message(proof) if proof.len() == LENGTH => return Ok(proof),
            Received::Message(_) => return Err(Unproved::Wrong),
            Received::Ping | Received::Pong(_) => {}
            Received::Closed { reason } => return Err(Unproved::Refused(reason)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONNECTOR: Party<'_> = Party { id: "a", token: "a-token", nonce: "1" };
    const ACCEPTOR: Party<'_> = Party { id: "b", token: "b-token", nonce: "2" };

    #[test]
    fn a_proof_is_good_for_one_end_of_one_exchange() {
        let exchange = Exchange { connector: CONNECTOR, acceptor: ACCEPTOR };
        let proofs =
            [Role::Connector, Role::Acceptor].map(|role| (role, exchange.prove(role).unwrap()));
        for (role, proof) in &proofs {
            exchange.check(*role, proof).unwrap();
            assert_eq!(proof.len(), LENGTH);
            assert!(exchange.check(*role, &proof[1..]).is_err());
        }
        assert!(exchange.check(Role::Connector, &proofs[1].1).is_err(), "it is reflected");
        let changes: [fn(&mut Party<'_>); 3] =
            [|it| it.id = "c", |it| it.token = "c-token", |it| it.nonce = "3"];
        for change in changes {
            for of_connector in [true, false] {
                let mut other = Exchange { connector: CONNECTOR, acceptor: ACCEPTOR };
                change(if of_connector { &mut other.connector } else { &mut other.acceptor });
                for (role, proof) in &proofs {
                    assert!(other.check(*role, proof).is_err());
                }
            }
        }
    }

    #[test]
    fn the_proofs_of_the_protocol_s_example() {
        let (first, second) = ("AAAAAAAAAAAAAAAAAAAAAA==", "AQEBAQEBAQEBAQEBAQEBAQ==");
        let exchange = Exchange {
            connector: Party { nonce: first, ..CONNECTOR },
            acceptor: Party { nonce: second, ..ACCEPTOR },
        };
        for (role, expected) in [
            (Role::Connector, "d728abcbbea123845475b6013d2ac83181f12a4d8b1ea62aa167734e4a5a020c"),
            (Role::Acceptor, "82d28874bcd7e3787a29c073edea13fa823362f45e991edc43097a121a6faa82"),
        ] {
            let proof = exchange.prove(role).unwrap();
            let digits: Vec<_> = proof.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(digits.concat(), expected);
        }
    }

    #[test]
    fn bytes_moved_between_parts_make_another_list() {
        assert_ne!(joined(&[b"ab", b"c"]), joined(&[b"a", b"bc"]));
        assert_ne!(joined(&[b"a"]), joined(&[b"a", b""]));
    }
}
