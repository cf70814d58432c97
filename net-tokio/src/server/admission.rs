//! The one path from a transport to a session: of clients, and of peers in both directions.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{Notify, oneshot};
use tracing::field::{Empty, display};
use tracing::{Instrument, Span, debug, info, info_span, warn};
use watertight_core::registry::{SessionKey, SessionKind, lacks_client};
use watertight_core::session::Fault;
use watertight_core::wire::{Dialect, GoAwayCode, ResetCode};
use watertight_core::{ConnectionEnd, Event, Role, SessionEnd};

use super::auth::Grant;
use super::dial::serve_peer;
use super::peering::PeerDirection;
use super::permits::Permit;
use super::sessions::{Added, NewSession, Sessions};
use super::superseded::{Addresses, Warning};
use super::{Inner, ServerEvent};
use crate::connect::WaitReason;
use crate::handshake::Refusal;
use crate::log_limit::{Limits, shortened, shortened_text, some};
use crate::metrics::{PeerMeter, session_replaced};
use crate::session::{RunOptions, SessionEvents, Shared, prepare};
use crate::stream::Incoming;
use crate::tasks::Tasks;
use crate::transport::Transport;

/// A remote to admit.
pub(super) struct Admission {
    pub(super) applicant: Applicant,
    /// The address that it connected from, if it has one.
    pub(super) remote: Option<SocketAddr>,
    pub(super) dialect: Dialect,
}

/// The authenticated identity of the remote.
pub(super) enum Applicant {
    Client(Permit),
    /// A peer that has connected. `number` is that of the peer in the table when it proved its id.
    IncomingPeer {
        id: String,
        number: u64,
    },
    /// A peer that this server has connected to.
    OutgoingPeer {
        id: String,
        number: u64,
        link: Link,
    },
}

/// The reports of a session to the task that connects to the peer.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) meter: Arc<PeerMeter>,
    /// Receives why the session takes no new dials any more.
    pub(super) unavailable: Option<oneshot::Sender<WaitReason>>,
}

impl Applicant {
    const fn kind(&self) -> SessionKind {
        match self {
            Self::Client(_) => SessionKind::Agent,
            Self::IncomingPeer { .. } => SessionKind::IncomingPeer,
            Self::OutgoingPeer { .. } => SessionKind::OutgoingPeer,
        }
    }

    const fn role(&self) -> Role {
        match self {
            Self::Client(_) | Self::IncomingPeer { .. } => Role::Acceptor,
            Self::OutgoingPeer { .. } => Role::Connector,
        }
    }

    fn grant(&self) -> Grant {
        match self {
            Self::Client(permit) => permit.grant.clone(),
            Self::IncomingPeer { id, .. } | Self::OutgoingPeer { id, .. } => Grant::new(id),
        }
    }

    /// A root span: a session outlives the handshake.
    fn span(&self, key: &str) -> Span {
        match self {
            Self::Client(_) => {
                info_span!(parent: None, "session", client = &*shortened(key), number = Empty)
            }
            Self::IncomingPeer { .. } | Self::OutgoingPeer { .. } => {
                info_span!(parent: None, "session", peer = key, number = Empty)
            }
        }
    }

    /// Checks conditions that may have changed since authentication.
    fn check(&self, sessions: &mut Sessions) -> Result<(), Refusal> {
        if sessions.is_closed() {
            return Err(Refusal::unavailable("the server is shutting down"));
        }
        match self {
            Self::Client(permit) if permit.checks != sessions.checks() => {
                Err(Refusal::unavailable("who may connect has changed meanwhile: try again"))
            }
            Self::Client(_) => Ok(()),
            Self::IncomingPeer { id, number } | Self::OutgoingPeer { id, number, .. }
                if !sessions.peer_table().is_current(id, *number) =>
            {
                Err(Refusal::unauthorized("this server is no peer any more"))
            }
            Self::IncomingPeer { id, .. } => {
                let starts = sessions.starts.take((SessionKind::IncomingPeer, id.clone()));
                starts.map_err(|wait| {
                    Refusal::unavailable("this peer connects too often").retry_after(wait)
                })
            }
            Self::OutgoingPeer { .. } => Ok(()),
        }
    }

    fn into_link(self) -> Option<Link> {
        match self {
            Self::OutgoingPeer { link, .. } => Some(link),
            Self::Client(_) | Self::IncomingPeer { .. } => None,
        }
    }
}

/// A registered session, and the work that follows outside the lock.
struct Admitted {
    kind: SessionKind,
    grant: Grant,
    session: SessionKey,
    /// The session that it replaced.
    replaced: Option<Arc<Shared>>,
    addresses: Addresses,
    /// About two agents with one key.
    warning: Option<Warning>,
    /// Ends the pause before the next attempt to connect to the peer, which is reachable.
    retry_now: Option<Arc<Notify>>,
}

