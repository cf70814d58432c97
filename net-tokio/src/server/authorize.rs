//! Authorization of sessions: the authentication hook's result, the limits, and the log of
//! refusals.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::HeaderMap;
use tracing::{debug, info, warn};
use watertight_core::Session;
use watertight_core::registry::SessionKind;

use super::Inner;
use super::auth::{AuthRequest, Grant, Origin};
use super::handshakes::Source;
use super::peering::Claim;
use super::permits::Permit;
use super::superseded::{Addresses, Warning};
use crate::handshake::{Refusal, upgrade};
use crate::log_limit::{shortened, shortened_text, some};
use crate::metrics::handshake_refused;
use crate::tls;

/// The time for a session to answer a probe before another one may replace it.
const PROBE: Duration = Duration::from_secs(2);

/// The delay of a source that has sent ten wrong tokens within a minute, before its next one is
/// checked.
const WRONG_TOKEN: Duration = Duration::from_secs(2);

/// The interval of the checks for the probe's answer.
const POLL: Duration = Duration::from_millis(20);
const _: () = assert!(POLL.as_millis() < PROBE.as_millis(), "an answer is checked for in time");

impl Inner {
    /// Authenticates a remote and reserves capacity for its session.
    pub(super) async fn authorize(
        &self,
        request: AuthRequest,
        claim: &Claim,
    ) -> Result<Permit, Refusal> {
        let (key, remote) = (request.client_key.clone(), request.remote);
        let checks = self.sessions().checks();
        let answer = self.authenticator.authenticate(request).await;
        let answer = answer.and_then(|grant| self.check_key(grant));
        let permit = match answer {
            Ok(grant) => {
                self.permit(grant, checks).await.inspect_err(|_| handshake_refused("unavailable"))
            }
            Err(refusal) => {
                handshake_refused("authentication");
                Err(refusal)
            }
        };
        let permit = permit.map_err(|refusal| claim.explain(refusal));
        permit.inspect_err(|refusal| self.log_refused(key.as_deref(), remote, refusal))
    }

    /// Delays a source that has guessed tokens before its next one is checked: a remote that does
    /// not wait for the answer learns nothing. An agent with the same address waits, too, and is
    /// accepted. Meanwhile the socket's handshake slot may go to another one.
    pub(super) async fn slow_down(&self, origin: &Origin) {
        if self.sessions().wrong_tokens.is_empty(&Source::of(origin.remote)) {
            origin.restarts();
            tokio::time::sleep(WRONG_TOKEN.min(self.handshake_timeout / 2)).await;
            origin.restarts();
        }
    }

    /// Counts a refusal, which may be for a wrong token.
    pub(super) fn count_guess(&self, origin: &Origin, refusal: &Refusal) {
        origin.refused();
        if refusal.status.is_client_error() {
            self.sessions().wrong_tokens.take(Source::of(origin.remote)).ok();
        }
    }

    /// Refuses a browser, which presents certificates and cookies for any page that asks it to connect.
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

    /// Logs a refusal, within a limit: a remote can be refused without end.
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

    /// Logs why TLS failed. The operator of an agent whose certificate has expired finds the reason here.
    pub(super) fn log_tls_failure(&self, remote: Option<SocketAddr>, error: &io::Error) {
        match tls::client_certificate_failure(error)
            .map(|reason| (reason, self.certificates.pass().map(some)))
        {
            Some((reason, Some(left_out))) => {
                info!(?remote, left_out, "agent refused: its certificate {reason}");
            }
            _ => debug!(?remote, %error, "TLS handshake failed"),
        }
    }

    async fn permit(&self, grant: Grant, checks: u64) -> Result<Permit, Refusal> {
        match self.protected_session(&grant.key).await {
            None => {
                // Only a session that begins counts: a refused impostor takes nothing from the right agent.
                let client = (SessionKind::Agent, grant.key.clone());
                self.sessions().starts.take(client).map_err(|wait| {
                    Refusal::unavailable("this client key connects too often").retry_after(wait)
                })?;
                self.reserve(grant, checks)
            }
            Some(protected_for) => Err(Refusal::unavailable(
                "another agent with this client key took over a moment ago, and is connected: give \
                 each agent a key of its own",
            )
            .retry_after(protected_for)),
        }
    }

    /// How much longer the client's session cannot be replaced, if two agents have one key and the session
    /// answers a probe.
    async fn protected_session(&self, key: &str) -> Option<Duration> {
        let (session, protected_for) = self.sessions().protected_session(key)?;
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
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::time::timeout(PROBE.min(protected_for), answers)
            .await
            .unwrap_or(false)
            .then_some(protected_for)
    }

    /// Logs that sessions of a client replace each other.
    pub(super) fn warn_of_takeovers(&self, client: &str, warning: Warning, addresses: Addresses) {
        let Warning { replacements: turns, within } = warning;
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
        if warning.is_key_conflict() {
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

    /// Refuses a key that the registry would not take, while the remote can still receive the reason.
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
}

fn shutting_down() -> Refusal {
    Refusal::unavailable("the server is shutting down")
}
