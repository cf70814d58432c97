//! The agent's sessions: the task that keeps one up, and the table of the current one, draining
//! ones, and ended ones that the application still holds.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};
use tracing::info_span;
use watertight_core::wire::{Dialect, GoAwayCode};
use watertight_core::{Event, Instant, Ledger, Role, Session};

use super::{Inner, WaitReason};
use crate::connect::Connecting;
use crate::handshake::Connected;
use crate::io::BoxIo;
#[cfg(feature = "simulation")]
use crate::session::Kept;
use crate::session::{PastSessions, RunOptions, SessionEvents, SessionTask, Shared, prepare};
use crate::stream::Incoming;
use crate::tasks::Tasks;
use crate::transport::Transport;

/// A session whose task is not spawned yet, and the receiver of the reason why it takes no new
/// dials any more.
struct NewSession {
    shared: Arc<Shared>,
    task: SessionTask,
    unavailable: oneshot::Receiver<WaitReason>,
}

/// Keeps a session up until the agent stops. A session that drains continues beside the next one.
pub(super) async fn keep_connected(inner: Arc<Inner>, mut connecting: Connecting) {
    connecting.warn_of_clear_text();
    while let Some(connected) = connecting.next(|| {}).await {
        let dialect = connected.dialect();
        let NewSession { shared, task, unavailable } = inner.session_on(connected);
        if !inner.sessions.add(&shared) {
            // The agent was shut down meanwhile. Dropping the task ends the session.
            return;
        }
        connecting.connected(dialect);
        inner.tasks.spawn(task);
        let reason = unavailable.await.unwrap_or(WaitReason::TaskEnded);
        inner.sessions.retire(&shared);
        connecting.unavailable(reason);
    }
}

impl Inner {
    fn session_on(self: &Arc<Self>, connected: Connected<BoxIo>) -> NewSession {
        match connected {
            Connected::WebSocket(transport, dialect) => self.prepare(transport, dialect),
            Connected::ByteStream(transport) => self.prepare(transport, Dialect::Extended),
        }
    }

    fn prepare<T: Transport + Unpin>(
        self: &Arc<Self>,
        transport: T,
        dialect: Dialect,
    ) -> NewSession {
        let (sender, unavailable) = oneshot::channel();
        let options = RunOptions {
            role: Role::Connector,
            dialect,
            config: self.session.clone(),
            span: info_span!("session", server = %self.endpoint),
            peer: false,
            limits: Arc::clone(&self.limits),
            buffers: self.buffers.clone(),
        };
        let (shared, task) = prepare(&self.tasks, transport, options, |children| SessionOwner {
            agent: Arc::clone(self),
            children: children.clone(),
            unavailable: Some(sender),
        });
        NewSession { shared, task, unavailable }
    }
}

/// Belongs to one session's driver, and removes the session from the agent's ledger at its end.
struct SessionOwner {
    agent: Arc<Inner>,
    children: Tasks,
    unavailable: Option<oneshot::Sender<WaitReason>>,
}

impl SessionOwner {
    /// Only the first reason is reported.
    fn report(&mut self, reason: WaitReason) {
        if let Some(sender) = self.unavailable.take() {
            sender.send(reason).ok();
        }
    }
}

impl SessionEvents for SessionOwner {
    fn on_event(&mut self, shared: &Arc<Shared>, event: Event) {
        match event {
            Event::Incoming { id, target, within } => {
                let incoming = Incoming::new(Arc::clone(shared), id, target, within);
                let Inner { handler, key, keepalive, .. } = &*self.agent;
                handler.spawn(&self.children, key, incoming, *keepalive);
            }
            Event::GoingAway { text, .. } => self.report(WaitReason::GoingAway(text)),
            Event::Closed(end) => {
                self.agent.sessions.remove(shared);
                self.report(end.into());
            }
            // The server of an agent announces nothing.
            _ => {}
        }
    }
}

/// Sessions that may drain beside the current one. A server that restarts repeatedly drains one
/// session after the other, and each may carry a long connection.
const DRAINING: usize = 4;

#[derive(Debug, Default)]
pub(super) struct AgentSessions {
    state: Mutex<State>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct State {
    current: Option<Arc<Shared>>,
    /// Every session that is up, the current one included.
    running: Vec<Arc<Shared>>,
    past: PastSessions,
    closed: bool,
}

impl AgentSessions {
    /// Adds a session before its task is spawned, so that it cannot end before; `false` if the
    /// table is closed.
    pub(super) fn add(&self, session: &Arc<Shared>) -> bool {
        let mut state = self.lock();
        if state.closed {
            return false;
        }
        state.running.push(Arc::clone(session));
        state.current = Some(Arc::clone(session));
        let excess = state.running.len().saturating_sub(1 + DRAINING);
        let oldest: Vec<_> = state.running.iter().take(excess).map(Arc::clone).collect();
        drop(state);
        for session in oldest {
            let text = "too many sessions of this agent drain";
            session.command(|core, now| core.close(now, GoAwayCode::LIMIT, text));
        }
        true
    }

