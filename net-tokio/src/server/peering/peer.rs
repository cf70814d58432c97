//! The peers of a server: their configuration, their status, and why a server cannot be one.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use thiserror::Error;
use watertight_core::ReconnectConfig;
use watertight_core::registry::{RegistryLimits, SessionKey};
use watertight_core::wire::Dialect;
use zeroize::Zeroizing;

use crate::connect::{AgentStatus, ByteStreams, ConnectSettings};
use crate::endpoint::{Endpoint, ProxyPolicy};
use crate::io::Io;
use crate::tls::ClientTls;

/// This server's identity toward its peers. See
/// [`ServerBuilder::peering`](crate::ServerBuilder::peering).
#[derive(Clone)]
pub struct PeerIdentity {
    pub(super) id: String,
    pub(super) token: Zeroizing<String>,
}

impl PeerIdentity {
    /// The id by which the peers know this server, and the token that proves it to peers without [a
    /// token of their own](Peer::own_token).
    #[must_use]
    pub fn new(id: &str, token: &str) -> Self {
        Self { id: id.to_string(), token: token.to_string().into() }
    }
}

impl fmt::Debug for PeerIdentity {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerIdentity").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Another server, whose clients are dialled through it, and which dials this server's clients.
#[derive(Clone)]
pub struct Peer {
    pub(super) id: String,
    pub(super) token: Zeroizing<String>,
    /// Replaces the identity's token.
    pub(super) own_token: Option<Zeroizing<String>>,
    pub(super) remotedialer: bool,
    pub(super) base_dialect: bool,
    pub(super) connect: ConnectSettings,
}

impl Peer {
    /// The server at `endpoint`, a `ws` or `wss` one, with the id `id`, which it proves with
    /// `token`, in both directions. The token is not sent: see
    /// [`remotedialer`](Self::remotedialer).
    #[must_use]
    pub fn new(endpoint: Endpoint, id: &str, token: &str) -> Self {
        let mut connect = ConnectSettings::new(endpoint);
        // Peers are few, so that a spread would only delay them.
        connect.reconnect.spread = Duration::ZERO;
        connect.reconnect.max = Duration::from_secs(5);
        Self {
            id: id.to_string(),
            token: token.to_string().into(),
            own_token: None,
            remotedialer: false,
            base_dialect: false,
            connect,
        }
    }

    /// The token that proves this server's id to this peer, instead of that of its
    /// [identity](PeerIdentity). A peer knows the tokens that prove others' ids to it, so only a
    /// token for each pair of servers keeps one of them from impersonating another.
    #[must_use]
    pub fn own_token(mut self, token: &str) -> Self {
        self.own_token = Some(token.to_string().into());
        self
    }

    /// The peer is a remotedialer server, which sends tokens and is sent them. On a path without
    /// TLS a third party can read the tokens, or impersonate the peer and receive them.
    ///
    /// Otherwise both ends prove that they know the tokens. If the path is a `wss` one and the peer
    /// knows no proofs, it is sent the token, since TLS has authenticated it; likewise it may send
    /// its own to a listener of this server with TLS.
    #[must_use]
    pub fn remotedialer(mut self) -> Self {
        self.remotedialer = true;
        self
    }

    /// Connects to this address instead of resolving the endpoint's host. TLS still verifies the
    /// host's name.
    #[must_use]
    pub fn address(mut self, address: IpAddr) -> Self {
        self.connect.options.address = Some(address);
        self
    }

    /// Trust and identity for a `wss` endpoint. The default trusts the system's roots.
    #[must_use]
    pub fn tls(mut self, tls: ClientTls) -> Self {
        self.connect.options.tls = Some(tls);
        self
    }

    /// The HTTP proxy to connect through. The default is that of the environment.
    #[must_use]
    pub fn proxy(mut self, proxy: ProxyPolicy) -> Self {
        self.connect.options.proxy = proxy;
        self
    }

    /// Reaches the peer by the embedder's own means: `connect` makes the byte stream, and the
    /// endpoint only determines the requested path. Address, proxy and TLS are then the embedder's,
    /// too. A panic of it fails the attempt.
    ///
    /// A peer that is [added](crate::Server::add_peer) again is the same one only with a clone of
    /// the same closure, so keep the `Peer` and clone it.
    #[must_use]
    pub fn connect_with<F, A, I>(mut self, connect: F) -> Self
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = io::Result<I>> + Send + 'static,
        I: Io,
    {
        self.connect.byte_streams = Some(ByteStreams::new(connect));
        self
    }

    /// Seeds the jitter of the backoff, which is random otherwise.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.connect.seed = Some(seed);
        self
    }

    /// The backoff: 5 s at most, unless set. A peer that connects to this server is connected to at
    /// once.
    #[must_use]
    pub fn reconnect(mut self, config: ReconnectConfig) -> Self {
        self.connect.reconnect = config;
        self
    }

    /// The timeout of one attempt to connect: 20 s unless set.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect.timeout = timeout;
        self
    }

    /// Speaks the base protocol even to a peer that offers the extension: for tests of the base
    /// dialect.
    #[must_use]
    pub fn base_dialect(mut self) -> Self {
        self.base_dialect = true;
        self
    }

    /// Whether both have the same configuration.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.connect.is(&other.connect)
            && (&self.id, &self.token, &self.own_token)
                == (&other.id, &other.token, &other.own_token)
            && (self.remotedialer, self.base_dialect) == (other.remotedialer, other.base_dialect)
    }
}

