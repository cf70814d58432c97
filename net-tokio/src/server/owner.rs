//! What a server does with what its sessions tell it.

use std::sync::Arc;

use tracing::{debug, info, warn};
use watertight_core::registry::{SessionKey, SessionKind};
use watertight_core::session::Fault;
use watertight_core::{Event, SessionEnd};

use super::{Inner, ServerEvent};
use crate::log_limit::{shortened_text, some};
use crate::session::{Owner, Shared};
use crate::stream::Incoming;
use crate::tasks::Tasks;

/// Belongs to one session's driver, and takes the session out of the server's books at its end.
#[derive(Debug)]
pub(super) struct SessionOwner {
    server: Arc<Inner>,
    session: SessionKey,
    key: String,
    children: Tasks,
}

impl SessionOwner {
    pub(super) fn new(
        server: Arc<Inner>,
        session: SessionKey,
        key: String,
        children: Tasks,
    ) -> Self {
        Self { server, session, key, children }
    }

    fn on_closed(&self, shared: &Shared, end: SessionEnd) {
        let text = end.to_string();
        let shown = &*shortened_text(&text);
        match (shared.limits().sessions.pass().map(some), end.fault()) {
            (None, _) => debug!(end = shown, "session ended"),
            (Some(left_out), Fault::None) => info!(end = shown, left_out, "session ended"),
            (Some(left_out), _) => warn!(end = shown, left_out, "session ended"),
        }
        // Announced under the lock: the client's next session is announced after this end.
        let mut sessions = self.server.sessions();
        sessions.remove(self.session);
        let (key, session) = (self.key.clone(), self.session);
        self.server.announce(ServerEvent::Disconnected { key, session, end });
    }
}

impl Owner for SessionOwner {
    fn on_event(&mut self, shared: &Arc<Shared>, event: Event) {
        match event {
            Event::Incoming { id, target, within } => {
                let incoming = Incoming::new(Arc::clone(shared), id, target, within);
                let keepalive = self.server.keepalive;
                self.server.client_dials.spawn(&self.children, &self.key, incoming, keepalive);
            }
            Event::GoingAway { code, text } => {
                let (limit, text) = (&shared.limits().sessions, &*shortened_text(&text));
                if let Some(left_out) = limit.pass().map(some) {
                    info!(%code, text, left_out, "the client takes no new connections");
                }
            }
            Event::Closed(end) => self.on_closed(shared, end),
            // Clients announce nothing.
            _ => {}
        }
    }
}

/// Belongs to a session's task, which ends after those of the session's connections.
#[derive(Debug)]
pub(super) struct Leaving {
    server: Arc<Inner>,
    kind: SessionKind,
    session: SessionKey,
    key: String,
}

impl Leaving {
    pub(super) fn new(
        server: Arc<Inner>,
        kind: SessionKind,
        session: SessionKey,
        key: String,
    ) -> Self {
        Self { server, kind, session, key }
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.server.sessions().leave(self.kind, &self.key, self.session);
    }
}
