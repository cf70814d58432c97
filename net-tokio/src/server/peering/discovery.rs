//! Peers that are discovered by a name's addresses, repeatedly.

use std::collections::BTreeSet;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tracing::{Instrument, info, info_span, warn};
use watertight_core::ReconnectConfig;

use super::{Peer, PeerError};
use crate::endpoint::{Endpoint, ProxyPolicy};
use crate::server::Inner;
use crate::tls::ClientTls;

/// The timeout of a look-up: as long as a system's resolver that asks three servers twice for 5 s
/// each.
const LOOK_UP: Duration = Duration::from_secs(30);

/// The shortest pause between two look-ups, for a resolver that answers or fails at once.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// The source of the peers' addresses.
#[derive(Clone)]
struct Resolver(Arc<dyn Fn() -> Resolving + Send + Sync>);

/// Discovers a server's peers: every address of a name is one, as a headless service of Kubernetes
/// returns them. Each peer's id is its address as text, such as `10.0.0.7`, and so must this
/// server's be; addresses of the other family (IPv4, IPv6) are left out.
///
/// See [`Server::discover_peers`](crate::Server::discover_peers).
#[derive(Clone, Debug)]
pub struct PeerDiscovery {
    /// The common configuration of the peers; it has no address, and its id is for errors only.
    template: Peer,
    resolver: Resolver,
    interval: Duration,
}

impl PeerDiscovery {
    /// Finds the servers at every address of the host of `endpoint`, a `ws` or `wss` one, all of
    /// which prove their ids with `token`.
    #[must_use]
    pub fn new(endpoint: Endpoint, token: &str) -> Self {
        let (host, name) = (endpoint.clone(), endpoint.to_string());
        Self {
            template: Peer::new(endpoint, &name, token),
            resolver: Resolver::new(move || {
                let host = host.clone();
                async move { host.addresses().await }
            }),
            interval: Duration::from_secs(5),
        }
    }

    /// Calls `resolve` for the addresses instead of the system's resolver. It is called again only
    /// after it has returned. If it panics, or has not returned after 30 s, the look-up has failed,
    /// and the future is dropped.
    #[must_use]
    pub fn resolve_with<F, A>(mut self, resolve: F) -> Self
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = io::Result<Vec<IpAddr>>> + Send + 'static,
    {
        self.resolver = Resolver::new(resolve);
        self
    }

    /// The pause between two look-ups: 5 s unless set, and 10 ms at least.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval.max(SHORTEST_INTERVAL);
        self
    }

    /// See [`Peer::tls`]. Certificates are verified by the endpoint's host, not by the address.
    #[must_use]
    pub fn tls(mut self, tls: ClientTls) -> Self {
        self.template = self.template.tls(tls);
        self
    }

    /// Some of the peers are remotedialer servers. See [`Peer::remotedialer`].
    #[must_use]
    pub fn remotedialer(mut self) -> Self {
        self.template = self.template.remotedialer();
        self
    }

    /// See [`Peer::proxy`].
    #[must_use]
    pub fn proxy(mut self, proxy: ProxyPolicy) -> Self {
        self.template = self.template.proxy(proxy);
        self
    }

    /// See [`Peer::reconnect`].
    #[must_use]
    pub fn reconnect(mut self, config: ReconnectConfig) -> Self {
        self.template = self.template.reconnect(config);
        self
    }

    fn peer(&self, address: IpAddr) -> Peer {
        Peer { id: address.to_string(), ..self.template.clone() }.address(address)
    }
}

impl Resolver {
    fn new<F, A>(resolve: F) -> Self
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = io::Result<Vec<IpAddr>>> + Send + 'static,
    {
        let resolve = Arc::new(resolve);
        Self(Arc::new(move || {
            let resolve = Arc::clone(&resolve);
            Box::pin(async move { resolve().await })
        }))
    }

    async fn resolve(&self) -> io::Result<BTreeSet<IpAddr>> {
        let answered = tokio::time::timeout(LOOK_UP, self.look_up()).await;
        answered.unwrap_or_else(|_| {
            let text = format!("no answer after {LOOK_UP:?}");
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        })
    }

