//! From an end that wants a session to the session.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use tracing::field::{Empty, display};
use tracing::{debug, info, info_span, warn};
use watertight_core::registry::SessionKind;
use watertight_core::{Role, Session};

use super::auth::{AuthRequest, Grant, Origin};
use super::handshakes::Source;
use super::owner::{Leaving, SessionOwner};
use super::peering::Claim;
use super::sessions::{Added, Admission, NewSession, Permit};
use super::turns::{Addresses, Warning};
use super::{Inner, ServerEvent};
use crate::handshake::{Refusal, upgrade};
use crate::log_limit::{shortened, shortened_text, some};
use crate::metrics::{handshake_refused, session_replaced};
use crate::session::{RunOptions, prepare};
use crate::tls;
use crate::transport::Transport;

/// How long a session has for a sign of life, before another one may take over from it.
const PROBE: Duration = Duration::from_secs(2);

/// How long a source that has given ten wrong tokens within a minute waits until the next one is looked at.
const WRONG_TOKEN: Duration = Duration::from_secs(2);

/// How often it is looked for.
const GLANCE: Duration = Duration::from_millis(20);

impl Inner {
    /// The place of an end that may have a session.
    pub(super) async fn authorize(
        &self,
        request: AuthRequest,
        claim: &Claim,
    ) -> Result<Permit, Refusal> {
        let (key, remote) = (request.client_key.clone(), request.remote);
        let checks = self.sessions().checks();
        let answer = self.authenticator.authenticate(request).await;
        let answer = answer.and_then(|grant| self.check_key(grant));
        let place = match answer {
            Ok(grant) => {
                self.place(grant, checks).await.inspect_err(|_| handshake_refused("unavailable"))
            }
            Err(refusal) => {
                handshake_refused("authentication");
                Err(refusal)
            }
        };
        let place = place.map_err(|refusal| claim.explain(refusal));
        place.inspect_err(|refusal| self.log_refused(key.as_deref(), remote, refusal))
    }

    /// Whoever has guessed tokens waits before the next one is looked at: one that does not wait for the answer
    /// learns nothing. An agent that shares his address waits with him, and gets in. Meanwhile others may
    /// have the socket's place among the handshakes.
    pub(super) async fn slow_down(&self, origin: &Origin) {
        if self.sessions().guesses.is_empty(&Source::of(origin.remote)) {
            origin.restarts();
            tokio::time::sleep(WRONG_TOKEN.min(self.handshake_timeout / 2)).await;
            origin.restarts();
        }
    }

    /// An end was refused, which may be for a wrong token.
    pub(super) fn count_guess(&self, origin: &Origin, refusal: &Refusal) {
        origin.refused();
        if refusal.status.is_client_error() {
            self.sessions().guesses.take(Source::of(origin.remote)).ok();
        }
    }

    /// A browser shows a certificate, or sends a cookie, for whatever page asks it to connect.
    pub(super) fn refuse_browser(
        &self,
        headers: &HeaderMap,
        remote: Option<SocketAddr>,
    ) -> Result<(), Refusal> {
        if !upgrade::is_of_browser(headers) {
            return Ok(());
        }
        handshake_refused("browser");
        let refusal = Refusal::forbidden("no web page is an agent: a browser gets no session");
        self.log_refused(None, remote, &refusal);
        Err(refusal)
    }

    /// Anybody can be refused all day.
    pub(super) fn log_refused(
        &self,
        client: Option<&str>,
        remote: Option<SocketAddr>,
        refusal: &Refusal,
    ) {
        let client = client.map(shortened);
        let (client, refusal) = (client.as_deref(), refusal.to_string());
        let refusal = &*shortened_text(&refusal);
        match self.refusals.pass().map(some) {
            Some(left_out) => info!(client, ?remote, refusal, left_out, "session refused"),
            None => debug!(client, ?remote, refusal, "session refused"),
        }
    }

    /// Whoever runs an agent whose certificate has expired looks here for the reason.
    pub(super) fn log_tls_failure(&self, remote: Option<SocketAddr>, error: &io::Error) {
        match tls::of_client(error).map(|reason| (reason, self.certificates.pass().map(some))) {
            Some((reason, Some(left_out))) => {
                info!(?remote, left_out, "agent refused: its certificate {reason}");
            }
            _ => debug!(?remote, %error, "TLS handshake failed"),
        }
    }

    async fn place(&self, grant: Grant, checks: u64) -> Result<Permit, Refusal> {
        match self.incumbent(&grant.key).await {
            None => {
                // Only what begins a session counts: an impostor that is refused takes nothing from the
                // right agent.
                let client = (SessionKind::Agent, grant.key.clone());
                self.sessions().pace.take(client).map_err(|wait| {
                    Refusal::unavailable("this client key connects too often").retry_after(wait)
                })?;
                self.reserve(grant, checks)
            }
            Some(stays) => Err(Refusal::unavailable(
                "another agent with this client key took over a moment ago, and is connected: give \
                 each agent a key of its own",
            )
            .retry_after(stays)),
        }
    }

