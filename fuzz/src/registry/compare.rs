//! Whether a registry equals the model.

use watertight_core::registry::{Candidate, Registry, RouteChange, SessionKey, SessionKind};
use watertight_core::wire::{ClientRoute, Dialect};

use super::NAMES;
use super::model::{Model, Session};

/// The target of dials: a protocol and an address.
const TARGET: (&str, &str) = ("tcp", "a:1");

impl Model {
    /// Whether the registry is as it is here.
    pub(super) fn compare(&self, registry: &Registry) {
        for name in NAMES {
            self.compare_name(registry, name);
        }
        self.compare_sessions(registry);
        for peer in self.live.iter().filter(|session| session.kind == SessionKind::OutgoingPeer) {
            let told = self.told.iter().filter(|(to, _)| *to == peer.key);
            let mut told: Vec<_> = told.map(|(_, route)| route.clone()).collect();
            told.sort();
            assert_eq!(told, self.known_to(peer), "what a peer was told is not what is there");
        }
        let ledger = registry.ledger();
        assert!(ledger.is_balanced(), "{ledger:?}");
        assert_eq!(ledger.agents.live, self.count(SessionKind::Agent) as u64);
        assert_eq!(ledger.agents.live + ledger.peers.live, self.live.len() as u64);
        assert_eq!(ledger.routes.live, self.routes.len() as u64);
    }

    fn compare_name(&self, registry: &Registry, name: &str) {
        let found: Vec<_> = registry.lookup(name).collect();
        let sessions: Vec<_> = found.iter().map(|candidate| candidate.session()).collect();
        assert_eq!(sessions, self.lookup(name), "{name}");
        assert_eq!(registry.lookup_local(name), self.find(SessionKind::Agent, name), "{name}");
        for kind in [SessionKind::IncomingPeer, SessionKind::OutgoingPeer] {
            assert_eq!(registry.peer(kind, name), self.find(kind, name), "{name}");
        }
        let target = format!("{}/{}", TARGET.0, TARGET.1);
        for candidate in found {
            let asked = candidate.target(name, &target);
            let speakable = match candidate {
                Candidate::Local(_) => true,
                Candidate::Peer { dialect, .. } => dialect == Dialect::Extended || is_plain(name),
            };
            assert_eq!(asked.is_ok(), speakable, "{name}: {asked:?}");
        }
    }

    fn compare_sessions(&self, registry: &Registry) {
        for session in &self.history {
            let routes = self.routes.iter().filter(|(peer, _)| peer == session).count();
            assert_eq!(registry.routes_of(*session), routes, "routes of {session}");
            let kind = registry.get(*session).map(|entry| entry.kind);
            assert_eq!(kind, self.kind(*session), "what {session} is");
            let all: Vec<_> = registry.announcements(*session, None).collect();
            if let Some(RouteChange::Added(first)) = all.first() {
                let later = registry.announcements(*session, Some(&first.client_key));
                assert!(all.iter().skip(1).cloned().eq(later), "what {session} is told later");
            }
        }
        let mut agents: Vec<_> =
            self.live.iter().filter(|session| session.kind == SessionKind::Agent).collect();
        agents.sort_by_key(|agent| agent.name);
        let agents = agents.into_iter().map(|agent| (agent.name, agent.key));
        assert!(registry.agents().eq(agents), "the agents");
    }

    /// The client's own session, then the peers that announced it, by their rank.
    fn lookup(&self, client_key: &str) -> Vec<SessionKey> {
        let mut found: Vec<_> = self.find(SessionKind::Agent, client_key).into_iter().collect();
        let announces = |peer: SessionKey| {
            self.routes.iter().any(|(of, route)| *of == peer && route.client_key == client_key)
        };
        let places = self.places.iter().filter(|(client, _)| client == client_key);
        found.extend(places.map(|(_, peer)| *peer).filter(|peer| announces(*peer)));
        found
    }

    /// What an outgoing peer should know, by what is there now.
    fn known_to(&self, peer: &Session) -> Vec<ClientRoute> {
        let agents = self.live.iter().filter(|session| session.kind == SessionKind::Agent);
        let understood =
            agents.filter(|agent| peer.dialect == Dialect::Extended || is_plain(agent.name));
        let mut routes: Vec<_> = understood
            .map(|agent| ClientRoute {
                client_key: agent.name.into(),
                session_key: agent.key.get().cast_signed(),
            })
            .collect();
        routes.sort();
        routes
    }
}

/// Whether the Go end reads a client key as it is meant: it cuts what it is asked for at the first slash, and
/// what is in front of that at the first two colons.
fn is_plain(client_key: &str) -> bool {
    let asked = format!("{client_key}::{}/{}", TARGET.0, TARGET.1);
    let Some((head, address)) = asked.split_once('/') else { return false };
    head.split_once("::") == Some((client_key, TARGET.0)) && address == TARGET.1
}
