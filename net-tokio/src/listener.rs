//! Sockets that listen, and what they accept.

use std::io;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};
use tracing::{debug, warn};

use crate::kernel::Keepalive;
use crate::log_limit::LogLimit;
use crate::transport::BoxIo;

/// How long accepting rests after it failed for want of something that others may give back, such
/// as file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// As long as a task needs that is told to close its socket.
const RELIEVED_REST: Duration = Duration::from_millis(1);

/// What keeps a process from accepting at one socket does so at all of them.
static RESTS: LazyLock<LogLimit> = LazyLock::new(LogLimit::default);

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
    /// Accepts one connection, whatever it takes: what goes wrong with one, or with accepting for a
    /// while, is logged. With the remote's address, where it has one. Cancel safe.
    pub async fn accept(&self, keepalive: Keepalive) -> (BoxIo, Option<SocketAddr>) {
        self.accept_or(keepalive, || false).await
    }

    /// As [`accept`](Self::accept). Where the process has no descriptors left, `relieve` may give one
    /// back; whether it did. Cancel safe.
    pub(crate) async fn accept_or(
        &self,
        keepalive: Keepalive,
        relieve: impl Fn() -> bool + Send,
    ) -> (BoxIo, Option<SocketAddr>) {
        match self.accept_socket_or(keepalive, relieve).await {
            Accepted::Tcp(socket, from) => (Box::new(socket), Some(from)),
            #[cfg(unix)]
            Accepted::Unix(socket) => (Box::new(socket), None),
        }
    }

    /// As [`accept`](Self::accept), for those who need the socket itself. Cancel safe.
    pub async fn accept_socket(&self, keepalive: Keepalive) -> Accepted {
        self.accept_socket_or(keepalive, || false).await
    }

    async fn accept_socket_or(
        &self,
        keepalive: Keepalive,
        relieve: impl Fn() -> bool + Send,
    ) -> Accepted {
        let mut resting = false;
        loop {
            match self.accept_one(keepalive).await {
                Ok(accepted) => return accepted,
                Err(error) if is_about_one_connection(&error) => {
                    debug!(%error, "a connection was gone before it was accepted");
                }
                Err(error) => {
                    // Once is enough until it goes on, which it may do now and then.
                    if !std::mem::replace(&mut resting, true)
                        && let Some(left_out) = RESTS.pass()
                    {
                        warn!(%error, left_out, "cannot accept connections for the moment");
                    }
                    let relieved = relieve();
                    tokio::time::sleep(if relieved { RELIEVED_REST } else { ACCEPT_REST }).await;
                }
            }
        }
    }

    /// Accepts one connection. An error is not the end: it says that this one, or for the moment
    /// any, could not be accepted. Cancel safe.
    async fn accept_one(&self, keepalive: Keepalive) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                let (socket, from) = listener.accept().await?;
                // It fails where the remote is gone already, which reading finds out.
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
