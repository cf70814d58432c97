//! The servers that one server takes for its peers.

use std::collections::BTreeMap;
use std::sync::Arc;

use subtle::{Choice, ConstantTimeEq};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use watertight_core::registry::RegistryLimits;
use zeroize::Zeroizing;

use super::error::check_id;
use super::{Peer, PeerError, PeerIdentity};
use crate::agent::AgentStatus;
use crate::handshake::Refusal;
use crate::log_limit::shortened;

/// The peers, by their ids.
#[derive(Debug)]
pub(in crate::server) struct PeerBook {
    identity: Option<Arc<PeerIdentity>>,
    limits: RegistryLimits,
    peers: BTreeMap<String, Known>,
    last: u64,
}

/// A server that is a peer now.
#[derive(Debug)]
pub(in crate::server) struct Known {
    pub(in crate::server) peer: Peer,
    /// Another one with the same id later has another number.
    pub(in crate::server) number: u64,
    /// The search that found it, if it was not given by its id.
    pub(in crate::server) found_by: Option<u64>,
    /// Ends the attempts to connect to it.
    pub(in crate::server) stop: CancellationToken,
    /// Ends the wait before the next one.
    pub(in crate::server) retry_now: Arc<Notify>,
    pub(in crate::server) status: watch::Receiver<AgentStatus>,
}

/// What proves that an end is a peer, and that this server is itself.
pub(in crate::server) struct Proof {
    /// Of the peer in the book.
    pub(in crate::server) number: u64,
    pub(in crate::server) token: Zeroizing<String>,
    /// This server's own.
    pub(in crate::server) own: PeerIdentity,
}

/// What an end that wants a session says about being a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) enum Claim {
    /// Nothing.
    None,
    /// It is this peer, and has proved it.
    Proved { id: String, number: u64 },
    /// It is this peer, and will prove it after the upgrade.
    Proves { id: String, nonce: String },
    /// It may be one, with this id, but has not proved it.
    Unproved(String),
    /// It has sent the token of this peer, which was not to be sent.
    Sent(String),
    /// It is this server itself, or one that goes by the same id.
    OwnId(String),
}

impl Claim {
    /// A refusal of an end that made this claim. Agents of others may have such headers, too, so
    /// that it was asked who it is as a client.
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

impl PeerBook {
    pub(in crate::server) fn new(identity: Option<PeerIdentity>, limits: RegistryLimits) -> Self {
        Self { identity: identity.map(Arc::new), limits, peers: BTreeMap::new(), last: 0 }
    }

    /// Who this server is to peers.
    pub(in crate::server) fn identity(&self) -> Option<Arc<PeerIdentity>> {
        self.identity.clone()
    }

    /// A number for a peer or a search.
    pub(in crate::server) fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Whether this can be a peer. Room is there for one whose id is known already.
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

    /// Whether a peer can be like this, whatever its id. This server's own id.
    pub(in crate::server) fn check_any(&self, peer: &Peer) -> Result<String, PeerError> {
        let identity = self.identity.as_ref().ok_or(PeerError::NoIdentity)?;
        let own = peer.own_token.as_ref().unwrap_or(&identity.token);
        if peer.token.is_empty() || own.is_empty() {
            return Err(PeerError::EmptyToken(peer.id.clone()));
        }
        if peer.endpoint.web_socket().is_none() {
            return Err(PeerError::NotAWebSocket(peer.endpoint.to_string()));
        }
        Ok(identity.id.clone())
    }

    /// The ids of the peers that a search found.
    pub(in crate::server) fn found_by(&self, search: u64) -> Vec<String> {
        let found = self.peers.values().filter(|known| known.found_by == Some(search));
        found.map(|known| known.peer.id.clone()).collect()
    }

    /// The peer is not, or no longer, one that was found.
    pub(in crate::server) fn claim_by_id(&mut self, id: &str) {
        if let Some(known) = self.peers.get_mut(id) {
            known.found_by = None;
        }
    }

    pub(in crate::server) fn insert(&mut self, known: Known) {
        self.peers.insert(known.peer.id.clone(), known);
    }

    pub(in crate::server) fn remove(&mut self, id: &str) -> Option<Known> {
        self.peers.remove(id)
    }

    pub(in crate::server) fn get(&self, id: &str) -> Option<&Known> {
        self.peers.get(id)
    }

