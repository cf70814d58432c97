//! Sockets that listen, and what they accept.

use std::io;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};
use tracing::{debug, warn};

use crate::io::BoxIo;
use crate::kernel::Keepalive;
use crate::log_limit::LogLimit;

/// The pause of accepting after it failed for lack of a resource that others may free, such as file
/// descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The time that a task needs to close its socket after it is cancelled.
const FREED_PAUSE: Duration = Duration::from_millis(1);

/// One limit for all sockets: a process without descriptors can accept at none of them.
static INTERRUPTIONS: LazyLock<LogLimit> = LazyLock::new(LogLimit::default);

/// A listening socket.
#[derive(Debug)]
pub enum Listener {
    /// A TCP port.
    Tcp(TcpListener),
    /// A Unix socket.
    #[cfg(unix)]
    Unix(UnixListener),
}

/// A socket that a [`Listener`] accepted.
#[derive(Debug)]
pub enum Accepted {
    /// From a TCP port, with the remote's address.
    Tcp(TcpStream, SocketAddr),
    /// From a Unix socket.
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Listener {
    /// Accepts one connection, with the remote's address, if it has one. Errors of one connection,
    /// and of accepting in general, are logged, and accepting is retried. Cancel safe.
    pub async fn accept(&self, keepalive: Keepalive) -> (BoxIo, Option<SocketAddr>) {
        self.accept_or(keepalive, || false).await
    }

    /// As [`accept`](Self::accept). If the process has no descriptors left, `relieve` may free one;
    /// it returns whether it did. Cancel safe.
    pub(crate) async fn accept_or(
        &self,
        keepalive: Keepalive,
        free_descriptor: impl Fn() -> bool + Send,
    ) -> (BoxIo, Option<SocketAddr>) {
        match self.accept_socket_or(keepalive, free_descriptor).await {
            Accepted::Tcp(socket, from) => (Box::new(socket), Some(from)),
            #[cfg(unix)]
            Accepted::Unix(socket) => (Box::new(socket), None),
        }
    }

    /// As [`accept`](Self::accept), returning the socket itself. Cancel safe.
    pub async fn accept_socket(&self, keepalive: Keepalive) -> Accepted {
        self.accept_socket_or(keepalive, || false).await
    }

    async fn accept_socket_or(
        &self,
        keepalive: Keepalive,
        free_descriptor: impl Fn() -> bool + Send,
    ) -> Accepted {
        let mut interrupted = false;
        loop {
            match self.accept_one(keepalive).await {
                Ok(accepted) => return accepted,
                Err(error) if is_about_one_connection(&error) => {
                    debug!(%error, "a connection was closed before it was accepted");
                }
                Err(error) => {
                    // One line for each interruption.
                    if !std::mem::replace(&mut interrupted, true)
                        && let Some(left_out) = INTERRUPTIONS.pass()
                    {
                        warn!(%error, left_out, "cannot accept connections for the moment");
                    }
                    let freed = free_descriptor();
                    tokio::time::sleep(if freed { FREED_PAUSE } else { ACCEPT_PAUSE }).await;
                }
            }
        }
    }

    /// Accepts one connection. An error is transient: this connection, or any for the moment, could
    /// not be accepted. Cancel safe.
    async fn accept_one(&self, keepalive: Keepalive) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                let (socket, from) = listener.accept().await?;
                // It fails if the remote has disconnected, which reading reports.
                socket.set_nodelay(true).ok();
                keepalive.apply_or_log(&socket);
                Ok(Accepted::Tcp(socket, from))
            }
            #[cfg(unix)]
            Self::Unix(listener) => Ok(Accepted::Unix(listener.accept().await?.0)),
        }
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
