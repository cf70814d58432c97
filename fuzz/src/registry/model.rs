//! The registry's rules in lists that are searched from end to end, and the announcements that the peers
//! received.

use watertight_core::registry::{RegistryError, RouteChange, SessionKey, SessionKind};
use watertight_core::wire::{ClientRoute, Dialect};

use super::LIMITS;

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
    pub(super) routes: Vec<(SessionKey, ClientRoute)>,
    /// Who announced a client before whom: kept while anybody announces it.
    pub(super) places: Vec<(String, SessionKey)>,
    pub(super) told: Vec<(SessionKey, ClientRoute)>,
}

impl Model {
    /// One of the sessions that there have been.
    pub(super) fn pick(&self, place: u8) -> Option<SessionKey> {
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
        self.tidy_places();
    }

    pub(super) fn forget(&mut self, peer: SessionKey, client_key: &str) {
        self.routes.retain(|(owner, route)| *owner != peer || route.client_key != client_key);
        self.places.retain(|(client, owner)| *owner != peer || client != client_key);
        self.tidy_places();
    }

    /// A peer receives an announcement.
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
        self.tidy_places();
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
        let place = (route.client_key.clone(), peer);
        if !self.places.contains(&place) {
            self.places.push(place);
        }
        Ok(())
    }

    fn tidy_places(&mut self) {
        let (live, routes) = (&self.live, &self.routes);
        self.places.retain(|(client, peer)| {
            let is_announced = routes.iter().any(|(_, route)| route.client_key == *client);
            is_announced && live.iter().any(|session| session.key == *peer)
        });
    }

    pub(super) fn count(&self, kind: SessionKind) -> usize {
        self.live.iter().filter(|session| session.kind == kind).count()
    }

    fn check_announcer(&self, peer: SessionKey) -> Result<(), RegistryError> {
        match self.kind(peer) {
            Some(SessionKind::IncomingPeer) => Ok(()),
            Some(_) => Err(RegistryError::NotAPeer),
            None => Err(RegistryError::NotRegistered),
        }
    }

    /// Without capacity, another route of the peer to the client is removed.
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
