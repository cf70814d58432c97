//! One interface to a server or agent of either implementation.

use std::net::SocketAddr;

use crate::go::GoEnd;
use crate::processes::{KEY, Watertight};

/// A server or an agent, of either kind.
#[derive(Debug)]
pub(crate) enum End {
    Ours(Watertight),
    Go(GoEnd),
}

impl End {
    /// A local port whose connections are dialled at the remote.
    pub(crate) fn forward(&self, target: SocketAddr) -> SocketAddr {
        match self {
            // A server names the agent in front of the target.
            Self::Ours(end) => {
                [format!("forward {KEY}=tcp/{target}"), format!("forward tcp/{target}")]
                    .iter()
                    .find_map(|purpose| end.addresses(purpose).first()?.parse().ok())
                    .unwrap_or_else(|| panic!("no forward to {target}"))
            }
            Self::Go(end) => end.forward(target),
        }
    }

    /// Where a server listens for agents.
    pub(crate) fn agents(&self) -> SocketAddr {
        match self {
            Self::Ours(server) => server.address("agents"),
            Self::Go(server) => server.address("agents"),
        }
    }

    /// Whether a server has a session of this client, or a peer of it has.
    pub(crate) async fn reaches(&self, key: &str) -> bool {
        match self {
            Self::Ours(server) => {
                server.clients().await.iter().any(|client| client == key)
                    || server.routes().await > 0
            }
            Self::Go(server) => server.reaches(key).await,
        }
    }

    /// Whether a watertight server has a session with each of its peers in both directions.
    pub(crate) async fn is_peered(&self) -> bool {
        match self {
            Self::Ours(server) => server.is_peered().await,
            Self::Go(_) => true,
        }
    }

    pub(crate) async fn kill(self) {
        match self {
            Self::Ours(end) => end.kill().await,
            Self::Go(end) => end.kill().await,
        }
    }

    pub(crate) fn resident(&self) -> u64 {
        match self {
            Self::Ours(end) => end.resident(),
            Self::Go(end) => end.resident(),
        }
    }

    pub(crate) fn is_go(&self) -> bool {
        matches!(self, Self::Go(_))
    }
}
