//! Dials on the newest session there is.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::session::OpenError;

use crate::session::Shared;
use crate::stream::{DialError, TunnelStream, dial};

/// Dials `target` on the session that `newest` finds, and again where another one has taken over
/// from it meanwhile. All of it takes `within` at most.
///
/// Cancel safe: dropping the future gives the dial up on both ends.
pub(crate) async fn dial_newest(
    newest: impl Fn() -> Result<Arc<Shared>, DialError>,
    target: &str,
    within: Duration,
) -> Result<TunnelStream, DialError> {
    let started = Instant::now();
    let mut tried = newest()?;
    loop {
        let left = within.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Err(DialError::Timeout);
        }
        let result = dial(&tried, target, Some(left)).await;
        match result {
            // The session was on its way out, and another one may have taken over.
            Err(error) if is_stale(&error) => match newest() {
                Ok(newer) if !Arc::ptr_eq(&newer, &tried) => tried = newer,
                _ => return Err(error),
            },
            result => return result,
        }
    }
}

/// Whether a dial failed because of the session it was tried on. The target may have been reached
/// all the same, but nothing was said to it.
pub(crate) fn is_stale(error: &DialError) -> bool {
    matches!(
        error,
        DialError::SessionEnded(_) | DialError::NotSent(OpenError::Closed | OpenError::GoingAway)
    )
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tracing::Span;
    use watertight_core::wire::{Dialect, GoAwayCode};
    use watertight_core::{Role, Session, SessionConfig};

    use super::*;
    use crate::session::{Buffers, Clock};

    /// Toward a remotedialer end, which is not asked whether a dial succeeds.
    fn session() -> Arc<Shared> {
        let clock = Clock::start();
        let config = SessionConfig::default();
        let core = Session::new(clock.now(), Role::Acceptor, Dialect::Base, config);
        Shared::new(clock, core, Span::none(), Arc::default(), &Buffers::default())
    }

    fn ended() -> Arc<Shared> {
        let session = session();
        session.command(|core, now| core.close(now, GoAwayCode::REPLACED, ""));
        session
    }

    #[tokio::test]
    async fn a_dial_on_a_session_that_has_ended_goes_to_the_one_that_took_over() {
        let (old, new, found) = (ended(), session(), Cell::new(0));
        let newest = || {
            let before = found.replace(found.get() + 1);
            Ok(Arc::clone(if before == 0 { &old } else { &new }))
        };
        dial_newest(newest, "tcp/web:80", Duration::MAX).await.unwrap();
        assert_eq!(new.ledger().added, 1);
    }

    #[tokio::test]
    async fn a_dial_fails_where_nothing_took_over() {
        let old = ended();
        let result = dial_newest(|| Ok(Arc::clone(&old)), "tcp/web:80", Duration::MAX).await;
        assert!(matches!(result, Err(DialError::NotSent(OpenError::Closed))), "{result:?}");
        let result = dial_newest(|| Ok(session()), "tcp/web:80", Duration::ZERO).await;
        assert!(matches!(result, Err(DialError::Timeout)), "{result:?}");
    }
}
