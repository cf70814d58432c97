//! Keeps a session up: connects, waits for its end, backs off, connects again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{debug, info, info_span, warn};
use watertight_core::wire::Dialect;
use watertight_core::{Event, Reconnect, Role};

use super::connector::Connector;
use super::{AgentStatus, Inner, WaitReason};
use crate::handshake::Connected;
use crate::log_limit::{shortened_text, some};
use crate::session::{Clock, Owner, RunOptions, Shared, prepare};
use crate::stream::Incoming;
use crate::tasks::Tasks;

/// Why the session is of no use for new dials any more, once that is so.
type LinkStatus = Option<WaitReason>;

/// The agent's one long-lived task.
pub(super) async fn keep_connected(inner: Arc<Inner>, mut reconnect: Reconnect) {
    let clock = Clock::start();
    inner.warn_of_clear_text();
    while !inner.stop.is_cancelled() {
        inner.status.send_replace(AgentStatus::Connecting);
        let attempt = tokio::select! {
            biased;
            () = inner.stop.cancelled() => return,
            attempt = inner.connect() => attempt,
        };
        let (delay, reason) = match attempt {
            Ok((link, mut status)) => {
                reconnect.connected(clock.now());
                let over = inner.watch_link(&link, &mut status).await;
                let now = clock.now();
                let delay = match over {
                    WaitReason::Replaced => reconnect.replaced(now),
                    _ => reconnect.disconnected(now),
                };
                (delay, over)
            }
            Err(reason) => {
                let now = clock.now();
                let delay = match reason.retry_after() {
                    Some(after) => reconnect.refused(now, after),
                    None => reconnect.failed(now),
                };
                (delay, reason)
            }
        };
        if inner.stop.is_cancelled() {
            return;
        }
        inner.log_wait(&reason, delay);
        inner.status.send_replace(AgentStatus::Waiting { retry_in: delay, reason });
        tokio::select! {
            biased;
            () = inner.stop.cancelled() => return,
            () = inner.retry_now.notified() => {}
            () = tokio::time::sleep(delay) => {}
        }
    }
}

impl Inner {
    /// What carries the bytes by means of the embedder's own is his business.
    fn warn_of_clear_text(&self) {
        let Connector { endpoint, options, byte_streams, hello, .. } = &self.connector;
        if byte_streams.is_some() || !endpoint.is_exposed(options.address) {
            return;
        }
        let what =
            if hello.sends_secret() { "the token and all connections" } else { "all connections" };
        warn!(
            server = %endpoint,
            "{what} go to the server in clear text: anybody on the way can read and change them; use \
             wss:// or tls://"
        );
    }

    /// A server that ends each session at once fills no log.
    fn log_wait(&self, reason: &WaitReason, delay: Duration) {
        let text = reason.to_string();
        let reason = &*shortened_text(&text);
        match self.limits.sessions.pass().map(some) {
            Some(left_out) => warn!(reason, retry_in = ?delay, left_out, "not connected"),
            None => debug!(reason, retry_in = ?delay, "not connected"),
        }
    }

    async fn connect(
        self: &Arc<Self>,
    ) -> Result<(Arc<Shared>, watch::Receiver<LinkStatus>), WaitReason> {
        if let Some(host) = &self.host {
            host.connecting();
        }
        let deadline = self.connector.deadline;
        let connected = tokio::time::timeout(deadline, self.connector.connect());
        let connected = connected.await.map_err(|_| WaitReason::Timeout(deadline))??;
        Ok(match connected {
            Connected::WebSocket(transport, dialect) => self.start(transport, dialect),
            Connected::ByteStream(transport) => self.start(transport, Dialect::Extended),
        })
    }

    fn start<T: crate::transport::Transport + Unpin>(
        self: &Arc<Self>,
        transport: T,
        dialect: Dialect,
    ) -> (Arc<Shared>, watch::Receiver<LinkStatus>) {
        let (status, receiver) = watch::channel(None);
        let options = RunOptions {
            role: Role::Connector,
            dialect,
            config: self.session.clone(),
            span: info_span!("session", server = %self.connector.endpoint),
            peer: self.host.is_some(),
            limits: Arc::clone(&self.limits),
            buffers: self.buffers.clone(),
        };
        let (link, task) = prepare(&self.tasks, transport, options, |children| LinkOwner {
            agent: Arc::clone(self),
            children: children.clone(),
            status,
        });
        // An agent that was shut down meanwhile drops the task, which ends the session.
        if self.links.add(&link) && self.is_wanted(&link, dialect) {
            let server = &self.connector.endpoint;
            match self.limits.sessions.pass().map(some) {
                Some(left_out) => info!(%server, ?dialect, left_out, "connected"),
                None => debug!(%server, ?dialect, "connected"),
            }
            self.status.send_replace(AgentStatus::Connected { dialect });
            self.tasks.spawn(task);
        }
        (link, receiver)
    }

    fn is_wanted(&self, link: &Arc<Shared>, dialect: Dialect) -> bool {
        self.host.as_ref().is_none_or(|host| host.started(link, dialect))
    }

    /// Waits until the session is of no use for new dials, and returns where it stands then. A
    /// session that drains goes on without us.
    async fn watch_link(
        &self,
        link: &Arc<Shared>,
        status: &mut watch::Receiver<LinkStatus>,
    ) -> WaitReason {
        let over = status.wait_for(Option::is_some).await.ok().and_then(|status| status.clone());
        self.links.retire(link);
        over.unwrap_or(WaitReason::TaskEnded)
    }
}

/// Belongs to one session's driver, and takes the session out of the agent's books at its end.
struct LinkOwner {
    agent: Arc<Inner>,
    children: Tasks,
    status: watch::Sender<LinkStatus>,
}

impl Owner for LinkOwner {
    fn on_event(&mut self, shared: &Arc<Shared>, event: Event) {
        match event {
            Event::Incoming { id, target, within } => {
                let incoming = Incoming::new(Arc::clone(shared), id, target, within);
                let key = self.agent.connector.hello.client_key();
                self.agent.handler.spawn(&self.children, key, incoming, self.agent.keepalive);
            }
            Event::GoingAway { text, .. } => {
                self.status.send_replace(Some(WaitReason::GoingAway(text)));
            }
            Event::Closed(end) => {
                self.agent.links.remove(shared);
                if let Some(host) = &self.agent.host {
                    host.ended(shared, end.clone());
                }
                self.status.send_replace(Some(end.into()));
            }
            // The server of an agent announces nothing.
            _ => {}
        }
    }
}
