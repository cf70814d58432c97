use super::SessionKey;
use super::peer_target::{Unspeakable, check_key};
use crate::wire::{Body, ClientRoute, Dialect, base};

/// Something to tell a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The peer's session.
    pub peer: SessionKey,
    /// What changed.
    pub change: RouteChange,
}

/// A client came or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteChange {
    /// The client is reachable here.
    Added(ClientRoute),
    /// That session of the client is over.
    Removed(ClientRoute),
}

impl RouteChange {
    /// Whether a peer of this dialect understands the route, and could dial it.
    ///
    /// # Errors
    ///
    /// It would take it for another one.
    pub fn check(&self, dialect: Dialect) -> Result<(), Unspeakable> {
        let (Self::Added(route) | Self::Removed(route)) = self;
        check_route(dialect, route)
    }
}

/// Whether a peer of this dialect takes the route for what it is.
pub(crate) fn check_route(dialect: Dialect, route: &ClientRoute) -> Result<(), Unspeakable> {
    check_key(dialect, &route.client_key)?;
    let length = encoded_len(route);
    if dialect == Dialect::Base && length > base::MAX_ROUTE {
        return Err(Unspeakable::RouteTooLong { length, limit: base::MAX_ROUTE });
    }
    Ok(())
}

impl From<RouteChange> for Body {
    fn from(change: RouteChange) -> Self {
        match change {
            RouteChange::Added(route) => Self::AddClient(route),
            RouteChange::Removed(route) => Self::RemoveClient(route),
        }
    }
}

/// The bytes of `clientKey/sessionKey`.
fn encoded_len(route: &ClientRoute) -> usize {
    let digits = route.session_key.unsigned_abs().checked_ilog10().unwrap_or(0) as usize + 1;
    let sign = usize::from(route.session_key < 0);
    route.client_key.len() + 1 + sign + digits
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn a_route_is_as_long_as_it_is_written() {
        for session_key in [0, 1, 9, 10, 99, 100, -1, -9, -10, i64::MAX, i64::MIN] {
            let route = ClientRoute { client_key: "key".into(), session_key };
            assert_eq!(encoded_len(&route), format!("key/{session_key}").len(), "{session_key}");
        }
    }
}
