//! The kernel's sockets, as both ends use them.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use watertight::TcpState;

/// The family of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Family {
    Tcp,
    Unix,
}

/// A connected socket.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Where a client connects.
#[derive(Clone, Debug)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// Where connections are accepted.
#[derive(Debug)]
pub(crate) enum Acceptor {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Address {
    /// Connects, which takes no time on this machine. tokio's own `connect` asks for the socket's error
    /// afterwards, and so takes a connection that was answered and reset for one that was refused.
    pub(crate) fn connect(&self) -> io::Result<Socket> {
        match self {
            Self::Tcp(at) => {
                let socket = std::net::TcpStream::connect(at)?;
                socket.set_nonblocking(true)?;
                Socket::tcp(TcpStream::from_std(socket)?)
            }
            Self::Unix(path) => {
                let socket = std::os::unix::net::UnixStream::connect(path)?;
                socket.set_nonblocking(true)?;
                UnixStream::from_std(socket).map(Socket::Unix)
            }
        }
    }

    /// As the target of a dial.
    pub(crate) fn as_target(&self) -> String {
        match self {
            Self::Tcp(at) => format!("tcp/{at}"),
            Self::Unix(path) => format!("unix/{}", path.display()),
        }
    }
}

impl Acceptor {
    pub(crate) async fn accept(&self) -> io::Result<Socket> {
        match self {
            Self::Tcp(listener) => Socket::tcp(listener.accept().await?.0),
            Self::Unix(listener) => Ok(Socket::Unix(listener.accept().await?.0)),
        }
    }
}

impl Socket {
    /// Nagle's algorithm would hold small writes back, and a reset would throw them away.
    fn tcp(socket: TcpStream) -> io::Result<Self> {
        // It fails on a socket that has been reset already, which is for the script to find out.
        socket.set_nodelay(true).ok();
        Ok(Self::Tcp(socket))
    }

    pub(crate) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.read(buffer).await,
            Self::Unix(socket) => socket.read(buffer).await,
        }
    }

    pub(crate) async fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.write(data).await,
            Self::Unix(socket) => socket.write(data).await,
        }
    }

    pub(crate) async fn finish(&mut self) {
        // A socket that has failed cannot be shut down. The script notes the failure elsewhere.
        match self {
            Self::Tcp(socket) => socket.shutdown().await.ok(),
            Self::Unix(socket) => socket.shutdown().await.ok(),
        };
    }

    /// Closes with a reset, where the family knows one.
    pub(crate) fn reset(self) {
        if let Self::Tcp(socket) = &self {
            socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO)).unwrap();
        }
    }

    /// Bytes that the remote kernel has acknowledged. `None` where they go there directly.
    pub(crate) fn acknowledged(&self) -> Option<u64> {
        let Self::Tcp(socket) = self else { return None };
        // The handshake counts as one.
        TcpState::of(socket).map(|state| state.acked.saturating_sub(1))
    }

    /// Bytes that have arrived and are unread.
    pub(crate) fn unread(&self) -> u64 {
        rustix::io::ioctl_fionread(self).unwrap_or(0)
    }

    /// Whether the end of the stream, or a reset, has arrived. Bytes may still be unread.
    pub(crate) fn has_ended(&self) -> bool {
        let mut polled = [PollFd::new(self, PollFlags::RDHUP)];
        poll(&mut polled, Some(&Timespec::default())).unwrap();
        polled[0].revents().intersects(PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
        }
    }
}
