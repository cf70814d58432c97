use std::io;
use std::net::SocketAddr;

use thiserror::Error;
use tokio::net::{TcpStream, UnixStream, lookup_host};

use super::Policy;
use crate::target::{Host, Target};

/// Why a target was not dialled.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TargetError {
    /// The policy does not allow it.
    #[error("{0} is not allowed here")]
    Refused(Target),
    /// The name has no address.
    #[error("resolve {target}: {error}")]
    Resolve {
        /// The target.
        target: Target,
        /// Why not.
        error: io::Error,
    },
    /// Nobody answered at any address.
    #[error("connect {target}: {error}")]
    Connect {
        /// The target.
        target: Target,
        /// Why the last address was not reached.
        error: io::Error,
    },
}

impl TargetError {
    /// Whether it was the policy that said no.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

/// A socket to a target.
pub(crate) enum Dialled {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Policy {
    /// Dials a target as far as it is allowed. The caller sets the deadline. Cancel safe.
    ///
    /// # Errors
    /// See [`TargetError`].
    pub(crate) async fn dial(&self, target: &Target) -> Result<Dialled, TargetError> {
        if !self.may_allow(target) {
            return Err(TargetError::Refused(target.clone()));
        }
        let failed = |error| TargetError::Connect { target: target.clone(), error };
        match target {
            Target::Unix(path) => {
                UnixStream::connect(path).await.map(Dialled::Unix).map_err(failed)
            }
            Target::Tcp { host, port } => {
                let addresses = self.addresses(target, host, *port).await?;
                connect_any(&addresses).await.map(Dialled::Tcp).map_err(failed)
            }
        }
    }

    /// The allowed addresses of a host; at least one.
    async fn addresses(
        &self,
        target: &Target,
        host: &Host,
        port: u16,
    ) -> Result<Vec<SocketAddr>, TargetError> {
        let resolved: Vec<_> = match host {
            Host::Ip(ip) => vec![SocketAddr::new(*ip, port)],
            Host::Name(name) => {
                let found = lookup_host((name.as_str(), port)).await;
                let unresolved = |error| TargetError::Resolve { target: target.clone(), error };
                found.map_err(unresolved)?.collect()
            }
        };
        let allowed = resolved.into_iter().filter(|at| self.allows_resolved(target, at.ip()));
        let allowed: Vec<_> = allowed.collect();
        if allowed.is_empty() { Err(TargetError::Refused(target.clone())) } else { Ok(allowed) }
    }
}

/// Connects to the first address that answers. Small messages leave at once.
pub(crate) async fn connect_any(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no address");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(socket) => {
                socket.set_nodelay(true)?;
                return Ok(socket);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
