//! Connecting to a peer, and the sessions that result: through them the peer dials the clients
//! here.

use std::sync::Arc;

use tokio::sync::oneshot;
use tracing::{Instrument, info_span};
use watertight_core::registry::SessionKey;

use super::peer::{Peer, PeerIdentity};
use crate::connect::{Connecting, Connector, LinkControl, WaitReason};
use crate::handshake::{ClientHello, Connected, PeerRemote, Refusal};
use crate::io::BoxIo;
use crate::metrics::PeerMeter;
use crate::server::Inner;
use crate::server::admission::{Admission, Applicant, Link};
use crate::transport::{WRITE_BUFFER, WebSocketOptions};

/// Clients that are announced before the table is unlocked for others.
const BATCH: usize = 256;

/// Connects to a peer, and reconnects until it is stopped.
pub(super) fn start(
    server: &Arc<Inner>,
    identity: &PeerIdentity,
    peer: &Peer,
    number: u64,
    meter: PeerMeter,
    control: LinkControl,
) {
    let remote =
        PeerRemote { id: peer.id.clone(), token: peer.token.clone(), proves: !peer.remotedialer };
    let token = peer.own_token.as_ref().unwrap_or(&identity.token);
    let mut hello = ClientHello::of_peer(&identity.id, token, remote);
    if peer.base_dialect {
        hello.set_base_dialect();
    }
    // A simulation fills the buffers of its clients only.
    let web_socket = WebSocketOptions { write_buffer: WRITE_BUFFER, ..server.web_socket };
    let connector = Connector::new(peer.connect.clone(), hello, None, web_socket);
    let connecting = Connecting::new(connector, control, server.limits.of(&peer.id));
    let link = PeerLink {
        server: Arc::clone(server),
        id: peer.id.clone(),
        number,
        meter: Arc::new(meter),
    };
    let span = info_span!(parent: None, "peer", id = peer.id);
    server.tasks.spawn(link.keep_up(connecting).instrument(span));
}

struct PeerLink {
    server: Arc<Inner>,
    id: String,
    /// The number of the peer in the table.
    number: u64,
    meter: Arc<PeerMeter>,
}

impl PeerLink {
    async fn keep_up(self, mut connecting: Connecting) {
        connecting.warn_of_clear_text();
        while let Some(connected) = connecting.next(|| self.meter.attempt()).await {
            let dialect = connected.dialect();
            let (unavailable, reason) = oneshot::channel();
            let Ok(session) = self.admit(connected, unavailable) else {
                // The peer was removed or replaced meanwhile, or the server shuts down. Both stop
                // this task.
                connecting.unavailable(WaitReason::TaskEnded);
                continue;
            };
            connecting.connected(dialect);
            let announcing = self.announce_all(session);
            let (reason, ()) = tokio::join!(reason, announcing);
            connecting.unavailable(reason.unwrap_or(WaitReason::TaskEnded));
        }
    }

    fn admit(
        &self,
        connected: Connected<BoxIo>,
        unavailable: oneshot::Sender<WaitReason>,
    ) -> Result<SessionKey, Refusal> {
        let link = Link { meter: Arc::clone(&self.meter), unavailable: Some(unavailable) };
        let applicant = Applicant::OutgoingPeer { id: self.id.clone(), number: self.number, link };
        let admission = Admission { applicant, remote: None, dialect: connected.dialect() };
        match connected {
            Connected::WebSocket(transport, _) => self.server.admit(transport, admission),
            Connected::ByteStream(transport) => self.server.admit(transport, admission),
        }
    }

    /// Announces every client to a new session of the peer. Changes since the session began are
    /// announced as they happen.
    async fn announce_all(&self, session: SessionKey) {
        let mut last = None;
        loop {
            {
                let sessions = self.server.sessions();
                let Some(shared) = sessions.shared(session) else { return };
                last = sessions.announce_some(session, &shared, last.as_deref(), BATCH);
            }
            if last.is_none() {
                return;
            }
            tokio::task::yield_now().await;
        }
    }
}
