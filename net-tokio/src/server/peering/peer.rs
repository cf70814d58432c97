use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use watertight_core::ReconnectConfig;

use crate::endpoint::{Endpoint, ProxyPolicy};
use crate::tls::ClientTls;

/// Who a server is to its peers. See [`ServerBuilder::peering`](crate::ServerBuilder::peering).
#[derive(Clone)]
pub struct PeerIdentity {
    pub(super) id: String,
    pub(super) token: String,
}

impl PeerIdentity {
    /// The id by which the peers know this server, and the token that proves it to them.
    #[must_use]
    pub fn new(id: &str, token: &str) -> Self {
        Self { id: id.to_string(), token: token.to_string() }
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
    pub(super) token: String,
    pub(super) address: Option<IpAddr>,
    pub(super) tls: Option<ClientTls>,
    pub(super) proxy: ProxyPolicy,
    pub(super) reconnect: ReconnectConfig,
    pub(super) base_dialect: bool,
}

impl Peer {
    /// The server at `endpoint`, a `ws` or `wss` one, whose own id is `id`, and which shows `token`
    /// to this server when it connects.
    #[must_use]
    pub fn new(endpoint: Endpoint, id: &str, token: &str) -> Self {
        Self {
            endpoint,
            id: id.to_string(),
            token: token.to_string(),
            address: None,
            tls: None,
            proxy: ProxyPolicy::default(),
            reconnect: ReconnectConfig {
                max: Duration::from_secs(5),
                ..ReconnectConfig::default()
            },
            base_dialect: false,
        }
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

    /// How long to wait before connecting again: 5 s at most, unless set. A peer that connects to
    /// this server is connected to at once.
    #[must_use]
    pub fn reconnect(mut self, config: ReconnectConfig) -> Self {
        self.reconnect = config;
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
        same_tls
            && (&self.endpoint, &self.id, &self.token, self.address)
                == (&other.endpoint, &other.id, &other.token, other.address)
            && (&self.proxy, &self.reconnect, self.base_dialect)
                == (&other.proxy, &other.reconnect, other.base_dialect)
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
    use super::*;

    fn peer() -> Peer {
        Peer::new("wss://b.example".parse().unwrap(), "b", "secret")
    }

    #[test]
    fn what_is_shown_has_no_secret() {
        let shown = format!("{:?}", (PeerIdentity::new("a", "secret"), peer()));
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn any_difference_is_one() {
        assert!(peer().is(&peer()));
        let others = [
            Peer::new("wss://c.example".parse().unwrap(), "b", "secret"),
            Peer::new("wss://b.example".parse().unwrap(), "b", "other"),
            peer().address(IpAddr::from([127, 0, 0, 1])),
            peer().proxy(ProxyPolicy::None),
            peer().base_dialect(),
        ];
        for other in others {
            assert!(!peer().is(&other), "{other:?}");
        }
    }
}
