//! From an end that wants a session to the session.

use std::net::SocketAddr;
use std::sync::Arc;

use tracing::field::{Empty, display};
use tracing::{debug, info, info_span, warn};
use watertight_core::Role;
use watertight_core::registry::SessionKind;

use super::auth::AuthRequest;
use super::owner::{Leaving, SessionOwner};
use super::peering::Claim;
use super::sessions::{Added, Admission, Newcomer, Place};
use super::turns::{Addresses, Warning};
use super::{Inner, ServerEvent};
use crate::handshake::Refusal;
use crate::log_limit::shortened;
use crate::metrics::handshake_refused;
use crate::session::{RunOptions, prepare};
use crate::transport::Transport;

impl Inner {
    /// The place of an end that may have a session.
    pub(super) async fn welcome(
        &self,
        request: AuthRequest,
        claim: &Claim,
    ) -> Result<Place, Refusal> {
        let (key, remote) = (request.client_key.clone(), request.remote);
        let answer = self.authenticator.authenticate(request).await;
        let answer = answer.and_then(|key| self.check_key(key));
        let answer = answer.inspect_err(|_| handshake_refused("authentication"));
        let place = answer
            .and_then(|key| self.reserve(key).inspect_err(|_| handshake_refused("unavailable")));
        let place = place.map_err(|refusal| claim.explain(refusal));
        place.inspect_err(|refusal| self.log_refused(key.as_deref(), remote, refusal))
    }

    /// Anybody can be refused all day.
    pub(super) fn log_refused(
        &self,
        client: Option<&str>,
        remote: Option<SocketAddr>,
        refusal: &Refusal,
    ) {
        let client = client.map(shortened);
        let client = client.as_deref();
        match self.refusals.pass() {
            Some(0) => info!(client, ?remote, %refusal, "session refused"),
            Some(left_out) => info!(client, ?remote, %refusal, left_out, "session refused"),
            None => debug!(client, ?remote, %refusal, "session refused"),
        }
    }

    fn reserve(&self, key: String) -> Result<Place, Refusal> {
        let sessions = self.sessions();
        if sessions.is_closed() {
            return Err(shutting_down());
        }
        sessions.reserve(key).map_err(|error| Refusal::unavailable(error.to_string()))
    }

    /// A key that the registry would not take is refused while the other end can be told.
    fn check_key(&self, key: String) -> Result<String, Refusal> {
        match key.len() {
            0 => Err(Refusal::bad_request("the client key is empty")),
            length if length > self.max_key => Err(Refusal::bad_request(format!(
                "the client key has {length} bytes, more than the {} allowed",
                self.max_key
            ))),
            _ if key.contains(char::is_control) => {
                Err(Refusal::bad_request("the client key has control characters"))
            }
            _ => Ok(key),
        }
    }

    /// Starts the session of an end that was authenticated. Only a server that has begun to shut
    /// down since then refuses: the transport ends, and the agent comes back later.
    pub(super) fn admit<T: Transport + Unpin>(
        self: &Arc<Self>,
        transport: T,
        admission: Admission,
    ) -> Result<(), Refusal> {
        let Admission { place: Place { key, .. }, remote, dialect } = &admission;
        let kind = SessionKind::Agent;
        let newcomer = Newcomer { kind, key, remote: *remote, dialect: *dialect };
        // It outlives the handshake. Subscribers of spans and events may ask the server something:
        // they are called while nothing is locked.
        let span = info_span!(parent: None, "session", client = key, number = Empty);
        let options = RunOptions {
            role: Role::Acceptor,
            dialect: *dialect,
            config: self.session.clone(),
            span: span.clone(),
            peer: false,
        };
        let tasks = self.tasks.child();
        let mut sessions = self.sessions();
        if sessions.is_closed() {
            return Err(shutting_down());
        }
        let Added { session, replaced, replaced_remote, task } = sessions
            .add(&newcomer, Some(tasks.clone()), |session| {
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
        let warning = replaced.is_some().then(|| sessions.turns.take(key)).flatten();
        drop(sessions);
        if let Some(old) = replaced {
            old.retire("a newer session of this client took over");
        }
        if let Some(warning) = warning {
            warn_of_turns(key, warning, Addresses { new: *remote, old: replaced_remote });
        }
        span.record("number", display(session));
        info!(client = key, number = %session, "session started");
        let leaving = Leaving::new(Arc::clone(self), kind, session, key.clone());
        tasks.spawn(async move {
            let _leaving = leaving;
            task.await;
        });
        Ok(())
    }
}

/// Whoever reads it looks for two machines.
fn warn_of_turns(client: &str, warning: Warning, addresses: Addresses) {
    let Warning { turns, within } = warning;
    let Addresses { new, old } = addresses;
    let [remote, replaced] = [new, old].map(|address| match address {
        Some(address) => address.to_string(),
        None => "a Unix socket".to_string(),
    });
    warn!(
        client,
        remote,
        replaced,
        turns,
        within_seconds = within.as_secs(),
        "sessions of one client replace each other: give each agent a key of its own"
    );
}

fn shutting_down() -> Refusal {
    Refusal::unavailable("the server is shutting down")
}
