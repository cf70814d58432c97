//! A simulated host as embedded software sees it: its network, its seed, and the phase of the run.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;
use turmoil::net::{TcpListener, TcpStream};

use super::link::Socket;
use super::stage::Stage;
use crate::schedule;
use crate::turmoil_world::line::Side;
use crate::turmoil_world::socket;

/// Where software runs: its way to the other hosts, and to know how far the run is.
///
/// Clones are handles to the same host.
#[derive(Clone)]
pub struct Host {
    pub(super) name: Arc<str>,
    pub(super) place: schedule::Host,
    pub(super) stage: Arc<Stage>,
}

/// Takes connections of other hosts.
pub struct Listener {
    listener: TcpListener,
    host: Host,
}

impl Host {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A seed for the dice of its software: another one for each host and schedule, and each time that
    /// the software starts.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.stage.seed(self.place)
    }

    /// Connects to a host by its name. Cancel safe.
    ///
    /// # Errors
    /// Nothing listens there. Where the way there is broken, it waits: give it a deadline.
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
        becomes_true(self.stage.healed()).await;
    }

    /// Whether everything is healed.
    #[must_use]
    pub fn is_healed(&self) -> bool {
        *self.stage.healed().borrow()
    }

    /// Resolves once every client has ended, and services are to end. Cancel safe.
    pub async fn stopped(&self) {
        becomes_true(self.stage.stopped()).await;
    }

    /// Tells the trace something, if there is one.
    pub fn note(&self, what: impl FnOnce() -> String) {
        self.stage.note(self.place, || format!("{}: {}", self.name, what()));
    }

    fn socket(&self, stream: TcpStream, ends: (SocketAddr, SocketAddr), side: Side) -> Socket {
        let line = self.stage.line(ends);
        Socket(socket::Socket::new(stream, line, side, self.stage.portion()))
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
    // One whose sender is gone belongs to a run that is over.
    receiver.wait_for(|is_so| *is_so).await.ok();
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("host", &self.host.name).finish_non_exhaustive()
    }
}
