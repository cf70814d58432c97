//! The rules of the base dialect.

use watertight_core::wire::Body;
use watertight_core::{ConnectionId, Role};

use super::Monitor;

impl Monitor {
    pub(super) fn sent_base(&mut self, id: ConnectionId, body: &Body) {
        match body {
            Body::Connect { .. } => self.dials(id),
            Body::Data { payload, .. } => {
                let length = payload.len();
                assert!((1..=self.max_data).contains(&length), "{id}: {length} bytes of Data");
                self.goes_on(id, "Data");
            }
            Body::Pause => self.goes_on(id, "Pause"),
            Body::Resume => self.resumes(id),
            Body::Error { .. } => self.ends(id),
            Body::SyncConnections { ids } => self.lists_base(ids),
            Body::AddClient(_) | Body::RemoveClient(_) => {}
            body => panic!("{id}: {body:?} is not of the base dialect"),
        }
    }

    fn goes_on(&mut self, id: ConnectionId, what: &str) {
        let connection = self.connection(id, what);
        // Data ahead of its Connect is answered, and that answer is not for the connection.
        let goes_on = connection.goes_on() || connection.heard_early;
        assert!(goes_on, "{id}: {what} after its end");
    }

    /// It may have waited ahead of this end's own Error while the remote's came.
    fn resumes(&mut self, id: ConnectionId) {
        let connection = self.connection(id, "Resume");
        let goes_on = connection.ended == 0 || connection.heard_early;
        assert!(goes_on, "{id}: Resume after its end");
    }

    /// Once for a connection, and once at most for each Data of one that is not there.
    fn ends(&mut self, id: ConnectionId) {
        let connection = self.connections.entry(id).or_default();
        connection.ended += 1;
        let most = u64::from(connection.is_dialled()) + connection.heard_data;
        assert!(connection.ended <= most, "{id} ends {} times of {most}", connection.ended);
    }

    /// A session that has ended wakes the writers that would sleep on at the remote, each once.
    pub(super) fn wakes(&mut self, id: ConnectionId) {
        let connection = self.connection(id, "Resume");
        assert!(!std::mem::replace(&mut connection.woken, true), "{id} is woken twice");
    }

    /// A live connection is listed, or the remote would close it.
    fn lists_base(&self, ids: &[ConnectionId]) {
        assert_eq!(self.role, Role::Connector, "an acceptor lists nothing");
        for (id, known) in &self.connections {
            assert!(ids.contains(id) || !known.must_be_listed(), "{id} goes on, and is not listed");
        }
    }
}
