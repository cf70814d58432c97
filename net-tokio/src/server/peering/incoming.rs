//! Servers that connect to this one as its peers.

use std::net::SocketAddr;
use std::sync::Arc;

use tracing::field::{Empty, display};
use tracing::{debug, info, info_span, warn};
use watertight_core::registry::{RegistryError, SessionKey, SessionKind, lacks_client};
use watertight_core::session::Fault;
use watertight_core::wire::{ClientRoute, Dialect, ResetCode};
use watertight_core::{ConnectionEnd, Event, Role, SessionEnd};

use super::book::Claim;
use super::{PeerDirection, PeerIdentity};
use crate::handshake::proof::{self, Exchange, Party, Unproved};
use crate::handshake::{Refusal, nonce, upgrade};
use crate::log_limit::{Limits, shortened, shortened_text, some};
use crate::metrics::handshake_refused;
use crate::server::auth::Grant;
use crate::server::owner::Leaving;
use crate::server::sessions::{Added, NewSession};
use crate::server::{Inner, ServerEvent};
use crate::session::{Owner, RunOptions, Shared, prepare};
use crate::stream::Incoming;
use crate::transport::{Io, Masking, Transport, TransportError, WebSocket};

/// A peer that has proved who it is, and is to have a session.
#[derive(Clone, Debug)]
pub(in crate::server) struct PeerAdmission {
    pub(in crate::server) id: String,
    /// Of the peer in the book when it proved it.
    pub(in crate::server) number: u64,
    pub(in crate::server) remote: Option<SocketAddr>,
    pub(in crate::server) dialect: Dialect,
}

/// An end that says that it is a peer, and is to prove it.
#[derive(Clone, Debug)]
pub(in crate::server) struct Claimed {
    pub(in crate::server) id: String,
    /// The remote's, and this server's.
    pub(in crate::server) nonces: [String; 2],
    pub(in crate::server) remote: Option<SocketAddr>,
    pub(in crate::server) dialect: Dialect,
}

impl Inner {
    /// Whether an end that wants a session is a peer, by the headers of its request; `secret` says
    /// whether nobody else may have read them.
    ///
    /// # Errors
    /// It is this server itself, or a peer that sent a token which was not to be sent.
    pub(in crate::server) fn claim(
        &self,
        headers: &http::HeaderMap,
        remote: Option<SocketAddr>,
        secret: bool,
    ) -> Result<Claim, Refusal> {
        let claim = self.read_claim(headers, secret)?;
        let (id, refusal) = match claim {
            Claim::OwnId(id) => {
                let refusal = Refusal::forbidden(format!(
                    "peer id {id:?} is this server's own: it connected to itself, or two servers \
                     have one id"
                ));
                (id, refusal)
            }
            Claim::Sent(id) => {
                let refusal = Refusal::forbidden(format!(
                    "peer {id:?} has sent its token in clear text: if it is a remotedialer server, \
                     name it as one here, or let it connect by wss://"
                ));
                (id, refusal)
            }
            claim => return Ok(claim),
        };
        handshake_refused("authentication");
        self.log_refused(Some(&id), remote, &refusal);
        Err(refusal)
    }

    fn read_claim(&self, headers: &http::HeaderMap, secret: bool) -> Result<Claim, Refusal> {
        let sessions = self.sessions();
        let book = sessions.book();
        let Some((id, nonce)) = upgrade::peer_nonce(headers)? else {
            let (id, token) = upgrade::peer_headers(headers);
            return Ok(book.claim(id, token, secret));
        };
        let id = id.to_string();
        let is_own = book.identity().is_some_and(|own| own.id == id);
        if book.is_empty() {
            return Ok(Claim::Unproved(id));
        }
        Ok(if is_own { Claim::OwnId(id) } else { Claim::Proves { id, nonce: nonce.to_string() } })
    }

    /// Has an end prove that it is a peer, and proves who this server is. An end whose id is unknown
    /// takes as long, and hears the same.
    ///
    /// # Errors
    /// It has not proved it.
    pub(in crate::server) async fn challenge<I: Io>(
        &self,
        socket: &mut WebSocket<I>,
        claimed: Claimed,
    ) -> Result<PeerAdmission, Refusal> {
        let Claimed { id, nonces: [theirs, ours], remote, dialect } = claimed;
        let proof = self.sessions().book().proof(&id);
        // A token that nobody knows.
        let unknown =
            || (nonce(Masking::ByRole).into(), PeerIdentity::new("", &nonce(Masking::ByRole)));
        let number = proof.as_ref().map(|proof| proof.number);
        let (token, own) = proof.map_or_else(unknown, |proof| (proof.token, proof.own));
        let exchange = Exchange {
            connector: Party { id: &id, token: &token, nonce: &theirs },
            acceptor: Party { id: &own.id, token: &own.token, nonce: &ours },
        };
        match (proof::challenge(socket, &exchange).await, number) {
            (Ok(()), Some(number)) => Ok(PeerAdmission { id, number, remote, dialect }),
            (Err(Unproved::Transport(TransportError::Io(error))), _) => {
                Err(Refusal::unauthorized(error.to_string()))
            }
            (Err(Unproved::Refused(reason)), _) => Err(Refusal::unauthorized(reason)),
            (Ok(()) | Err(Unproved::Wrong | Unproved::Transport(_)), _) => {
                let id = shortened(&id);
                Err(Refusal::unauthorized(format!(
                    "no peer {id:?} is known, or one of the two tokens is wrong"
                )))
            }
        }
    }

