//! The registry's rules in lists that are searched from end to end, and what the peers were told.

use watertight_core::registry::{
    Candidate, Registry, RegistryError, RouteChange, SessionKey, SessionKind,
};
use watertight_core::wire::{ClientRoute, Dialect};

use super::{LIMITS, NAMES};

/// What is dialled.
const TARGET: &str = "tcp/a:1";

/// A live session.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) key: SessionKey,
    pub(super) kind: SessionKind,
    pub(super) name: &'static str,
    pub(super) dialect: Dialect,
}

#[derive(Debug, Default)]
pub(super) struct Model {
    /// Every session that there has been.
    pub(super) history: Vec<SessionKey>,
    pub(super) live: Vec<Session>,
    routes: Vec<(SessionKey, ClientRoute)>,
    told: Vec<(SessionKey, ClientRoute)>,
}

impl Model {
    /// One of the sessions that there have been.
    pub(super) fn place(&self, place: u8) -> Option<SessionKey> {
        let index = usize::from(place).checked_rem(self.history.len())?;
        self.history.get(index).copied()
    }

    pub(super) fn kind(&self, key: SessionKey) -> Option<SessionKind> {
        self.live.iter().find(|session| session.key == key).map(|session| session.kind)
    }

    pub(super) fn find(&self, kind: SessionKind, name: &str) -> Option<SessionKey> {
        let found = self.live.iter().find(|session| session.kind == kind && session.name == name);
        found.map(|session| session.key)
    }

    /// Why a session of this name is not taken.
    pub(super) fn refuses(&self, kind: SessionKind, name: &str) -> Option<RegistryError> {
        let limit = if kind == SessionKind::Agent { LIMITS.agents } else { LIMITS.peers };
        if let Err(error) = check_key(name) {
            return Some(error);
        }
        if self.find(kind, name).is_some() || self.count(kind) < limit {
            return None;
        }
        Some(match kind {
            SessionKind::Agent => RegistryError::TooManyAgents { limit },
            _ => RegistryError::TooManyPeers { limit },
        })
    }

    pub(super) fn drop_session(&mut self, key: SessionKey) {
        self.live.retain(|session| session.key != key);
        self.routes.retain(|(peer, _)| *peer != key);
        self.told.retain(|(peer, _)| *peer != key);
    }

    pub(super) fn forget(&mut self, peer: SessionKey, client_key: &str) {
        self.routes.retain(|(owner, route)| *owner != peer || route.client_key != client_key);
    }

    /// A peer is told something.
    pub(super) fn hear(&mut self, peer: SessionKey, change: RouteChange) {
        match change {
            RouteChange::Added(route) => self.told.push((peer, route)),
            RouteChange::Removed(route) => {
                let removed = (peer, route);
                let known = self.told.iter().position(|told| *told == removed);
                let Some(known) = known else { panic!("{removed:?} was never announced") };
                self.told.remove(known);
            }
        }
    }

    pub(super) fn remove_route(
        &mut self,
        peer: SessionKey,
        route: &ClientRoute,
    ) -> Result<(), RegistryError> {
        self.check_announcer(peer)?;
        self.routes.retain(|(owner, known)| *owner != peer || known != route);
        Ok(())
    }

    pub(super) fn add_route(
        &mut self,
        peer: SessionKey,
        route: &ClientRoute,
    ) -> Result<(), RegistryError> {
        self.check_announcer(peer)?;
        check_key(&route.client_key)?;
        let announced = (peer, route.clone());
        if !self.routes.contains(&announced) {
            self.make_room(&announced)?;
        }
        self.routes.retain(|other| *other != announced);
        self.routes.push(announced);
        Ok(())
    }

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
        assert!(ledger.is_even(), "{ledger:?}");
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
        for candidate in found {
            let asked = candidate.target(name, TARGET);
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

    fn count(&self, kind: SessionKind) -> usize {
        self.live.iter().filter(|session| session.kind == kind).count()
    }

    fn check_announcer(&self, peer: SessionKey) -> Result<(), RegistryError> {
        match self.kind(peer) {
            Some(SessionKind::IncomingPeer) => Ok(()),
            Some(_) => Err(RegistryError::NotAPeer),
            None => Err(RegistryError::Gone),
        }
    }

    /// Where there is no room, another route of the peer to the client goes.
    fn make_room(&mut self, announced: &(SessionKey, ClientRoute)) -> Result<(), RegistryError> {
        let (peer, route) = announced;
        let of_peer = self.routes.iter().filter(|(owner, _)| owner == peer).count();
        let full = if of_peer == LIMITS.routes_per_peer {
            RegistryError::TooManyRoutesOfPeer { limit: of_peer }
        } else if self.routes.len() == LIMITS.routes {
            RegistryError::TooManyRoutes { limit: LIMITS.routes }
        } else {
            return Ok(());
        };
        let others = self
            .routes
            .iter()
            .filter(|(owner, other)| owner == peer && other.client_key == route.client_key);
        let other = others.min().cloned().ok_or(full)?;
        self.routes.retain(|route| *route != other);
        Ok(())
    }

    /// The client's own session, then the peers that announced it, the latest first.
    fn lookup(&self, client_key: &str) -> Vec<SessionKey> {
        let mut found: Vec<_> = self.find(SessionKind::Agent, client_key).into_iter().collect();
        for (peer, route) in self.routes.iter().rev() {
            if route.client_key == client_key && !found.contains(peer) {
                found.push(*peer);
            }
        }
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

const fn check_key(key: &str) -> Result<(), RegistryError> {
    match key.len() {
        0 => Err(RegistryError::EmptyKey),
        length if length > LIMITS.key => {
            Err(RegistryError::KeyTooLong { length, limit: LIMITS.key })
        }
        _ => Ok(()),
    }
}

/// Whether the Go end reads a client key as it is meant.
fn is_plain(client_key: &str) -> bool {
    !client_key.contains('/') && !client_key.contains("::") && !client_key.ends_with(':')
}
