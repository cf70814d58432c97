//! Dials on whichever session leads to the client.

use std::time::Duration;

use tokio::time::Instant;
use watertight_core::registry::{Candidate, NotEncodable};
use watertight_core::session::OpenError;
use watertight_core::wire::ResetCode;

use super::Inner;
use super::sessions::DialRoute;
use crate::redial::is_stale;
use crate::stream::{DialError, TunnelStream, dial_client};

/// How long a way has before the next one is tried. A client that has moved without its old server having
/// noticed is found by then; a target that takes two lost packets has answered.
const FIRST_SHARE: Duration = Duration::from_secs(4);

impl Inner {
    /// Dials the client here, or through the peers that announced it, the one that did so first in front.
    /// All of it takes `within` at most.
    ///
    /// Cancel safe: dropping the future gives the dial up on all ends.
    pub(super) async fn dial(
        &self,
        key: &str,
        target: &str,
        within: Option<Duration>,
    ) -> Result<TunnelStream, DialError> {
        let (started, within) = (Instant::now(), within.unwrap_or(self.session.timing.dial));
        self.warn_of_contest();
        let mut tried = Vec::new();
        let mut failed = None;
        loop {
            let way = self.sessions().way(key, &tried);
            let Some(way) = way else {
                return Err(failed.unwrap_or_else(|| DialError::NotConnected(key.to_string())));
            };
            let left = within.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Err(DialError::Timeout);
            }
            // A session is tried once, also where its peer announces the client again meanwhile.
            tried.push(way.candidate.session());
            // A client or peer that has stalled leaves time for the next way.
            let shares = self.sessions().way(key, &tried).is_some();
            let share = if shares { (left / 2).min(FIRST_SHARE) } else { left };
            match way.dial(key, target, share).await {
                // The session's owner forgets the route.
                Err(error) if way.has_no_client(&error) => {}
                Err(error) if way.is_blocked(&error) => failed = Some(error),
                Err(error) if shares && is_late(&error) => failed = Some(error),
                result => return result,
            }
        }
    }
}

impl DialRoute {
    async fn dial(
        &self,
        key: &str,
        target: &str,
        within: Duration,
    ) -> Result<TunnelStream, DialError> {
        let asked = self.candidate.target(key, target).map_err(|error| unspeakable(error, key))?;
        let client = self.is_peer().then_some(key);
        dial_client(&self.shared, client, &asked, Some(within)).await
    }

    /// Whether it is a peer that does not have the client which it announced.
    fn has_no_client(&self, error: &DialError) -> bool {
        let no_such =
            matches!(error, DialError::Refused { code: Some(ResetCode::NO_SUCH_CLIENT), .. });
        no_such && self.is_peer()
    }

    /// Whether the dial failed on the way to the client, to which nothing was said: there may be
    /// another way.
    fn is_blocked(&self, error: &DialError) -> bool {
        let not_by_peer = matches!(error, DialError::NotSent(_) | DialError::NotConnected(_));
        is_stale(error) || (self.is_peer() && not_by_peer)
    }

    fn is_peer(&self) -> bool {
        matches!(self.candidate, Candidate::Peer { .. })
    }
}

/// Whether the answer did not come in time, whichever end says so first.
fn is_late(error: &DialError) -> bool {
    matches!(
        error,
        DialError::Timeout | DialError::Refused { code: Some(ResetCode::DIAL_TIMEOUT), .. }
    )
}

/// A peer that speaks the base protocol cannot be told what to dial.
fn unspeakable(error: NotEncodable, key: &str) -> DialError {
    match error {
        NotEncodable::TargetTooLong { length, limit } => {
            OpenError::TargetTooLong { length, limit }.into()
        }
        _ => DialError::NotConnected(key.to_string()),
    }
}
