//! The way to a peer: an agent of it, whose sessions this server keeps.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::info_span;
use watertight_core::SessionEnd;
use watertight_core::registry::{SessionKey, SessionKind};
use watertight_core::wire::Dialect;

use super::serve::serve;
use super::{Peer, PeerDirection, PeerIdentity};
use crate::agent::{AgentBuilder, AgentStatus, Home, Host};
use crate::handshake::{ClientHello, PeerRemote};
use crate::metrics::PeerMeter;
use crate::serve::Handler;
use crate::server::auth::Grant;
use crate::server::sessions::NewSession;
use crate::server::{Inner, ServerEvent};
use crate::session::Shared;
use crate::tasks::Tasks;

/// How many clients are announced before others may have the books again.
const BATCH: usize = 256;

/// What the book has in hand of a link.
pub(super) struct LinkControl {
    pub(super) stop: CancellationToken,
    pub(super) retry_now: Arc<Notify>,
    pub(super) status: watch::Sender<AgentStatus>,
}

/// Starts to connect to a peer, again and again until it is stopped.
pub(super) fn start(
    server: &Arc<Inner>,
    identity: &PeerIdentity,
    peer: &Peer,
    number: u64,
    meter: PeerMeter,
    LinkControl { stop, retry_now, status }: LinkControl,
) {
    let tasks = server.tasks.child();
    let link = PeerLink {
        server: Arc::clone(server),
        id: peer.id.clone(),
        number,
        tasks: tasks.clone(),
        meter,
        sessions: Mutex::default(),
    };
    let remote =
        PeerRemote { id: peer.id.clone(), token: peer.token.clone(), proves: !peer.remotedialer };
    let token = peer.own_token.as_ref().unwrap_or(&identity.token);
    let mut hello = ClientHello::of_peer(&identity.id, token, remote);
    if peer.base_dialect {
        hello.set_base_dialect();
    }
    let serving = Arc::clone(server);
    let builder = AgentBuilder::new(peer.endpoint.clone(), hello)
        .handled_by(Handler::new(move |incoming| serve(Arc::clone(&serving), incoming)))
        .session(server.session.clone())
        .buffers(server.buffers.clone())
        .masking(server.web_socket.masking)
        .at_address(peer.address)
        .by(peer.byte_streams.clone())
        .seeded(peer.seed)
        .proxy(peer.proxy.clone())
        .reconnect(peer.reconnect);
    let builder = match peer.deadline {
        Some(deadline) => builder.connect_timeout(deadline),
        None => builder,
    };
    let builder = match &peer.tls {
        Some(tls) => builder.tls(tls.clone()),
        None => builder,
    };
    let span = info_span!(parent: None, "peer", id = peer.id);
    builder.start_at(Home { tasks, stop, status, retry_now, host: Some(Arc::new(link)), span });
}

/// Keeps a peer's outgoing sessions among those of the server.
#[derive(Debug)]
struct PeerLink {
    server: Arc<Inner>,
    id: String,
    /// Of the peer in the book.
    number: u64,
    tasks: Tasks,
    meter: PeerMeter,
    /// The current one and those that drain.
    sessions: Mutex<Vec<(SessionKey, Arc<Shared>)>>,
}

impl PeerLink {
    fn known(&self) -> MutexGuard<'_, Vec<(SessionKey, Arc<Shared>)>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a session. With the one that it took over from.
    fn register(
        &self,
        shared: &Arc<Shared>,
        dialect: Dialect,
    ) -> Option<(SessionKey, Option<Arc<Shared>>)> {
        let mut sessions = self.server.sessions();
        if sessions.is_closed() || !sessions.book().is_current(&self.id, self.number) {
            return None;
        }
        let kind = SessionKind::OutgoingPeer;
        let grant = Grant::new(&self.id);
        let new = NewSession { kind, grant: &grant, remote: None, dialect };
        let added = sessions.add(&new, None, |_| (Arc::clone(shared), ()));
        // There is room for the sessions of every peer in the book.
        let added = added.ok()?;
        self.server.announce(ServerEvent::PeerConnected {
            id: self.id.clone(),
            session: added.session,
            direction: PeerDirection::Outgoing,
            dialect,
        });
        Some((added.session, added.replaced))
    }
}

impl Host for PeerLink {
    fn connecting(&self) {
        self.meter.attempt();
    }

    fn started(&self, shared: &Arc<Shared>, dialect: Dialect) -> bool {
        // Known before anybody can end it.
        let mut known = self.known();
        let Some((session, replaced)) = self.register(shared, dialect) else { return false };
        known.push((session, Arc::clone(shared)));
        drop(known);
        if let Some(old) = replaced {
            old.retire("a newer session with this peer took over");
        }
        self.meter.connected();
        let (server, shared) = (Arc::clone(&self.server), Arc::clone(shared));
        self.tasks.spawn(async move { announce_all(&server, session, &shared).await });
        true
    }

    fn ended(&self, shared: &Arc<Shared>, end: SessionEnd) {
        let mut known = self.known();
        let place = known.iter().position(|(_, known)| Arc::ptr_eq(known, shared));
        let Some((session, _)) = place.map(|place| known.swap_remove(place)) else { return };
        drop(known);
        self.meter.disconnected();
        let mut sessions = self.server.sessions();
        sessions.remove(session);
        self.server.announce(ServerEvent::PeerDisconnected {
            id: self.id.clone(),
            session,
            direction: PeerDirection::Outgoing,
            end,
        });
    }
}

/// Tells a peer that knows nothing yet of every client. What changes meanwhile is told as it
/// changes.
async fn announce_all(server: &Inner, session: SessionKey, shared: &Shared) {
    let mut last = None;
    loop {
        last = server.sessions().announce_some(session, shared, last.as_deref(), BATCH);
        if last.is_none() {
            return;
        }
        tokio::task::yield_now().await;
    }
}