    /// No new dials on this session.
    pub(super) fn retire(&self, session: &Arc<Shared>) {
        self.lock().current.take_if(|current| Arc::ptr_eq(current, session));
    }

    /// The session's driver has ended.
    pub(super) fn remove(&self, session: &Arc<Shared>) {
        self.retire(session);
        let mut state = self.lock();
        let before = state.running.len();
        state.running.retain(|running| !Arc::ptr_eq(running, session));
        if state.running.len() < before {
            state.past.add(Arc::clone(session));
        }
        let has_current = state.current.is_some();
        debug_assert!(!has_current || !state.running.is_empty(), "the current session is up");
        drop(state);
        self.ended.notify_waiters();
    }

    pub(super) fn current(&self) -> Option<Arc<Shared>> {
        self.lock().current.clone()
    }

    /// Closes the table, and calls `act` on each session.
    pub(super) fn close(&self, act: impl Fn(&mut Session, Instant)) {
        let mut state = self.lock();
        state.closed = true;
        let running = state.running.clone();
        drop(state);
        for session in running {
            session.command(&act);
        }
    }

    /// Waits until no session is up. Cancel safe.
    pub(super) async fn all_ended(&self) {
        loop {
            let ended = self.ended.notified();
            if self.lock().running.is_empty() {
                return;
            }
            ended.await;
        }
    }

    /// Discards what ended sessions still hold for the application.
    pub(super) fn force_close_ended(&self) {
        let held = self.lock().past.held();
        for session in held {
            session.command(|core, now| core.force_close(now));
        }
    }

    pub(super) fn ledger(&self) -> Ledger {
        let State { running, past, .. } = &mut *self.lock();
        past.sum(running.iter())
    }

    /// Entries of the table that the ledger does not count.
    #[cfg(feature = "simulation")]
    pub(super) fn kept(&self) -> Kept {
        let state = self.lock();
        let held = state.past.held();
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
    use crate::session::Buffers;
    use crate::sync::Clock;

    fn session() -> Arc<Shared> {
        let (clock, config) = (Clock::start(), SessionConfig::default());
        let core = Session::new(clock.now(), Role::Connector, Dialect::Extended, config);
        Shared::new(clock, core, Span::none(), Arc::default(), &Buffers::default())
    }

    /// A session with one connection, whose stream the application holds.
    fn busy_session() -> Arc<Shared> {
        let session = session();
        let id = session.command(|core, now| core.open(now, "tcp/a:1", None)).unwrap();
        session.lock().add_handle(id);
        session
    }

    #[tokio::test]
    async fn only_the_current_session_takes_dials() {
        let (table, sessions) = (AgentSessions::default(), [session(), session()]);
        for session in &sessions {
            assert!(table.add(session));
        }
        table.retire(&sessions[0]);
        assert!(Arc::ptr_eq(&table.current().unwrap(), &sessions[1]));
        table.retire(&sessions[1]);
        assert!(table.current().is_none());
    }

    #[tokio::test]
    async fn an_ended_session_is_counted_once() {
        let (table, session) = (AgentSessions::default(), busy_session());
        assert!(table.add(&session));
        assert_eq!((table.ledger().added, table.kept().streams, table.kept().held), (1, 1, 0));
        for _ in 0..2 {
            table.remove(&session);
            assert_eq!((table.ledger().added, table.kept().streams, table.kept().held), (1, 1, 1));
        }
    }

    #[tokio::test]
    async fn all_sessions_have_ended_when_the_last_one_has() {
        let (table, sessions) = (AgentSessions::default(), [session(), session()]);
        for session in &sessions {
            assert!(table.add(session));
        }
        let mut gone = std::pin::pin!(table.all_ended());
        for session in &sessions {
            assert!(futures_util::poll!(gone.as_mut()).is_pending());
            table.remove(session);
        }
        assert!(futures_util::poll!(gone).is_ready());
    }

    #[tokio::test]
    async fn of_too_many_draining_sessions_the_oldest_are_closed() {
        let table = AgentSessions::default();
        let sessions: Vec<_> = (0..DRAINING + 3)
            .map(|_| {
                let session = session();
                assert!(table.add(&session));
                session
            })
            .collect();
        let closed = sessions.iter().map(|session| session.lock().core.ended().is_some());
        let expected: Vec<_> = (0..sessions.len()).map(|number| number < 2).collect();
        assert_eq!(closed.collect::<Vec<_>>(), expected);
    }
}
