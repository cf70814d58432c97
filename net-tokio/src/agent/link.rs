//! The agent's sessions: the current one, those that drain, and what is left of the others.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use watertight_core::wire::GoAwayCode;
use watertight_core::{Instant, Ledger, Session};

#[cfg(feature = "simulation")]
use crate::session::Kept;
use crate::session::{Books, Shared};

/// How many sessions may drain beside the current one. A server that restarts again and again says
/// goodbye to one after the other, and each may carry a long connection.
const DRAINING: usize = 4;

#[derive(Debug, Default)]
pub(super) struct Links {
    state: Mutex<State>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct State {
    current: Option<Arc<Shared>>,
    /// Every session that is up, the current one included.
    running: Vec<Arc<Shared>>,
    books: Books,
    /// Somebody else keeps the books of sessions that have ended.
    hosted: bool,
    closed: bool,
}

impl Links {
    /// Those of an agent whose host keeps the books.
    pub(super) fn hosted() -> Self {
        Self { state: Mutex::new(State { hosted: true, ..State::default() }), ..Self::default() }
    }

    /// Takes in a session whose task is still to be spawned, so that it cannot end before;
    /// `false` if there are to be no more.
    pub(super) fn add(&self, link: &Arc<Shared>) -> bool {
        let mut state = self.lock();
        if state.closed {
            return false;
        }
        state.running.push(Arc::clone(link));
        state.current = Some(Arc::clone(link));
        let excess = state.running.len().saturating_sub(1 + DRAINING);
        let oldest: Vec<_> = state.running.iter().take(excess).map(Arc::clone).collect();
        drop(state);
        for link in oldest {
            let text = "too many sessions of this agent drain";
            link.command(|core, now| core.close(now, GoAwayCode::LIMIT, text));
        }
        true
    }

    /// No new dials on this session.
    pub(super) fn retire(&self, link: &Arc<Shared>) {
        self.lock().current.take_if(|current| Arc::ptr_eq(current, link));
    }

    /// The session's driver has ended.
    pub(super) fn remove(&self, link: &Arc<Shared>) {
        self.retire(link);
        let mut state = self.lock();
        let before = state.running.len();
        state.running.retain(|running| !Arc::ptr_eq(running, link));
        if state.running.len() < before && !state.hosted {
            state.books.close(Arc::clone(link));
        }
        drop(state);
        self.ended.notify_waiters();
    }

    pub(super) fn current(&self) -> Option<Arc<Shared>> {
        self.lock().current.clone()
    }

    /// Takes no more sessions in, and does this to each there is.
    pub(super) fn close(&self, act: impl Fn(&mut Session, Instant)) {
        let mut state = self.lock();
        state.closed = true;
        let running = state.running.clone();
        drop(state);
        for link in running {
            link.command(&act);
        }
    }

    /// Waits until no session is up. Cancel safe.
    pub(super) async fn gone(&self) {
        loop {
            let ended = self.ended.notified();
            if self.lock().running.is_empty() {
                return;
            }
            ended.await;
        }
    }

    /// Lets go of what ended sessions still hold for the application.
    pub(super) fn abandon(&self) {
        let held = self.lock().books.held();
        for link in held {
            link.command(|core, now| core.force_close(now));
        }
    }

    pub(super) fn ledger(&self) -> Ledger {
        let State { running, books, .. } = &mut *self.lock();
        books.sum(running.iter())
    }

    /// What the table holds that the ledger does not count.
    #[cfg(feature = "simulation")]
    pub(super) fn kept(&self) -> Kept {
        let state = self.lock();
        let held = state.books.held();
        let streams = |shared: &Arc<Shared>| shared.lock().handles();
        let streams = state.running.iter().chain(&held).map(streams).sum();
        Kept { streams, held: held.len(), ..Kept::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tracing::Span;
    use watertight_core::wire::Dialect;
    use watertight_core::{Role, SessionConfig};

    use super::*;
    use crate::session::{Buffers, Clock};

    fn session() -> Arc<Shared> {
        let (clock, config) = (Clock::start(), SessionConfig::default());
        let core = Session::new(clock.now(), Role::Connector, Dialect::Extended, config);
        Shared::new(clock, core, Span::none(), Arc::default(), &Buffers::default())
    }

    /// One that has added a connection, which somebody holds.
    fn busy_session() -> Arc<Shared> {
        let session = session();
        let id = session.command(|core, now| core.open(now, "tcp/a:1", None)).unwrap();
        session.lock().add_handle(id);
        session
    }

    #[tokio::test]
    async fn only_the_current_session_takes_dials() {
        let (links, sessions) = (Links::default(), [session(), session()]);
        for session in &sessions {
            assert!(links.add(session));
        }
        links.retire(&sessions[0]);
        assert!(Arc::ptr_eq(&links.current().unwrap(), &sessions[1]));
        links.retire(&sessions[1]);
        assert!(links.current().is_none());
    }

    #[tokio::test]
    async fn the_books_of_a_session_are_closed_once() {
        let (links, session) = (Links::default(), busy_session());
        assert!(links.add(&session));
        assert_eq!((links.ledger().added, links.kept().streams, links.kept().held), (1, 1, 0));
        for _ in 0..2 {
            links.remove(&session);
            assert_eq!((links.ledger().added, links.kept().streams, links.kept().held), (1, 1, 1));
        }
    }

    #[tokio::test]
    async fn a_host_keeps_the_books_of_its_sessions() {
        let (links, session) = (Links::hosted(), busy_session());
        assert!(links.add(&session));
        assert_eq!(links.ledger().added, 1);
        links.remove(&session);
        assert_eq!((links.ledger().added, links.kept().held), (0, 0));
    }

    #[tokio::test]
    async fn sessions_are_gone_when_the_last_one_is() {
        let (links, sessions) = (Links::default(), [session(), session()]);
        for session in &sessions {
            assert!(links.add(session));
        }
        let mut gone = std::pin::pin!(links.gone());
        for session in &sessions {
            assert!(futures_util::poll!(gone.as_mut()).is_pending());
            links.remove(session);
        }
        assert!(futures_util::poll!(gone).is_ready());
    }

    #[tokio::test]
    async fn of_too_many_draining_sessions_the_oldest_are_closed() {
        let links = Links::default();
        let sessions: Vec<_> = (0..DRAINING + 3)
            .map(|_| {
                let session = session();
                assert!(links.add(&session));
                session
            })
            .collect();
        let closed = sessions.iter().map(|session| session.lock().core.ended().is_some());
        let expected: Vec<_> = (0..sessions.len()).map(|number| number < 2).collect();
        assert_eq!(closed.collect::<Vec<_>>(), expected);
    }
}