impl Inner {
    /// Starts the session of an authenticated remote. A refusal only drops the transport: the
    /// remote gets no reason, and connects again later.
    ///
    /// # Errors
    ///
    /// The server shuts down, or the authentication is out of date.
    pub(super) fn admit<T: Transport + Unpin>(
        self: &Arc<Self>,
        transport: T,
        admission: Admission,
    ) -> Result<SessionKey, Refusal> {
        let Admission { applicant, remote, dialect } = admission;
        let (kind, grant) = (applicant.kind(), applicant.grant());
        let limits = self.limits.of(&grant.key);
        // Made before and recorded after the lock: a subscriber of spans may call the server.
        let span = applicant.span(&grant.key);
        let options = RunOptions {
            role: applicant.role(),
            dialect,
            config: self.session.clone(),
            span: span.clone(),
            peer: kind != SessionKind::Agent,
            limits: Arc::clone(&limits),
            buffers: self.buffers.clone(),
        };
        let tasks = self.tasks.child();
        let mut sessions = self.sessions();
        applicant.check(&mut sessions)?;
        let new = NewSession { kind, grant: &grant, remote, dialect };
        let mut link = applicant.into_link();
        let meter = link.as_ref().map(|link| Arc::clone(&link.meter));
        let added = sessions.add(&new, &tasks, |session| {
            let server = Arc::clone(self);
            let entry = Arc::new(Entry { server, kind, session, name: grant.key.clone() });
            let (shared, task) = prepare(&tasks, transport, options, |children| SessionOwner {
                entry: Arc::clone(&entry),
                children: children.clone(),
                link: link.take(),
            });
            (shared, (task, entry))
        });
        let added = added.map_err(|error| Refusal::unavailable(error.to_string()))?;
        let Added { session, replaced, task: (task, entry) } = added;
        let admitted = self.registered(&mut sessions, &new, session, replaced);
        drop(sessions);
        if let Some(meter) = meter {
            meter.connected();
        }
        span.record("number", display(session));
        self.follow_up(admitted, &limits);
        tasks.spawn(async move {
            task.await;
            drop(entry);
        });
        Ok(session)
    }

    /// Announces a session while the table is locked: the event is true when it is sent, and
    /// precedes the end of the session's task.
    fn registered(
        &self,
        sessions: &mut Sessions,
        new: &NewSession<'_>,
        session: SessionKey,
        replaced: Option<(Arc<Shared>, Option<SocketAddr>)>,
    ) -> Admitted {
        let NewSession { kind, grant, remote, .. } = *new;
        self.announce(connected(new, session, replaced.is_some()));
        let (replaced, old) = replaced.unzip();
        let addresses = Addresses { new: remote, old: old.flatten() };
        let (mut warning, mut retry_now) = (None, None);
        match kind {
            SessionKind::Agent if replaced.is_some() => {
                warning = sessions.takeovers.take(&grant.key, addresses);
            }
            SessionKind::IncomingPeer => {
                let shared = sessions.shared(session);
                debug_assert!(shared.is_some(), "a registered session is in the table");
                if let Some(shared) = shared {
                    shared.lock().core.trust_routes();
                }
                retry_now =
                    sessions.peer_table().get(&grant.key).map(|known| Arc::clone(&known.retry_now));
            }
            SessionKind::Agent | SessionKind::OutgoingPeer => {}
        }
        Admitted { kind, grant: grant.clone(), session, replaced, addresses, warning, retry_now }
    }

    fn follow_up(&self, admitted: Admitted, limits: &Limits) {
        let Admitted { kind, grant, session, replaced, addresses, warning, retry_now } = admitted;
        if let Some(retry_now) = retry_now {
            retry_now.notify_waiters();
        }
        if let Some(old) = replaced {
            match kind {
                SessionKind::Agent => {
                    old.retire("a newer session of this client took over");
                    session_replaced(addresses.differ());
                }
                SessionKind::IncomingPeer => old.retire("a newer session of this peer took over"),
                SessionKind::OutgoingPeer => {
                    old.retire("a newer session with this peer took over");
                }
            }
        }
        if let Some(warning) = warning {
            self.warn_of_takeovers(&grant.key, warning, addresses);
        }
        log_started(kind, &grant, session, limits);
    }
}

/// The event of a session that has been registered.
fn connected(new: &NewSession<'_>, session: SessionKey, replaced: bool) -> ServerEvent {
    let NewSession { kind, grant, remote, dialect } = *new;
    let name = grant.key.clone();
    match direction(kind) {
        None => ServerEvent::Connected { key: name, session, remote, dialect, replaced },
        Some(direction) => ServerEvent::PeerConnected { id: name, session, direction, dialect },
    }
}

const fn direction(kind: SessionKind) -> Option<PeerDirection> {
    match kind {
        SessionKind::Agent => None,
        SessionKind::IncomingPeer => Some(PeerDirection::Incoming),
        SessionKind::OutgoingPeer => Some(PeerDirection::Outgoing),
    }
}