    /// Starts the session of a peer.
    ///
    /// # Errors
    /// It is no peer any more, or the server has begun to shut down.
    pub(in crate::server) fn admit_peer<T: Transport + Unpin>(
        self: &Arc<Self>,
        transport: T,
        admission: &PeerAdmission,
    ) -> Result<(), Refusal> {
        let PeerAdmission { id, number, remote, dialect } = admission;
        let limits = self.limits.of(id);
        let span = info_span!(parent: None, "session", peer = id, number = Empty);
        let options = RunOptions {
            role: Role::Acceptor,
            dialect: *dialect,
            config: self.session.clone(),
            span: span.clone(),
            peer: true,
            limits: Arc::clone(&limits),
            buffers: self.buffers.clone(),
        };
        let tasks = self.tasks.child();
        let mut sessions = self.sessions();
        if sessions.is_closed() {
            return Err(Refusal::unavailable("the server is shutting down"));
        }
        if !sessions.book().is_current(id, *number) {
            return Err(Refusal::unauthorized("this server is no peer any more"));
        }
        let kind = SessionKind::IncomingPeer;
        sessions.pace.take((kind, id.clone())).map_err(|wait| {
            Refusal::unavailable("this peer connects too often").retry_after(wait)
        })?;
        let grant = Grant::new(id);
        let new = NewSession { kind, grant: &grant, remote: *remote, dialect: *dialect };
        let Added { session, replaced, task, .. } = sessions
            .add(&new, Some(tasks.clone()), |session| {
                let owner = PeerOwner {
                    server: Arc::clone(self),
                    session,
                    id: id.clone(),
                    limits: Arc::clone(&limits),
                };
                prepare(&tasks, transport, options, |_| owner)
            })
            .map_err(|error| Refusal::unavailable(error.to_string()))?;
        if let Some(shared) = sessions.shared(session) {
            shared.lock().core.trust_routes();
        }
        self.announce(ServerEvent::PeerConnected {
            id: id.clone(),
            session,
            direction: PeerDirection::Incoming,
            dialect: *dialect,
        });
        let retry_now = sessions.book().get(id).map(|known| Arc::clone(&known.retry_now));
        drop(sessions);
        if let Some(retry_now) = retry_now {
            // It is there: no use in waiting before it is tried again.
            retry_now.notify_waiters();
        }
        if let Some(old) = replaced {
            old.retire("a newer session of this peer took over");
        }
        span.record("number", display(session));
        if let Some(left_out) = limits.sessions.pass().map(some) {
            info!(peer = id, number = %session, left_out, "session of a peer started");
        }
        let leaving = Leaving::new(Arc::clone(self), kind, session, id.clone());
        tasks.spawn(async move {
            let _leaving = leaving;
            task.await;
        });
        Ok(())
    }
}

/// Belongs to the driver of one session in which a peer connected to this server.
#[derive(Debug)]
struct PeerOwner {
    server: Arc<Inner>,
    session: SessionKey,
    id: String,
    /// A peer may announce nonsense all day.
    limits: Arc<Limits>,
}

impl PeerOwner {
    /// An announcement that is refused changes nothing else.
    fn on_route(&self, client: &str, result: Result<(), RegistryError>) {
        // What a replaced session still says does not count.
        let Err(error) = result.or_else(|error| match error {
            RegistryError::Gone => Ok(()),
            error => Err(error),
        }) else {
            return;
        };
        let client = &*shortened(client);
        match self.limits.dials.pass().map(some) {
            Some(left_out) => warn!(client, %error, left_out, "a peer's route is not taken"),
            None => debug!(client, %error, "a peer's route is not taken"),
        }
    }

    fn on_added(&self, route: ClientRoute) {
        let client = route.client_key.clone();
        let result = self.server.sessions().peer_added_client(self.session, route);
        self.on_route(&client, result);
        self.server.warn_of_contest();
    }

    fn on_removed(&self, route: &ClientRoute) {
        let result = self.server.sessions().peer_removed_client(self.session, route);
        self.on_route(&route.client_key, result);
    }

    fn on_closed(&self, shared: &Shared, end: SessionEnd) {
        let text = end.to_string();
        let shown = &*shortened_text(&text);
        match (shared.limits().sessions.pass().map(some), end.fault()) {
            (None, _) => debug!(end = shown, "session of a peer ended"),
            (Some(left_out), Fault::None) => {
                info!(end = shown, left_out, "session of a peer ended")
            }
            (Some(left_out), _) => warn!(end = shown, left_out, "session of a peer ended"),
        }
        let mut sessions = self.server.sessions();
        sessions.remove(self.session);
        self.server.announce(ServerEvent::PeerDisconnected {
            id: self.id.clone(),
            session: self.session,
            direction: PeerDirection::Incoming,
            end,
        });
    }
}

impl Owner for PeerOwner {
    fn on_event(&mut self, shared: &Arc<Shared>, event: Event) {
        match event {
            Event::Incoming { id, target, within } => {
                let incoming = Incoming::new(Arc::clone(shared), id, target, within);
                let text = "this server dials through this session and takes no dials on it";
                incoming.refuse(ResetCode::DIAL_REFUSED, text);
            }
            Event::ClientAdded(route) => self.on_added(route),
            Event::ClientRemoved(route) => self.on_removed(&route),
            Event::GoingAway { code, text } => {
                let (limit, text) = (&shared.limits().sessions, &*shortened_text(&text));
                if let Some(left_out) = limit.pass().map(some) {
                    info!(%code, text, left_out, "the peer takes no new connections");
                }
            }
            Event::Closed(end) => self.on_closed(shared, end),
            _ => {}
        }
    }

    fn on_client_dial_ended(&mut self, client: &str, end: &ConnectionEnd) {
        if lacks_client(end, client) {
            self.server.sessions().forget_stale(self.session, client);
        }
    }
}
