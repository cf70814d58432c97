//! A registry and its model, to which the same happens.

use watertight_core::ConnectionId;
use watertight_core::registry::{
    Registry, RouteChange, SessionKey, SessionKind, no_such_client, says_no_such_client,
};
use watertight_core::wire::{Body, ClientRoute, DecodeLimits, Dialect, Message};

use super::model::{Model, Session};
use super::op::{DIALECTS, Kind, Name, Op, Speaks};
use super::{LIMITS, NAMES, targets};

pub(super) struct World {
    registry: Registry,
    model: Model,
}

impl Default for World {
    fn default() -> Self {
        Self { registry: Registry::new(LIMITS), model: Model::default() }
    }
}

impl World {
    /// # Panics
    /// The registry is not as the model.
    pub(super) fn compare(&self) {
        self.model.compare(&self.registry);
    }

    /// Everybody leaves, and nothing is left.
    pub(super) fn end(mut self) {
        for session in self.model.history.clone() {
            self.remove(session);
        }
        self.compare();
        assert!(self.registry.ledger().is_empty(), "{:?}", self.registry);
    }

    pub(super) fn apply(&mut self, op: Op) {
        match op {
            Op::Insert(Kind(kind), Name(name), Speaks(dialect)) => self.insert(kind, name, dialect),
            Op::Remove(place) => {
                self.model.pick(place).into_iter().for_each(|session| self.remove(session));
            }
            Op::RemovePeer(Name(id)) => self.remove_peer(id),
            Op::AddRoute(place, Name(key), number) => {
                self.announce(place, Body::AddClient(route(key, number)));
            }
            Op::RemoveRoute(place, Name(key), number) => {
                self.announce(place, Body::RemoveClient(route(key, number)));
            }
            Op::Forget(place, Name(key)) => {
                let Some(peer) = self.model.pick(place) else { return };
                self.registry.forget_stale(peer, key);
                self.model.forget(peer, key);
            }
            Op::Send(place, Speaks(dialect), bytes) => self.send(place, dialect, bytes),
            Op::Dial(text) => targets::check(&text),
        }
    }

    fn insert(&mut self, kind: SessionKind, name: &'static str, dialect: Dialect) {
        let (registry, model) = (&mut self.registry, &mut self.model);
        let inserted = match kind {
            SessionKind::Agent => registry.insert_agent(name),
            SessionKind::IncomingPeer => registry.insert_incoming_peer(name, dialect),
            SessionKind::OutgoingPeer => registry.insert_outgoing_peer(name, dialect),
        };
        assert_eq!(inserted.as_ref().err(), model.refuses(kind, name).as_ref());
        let Ok(inserted) = inserted else { return };
        let replaced = model.find(kind, name);
        assert_eq!(inserted.replaced, replaced);
        replaced.into_iter().for_each(|old| model.drop_session(old));
        model.history.push(inserted.session);
        model.live.push(Session { key: inserted.session, kind, name, dialect });
        inserted.announce.into_iter().for_each(|told| model.hear(told.peer, told.change));
        for change in registry.announcements(inserted.session, None) {
            model.hear(inserted.session, change);
        }
    }

    fn remove(&mut self, session: SessionKey) {
        let removed = self.registry.remove(session);
        let kind = removed.as_ref().map(|removed| removed.entry.kind);
        assert_eq!(kind, self.model.kind(session));
        for told in removed.into_iter().flat_map(|removed| removed.announce) {
            self.model.hear(told.peer, told.change);
        }
        self.model.drop_session(session);
    }

    fn remove_peer(&mut self, id: &str) {
        let removed: Vec<_> =
            self.registry.remove_peer(id).map(|removed| removed.session).collect();
        let kinds = [SessionKind::IncomingPeer, SessionKind::OutgoingPeer];
        let expected: Vec<_> = kinds.iter().filter_map(|kind| self.model.find(*kind, id)).collect();
        assert_eq!(removed, expected);
        removed.into_iter().for_each(|session| self.model.drop_session(session));
    }

    /// An announcement travels as a message, and comes out of it as it went in.
    fn announce(&mut self, place: u8, body: Body) {
        let message = Message::new(ConnectionId::SESSION, body);
        let bytes = message.encode().to_bytes();
        for dialect in DIALECTS {
            let decoded = Message::decode(bytes.clone(), dialect, &DecodeLimits::default());
            let (Body::AddClient(route) | Body::RemoveClient(route)) = &message.body else {
                return;
            };
            let speakable = RouteChange::Added(route.clone()).check(dialect).is_ok();
            assert!(!speakable || decoded.as_ref() == Ok(&message), "{message:?} is {decoded:?}");
        }
        self.take(place, message.body);
    }

    fn send(&mut self, place: u8, dialect: Dialect, bytes: Vec<u8>) {
        let decoded = Message::decode(bytes.into(), dialect, &DecodeLimits::default());
        if let Ok(message) = decoded {
            self.take(place, message.body);
        }
    }

    /// A peer's message as far as it concerns the registry.
    fn take(&mut self, place: u8, body: Body) {
        let Some(peer) = self.model.pick(place) else { return };
        match body {
            Body::AddClient(route) => {
                let expected = self.model.add_route(peer, &route);
                assert_eq!(self.registry.peer_added_client(peer, route), expected);
            }
            Body::RemoveClient(route) => {
                let expected = self.model.remove_route(peer, &route);
                assert_eq!(self.registry.peer_removed_client(peer, &route), expected);
            }
            Body::Error { text } => {
                let known = NAMES.iter().filter(|name| says_no_such_client(&text, name));
                known.for_each(|name| assert!(no_such_client(name).starts_with(&text)));
            }
            _ => {}
        }
    }
}

fn route(client_key: &str, number: u8) -> ClientRoute {
    ClientRoute { client_key: client_key.into(), session_key: i64::from(number % 3) }
}
