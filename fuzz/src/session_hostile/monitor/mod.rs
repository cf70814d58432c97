//! Messages of the session, checked by the rules of the protocol and by the messages it received. The session
//! is not asked: it could be wrong about itself.

mod base;
mod connection;
mod extended;

use std::collections::BTreeMap;

use bytes::Bytes;
use watertight_core::wire::{Body, DecodeLimits, Dialect, GoAwayCode, Message, Settings};
use watertight_core::{ConnectionId, Role};

use connection::Connection;

/// Follows both directions of a session.
#[derive(Debug)]
pub(super) struct Monitor {
    role: Role,
    dialect: Dialect,
    /// The largest Data that this end sends of its own accord.
    max_data: usize,
    /// Whether the first message was sent.
    settled: bool,
    peer: Option<Settings>,
    connections: BTreeMap<ConnectionId, Connection>,
    /// The newest ids that this end and the remote opened.
    newest_own: ConnectionId,
    newest_peer: ConnectionId,
    /// The last ids that this end and the remote still accept, once they have sent a GoAway.
    takes_until: Option<ConnectionId>,
    peer_takes_until: Option<ConnectionId>,
    /// The latest Ping that was not answered.
    ping: Option<[u8; 8]>,
    /// The session has ended and sent its last message.
    is_silent: bool,
}

impl Monitor {
    pub(super) const fn new(role: Role, dialect: Dialect, max_data: usize) -> Self {
        Self {
            role,
            dialect,
            max_data,
            settled: false,
            peer: None,
            connections: BTreeMap::new(),
            newest_own: ConnectionId::SESSION,
            newest_peer: ConnectionId::SESSION,
            takes_until: None,
            peer_takes_until: None,
            ping: None,
            is_silent: false,
        }
    }

    /// A message arrives at a session that has not ended. A violation ends the session, so that the monitor
    /// needs to be right only about allowed messages.
    pub(super) fn on_received(&mut self, message: &[u8]) {
        let message = Bytes::copy_from_slice(message);
        match Message::decode(message, self.dialect, &DecodeLimits::default()) {
            Ok(Message { connection: id, body, .. }) => self.understood(id, &body),
            // A dial all the same, to be answered.
            Err(error) => error.bad_target().into_iter().for_each(|id| self.dialled(id)),
        }
    }

    fn understood(&mut self, id: ConnectionId, body: &Body) {
        match body {
            Body::Settings(settings) => self.peer = self.peer.or(Some(*settings)),
            Body::Connect { .. } => self.dialled(id),
            Body::Ping { opaque } => self.ping = Some(*opaque),
            Body::GoAway { last, code: GoAwayCode::DRAIN, .. } => {
                let until = self.peer_takes_until.get_or_insert(*last);
                *until = (*until).min(*last);
                let last = *last;
                self.may_be_gone(|id, known| known.is_own && id > last);
            }
            Body::Sync { newest, ids } => self.may_be_gone(|id, known| {
                (!known.is_own || id <= *newest) && ids.binary_search(&id).is_err()
            }),
            Body::SyncConnections { ids } => self.may_be_gone(|id, _| !ids.contains(&id)),
            body => self.connections.entry(id).or_default().on_received(body),
        }
    }

    /// The remote has reported that it does not have some connections.
    fn may_be_gone(&mut self, is: impl Fn(ConnectionId, &Connection) -> bool) {
        for (id, known) in &mut self.connections {
            known.may_be_gone |= is(*id, known);
        }
    }

    fn dialled(&mut self, id: ConnectionId) {
        if self.is_own(id) || id.get() <= 0 && self.dialect == Dialect::Extended {
            return;
        }
        self.connections.entry(id).or_default().is_peers = true;
        if id.get().unsigned_abs() > self.newest_peer.get().unsigned_abs() {
            self.newest_peer = id;
        }
    }

    /// The transport's own ping leaves.
    pub(super) fn pinged(&self) {
        assert_eq!(self.dialect, Dialect::Base, "the extended dialect has pings of its own");
    }

    /// A message leaves the session, which may have ended.
    ///
    /// # Panics
    /// The session should not have sent it.
    pub(super) fn on_sent(&mut self, message: Bytes, ended: bool) {
        let decoded = Message::decode(message, self.dialect, &DecodeLimits::default());
        let Ok(Message { connection: id, body, .. }) = decoded else {
            panic!("what was said is no message: {decoded:?}");
        };
        assert!(!self.is_silent, "{id}: {body:?} after the last word");
        match (self.dialect, ended) {
            (Dialect::Base, true) => {
                assert_eq!(body, Body::Resume, "{id}: said by an ended session");
                self.wakes(id);
            }
            (Dialect::Base, false) => self.sent_base(id, &body),
            (Dialect::Extended, true) => {
                let is_last =
                    matches!(body, Body::GoAway { code, .. } if code != GoAwayCode::DRAIN);
                assert!(is_last, "{id}: {body:?}, said by an ended session");
                self.check_last(&body);
                self.is_silent = true;
            }
            (Dialect::Extended, false) => self.sent_extended(id, &body),
        }
    }

    /// This end dials: with an id of its own that is newer than all others.
    fn dials(&mut self, id: ConnectionId) {
        assert!(self.is_own(id), "{id} is not for this end to dial");
        let newest = self.newest_own;
        assert!(id.get().abs() > newest.get().abs(), "{id} was dialled after {newest}");
        assert!(self.takes_until.is_none(), "{id} was dialled by an end that goes away");
        let taken = self.peer_takes_until.is_none_or(|until| id <= until);
        assert!(taken, "{id} was dialled, and the remote takes no more");
        self.newest_own = id;
        self.connections.insert(id, Connection { is_own: true, ..Connection::default() });
    }

    /// Whether it is for this end to dial.
    fn is_own(&self, id: ConnectionId) -> bool {
        let sign = if self.dialect == Dialect::Base { -1 } else { 1 };
        let is_odd = id.get() % 2 != 0;
        id.get().signum() == sign && is_odd == (self.role == Role::Connector)
    }

    /// The connection of a message.
    fn connection(&mut self, id: ConnectionId, what: &str) -> &mut Connection {
        let known = self.connections.get_mut(&id).filter(|known| known.is_dialled());
        known.unwrap_or_else(|| panic!("{id}: {what}, and nobody has dialled it"))
    }
}