    /// How much longer the session stays that this client has, where two agents take turns. One that
    /// gives no sign of life does not.
    async fn incumbent(&self, key: &str) -> Option<Duration> {
        let (session, stays) = self.sessions().incumbent(key)?;
        let probe = session.command(Session::probe);
        let answers = async {
            loop {
                let (answered, ended) = {
                    let core = &session.lock().core;
                    (core.has_answered(probe), core.ended().is_some())
                };
                if answered || ended {
                    return answered && !ended;
                }
                tokio::time::sleep(GLANCE).await;
            }
        };
        tokio::time::timeout(PROBE.min(stays), answers).await.unwrap_or(false).then_some(stays)
    }

    /// Whoever reads it looks for two machines.
    fn warn_of_turns(&self, client: &str, warning: Warning, addresses: Addresses) {
        let Warning { turns, within } = warning;
        let Addresses { new, old } = addresses;
        let [remote, replaced] = [new, old].map(|address| match address {
            Some(address) => address.to_string(),
            None => "a Unix socket".to_string(),
        });
        let (client, within_seconds) = (&*shortened(client), within.as_secs());
        let Some(left_out) = self.takeovers.pass() else {
            return debug!(
                client,
                remote, replaced, turns, "the session of a client was taken over"
            );
        };
        if warning.is_contest() {
            warn!(
                client,
                remote,
                replaced,
                turns,
                within_seconds,
                left_out,
                "sessions of one client replace each other: give each agent a key of its own"
            );
        } else {
            warn!(
                client,
                remote,
                replaced,
                left_out,
                "the session of a client was taken over from another address: if that was not its \
                 agent, change the client's token"
            );
        }
    }

    fn reserve(&self, grant: Grant, checks: u64) -> Result<Permit, Refusal> {
        let sessions = self.sessions();
        if sessions.is_closed() {
            return Err(shutting_down());
        }
        sessions.reserve(grant, checks).map_err(|error| Refusal::unavailable(error.to_string()))
    }

    /// A key that the registry would not take is refused while the remote can be told.
    fn check_key(&self, grant: Grant) -> Result<Grant, Refusal> {
        let key = &grant.key;
        match key.len() {
            0 => Err(Refusal::bad_request("the client key is empty")),
            length if length > self.max_key => Err(Refusal::bad_request(format!(
                "the client key has {length} bytes, more than the {} allowed",
                self.max_key
            ))),
            _ if key.contains(char::is_control) => {
                Err(Refusal::bad_request("the client key has control characters"))
            }
            _ => Ok(grant),
        }
    }

    /// Starts the session of an end that was authenticated. Only a server that has begun to shut
    /// down since then refuses, or one whose tokens have changed: the transport ends, and the agent comes
    /// back later.
    pub(super) fn admit<T: Transport + Unpin>(
        self: &Arc<Self>,
        transport: T,
        admission: Admission,
    ) -> Result<(), Refusal> {
        let Admission { permit: Permit { grant, checks, .. }, remote, dialect } = &admission;
        let (kind, Grant { key, identity, .. }) = (SessionKind::Agent, grant);
        let new = NewSession { kind, grant, remote: *remote, dialect: *dialect };
        // It outlives the handshake. Subscribers of spans and events may ask the server something:
        // they are called while nothing is locked.
        let limits = self.limits.of(key);
        let shown = &*shortened(key);
        let span = info_span!(parent: None, "session", client = shown, number = Empty);
        let options = RunOptions {
            role: Role::Acceptor,
            dialect: *dialect,
            config: self.session.clone(),
            span: span.clone(),
            peer: false,
            limits: Arc::clone(&limits),
            buffers: self.buffers.clone(),
        };
        let tasks = self.tasks.child();
        let mut sessions = self.sessions();
        if sessions.is_closed() {
            return Err(shutting_down());
        }
        if *checks != sessions.checks() {
            return Err(Refusal::unavailable("who may connect has changed meanwhile: try again"));
        }
        let Added { session, replaced, replaced_remote, task } = sessions
            .add(&new, Some(tasks.clone()), |session| {
                prepare(&tasks, transport, options, |children| {
                    SessionOwner::new(Arc::clone(self), session, key.clone(), children.clone())
                })
            })
            .map_err(|error| Refusal::unavailable(error.to_string()))?;
        // Before anybody else can change what it says, and before the task is there that says when
        // the session is gone.
        self.announce(ServerEvent::Connected {
            key: key.clone(),
            session,
            remote: *remote,
            dialect: *dialect,
            replaced: replaced.is_some(),
        });
        let addresses = Addresses { new: *remote, old: replaced_remote };
        let warning = replaced.is_some().then(|| sessions.turns.take(key, addresses)).flatten();
        drop(sessions);
        if let Some(old) = replaced {
            old.retire("a newer session of this client took over");
            session_replaced(addresses.differ());
        }
        if let Some(warning) = warning {
            self.warn_of_turns(key, warning, addresses);
        }
        span.record("number", display(session));
        match limits.sessions.pass().map(some) {
            Some(left_out) => {
                info!(client = shown, identity, number = %session, left_out, "session started");
            }
            None => debug!(client = shown, identity, number = %session, "session started"),
        }
        let leaving = Leaving::new(Arc::clone(self), kind, session, key.clone());
        tasks.spawn(async move {
            let _leaving = leaving;
            task.await;
        });
        Ok(())
    }
}

fn shutting_down() -> Refusal {
    Refusal::unavailable("the server is shutting down")
}