/// The task that connects to a peer logs its sessions itself, with the pauses between them.
fn log_started(kind: SessionKind, grant: &Grant, session: SessionKey, limits: &Limits) {
    if kind == SessionKind::OutgoingPeer {
        // Before the limit is asked: a line that is not written must not use it up.
        return;
    }
    let Grant { key, identity, .. } = grant;
    let shown = &*shortened(key);
    match (kind, limits.sessions.pass().map(some)) {
        (SessionKind::Agent, Some(left_out)) => {
            info!(client = shown, identity, number = %session, left_out, "session started");
        }
        (SessionKind::Agent, None) => {
            debug!(client = shown, identity, number = %session, "session started");
        }
        (_, Some(left_out)) => {
            info!(peer = key, number = %session, left_out, "session of a peer started");
        }
        (_, None) => debug!(peer = key, number = %session, "session of a peer started"),
    }
}

/// A session in the server's table. It is dropped after the last task of the session, and then
/// leaves the list of sessions that have tasks.
#[derive(Debug)]
struct Entry {
    server: Arc<Inner>,
    kind: SessionKind,
    session: SessionKey,
    /// The client's key, or the peer's id.
    name: String,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.server.sessions().tasks_ended(self.kind, &self.name, self.session);
    }
}

/// Belongs to one session's driver, and removes the session from the server's table at its end.
#[derive(Debug)]
struct SessionOwner {
    entry: Arc<Entry>,
    children: Tasks,
    /// Of an outgoing peer.
    link: Option<Link>,
}

impl SessionOwner {
    fn on_incoming(&self, incoming: Incoming) {
        let Entry { server, kind, name, .. } = &*self.entry;
        match kind {
            SessionKind::Agent => {
                server.client_dials.spawn(&self.children, name, incoming, server.keepalive);
            }
            SessionKind::IncomingPeer => {
                let text = "this server dials through this session and takes no dials on it";
                incoming.refuse(ResetCode::DIAL_REFUSED, text);
            }
            SessionKind::OutgoingPeer => {
                let span = incoming.span().clone();
                self.children.spawn(serve_peer(Arc::clone(server), incoming).instrument(span));
            }
        }
    }

    fn on_going_away(&mut self, limits: &Limits, code: GoAwayCode, text: String) {
        if let Some(link) = &mut self.link {
            return link.report(WaitReason::GoingAway(text));
        }
        let Some(left_out) = limits.sessions.pass().map(some) else { return };
        let text = &*shortened_text(&text);
        match self.entry.kind {
            SessionKind::Agent => {
                info!(%code, text, left_out, "the client takes no new connections");
            }
            _ => info!(%code, text, left_out, "the peer takes no new connections"),
        }
    }

    fn on_closed(&mut self, limits: &Limits, end: SessionEnd) {
        let Entry { server, kind, session, name } = &*self.entry;
        log_ended(*kind, &end, limits);
        if let Some(link) = &mut self.link {
            link.meter.disconnected();
            link.report(end.clone().into());
        }
        // Announced under the lock: this end precedes the client's next session.
        let mut sessions = server.sessions();
        sessions.remove(*session);
        let (name, session) = (name.clone(), *session);
        server.announce(match direction(*kind) {
            None => ServerEvent::Disconnected { key: name, session, end },
            Some(direction) => ServerEvent::PeerDisconnected { id: name, session, direction, end },
        });
    }
}

fn log_ended(kind: SessionKind, end: &SessionEnd, limits: &Limits) {
    let text = match kind {
        SessionKind::Agent => "session ended",
        SessionKind::IncomingPeer => "session of a peer ended",
        SessionKind::OutgoingPeer => return,
    };
    let end_text = end.to_string();
    let shown = &*shortened_text(&end_text);
    match (limits.sessions.pass().map(some), end.fault()) {
        (None, _) => debug!(end = shown, "{text}"),
        (Some(left_out), Fault::None) => info!(end = shown, left_out, "{text}"),
        (Some(left_out), _) => warn!(end = shown, left_out, "{text}"),
    }
}

impl Link {
    /// Only the first reason is reported.
    fn report(&mut self, reason: WaitReason) {
        if let Some(unavailable) = self.unavailable.take() {
            unavailable.send(reason).ok();
        }
    }
}

impl SessionEvents for SessionOwner {
    fn on_event(&mut self, shared: &Arc<Shared>, event: Event) {
        let limits = shared.limits();
        match event {
            Event::Incoming { id, target, within } => {
                self.on_incoming(Incoming::new(Arc::clone(shared), id, target, within));
            }
            Event::GoingAway { code, text } => self.on_going_away(limits, code, text),
            Event::Closed(end) => self.on_closed(limits, end),
            // Only a peer that has connected is trusted to announce clients.
            Event::ClientAdded(route) => {
                self.entry.server.route_added(self.entry.session, route, limits);
            }
            Event::ClientRemoved(route) => {
                self.entry.server.route_removed(self.entry.session, &route, limits);
            }
            _ => {}
        }
    }

    fn on_client_dial_ended(&mut self, client: &str, end: &ConnectionEnd) {
        if lacks_client(end, client) {
            self.entry.server.sessions().forget_stale(self.entry.session, client);
        }
    }
}
