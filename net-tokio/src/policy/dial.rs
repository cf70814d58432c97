//! Dialling a target that the policy allows, by all addresses of its name.

use std::fmt::Write;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use thiserror::Error;
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

use super::Policy;
use super::excluded::is_link_local;
use super::resolve::resolve;
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
    /// It is at a link-local address, or another one of a cloud's metadata, which no pattern names
    /// explicitly.
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
        /// The cause.
        error: io::Error,
    },
    /// Nobody answered at any address.
    #[error("connect {target}: {error}")]
    Connect {
        /// The target.
        target: Target,
        /// The cause; with several addresses, that of each one.
        error: io::Error,
    },
}

impl TargetError {
    /// Whether the policy refused it.
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

#[cfg(not(unix))]
impl Policy {
    #[allow(clippy::unused_async, reason = "where there are Unix sockets it waits")]
    pub(super) async fn dial_unix(
        &self,
        target: &Target,
        _path: &std::path::Path,
    ) -> Result<Dialled, TargetError> {
        let error = io::Error::new(io::ErrorKind::Unsupported, "this system has no Unix sockets");
        Err(TargetError::Connect { target: target.clone(), error })
    }
}

/// The time of one address before the next is tried beside it (RFC 8305). An address that swallows
/// packets, often the IPv6 one, must not use up the time of the others.
const HEAD_START: Duration = Duration::from_millis(250);

/// More addresses than this do not make a name more reachable.
const MAX_ADDRESSES: usize = 16;

/// Connects to the address that answers first, with TCP_NODELAY. The caller sets the deadline.
/// Cancel safe.
///
/// The socket is reset when it is dropped, before and after connecting, until linger is disabled: a
/// target must not mistake a cancelled dial for a client that had nothing to send.
///
/// # Errors
///
/// No address answers; with several, the error lists that of each one.
pub(crate) async fn connect_any(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    race(addresses, |address| async move {
        let socket = connect_one(address).await?;
        // It fails on a socket that was reset meanwhile, which may still have input.
        socket.set_nodelay(true).ok();
        Ok(socket)
    })
    .await
}

/// Connects to one address.
///
/// tokio's own `connect` consumes the socket's error. A target that answers and resets at once
/// would count as refusing, and its answer would be lost with the socket.
#[cfg(target_os = "linux")]
async fn connect_one(address: SocketAddr) -> io::Result<TcpStream> {
    use nix::errno::Errno;
    use socket2::{Domain, Protocol, SockRef, Socket, Type};

    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_linger(Some(Duration::ZERO))?;
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() != Some(Errno::EINPROGRESS as i32) => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let socket = TcpStream::from_std(socket.into())?;
    socket.writable().await?;
    // A connection that failed reports it now, before there is input.
    match SockRef::from(&socket).peek(&mut [std::mem::MaybeUninit::uninit()]) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        Ok(_) | Err(_) => Ok(socket),
    }
}

#[cfg(not(target_os = "linux"))]
async fn connect_one(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpStream::connect(address).await?;
    socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO))?;
    Ok(socket)
}

async fn race<S, A>(addresses: &[SocketAddr], connect: impl Fn(SocketAddr) -> A) -> io::Result<S>
where
    A: Future<Output = io::Result<S>>,
{
    let mut waiting = alternating(addresses).into_iter().take(MAX_ADDRESSES);
    let (mut running, mut errors) = (FuturesUnordered::new(), Vec::new());
    loop {
        let patience = match waiting.next() {
            Some(address) => {
                let connecting = connect(address);
                running.push(async move { connecting.await.map_err(|error| (address, error)) });
                HEAD_START
            }
            None if running.is_empty() => return Err(all(errors)),
            None => Duration::MAX,
        };
        match tokio::time::timeout(patience, running.next()).await {
            Ok(Some(Ok(socket))) => return Ok(socket),
            Ok(Some(Err(error))) => errors.push(error),
            Ok(None) | Err(_) => {}
        }
    }
}

