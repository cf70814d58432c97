//! The table of a server's peers.

use std::collections::BTreeMap;
use std::sync::Arc;

use subtle::{Choice, ConstantTimeEq};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use watertight_core::registry::RegistryLimits;
use zeroize::Zeroizing;

use super::peer::{Peer, PeerError, PeerIdentity, check_id};
use crate::connect::AgentStatus;
use crate::handshake::Refusal;
use crate::log_limit::shortened;

/// The peers, by their ids.
#[derive(Debug)]
pub(in crate::server) struct PeerTable {
    identity: Option<Arc<PeerIdentity>>,
    limits: RegistryLimits,
    peers: BTreeMap<String, Known>,
    last: u64,
}

/// A server that is a peer now.
#[derive(Debug)]
pub(in crate::server) struct Known {
    pub(in crate::server) peer: Peer,
    /// A later peer with the same id has another number.
    pub(in crate::server) number: u64,
    /// The discovery that found it, if it was not added by its id.
    pub(in crate::server) found_by: Option<u64>,
    /// Ends the attempts to connect to it.
    pub(in crate::server) stop: CancellationToken,
    /// Ends the pause before the next attempt.
    pub(in crate::server) retry_now: Arc<Notify>,
    pub(in crate::server) status: watch::Receiver<AgentStatus>,
}

/// The inputs of the mutual proofs with a peer.
pub(in crate::server) struct Proof {
    /// The number of the peer in the table.
    pub(in crate::server) number: u64,
    pub(in crate::server) token: Zeroizing<String>,
    /// This server's identity.
    pub(in crate::server) own: PeerIdentity,
}

/// A remote's claim to be a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) enum Claim {
    /// No claim.
    None,
    /// It is this peer, and has proved it.
    Proved { id: String, number: u64 },
    /// It is this peer, and will prove it after the upgrade.
    Proves { id: String, nonce: String },
    /// It may be a peer with this id, but has not proved it.
    Unproved(String),
    /// It has sent the token of this peer, which must not be sent.
    Sent(String),
    /// It is this server itself, or another one with the same id.
    OwnId(String),
}

impl Claim {
    /// The refusal of a remote with this claim. Agents may send such headers, too, so that it was
    /// authenticated as a client.
    pub(in crate::server) fn explain(&self, refusal: Refusal) -> Refusal {
        match self {
            Self::Unproved(id) if !refusal.status.is_server_error() => {
                let (id, reason) = (shortened(id), refusal.reason);
                let reason = format!(
                    "no peer {id:?} is known, or its token is wrong; as a client: {reason}"
                );
                Refusal { reason, ..refusal }
            }
            _ => refusal,
        }
    }
}

impl PeerTable {
    pub(in crate::server) fn new(identity: Option<PeerIdentity>, limits: RegistryLimits) -> Self {
        Self { identity: identity.map(Arc::new), limits, peers: BTreeMap::new(), last: 0 }
    }

    /// This server's identity toward peers.
    pub(in crate::server) fn identity(&self) -> Option<Arc<PeerIdentity>> {
        self.identity.clone()
    }

    /// A new number for a peer or a discovery.
    pub(in crate::server) fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Whether this server can be added. A known id needs no further capacity.
    pub(in crate::server) fn check(&self, peer: &Peer) -> Result<(), PeerError> {
        let own = self.check_any(peer)?;
        check_id(&peer.id, &self.limits)?;
        if peer.id == own {
            return Err(PeerError::OwnId(own));
        }
        let limit = self.limits.peers;
        if self.peers.len() >= limit && !self.peers.contains_key(&peer.id) {
            return Err(PeerError::TooMany { limit });
        }
        Ok(())
    }

    /// Checks everything but the id. Returns this server's own id.
    pub(in crate::server) fn check_any(&self, peer: &Peer) -> Result<String, PeerError> {
        let identity = self.identity.as_ref().ok_or(PeerError::NoIdentity)?;
        let own = peer.own_token.as_ref().unwrap_or(&identity.token);
        if peer.token.is_empty() || own.is_empty() {
            return Err(PeerError::EmptyToken(peer.id.clone()));
        }
        if peer.connect.endpoint.web_socket().is_none() {
            return Err(PeerError::NotAWebSocket(peer.connect.endpoint.to_string()));
        }
        Ok(identity.id.clone())
    }

    /// The ids of the peers that a discovery found.
    pub(in crate::server) fn found_by(&self, search: u64) -> Vec<String> {
        let found = self.peers.values().filter(|known| known.found_by == Some(search));
        found.map(|known| known.peer.id.clone()).collect()
    }

    /// Marks a peer as added by its id, not found.
    pub(in crate::server) fn clear_found_by(&mut self, id: &str) {
        if let Some(known) = self.peers.get_mut(id) {
            known.found_by = None;
        }
    }

    pub(in crate::server) fn insert(&mut self, known: Known) {
        debug_assert!(known.number <= self.last, "a peer has a number of this table");
        let before = self.peers.insert(known.peer.id.clone(), known);
        debug_assert!(before.is_none(), "a peer is removed before it is replaced");
        debug_assert!(self.peers.len() <= self.limits.peers, "a peer is checked before");
    }

    pub(in crate::server) fn remove(&mut self, id: &str) -> Option<Known> {
        self.peers.remove(id)
    }

    pub(in crate::server) fn get(&self, id: &str) -> Option<&Known> {
        self.peers.get(id)
    }

    /// Whether the peer with this number is still in the table.
    pub(in crate::server) fn is_current(&self, id: &str, number: u64) -> bool {
        self.peers.get(id).is_some_and(|known| known.number == number)
    }

