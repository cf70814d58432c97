use std::io;
use std::net::SocketAddr;

use thiserror::Error;
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

use super::excluded::is_link_local;
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
    /// The policy allows it, but it is a socket of this program itself.
    #[error("{0} is not allowed here: this program listens there itself")]
    Own(Target),
    /// It is at a link-local address, or another one of a cloud's metadata, which the policy does not allow
    /// by itself.
    #[error(
        "{0} is not allowed here: it is at a link-local or metadata address, where clouds keep \
         credentials, which has to be allowed by itself"
    )]
    LinkLocal(Target),
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
        matches!(self, Self::Refused(_) | Self::Own(_) | Self::LinkLocal(_))
    }
}

/// A socket to a target.
pub(crate) enum Dialled {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Policy {
    /// Dials a target as far as it is allowed. The caller sets the deadline. Cancel safe.
    ///
    /// # Errors
    /// See [`TargetError`].
    pub(crate) async fn dial(&self, target: &Target) -> Result<Dialled, TargetError> {
        if !self.may_allow(target) {
            return Err(match target {
                Target::Tcp { host: Host::Ip(ip), .. } if is_link_local(ip.to_canonical()) => {
                    TargetError::LinkLocal(target.clone())
                }
                _ => TargetError::Refused(target.clone()),
            });
        }
        match target {
            Target::Unix(path) => self.dial_unix(target, path).await,
            Target::Tcp { host, port } => {
                let addresses = self.addresses(target, host, *port).await?;
                let failed = |error| TargetError::Connect { target: target.clone(), error };
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
        let (allowed, refused): (Vec<_>, Vec<_>) =
            resolved.into_iter().partition(|at| self.allows_resolved(target, at.ip()));
        let (own, others): (Vec<_>, Vec<_>) =
            allowed.into_iter().partition(|at| self.excluded.has_address(*at));
        if !others.is_empty() {
            return Ok(others);
        }
        let is_link_local = refused.iter().any(|at| is_link_local(at.ip().to_canonical()));
        Err(match (own.as_slice(), is_link_local) {
            ([_, ..], _) => TargetError::Own(target.clone()),
            ([], true) => TargetError::LinkLocal(target.clone()),
            ([], false) => TargetError::Refused(target.clone()),
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use tokio::net::{TcpListener, UnixListener};

    use super::*;

    pub(in crate::policy) async fn dial(
        patterns: &[&str],
        target: &str,
    ) -> Result<Dialled, TargetError> {
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
    async fn s4_a_socket_of_this_program_is_not_dialled() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("own.sock"), folder.path().join("link.sock"));
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = tcp.local_addr().unwrap().port();
        let mut policy: Policy =
            ["tcp/*:*", "unix//*"].map(|it| it.parse().unwrap()).into_iter().collect();
        let _unix = UnixListener::bind(&path).unwrap();
        policy.exclude_address(tcp.local_addr().unwrap());
        policy.exclude_socket(&path).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let [path, link] = [path, link].map(|path| format!("unix/{}", path.display()));
        let hosts = ["127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]"];
        for target in hosts.map(|host| format!("tcp/{host}:{port}")).iter().chain([&path, &link]) {
            let error = policy.dial(&target.parse().unwrap()).await.err().unwrap();
            assert!(
                matches!(error, TargetError::Own(_)) && error.is_refusal(),
                "{target}: {error}"
            );
        }
        let error = policy.dial(&"tcp/169.254.169.254:80".parse().unwrap()).await.err().unwrap();
        assert!(matches!(error, TargetError::LinkLocal(_)), "{error}");
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
}
