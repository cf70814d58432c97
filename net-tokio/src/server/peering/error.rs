use thiserror::Error;
use watertight_core::registry::RegistryLimits;

/// Why a server is not taken as a peer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PeerError {
    /// This server was built without [`peering`](crate::ServerBuilder::peering).
    #[error("this server has no id and token of its own to show to peers")]
    NoIdentity,
    /// The peer's id is this server's.
    #[error("peer id {0:?} is this server's own")]
    OwnId(String),
    /// Peers are to be found by their addresses, and this server's id is none.
    #[error("this server's id {0:?} is no IP address, by which peers that are found know it")]
    IdNotAnAddress(String),
    /// The peer has no id.
    #[error("a peer needs an id: the one that it shows when it connects")]
    EmptyId,
    /// The peer's id is longer than [`RegistryLimits::key`].
    #[error("a peer id of {length} bytes, more than the {limit} allowed")]
    IdTooLong {
        /// Its bytes.
        length: usize,
        /// [`RegistryLimits::key`].
        limit: usize,
    },
    /// The peer has no token.
    #[error("peer {0:?} needs a token: the one that it shows when it connects")]
    EmptyToken(String),
    /// The endpoint is a byte stream, on which no server says that it is a peer.
    #[error("peers are reached by ws:// or wss://, not by {0}")]
    NotAWebSocket(String),
    /// The server has as many peers as it takes.
    #[error("this server has {limit} peers, which is the limit")]
    TooMany {
        /// [`RegistryLimits::peers`].
        limit: usize,
    },
    /// The server is shutting down.
    #[error("the server is shutting down")]
    ShuttingDown,
}

/// What holds for every peer, whoever it is.
pub(super) fn check_id(id: &str, limits: &RegistryLimits) -> Result<(), PeerError> {
    match id.len() {
        0 => Err(PeerError::EmptyId),
        length if length > limits.key => Err(PeerError::IdTooLong { length, limit: limits.key }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_may_be_as_long_as_a_key() {
        let limits = RegistryLimits { key: 3, ..RegistryLimits::default() };
        check_id("abc", &limits).unwrap();
        assert!(matches!(
            check_id("abcd", &limits),
            Err(PeerError::IdTooLong { length: 4, limit: 3 })
        ));
        assert!(matches!(check_id("", &limits), Err(PeerError::EmptyId)));
    }
}