    /// Whether this is the id of a server, this one or a peer, and no client's key. remotedialer
    /// announces its peers as clients.
    pub(in crate::server) fn is_server(&self, id: &str) -> bool {
        let own = self.identity.as_ref().is_some_and(|own| own.id == id);
        own || self.peers.contains_key(id)
    }

    /// Whether there is no peer.
    pub(in crate::server) fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// All peers, in the order of their ids.
    pub(in crate::server) fn iter(&self) -> impl Iterator<Item = &Known> {
        self.peers.values()
    }

    /// The inputs of the proofs with the peer of this id, if there is one.
    pub(in crate::server) fn proof(&self, id: &str) -> Option<Proof> {
        let (known, own) = (self.peers.get(id)?, self.identity.as_ref()?);
        let token = known.peer.own_token.as_ref().unwrap_or(&own.token);
        let has_tokens = !token.is_empty() && !known.peer.token.is_empty();
        debug_assert!(has_tokens, "a peer is added with tokens that prove both ids");
        Some(Proof {
            number: known.number,
            token: known.peer.token.clone(),
            own: PeerIdentity::new(&own.id, token),
        })
    }

    /// The claim of a remote that sends this id and token; `secret` is whether the request was
    /// encrypted. All peers are compared, in constant time: the time reveals nothing about ids and,
    /// of tokens of one length, nothing about the token.
    pub(in crate::server) fn claim(
        &self,
        id: Option<&str>,
        token: Option<&str>,
        secret: bool,
    ) -> Claim {
        let given = |text: Option<&str>| text.is_some_and(|text| !text.is_empty());
        let (Some(id), Some(token), true, true) = (id, token, given(id), given(token)) else {
            return Claim::None;
        };
        let mut proved = None;
        for known in self.peers.values() {
            if bool::from(same(&known.peer.id, id) & same(&known.peer.token, token)) {
                proved = Some(known);
            }
        }
        let own = self
            .identity
            .as_ref()
            .map_or(Choice::from(0), |own| same(&own.id, id) & same(&own.token, token));
        match proved {
            Some(known) if !secret && !known.peer.remotedialer => Claim::Sent(id.to_string()),
            Some(known) => Claim::Proved { id: id.to_string(), number: known.number },
            None if own.into() => Claim::OwnId(id.to_string()),
            None => Claim::Unproved(id.to_string()),
        }
    }
}

fn same(known: &str, given: &str) -> Choice {
    known.as_bytes().ct_eq(given.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer_table() -> PeerTable {
        let limits = RegistryLimits { peers: 1, key: 8, ..RegistryLimits::default() };
        let mut table = PeerTable::new(Some(PeerIdentity::new("a", "a-token")), limits);
        let number = table.number();
        table.insert(Known {
            peer: peer("ws://b:1", "b", "b-token"),
            number,
            found_by: None,
            stop: CancellationToken::new(),
            retry_now: Arc::default(),
            status: watch::Sender::new(AgentStatus::Connecting).subscribe(),
        });
        table
    }

    fn peer(endpoint: &str, id: &str, token: &str) -> Peer {
        Peer::new(endpoint.parse().unwrap(), id, token)
    }

    #[test]
    fn a_refusal_explains_the_claim_but_not_a_server_error() {
        let claim = Claim::Unproved("b".to_string());
        let reason = |refusal| claim.explain(refusal).reason;
        let unknown = reason(Refusal::unauthorized("unknown token"));
        assert_eq!(
            unknown,
            "no peer \"b\" is known, or its token is wrong; as a client: unknown token"
        );
        assert_eq!(reason(Refusal::unavailable("going away")), "going away");
        assert_eq!(Claim::None.explain(Refusal::unauthorized("no token")).reason, "no token");
    }

    #[test]
    fn a_peer_has_both_its_id_and_its_token() {
        let table = peer_table();
        let claim = |id, token| table.claim(Some(id), Some(token), true);
        assert_eq!(claim("b", "b-token"), Claim::Proved { id: "b".into(), number: 1 });
        for (id, token) in [("b", "a-token"), ("b", "b-toke"), ("c", "b-token"), ("a", "b-token")] {
            assert_eq!(claim(id, token), Claim::Unproved(id.to_string()), "{id} {token}");
        }
        assert_eq!(claim("a", "a-token"), Claim::OwnId("a".into()));
        for (id, token) in [(None, Some("b-token")), (Some("b"), None), (Some("b"), Some(""))] {
            assert_eq!(table.claim(id, token, true), Claim::None, "{id:?} {token:?}");
        }
    }

    #[test]
    fn a_removed_peer_proves_nothing() {
        let mut table = peer_table();
        assert!(table.is_current("b", 1) && !table.is_current("b", 2));
        table.remove("b").unwrap();
        assert!(!table.is_current("b", 1));
        assert_eq!(table.claim(Some("b"), Some("b-token"), true), Claim::Unproved("b".to_string()));
    }

    #[test]
    fn an_invalid_peer_is_refused_with_the_reason() {
        let table = peer_table();
        table.check(&peer("wss://elsewhere", "b", "t")).unwrap();
        for (endpoint, id, token, why) in [
            ("ws://c:1", "c", "t", "1 peers, which is the limit"),
            ("ws://c:1", "a", "t", "own"),
            ("ws://c:1", "", "t", "an id"),
            ("ws://c:1", "too-long-", "t", "9 bytes"),
            ("ws://c:1", "b", "", "a token"),
            ("tcp://c:1", "b", "t", "ws:// or wss://"),
        ] {
            let error = table.check(&peer(endpoint, id, token)).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        let stranger = PeerTable::new(None, RegistryLimits::default());
        let error = stranger.check(&peer("ws://c:1", "c", "t")).unwrap_err();
        assert_eq!(error, PeerError::NoIdentity);
    }
}