    /// A panic of the embedder's code ends this look-up, not the discovery.
    async fn look_up(&self) -> io::Result<BTreeSet<IpAddr>> {
        let mut resolving = (self.0)();
        let addresses = poll_fn(|cx| {
            // A future that panicked is not polled again.
            let polled = catch_unwind(AssertUnwindSafe(|| resolving.as_mut().poll(cx)));
            polled.unwrap_or_else(|_| Poll::Ready(Err(io::Error::other("the resolver panicked"))))
        })
        .await?;
        Ok(addresses.iter().map(IpAddr::to_canonical).collect())
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

impl Inner {
    pub(super) fn discover_peers(
        self: &Arc<Self>,
        discovery: PeerDiscovery,
    ) -> Result<(), PeerError> {
        let mut sessions = self.sessions();
        if sessions.is_closed() {
            return Err(PeerError::ShuttingDown);
        }
        let endpoint = discovery.template.connect.endpoint.to_string();
        // Checked before there is a peer: whether an address can be one, capacity aside.
        let own = sessions.peer_table().check_any(&discovery.template)?;
        let Ok(address) = own.parse::<IpAddr>() else { return Err(PeerError::IdNotAnAddress(own)) };
        let (own, number) = (address.to_canonical(), sessions.peer_table_mut().number());
        drop(sessions);
        let task =
            DiscoveryTask { server: Arc::clone(self), discovery, number, own, problem: None };
        let span = info_span!(parent: None, "discovery", endpoint);
        self.tasks.spawn(task.run().instrument(span));
        Ok(())
    }
}

/// The task of a running discovery.
struct DiscoveryTask {
    server: Arc<Inner>,
    discovery: PeerDiscovery,
    /// The discovery's number, which the peers that it found carry.
    number: u64,
    /// This server's id.
    own: IpAddr,
    /// The last problem. It is logged when it changes.
    problem: Option<String>,
}

impl DiscoveryTask {
    async fn run(mut self) {
        let stop = self.server.stop.clone();
        let discovering = async {
            loop {
                let problem = match self.discovery.resolver.resolve().await {
                    Ok(addresses) => match self.update_peers(&addresses) {
                        Ok(()) => self.why_none(&addresses),
                        Err(error) => Some(error.to_string()),
                    },
                    // The peers are unknown, and stay as they are.
                    Err(error) => Some(format!("cannot look the peers up: {error}")),
                };
                self.report(problem);
                tokio::time::sleep(self.discovery.interval).await;
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = discovering => {}
        }
    }

    /// Removes the peers whose addresses have disappeared, and adds new ones.
    fn update_peers(&self, addresses: &BTreeSet<IpAddr>) -> Result<(), PeerError> {
        let found = addresses.iter().filter(|address| self.is_other(**address));
        let peers: Vec<_> = found.map(|address| self.discovery.peer(*address)).collect();
        let ids: BTreeSet<_> = peers.iter().map(|peer| peer.id.as_str()).collect();
        let known = self.server.sessions().peer_table().found_by(self.number);
        for id in known.iter().filter(|id| !ids.contains(id.as_str())) {
            self.server.remove_peer(id, Some(self.number));
        }
        // A peer that cannot be added does not prevent the others.
        let added = peers.into_iter().map(|peer| self.server.add_peer(peer, Some(self.number)));
        added.fold(Ok(()), Result::and)
    }

    /// A name may return both families of addresses for each server, which has only one id.
    fn is_other(&self, address: IpAddr) -> bool {
        self.own != address && self.own.is_ipv4() == address.is_ipv4()
    }

    /// Why no peer was found, if none was. The first server of several is alone for a while.
    fn why_none(&self, addresses: &BTreeSet<IpAddr>) -> Option<String> {
        if addresses.iter().any(|address| self.is_other(*address)) {
            return None;
        }
        let own = self.own;
        Some(if addresses.contains(&own) {
            format!("no other server is found, only this one, {own}")
        } else if addresses.is_empty() {
            "no server is found".to_string()
        } else {
            format!("no address is of one kind, IPv4 or IPv6, with the id of this server, {own}")
        })
    }

    fn report(&mut self, problem: Option<String>) {
        if problem == self.problem {
            return;
        }
        match &problem {
            Some(problem) => warn!(problem, "not every peer is known"),
            None => info!("the peers are known again"),
        }
        self.problem = problem;
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::Instant;

    use super::*;
    use crate::handshake::Refusal;
    use crate::server::Server;

    #[tokio::test(start_paused = true)]
    async fn a_look_up_that_is_not_answered_has_failed() {
        let (began, resolver) = (Instant::now(), Resolver::new(pending));
        let failed = tokio::time::timeout(2 * LOOK_UP, resolver.resolve()).await.unwrap();
        assert_eq!(failed.unwrap_err().to_string(), "no answer after 30s");
        assert_eq!(began.elapsed().as_secs(), LOOK_UP.as_secs());
    }

    fn task(own: &str) -> DiscoveryTask {
        let server =
            Server::builder(|_| async { Err::<String, _>(Refusal::unauthorized("nobody")) })
                .build();
        let discovery = PeerDiscovery::new("ws://peers.invalid:1".parse().unwrap(), "shared");
        let server = Arc::clone(&server.inner);
        DiscoveryTask { server, discovery, number: 1, own: own.parse().unwrap(), problem: None }
    }

    #[tokio::test]
    async fn the_reason_why_no_peer_is_found_is_given() {
        let task = task("10.0.0.7");
        let nobody = |addresses: &[&str]| {
            task.why_none(&addresses.iter().map(|address| address.parse().unwrap()).collect())
        };
        for (addresses, expected) in [
            (["10.0.0.7", "::1"].as_slice(), "no other server is found, only this one, 10.0.0.7"),
            (&[], "no server is found"),
            (
                &["::1"],
                "no address is of one kind, IPv4 or IPv6, with the id of this server, 10.0.0.7",
            ),
        ] {
            assert_eq!(nobody(addresses).unwrap(), expected);
        }
        assert_eq!(nobody(&["10.0.0.7", "10.0.0.8"]), None);
    }

    #[tokio::test]
    async fn a_problem_is_logged_when_it_changes() {
        let mut task = task("10.0.0.7");
        for problem in [None, Some("one"), Some("one"), Some("another"), None] {
            let problem = problem.map(str::to_string);
            task.report(problem.clone());
            assert_eq!(task.problem, problem);
        }
    }

    #[test]
    fn no_interval_is_none() {
        let interval = |interval| {
            let endpoint = "ws://peers.invalid:1".parse().unwrap();
            PeerDiscovery::new(endpoint, "shared").interval(interval).interval
        };
        assert_eq!(interval(Duration::ZERO), SHORTEST_INTERVAL);
        assert_eq!(interval(Duration::from_secs(1)), Duration::from_secs(1));
    }
}
