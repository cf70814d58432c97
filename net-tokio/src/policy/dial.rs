use std::io;
use std::net::SocketAddr;

use thiserror::Error;
use tokio::net::{TcpStream, UnixStream};

use super::resolve::resolve;
use super::{Policy, connect_any};
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
        /// Why not; with several addresses, what each one did.
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
                let unresolved = |error| TargetError::Resolve { target: target.clone(), error };
                let found = resolve(name).await.map_err(unresolved)?;
                found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect()
            }
        };
        let allowed = resolved.into_iter().filter(|at| self.allows_resolved(target, at.ip()));
        let allowed: Vec<_> = allowed.collect();
        if allowed.is_empty() { Err(TargetError::Refused(target.clone())) } else { Ok(allowed) }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, UnixListener};

    use super::*;

    async fn dial(patterns: &[&str], target: &str) -> Result<Dialled, TargetError> {
        let policy: Policy = patterns.iter().map(|pattern| pattern.parse().unwrap()).collect();
        policy.dial(&target.parse().unwrap()).await
    }

    #[tokio::test]
    async fn a_name_is_dialled_at_the_addresses_that_are_allowed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for (host, pattern) in [
            ("127.0.0.1", "tcp/127.0.0.0/8:*"),
            ("[::ffff:127.0.0.1]", "tcp/127.0.0.1:*"),
            ("localhost", "tcp/127.0.0.1:*"),
            ("LOCALHOST.", "tcp/localhost:*"),
        ] {
            let dialled = dial(&[pattern], &format!("tcp/{host}:{port}")).await;
            assert!(matches!(dialled, Ok(Dialled::Tcp(_))), "{host} by {pattern}");
        }
        let elsewhere = dial(&["tcp/10.0.0.0/8:*"], &format!("tcp/localhost:{port}")).await;
        assert!(elsewhere.err().unwrap().is_refusal());
        let nothing = dial(&[], &format!("tcp/127.0.0.1:{port}")).await.err().unwrap();
        assert_eq!(nothing.to_string(), format!("tcp/127.0.0.1:{port} is not allowed here"));
    }

    #[tokio::test]
    async fn what_fails_says_where() {
        let error = dial(&["tcp/*:*"], "tcp/127.0.0.1:1").await.err().unwrap();
        assert!(!error.is_refusal());
        let text = error.to_string();
        assert!(text.starts_with("connect tcp/127.0.0.1:1: Connection refused"), "{text}");
        let error = dial(&["tcp/*:*"], "tcp/no-such-host.invalid:80").await.err().unwrap();
        assert!(matches!(error, TargetError::Resolve { .. }), "{error:?}");
        let error = dial(&["unix//no/*"], "unix//no/such.sock").await.err().unwrap();
        assert!(matches!(error, TargetError::Connect { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn a_unix_socket_is_dialled_by_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("target.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        let pattern = format!("unix/{}/*", folder.path().display());
        let dialled = dial(&[&pattern], &format!("unix/{}", path.display())).await;
        assert!(matches!(dialled, Ok(Dialled::Unix(_))));
    }
}
