use std::fmt;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use watertight_core::ReconnectConfig;
use zeroize::Zeroizing;

use crate::agent::ByteStreams;
use crate::endpoint::{Endpoint, ProxyPolicy};
use crate::tls::ClientTls;
use crate::transport::Io;

/// Who a server is to its peers. See [`ServerBuilder::peering`](crate::ServerBuilder::peering).
#[derive(Clone)]
pub struct PeerIdentity {
    pub(super) id: String,
    pub(super) token: Zeroizing<String>,
}

impl PeerIdentity {
    /// The id by which the peers know this server, and the token that proves it to them where a peer has
    /// none of [its own](Peer::own_token).
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

/// Another server, whose clients are dialled through it, and which dials ours through this one.
#[derive(Clone)]
pub struct Peer {
    pub(super) endpoint: Endpoint,
    pub(super) id: String,
    pub(super) token: Zeroizing<String>,
    /// In place of the identity's.
    pub(super) own_token: Option<Zeroizing<String>>,
    pub(super) remotedialer: bool,
    pub(super) address: Option<IpAddr>,
    pub(super) tls: Option<ClientTls>,
    pub(super) proxy: ProxyPolicy,
    pub(super) reconnect: ReconnectConfig,
    pub(super) base_dialect: bool,
    pub(super) byte_streams: Option<ByteStreams>,
    pub(super) seed: Option<u64>,
    pub(super) deadline: Option<Duration>,
}

impl Peer {
    /// The server at `endpoint`, a `ws` or `wss` one, whose own id is `id`, and which proves that with
    /// `token`, in both directions. The token is not sent: see [`remotedialer`](Self::remotedialer).
    #[must_use]
    pub fn new(endpoint: Endpoint, id: &str, token: &str) -> Self {
        Self {
            endpoint,
            id: id.to_string(),
            token: token.to_string().into(),
            own_token: None,
            remotedialer: false,
            address: None,
            tls: None,
            proxy: ProxyPolicy::default(),
            reconnect: ReconnectConfig {
                // Peers are few.
                spread: Duration::ZERO,
                max: Duration::from_secs(5),
                ..ReconnectConfig::default()
            },
            base_dialect: false,
            byte_streams: None,
            seed: None,
            deadline: None,
        }
    }

    /// What this server proves its own id with to this peer, in place of its
    /// [identity](PeerIdentity)'s token. A peer knows the tokens that others prove themselves with, so
    /// only a token for each two servers keeps one of them from taking another one's id.
    #[must_use]
    pub fn own_token(mut self, token: &str) -> Self {
        self.own_token = Some(token.to_string().into());
        self
    }

    /// The peer is a remotedialer server, which sends tokens and is sent them. Whoever reads what goes
    /// over a path without TLS, or answers in the peer's place, has the tokens then.
    ///
    /// Otherwise both ends prove that they know the tokens. Where the path is a `wss` one and the peer
    /// knows no proofs, it is sent the token all the same, since TLS has proved who it is; and so may it
    /// send its own to a listener of this server with TLS.
    #[must_use]
    pub fn remotedialer(mut self) -> Self {
        self.remotedialer = true;
        self
    }

    /// Connects to this address, whatever the endpoint's host resolves to. TLS goes by the
    /// host's name all the same.
    #[must_use]
    pub fn address(mut self, address: IpAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// Trust and identity for a `wss` endpoint. The default trusts the system's roots.
    #[must_use]
    pub fn tls(mut self, tls: ClientTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Which HTTP proxy to go through. The default is what the environment says.
    #[must_use]
    pub fn proxy(mut self, proxy: ProxyPolicy) -> Self {
        self.proxy = proxy;
        self
    }

    /// Reaches the peer by the embedder's own means: `connect` makes the byte stream, and the
    /// endpoint only says which path is asked for on it. Address, proxy and TLS are then the
    /// embedder's, too. Where it panics, the attempt has failed.
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
        self.byte_streams = Some(ByteStreams::new(connect));
        self
    }

    /// Seeds the jitter of the waiting times, which is random otherwise.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// How long to wait before connecting again: 5 s at most, unless set. A peer that connects to
    /// this server is connected to at once.
    #[must_use]
    pub fn reconnect(mut self, config: ReconnectConfig) -> Self {
        self.reconnect = config;
        self
    }

    /// How long one attempt to connect may take: 20 s unless set.
    #[must_use]
    pub fn connect_timeout(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Speaks the base protocol even to a peer that speaks the extension: for tests of what a
    /// remotedialer peer would see.
    #[must_use]
    pub fn base_dialect(mut self) -> Self {
        self.base_dialect = true;
        self
    }

    /// Whether nothing would change if one took the other's place.
    pub(super) fn is(&self, other: &Self) -> bool {
        let same_tls = match (&self.tls, &other.tls) {
            (None, None) => true,
            (Some(tls), Some(other)) => tls.is(other),
            _ => false,
        };
        let same_streams = match (&self.byte_streams, &other.byte_streams) {
            (None, None) => true,
            (Some(streams), Some(other)) => streams.is(other),
            _ => false,
        };
        same_tls
            && same_streams
            && (&self.endpoint, &self.id, &self.token, self.address)
                == (&other.endpoint, &other.id, &other.token, other.address)
            && (&self.own_token, self.remotedialer) == (&other.own_token, other.remotedialer)
            && (&self.proxy, &self.reconnect, self.base_dialect)
                == (&other.proxy, &other.reconnect, other.base_dialect)
            && (self.seed, self.deadline) == (other.seed, other.deadline)
    }
}

impl fmt::Debug for Peer {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("endpoint", &self.endpoint)
            .field("id", &self.id)
            .field("address", &self.address)
            .finish_non_exhaustive()
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
    fn what_is_shown_has_no_secret() {
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
}
