//! Peers that are discovered by name.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use watertight::peering::{Peer, PeerDiscovery, PeerError, PeerIdentity};
use watertight::tls::{ClientTls, ServerTls};
use watertight::{AgentStatus, ProxyPolicy};

use super::{Host, end_all, peer, text_of};
use support::{server, until};

/// The addresses of a name; `None` if the look-up fails.
#[derive(Clone, Default)]
struct Name {
    addresses: Arc<Mutex<Option<Vec<IpAddr>>>>,
    look_ups: Arc<AtomicUsize>,
}

impl Name {
    fn set(&self, addresses: Option<&[IpAddr]>) {
        *self.addresses.lock().unwrap() = addresses.map(<[IpAddr]>::to_vec);
    }

    fn look_up(&self) -> io::Result<Vec<IpAddr>> {
        self.look_ups.fetch_add(1, Ordering::Relaxed);
        let addresses = self.addresses.lock().unwrap().clone();
        addresses.ok_or_else(|| io::Error::other("no answer"))
    }

    /// Waits until all of `servers` have processed the present addresses.
    async fn is_taken_in(&self, servers: usize) {
        let look_ups = || self.look_ups.load(Ordering::Relaxed);
        let before = look_ups();
        until(|| look_ups() > before + 10 * servers).await;
    }

    fn discovery(&self, port: u16) -> PeerDiscovery {
        let name = self.clone();
        let endpoint = format!("ws://peers.invalid:{port}").parse().unwrap();
        PeerDiscovery::new(endpoint, "shared")
            .proxy(ProxyPolicy::None)
            .interval(Duration::from_millis(10))
            .reconnect(super::reconnect())
            .resolve_with(move || {
                let found = name.look_up();
                async move { found }
            })
    }
}

fn address(number: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, number).into()
}

/// Servers at addresses of this machine with one port, and their addresses as ids.
async fn hosts<const N: usize>() -> ([Host; N], u16) {
    loop {
        let first = TcpListener::bind((address(1), 0)).await.unwrap();
        let port = first.local_addr().unwrap().port();
        let mut listeners = vec![first];
        for number in 2..=N {
            let at = (address(u8::try_from(number).unwrap()), port);
            listeners.extend(TcpListener::bind(at).await.ok());
        }
        // Another program may have that port.
        let Ok(listeners) = <[TcpListener; N]>::try_from(listeners) else { continue };
        return (listeners.map(host), port);
    }
}

fn host(listener: TcpListener) -> Host {
    let at = listener.local_addr().unwrap();
    let id = at.ip().to_string();
    let server = server().peering(PeerIdentity::new(&id, "shared")).build();
    server.listen(listener, None);
    Host { server, at, id }
}

fn ids(host: &Host) -> Vec<String> {
    host.server.peers().into_iter().map(|peer| peer.id).collect()
}

#[tokio::test]
async fn every_address_of_a_name_is_a_peer_for_as_long_as_it_is_one() {
    let (hosts, port) = hosts::<3>().await;
    let name = Name::default();
    name.set(Some(&[address(1), address(2), address(3)]));
    for host in &hosts {
        host.server.discover_peers(name.discovery(port)).unwrap();
    }
    let [a, b, c] = hosts;
    a.is_up_with("127.0.0.2").await;
    a.is_up_with("127.0.0.3").await;
    assert_eq!(ids(&a), ["127.0.0.2", "127.0.0.3"], "without itself");
    let speaker = b.speaker("edge", "at b").await;
    for host in [&a, &c] {
        host.finds("edge", &["127.0.0.2"]).await;
        assert_eq!(text_of(host, "edge").await, "at b");
    }
    // A failed look-up changes nothing; an address that disappears is removed, with its routes.
    name.set(None);
    let before = a.peer("127.0.0.2").incoming.unwrap().session;
    name.is_taken_in(3).await;
    assert_eq!(a.peer("127.0.0.2").incoming.unwrap().session, before);
    name.set(Some(&[address(1), address(3)]));
    until(|| ids(&a) == ["127.0.0.3"] && ids(&c) == ["127.0.0.1"]).await;
    assert!(a.server.peers_of("edge").is_empty());
    a.is_up_with("127.0.0.3").await;
    end_all(vec![speaker], vec![a, b, c]).await;
}

#[tokio::test]
async fn a_server_with_both_kinds_of_addresses_is_one_peer() {
    let ([a], port) = hosts::<1>().await;
    let name = Name::default();
    name.set(Some(&[address(1), Ipv6Addr::LOCALHOST.into(), address(2)]));
    a.server.discover_peers(name.discovery(port)).unwrap();
    name.is_taken_in(1).await;
    assert_eq!(ids(&a), ["127.0.0.2"]);
    end_all(Vec::new(), vec![a]).await;
}

#[tokio::test]
async fn a_peer_added_by_its_id_is_not_changed() {
    let ([a], port) = hosts::<1>().await;
    let name = Name::default();
    a.server.add_peer(peer("127.0.0.9", ([127, 0, 0, 1], 1).into())).unwrap();
    name.set(Some(&[address(8), address(9)]));
    a.server.discover_peers(name.discovery(port)).unwrap();
    until(|| ids(&a) == ["127.0.0.8", "127.0.0.9"]).await;
    assert_eq!(a.peer("127.0.0.9").address, None);
    name.set(Some(&[]));
    until(|| ids(&a) == ["127.0.0.9"]).await;
    end_all(vec![], vec![a]).await;
}