    /// Whether the peer that had this number is still one.
    pub(in crate::server) fn is_current(&self, id: &str, number: u64) -> bool {
        self.peers.get(id).is_some_and(|known| known.number == number)
    }

    /// Whether this is the id of a server and no client's key: this one's, or a peer's. remotedialer
    /// announces its peers as clients.
    pub(in crate::server) fn is_server(&self, id: &str) -> bool {
        let own = self.identity.as_ref().is_some_and(|own| own.id == id);
        own || self.peers.contains_key(id)
    }

    /// Whether there is no peer.
    pub(in crate::server) fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// In the order of their ids.
    pub(in crate::server) fn iter(&self) -> impl Iterator<Item = &Known> {
        self.peers.values()
    }

    /// What a peer with this id and this server prove to each other, if there is one.
    pub(in crate::server) fn proof(&self, id: &str) -> Option<Proof> {
        let (known, own) = (self.peers.get(id)?, self.identity.as_ref()?);
        let token = known.peer.own_token.as_ref().unwrap_or(&own.token);
        Some(Proof {
            number: known.number,
            token: known.peer.token.clone(),
            own: PeerIdentity::new(&own.id, token),
        })
    }

    /// Whether an end that sends this id and token is a peer; `secret` says whether nobody else may have
    /// read them. Every peer is compared, whichever it
    /// is, and whether there is one with this id: the time tells nothing about ids and, of tokens
    /// of one length, nothing about the token.
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

    fn book() -> PeerBook {
        let limits = RegistryLimits { peers: 1, key: 8, ..RegistryLimits::default() };
        let mut book = PeerBook::new(Some(PeerIdentity::new("a", "a-token")), limits);
        let number = book.number();
        book.insert(Known {
            peer: peer("ws://b:1", "b", "b-token"),
            number,
            found_by: None,
            stop: CancellationToken::new(),
            retry_now: Arc::default(),
            status: watch::Sender::new(AgentStatus::Connecting).subscribe(),
        });
        book
    }

    fn peer(endpoint: &str, id: &str, token: &str) -> Peer {
        Peer::new(endpoint.parse().unwrap(), id, token)
    }

    #[test]
    fn a_refusal_says_what_was_wrong_with_the_claim_and_not_with_the_server() {
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
        let book = book();
        let claim = |id, token| book.claim(Some(id), Some(token), true);
        assert_eq!(claim("b", "b-token"), Claim::Proved { id: "b".into(), number: 1 });
        for (id, token) in [("b", "a-token"), ("b", "b-toke"), ("c", "b-token"), ("a", "b-token")] {
            assert_eq!(claim(id, token), Claim::Unproved(id.to_string()), "{id} {token}");
        }
        assert_eq!(claim("a", "a-token"), Claim::OwnId("a".into()));
        for (id, token) in [(None, Some("b-token")), (Some("b"), None), (Some("b"), Some(""))] {
            assert_eq!(book.claim(id, token, true), Claim::None, "{id:?} {token:?}");
        }
    }

    #[test]
    fn one_that_is_no_peer_any_more_proves_nothing() {
        let mut book = book();
        assert!(book.is_current("b", 1) && !book.is_current("b", 2));
        book.remove("b").unwrap();
        assert!(!book.is_current("b", 1));
        assert_eq!(book.claim(Some("b"), Some("b-token"), true), Claim::Unproved("b".to_string()));
    }

    #[test]
    fn what_can_be_no_peer_says_why() {
        let book = book();
        book.check(&peer("wss://elsewhere", "b", "t")).unwrap();
        for (endpoint, id, token, why) in [
            ("ws://c:1", "c", "t", "1 peers, which is the limit"),
            ("ws://c:1", "a", "t", "own"),
            ("ws://c:1", "", "t", "an id"),
            ("ws://c:1", "too-long-", "t", "9 bytes"),
            ("ws://c:1", "b", "", "a token"),
            ("tcp://c:1", "b", "t", "ws:// or wss://"),
        ] {
            let error = book.check(&peer(endpoint, id, token)).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        let stranger = PeerBook::new(None, RegistryLimits::default());
        let error = stranger.check(&peer("ws://c:1", "c", "t")).unwrap_err();
        assert_eq!(error, PeerError::NoIdentity);
    }
}
