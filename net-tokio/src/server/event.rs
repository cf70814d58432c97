//! Events of a server, and the subscription to them.

use std::net::SocketAddr;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use watertight_core::SessionEnd;
use watertight_core::registry::SessionKey;
use watertight_core::wire::Dialect;

use super::peering::PeerDirection;

/// Changes of sessions with clients and peers, in the order in which they happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ServerEvent {
    /// A client's session is up.
    Connected {
        /// The client.
        key: String,
        /// The session.
        session: SessionKey,
        /// The address that it connected from, if it has one.
        remote: Option<SocketAddr>,
        /// Its dialect.
        dialect: Dialect,
        /// Whether it took over from an older session of the same client.
        replaced: bool,
    },
    /// A session has ended. A client whose session was replaced is still connected.
    Disconnected {
        /// The client.
        key: String,
        /// The session, which was announced as connected before.
        session: SessionKey,
        /// The reason.
        end: SessionEnd,
    },
    /// A session with a peer is up.
    PeerConnected {
        /// The peer.
        id: String,
        /// The session.
        session: SessionKey,
        /// Which of the two connected.
        direction: PeerDirection,
        /// Its dialect.
        dialect: Dialect,
    },
    /// A session with a peer has ended.
    PeerDisconnected {
        /// The peer.
        id: String,
        /// The session, which was announced as connected before.
        session: SessionKey,
        /// Which of the two had connected.
        direction: PeerDirection,
        /// The reason.
        end: SessionEnd,
    },
}

/// A subscription to a server's events, made by [`Server::subscribe`](crate::Server::subscribe). It
/// has a bound: a subscriber that lags loses the oldest events and receives their number.
#[derive(Debug)]
pub struct Events(broadcast::Receiver<ServerEvent>);

/// Events that a subscriber has lost because it lagged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} events were lost: the subscriber lags")]
pub struct Lagged(pub u64);

impl Events {
    pub(super) fn new(events: broadcast::Receiver<ServerEvent>) -> Self {
        Self(events)
    }

    /// The next event; `None` once the server has ended. Cancel safe.
    ///
    /// # Errors
    ///
    /// Events were lost. The next call returns the oldest one that was kept.
    pub async fn next(&mut self) -> Result<Option<ServerEvent>, Lagged> {
        match self.0.recv().await {
            Ok(event) => Ok(Some(event)),
            Err(RecvError::Closed) => Ok(None),
            Err(RecvError::Lagged(lost)) => Err(Lagged(lost)),
        }
    }

    /// The next event if there is one now.
    ///
    /// # Errors
    ///
    /// As for [`next`](Self::next).
    pub fn try_next(&mut self) -> Result<Option<ServerEvent>, Lagged> {
        match self.0.try_recv() {
            Ok(event) => Ok(Some(event)),
            Err(TryRecvError::Empty | TryRecvError::Closed) => Ok(None),
            Err(TryRecvError::Lagged(lost)) => Err(Lagged(lost)),
        }
    }
}
