//! The rules of the extended dialect.

use watertight_core::ConnectionId;
use watertight_core::wire::{Body, GoAwayCode};

use super::Monitor;
use super::connection::Connection;

impl Monitor {
    pub(super) fn sent_extended(&mut self, id: ConnectionId, body: &Body) {
        if !std::mem::replace(&mut self.settled, true) {
            return assert!(matches!(body, Body::Settings(_)), "{id}: {body:?} before Settings");
        }
        match body {
            Body::Connect { .. } => self.dials(id),
            Body::Opened => self.accepts(id),
            Body::Data { payload, .. } => {
                assert!(!payload.is_empty(), "{id}: Data of nothing");
                self.sends(id, "Data", payload.len());
            }
            Body::Finish => self.sends(id, "Finish", 0).finished = true,
            Body::Credit { bytes } => {
                let goes_on = self.connection(id, "Credit").goes_on();
                assert!(*bytes > 0 && goes_on, "{id}: {body:?} after its end");
            }
            Body::Reset { .. } => {
                let connection = self.connection(id, "Reset");
                assert_eq!(connection.ended, 0, "{id}: {body:?} after its end");
                connection.ended = 1;
            }
            Body::Pong { opaque } => {
                assert_eq!(self.ping.take(), Some(*opaque), "a Pong without its Ping");
            }
            Body::GoAway { last, code, .. } => {
                assert_eq!(*code, GoAwayCode::DRAIN, "a last word of a session that goes on");
                assert_eq!(self.takes_until, None, "said twice that it goes away");
                self.check_last(body);
                self.takes_until = Some(*last);
            }
            Body::Sync { newest, ids } => self.lists(*newest, ids),
            Body::Ping { .. } | Body::AddClient(_) | Body::RemoveClient(_) => {}
            body => {
                panic!("{id}: {body:?} is not for a session that goes on, or not of the dialect")
            }
        }
    }

    fn accepts(&mut self, id: ConnectionId) {
        let until = self.takes_until;
        assert!(until.is_none_or(|until| id <= until), "{id} is taken, and was not to be");
        let connection = self.connection(id, "Opened");
        let unanswered = connection.is_peers && !connection.opened && connection.ended == 0;
        assert!(unanswered, "{id} is answered: {connection:?}");
        connection.opened = true;
    }

    /// Data, or with no bytes the end of it: within the credit, between Opened and the end.
    fn sends(&mut self, id: ConnectionId, what: &str, bytes: usize) -> &mut Connection {
        let (max_data, window) =
            self.peer.map_or((0, 0), |peer| (peer.max_data, peer.initial_window));
        assert!(bytes as u64 <= max_data && bytes <= self.max_data, "{id}: {bytes} bytes of Data");
        let connection = self.connection(id, what);
        assert!(connection.opened, "{id}: {what} before Opened");
        assert!(!connection.finished, "{id}: {what} after Finish");
        assert!(connection.goes_on(), "{id}: {what} after its end");
        connection.sent += bytes as u64;
        let granted = connection.granted.saturating_add(window);
        assert!(connection.sent <= granted, "{id}: {} bytes of {granted}", connection.sent);
        connection
    }

    /// The last id that is taken is one that was dialled, and none that was taken comes after it.
    pub(super) fn check_last(&self, body: &Body) {
        let Body::GoAway { last, .. } = body else { return };
        assert!(*last <= self.newest_peer, "{last} is taken, and {} the newest", self.newest_peer);
        let taken = self.connections.iter().filter(|(_, known)| known.is_peers && known.opened);
        let newest = taken.map(|(id, _)| *id).max();
        assert!(newest.is_none_or(|newest| newest <= *last), "{newest:?} is taken, after {last}");
    }

    /// A live connection is listed, or the remote would close it: a dial of the remote once it is answered,
    /// and what this end has dialled.
    fn lists(&self, newest: ConnectionId, ids: &[ConnectionId]) {
        assert_eq!(newest, self.newest_peer, "the newest that was heard of");
        assert!(ids.is_sorted(), "{ids:?}");
        for (id, known) in &self.connections {
            let finished = known.finished && known.heard_finish;
            let relied_on = (known.opened || known.is_own) && !finished && known.must_be_listed();
            let listed = ids.binary_search(id).is_ok();
            assert!(listed || !relied_on, "{id} goes on, and is not listed");
        }
    }
}
