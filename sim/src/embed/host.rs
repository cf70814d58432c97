//! A simulated host as embedded software sees it: its network, its seed, and the phase of the run.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::{fmt, io};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use turmoil::net::{TcpListener, TcpStream};

use super::shared::Shared;
use crate::schedule;
use crate::turmoil_world::tcp::{self, Side};

/// The host of software: its network, its seed, and the phase of the run.
///
/// Clones are handles to the same host.
#[derive(Clone)]
pub struct SimulatedHost {
    pub(super) name: Arc<str>,
    pub(super) id: schedule::Host,
    pub(super) shared: Arc<Shared>,
}

/// Takes connections of other hosts.
pub struct Listener {
    listener: TcpListener,
    host: SimulatedHost,
}

impl SimulatedHost {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A seed for the random numbers of its software: another one for each host and schedule, and each time
    /// that the software starts.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.shared.seed(self.id)
    }

    /// Connects to a host by its name. Cancel safe.
    ///
    /// # Errors
    /// Nothing listens there. Where the link is broken, it waits: give it a deadline.
    pub async fn connect(&self, to: &str, port: u16) -> io::Result<Socket> {
        let stream = TcpStream::connect((to, port)).await?;
        let (local, remote) = (stream.local_addr()?, stream.peer_addr()?);
        Ok(self.socket(stream, (local, remote), Side::Connector))
    }

    /// Listens on a port of this host.
    ///
    /// # Errors
    /// The port is taken.
    pub async fn listen(&self, port: u16) -> io::Result<Listener> {
        let listener = TcpListener::bind(("0.0.0.0", port)).await?;
        Ok(Listener { listener, host: self.clone() })
    }

    /// Resolves once everything is healed: from then on, everything has to work. Cancel safe.
    pub async fn healed(&self) {
        becomes_true(self.shared.healed()).await;
    }

    /// Whether everything is healed.
    #[must_use]
    pub fn is_healed(&self) -> bool {
        *self.shared.healed().borrow()
    }

    /// Resolves once every client has ended, and services are to end. Cancel safe.
    pub async fn stopped(&self) {
        becomes_true(self.shared.stopped()).await;
    }

    /// Adds to the trace, if there is one.
    pub fn note(&self, what: impl FnOnce() -> String) {
        self.shared.note(self.id, || format!("{}: {}", self.name, what()));
    }

    fn socket(&self, stream: TcpStream, ends: (SocketAddr, SocketAddr), side: Side) -> Socket {
        let line = self.shared.line(ends);
        Socket(tcp::TcpSocket::new(stream, line, side, self.shared.portion()))
    }
}

impl Listener {
    /// Waits for a connection. Cancel safe.
    ///
    /// # Errors
    /// None that goes by itself.
    pub async fn accept(&self) -> io::Result<Socket> {
        let (stream, remote) = self.listener.accept().await?;
        let local = stream.local_addr()?;
        Ok(self.host.socket(stream, (remote, local), Side::Acceptor))
    }
}

async fn becomes_true(mut receiver: watch::Receiver<bool>) {
    // A receiver without a sender belongs to a run that has ended.
    receiver.wait_for(|is_so| *is_so).await.ok();
}

impl fmt::Debug for SimulatedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedHost").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("host", &self.host.name).finish_non_exhaustive()
    }
}

/// A connection between two hosts: it has a capacity, takes bytes in portions, and can be cut, as the
/// schedule requires.
#[derive(Debug)]
pub struct Socket(pub(super) tcp::TcpSocket);

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
