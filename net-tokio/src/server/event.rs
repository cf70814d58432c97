use std::net::SocketAddr;

use watertight_core::SessionEnd;
use watertight_core::registry::SessionKey;
use watertight_core::wire::Dialect;

use super::peering::PeerDirection;

/// What happened to a session with a client or a peer. Events come in the order in which it
/// happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ServerEvent {
    /// A client's session is up.
    Connected {
        /// The client.
        key: String,
        /// The session.
        session: SessionKey,
        /// The address it connected from, where it has one.
        remote: Option<SocketAddr>,
        /// What it speaks.
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
        /// Why.
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
        /// What the peer speaks.
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
        /// Why.
        end: SessionEnd,
    },
}