impl fmt::Debug for Peer {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("endpoint", &self.connect.endpoint)
            .field("id", &self.id)
            .field("address", &self.connect.options.address)
            .finish_non_exhaustive()
    }
}

/// A peer of a server, and its status.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PeerInfo {
    /// Its id.
    pub id: String,
    /// The URL of the peer.
    pub endpoint: Endpoint,
    /// The address to connect to instead of the endpoint's host, if one was configured.
    pub address: Option<IpAddr>,
    /// The status of the outgoing connection: through its session the peer dials the clients here.
    pub outgoing: AgentStatus,
    /// The session in which the peer connected to this server, if it is up: through it the peer's
    /// clients are dialled.
    pub incoming: Option<IncomingPeerInfo>,
    /// The number of its routes that are remembered.
    pub routes: usize,
}

/// A session in which a peer connected to a server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IncomingPeerInfo {
    /// The session.
    pub session: SessionKey,
    /// The time since it began.
    pub connected_for: Duration,
    /// The address that the peer connected from, if it has one.
    pub remote: Option<SocketAddr>,
    /// Its dialect.
    pub dialect: Dialect,
    /// The round trip to it, once measured.
    pub rtt: Option<Duration>,
    /// Whether it drains, and takes no new dials.
    pub going_away: bool,
}

/// Which of two peers connected to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerDirection {
    /// The peer connected to this server: its clients are dialled through the session.
    Incoming,
    /// This server connected to the peer, which dials this server's clients through the session.
    Outgoing,
}

/// Why a server cannot be a peer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PeerError {
    /// This server was built without [`peering`](crate::ServerBuilder::peering).
    #[error("this server has no id and token of its own to show to peers")]
    NoIdentity,
    /// The peer's id is this server's.
    #[error("peer id {0:?} is this server's own")]
    OwnId(String),
    /// Peers are to be discovered by their addresses, and this server's id is no address.
    #[error("this server's id {0:?} is no IP address, by which peers that are found know it")]
    IdNotAnAddress(String),
    /// The peer has no id.
    #[error("a peer needs an id: the one that it shows when it connects")]
    EmptyId,
    /// The peer's id is longer than [`RegistryLimits::key`].
    #[error("a peer id of {length} bytes, more than the {limit} allowed")]
    IdTooLong {
        /// Its bytes.
        length: usize,
        /// [`RegistryLimits::key`].
        limit: usize,
    },
    /// The peer has no token.
    #[error("peer {0:?} needs a token: the one that it shows when it connects")]
    EmptyToken(String),
    /// The endpoint is a byte stream, which cannot carry a peer's identity.
    #[error("peers are reached by ws:// or wss://, not by {0}")]
    NotAWebSocket(String),
    /// The limit of peers is reached.
    #[error("this server has {limit} peers, which is the limit")]
    TooMany {
        /// [`RegistryLimits::peers`].
        limit: usize,
    },
    /// The server is shutting down.
    #[error("the server is shutting down")]
    ShuttingDown,
}

/// The requirements of any peer's id.
pub(super) fn check_id(id: &str, limits: &RegistryLimits) -> Result<(), PeerError> {
    match id.len() {
        0 => Err(PeerError::EmptyId),
        length if length > limits.key => Err(PeerError::IdTooLong { length, limit: limits.key }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::generate_simple_self_signed;

    use super::*;

    fn peer() -> Peer {
        Peer::new("wss://b.example".parse().unwrap(), "b", "secret")
    }

    #[test]
    fn debug_output_has_no_secret() {
        let shown = format!("{:?}", (PeerIdentity::new("a", "secret"), peer().own_token("secret")));
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn any_difference_is_one() {
        assert!(peer().is(&peer()));
        let own_means = || peer().connect_with(|| async { Ok(tokio::io::empty()) });
        let by_own_means = own_means();
        assert!(by_own_means.is(&by_own_means.clone()) && !by_own_means.is(&own_means()));
        let authority = generate_simple_self_signed(["b.example".to_string()]).unwrap().cert.pem();
        let trusting = || ClientTls::from_pem(Some(authority.as_bytes()), None).unwrap();
        let by_tls = peer().tls(trusting());
        assert!(by_tls.is(&by_tls.clone()) && !by_tls.is(&peer().tls(trusting())));
        let others = [
            Peer::new("wss://c.example".parse().unwrap(), "b", "secret"),
            Peer::new("wss://b.example".parse().unwrap(), "b", "other"),
            peer().address(IpAddr::from([127, 0, 0, 1])),
            peer().proxy(ProxyPolicy::None),
            peer().base_dialect(),
            peer().own_token("mine"),
            peer().remotedialer(),
            peer().seed(7),
            peer().connect_timeout(Duration::from_secs(1)),
            by_own_means,
            by_tls,
        ];
        for other in others {
            assert!(!peer().is(&other), "{other:?}");
        }
    }

    #[test]
    fn an_id_may_be_as_long_as_a_key() {
        let limits = RegistryLimits { key: 3, ..RegistryLimits::default() };
        check_id("abc", &limits).unwrap();
        assert!(matches!(
            check_id("abcd", &limits),
            Err(PeerError::IdTooLong { length: 4, limit: 3 })
        ));
        assert!(matches!(check_id("", &limits), Err(PeerError::EmptyId)));
    }
}
