//! Remotes that claim to be peers, and their proofs.

use std::net::SocketAddr;

use watertight_core::wire::Dialect;

use super::PeerIdentity;
use super::table::Claim;
use crate::handshake::proof::{self, Exchange, Party, Unproved};
use crate::handshake::{Refusal, nonce, upgrade};
use crate::io::Io;
use crate::log_limit::shortened;
use crate::metrics::handshake_refused;
use crate::server::Inner;
use crate::transport::{Masking, TransportError, WebSocket};

/// A remote that claims to be a peer, before its proof.
#[derive(Clone, Debug)]
pub(in crate::server) struct Claimed {
    pub(in crate::server) id: String,
    /// The remote's, and the local one.
    pub(in crate::server) nonces: [String; 2],
    pub(in crate::server) remote: Option<SocketAddr>,
    pub(in crate::server) dialect: Dialect,
}

impl Inner {
    /// Reads from the headers of an upgrade request whether the remote is a peer. `secret` is
    /// whether the request was encrypted.
    ///
    /// # Errors
    ///
    /// It is this server itself, or a peer that has sent a token in clear text.
    pub(in crate::server) fn claim(
        &self,
        headers: &http::HeaderMap,
        remote: Option<SocketAddr>,
        secret: bool,
    ) -> Result<Claim, Refusal> {
        let claim = self.read_claim(headers, secret)?;
        let (id, refusal) = match claim {
            Claim::OwnId(id) => {
                let refusal = Refusal::forbidden(format!(
                    "peer id {id:?} is this server's own: it connected to itself, or two servers \
                     have one id"
                ));
                (id, refusal)
            }
            Claim::Sent(id) => {
                let refusal = Refusal::forbidden(format!(
                    "peer {id:?} has sent its token in clear text: if it is a remotedialer server, \
                     name it as one here, or let it connect by wss://"
                ));
                (id, refusal)
            }
            claim => return Ok(claim),
        };
        handshake_refused("authentication");
        self.log_refused(Some(&id), remote, &refusal);
        Err(refusal)
    }

    fn read_claim(&self, headers: &http::HeaderMap, secret: bool) -> Result<Claim, Refusal> {
        let sessions = self.sessions();
        let table = sessions.peer_table();
        let Some((id, nonce)) = upgrade::peer_nonce(headers)? else {
            let (id, token) = upgrade::peer_headers(headers);
            return Ok(table.claim(id, token, secret));
        };
        let id = id.to_string();
        let is_own = table.identity().is_some_and(|own| own.id == id);
        if table.is_empty() {
            return Ok(Claim::Unproved(id));
        }
        Ok(if is_own { Claim::OwnId(id) } else { Claim::Proves { id, nonce: nonce.to_string() } })
    }

    /// Exchanges proofs with a remote that claims to be a peer. An unknown id takes as long as a
    /// known one, and the refusal is the same.
    ///
    /// Returns the number of the peer in the table.
    ///
    /// # Errors
    ///
    /// The proof failed.
    pub(in crate::server) async fn challenge<I: Io>(
        &self,
        socket: &mut WebSocket<I>,
        claimed: Claimed,
    ) -> Result<u64, Refusal> {
        let Claimed { id, nonces: [remote_nonce, own_nonce], .. } = claimed;
        let proof = self.sessions().peer_table().proof(&id);
        // A random token, which nobody knows.
        let unknown =
            || (nonce(Masking::ByRole).into(), PeerIdentity::new("", &nonce(Masking::ByRole)));
        let number = proof.as_ref().map(|proof| proof.number);
        let (token, own) = proof.map_or_else(unknown, |proof| (proof.token, proof.own));
        let exchange = Exchange {
            connector: Party { id: &id, token: &token, nonce: &remote_nonce },
            acceptor: Party { id: &own.id, token: &own.token, nonce: &own_nonce },
        };
        match (proof::challenge(socket, &exchange).await, number) {
            (Ok(()), Some(number)) => Ok(number),
            (Err(Unproved::Transport(TransportError::Io(error))), _) => {
                Err(Refusal::unauthorized(error.to_string()))
            }
            (Err(Unproved::Refused(reason)), _) => Err(Refusal::unauthorized(reason)),
            (Ok(()) | Err(Unproved::Wrong | Unproved::Transport(_)), _) => {
                let id = shortened(&id);
                Err(Refusal::unauthorized(format!(
                    "no peer {id:?} is known, or one of the two tokens is wrong"
                )))
            }
        }
    }
}