#[tokio::test]
async fn a_peer_added_by_its_id_replaces_a_discovered_one() {
    let ([a], port) = hosts::<1>().await;
    let name = Name::default();
    name.set(Some(&[address(7), address(8), address(9)]));
    a.server.discover_peers(name.discovery(port)).unwrap();
    until(|| ids(&a) == ["127.0.0.7", "127.0.0.8", "127.0.0.9"]).await;
    assert_eq!(a.peer("127.0.0.9").address, Some(address(9)));
    // One with another configuration, and one with the same.
    a.server.add_peer(peer("127.0.0.9", ([127, 0, 0, 1], 1).into())).unwrap();
    assert_eq!(a.peer("127.0.0.9").address, None);
    let same =
        Peer::new(format!("ws://peers.invalid:{port}").parse().unwrap(), "127.0.0.8", "shared");
    let same = same.address(address(8)).proxy(ProxyPolicy::None).reconnect(super::reconnect());
    a.server.add_peer(same).unwrap();
    // The discovery neither takes them over nor removes them.
    name.is_taken_in(1).await;
    assert_eq!(a.peer("127.0.0.9").address, None);
    name.set(Some(&[]));
    until(|| ids(&a) == ["127.0.0.8", "127.0.0.9"]).await;
    name.is_taken_in(1).await;
    assert_eq!(ids(&a), ["127.0.0.8", "127.0.0.9"]);
    end_all(vec![], vec![a]).await;
}

#[tokio::test]
async fn a_resolver_that_panics_is_a_look_up_that_failed() {
    let ([a], port) = hosts::<1>().await;
    let (name, asked) = (Name::default(), Arc::new(Mutex::new(0)));
    let count = Arc::clone(&asked);
    let discovery = name.discovery(port).resolve_with(move || {
        let mut asked = count.lock().unwrap();
        *asked += 1;
        let asked = *asked;
        async move { if asked == 1 { panic!("on purpose") } else { Ok(vec![address(7)]) } }
    });
    a.server.discover_peers(discovery).unwrap();
    until(|| ids(&a) == ["127.0.0.7"]).await;
    end_all(vec![], vec![a]).await;
}

#[tokio::test]
async fn tls_goes_by_the_name_and_not_by_the_address() {
    let certified = rcgen::generate_simple_self_signed(["peers.invalid".to_string()]).unwrap();
    let (cert, key) = (certified.cert.pem(), certified.signing_key.serialize_pem());
    let tls = ServerTls::from_pem(cert.as_bytes(), key.as_bytes(), None).unwrap();
    let trust = ClientTls::from_pem(Some(cert.as_bytes()), None).unwrap();
    let ([a, b], port) = hosts::<2>().await;
    let secure = TcpListener::bind((address(2), 0)).await.unwrap();
    let secure_port = secure.local_addr().unwrap().port();
    b.server.listen(secure, Some(tls));
    let name = Name::default();
    name.set(Some(&[address(1), address(2)]));
    b.server.discover_peers(name.discovery(port)).unwrap();
    let find = |host: &str| {
        let resolved = name.clone();
        let endpoint = format!("wss://{host}:{secure_port}").parse().unwrap();
        PeerDiscovery::new(endpoint, "shared")
            .tls(trust.clone())
            .proxy(ProxyPolicy::None)
            .interval(Duration::from_millis(10))
            .reconnect(super::reconnect())
            .resolve_with(move || {
                let found = resolved.look_up();
                async move { found }
            })
    };
    a.server.discover_peers(find("peers.invalid")).unwrap();
    a.is_up_with("127.0.0.2").await;
    end_all(vec![], vec![a]).await;

    let c = Host::start("127.0.0.9").await;
    c.server.discover_peers(find("other.invalid")).unwrap();
    until(|| {
        let peers = c.server.peers();
        peers.iter().any(|peer| match &peer.outgoing {
            AgentStatus::Waiting { reason, .. } => reason.to_string().contains("other.invalid"),
            _ => false,
        })
    })
    .await;
    end_all(vec![], vec![b, c]).await;
}

#[tokio::test]
async fn an_unusable_discovery_is_refused() {
    let ([a], port) = hosts::<1>().await;
    let stranger = server().build();
    let refused = |server: &watertight::Server, url: &str, token: &str| {
        let discovery = PeerDiscovery::new(url.parse().unwrap(), token);
        server.discover_peers(discovery).unwrap_err()
    };
    let url = format!("ws://localhost:{port}");
    assert_eq!(refused(&stranger, &url, "t"), PeerError::NoIdentity);
    assert!(matches!(refused(&a.server, &url, ""), PeerError::EmptyToken(_)));
    assert!(matches!(refused(&a.server, "tcp://localhost:1", "t"), PeerError::NotAWebSocket(_)));
    let named = Host::start("named").await;
    let id = PeerError::IdNotAnAddress("named".to_string());
    assert_eq!(refused(&named.server, &url, "t"), id);
    end_all(vec![], vec![a, named]).await;
    assert!(stranger.shutdown(Duration::ZERO).await.is_settled());
}

/// The system's own resolver, which knows this name on every machine.
#[tokio::test]
async fn names_are_looked_up_by_the_system() {
    let ([a, b], port) = hosts::<2>().await;
    let endpoint = format!("ws://localhost:{port}").parse().unwrap();
    let discovery = PeerDiscovery::new(endpoint, "shared").proxy(ProxyPolicy::None);
    b.server.discover_peers(discovery.reconnect(super::reconnect())).unwrap();
    until(|| ids(&b).contains(&"127.0.0.1".to_string())).await;
    a.server.add_peer(peer("127.0.0.2", b.at)).unwrap();
    until(|| matches!(b.peer("127.0.0.1").outgoing, AgentStatus::Waiting { .. })).await;
    end_all(vec![], vec![a, b]).await;
}