/// The addresses with alternating families, in the resolver's order otherwise.
fn alternating(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (preferred, other): (Vec<_>, Vec<_>) =
        addresses.iter().copied().partition(|address| address.is_ipv6() == first);
    let mut other = other.into_iter();
    let mut ordered = Vec::with_capacity(addresses.len());
    for address in preferred {
        ordered.push(address);
        ordered.extend(other.next());
    }
    ordered.extend(other);
    debug_assert_eq!(ordered.len(), addresses.len(), "an order has all addresses");
    ordered
}

fn all(mut errors: Vec<(SocketAddr, io::Error)>) -> io::Error {
    if errors.len() < 2 {
        let no_address = || io::Error::new(io::ErrorKind::NotFound, "it has no address");
        return errors.pop().map_or_else(no_address, |(_, error)| error);
    }
    let kind = errors.first().map_or(io::ErrorKind::Other, |(_, error)| error.kind());
    let mut text = String::new();
    for (address, error) in errors {
        let separator = if text.is_empty() { "" } else { "; " };
        write!(text, "{separator}{address}: {error}").ok();
    }
    io::Error::new(kind, text)
}

#[cfg(test)]
pub(super) mod tests {
    use tokio::net::{TcpListener, UnixListener};
    use tokio::time::{Instant, sleep};

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
    async fn a_failure_names_the_target() {
        let error = dial(&["tcp/*:*"], "tcp/127.0.0.1:1").await.err().unwrap();
        assert!(!error.is_refusal());
        let text = error.to_string();
        assert!(text.starts_with("connect tcp/127.0.0.1:1: Connection refused"), "{text}");
        let error = dial(&["tcp/*:*"], "tcp/no-such-host.invalid:80").await.err().unwrap();
        assert!(matches!(error, TargetError::Resolve { .. }), "{error:?}");
        let error = dial(&["unix//no/*"], "unix//no/such.sock").await.err().unwrap();
        assert!(matches!(error, TargetError::Connect { .. }), "{error:?}");
    }

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// An address whose port is its delay in milliseconds; even ones refuse.
    async fn by_port(address: SocketAddr) -> io::Result<SocketAddr> {
        sleep(Duration::from_millis(address.port().into())).await;
        if address.port().is_multiple_of(2) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        Ok(address)
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_does_not_answer_does_not_hold_up_the_next() {
        let began = Instant::now();
        let [silent, good] = ["[::1]:60001", "127.0.0.1:7"];
        let found = race(&addresses(&[silent, good]), by_port).await.unwrap();
        assert_eq!(found, good.parse().unwrap());
        assert_eq!(began.elapsed(), HEAD_START + Duration::from_millis(7));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_followed_by_the_next_address_at_once() {
        let began = Instant::now();
        let found = race(&addresses(&["[::1]:2", "127.0.0.1:7"]), by_port).await.unwrap();
        assert_eq!(found.port(), 7);
        assert_eq!(began.elapsed(), Duration::from_millis(9));
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_first_one_still_wins_if_the_others_refuse() {
        let found = race(&addresses(&["[::1]:801", "127.0.0.1:8"]), by_port).await.unwrap();
        assert_eq!(found.port(), 801);
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_lists_that_of_each_address() {
        let error = race(&addresses(&["[::1]:2", "127.0.0.1:8"]), by_port).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let text = "[::1]:2: connection refused; 127.0.0.1:8: connection refused";
        assert_eq!(error.to_string(), text);
        let error = race(&addresses(&["127.0.0.1:8"]), by_port).await.unwrap_err();
        assert_eq!(error.to_string(), "connection refused");
        let error = race(&[], by_port).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn families_take_turns() {
        let given = ["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "1.1.1.2:1"];
        let ordered = ["[::1]:1", "1.1.1.1:1", "[::2]:1", "1.1.1.2:1", "[::3]:1"];
        assert_eq!(alternating(&addresses(&given)), addresses(&ordered));
    }
}
