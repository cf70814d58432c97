use alloc::borrow::Cow;

use super::{SessionKey, Unspeakable, peer_target};
use crate::wire::Dialect;

/// A session through which a client can be dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Candidate {
    /// The client's own.
    Local(SessionKey),
    /// That of a peer server which announced the client.
    Peer {
        /// The peer's session.
        session: SessionKey,
        /// What the peer speaks.
        dialect: Dialect,
    },
}

impl Candidate {
    /// The session to open the connection in.
    #[must_use]
    pub const fn session(self) -> SessionKey {
        match self {
            Self::Local(session) | Self::Peer { session, .. } => session,
        }
    }

    /// What to ask the session for: the target itself, or through a peer [`peer_target`].
    ///
    /// # Errors
    ///
    /// The peer's dialect cannot express the client's key.
    pub fn target<'a>(
        self,
        client_key: &str,
        target: &'a str,
    ) -> Result<Cow<'a, str>, Unspeakable> {
        match self {
            Self::Local(_) => Ok(Cow::Borrowed(target)),
            Self::Peer { dialect, .. } => peer_target(dialect, client_key, target).map(Cow::Owned),
        }
    }
}
