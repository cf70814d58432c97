//! A tunnel stream whose remote the test holds, and a socket with scripted faults.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tracing::Span;
use watertight_core::wire::Dialect;
use watertight_core::{Event, Role, SessionConfig};

use crate::kernel::TcpState;
use crate::session::{Buffers, RunOptions, SessionEvents, Shared, prepare};
use crate::splice::Side;
use crate::stream::{Incoming, TunnelStream, dial};
use crate::tasks::Tasks;
use crate::transport::ByteStream;

/// Passes dials on to the test.
struct Dialled(UnboundedSender<Incoming>);

impl SessionEvents for Dialled {
    fn on_event(&mut self, shared: &Arc<Shared>, event: Event) {
        if let Event::Incoming { id, target, within } = event {
            self.0.send(Incoming::new(Arc::clone(shared), id, target, within)).ok();
        }
    }
}

fn session(tasks: &Tasks, io: DuplexStream, role: Role, owner: Dialled) -> Arc<Shared> {
    let options = RunOptions {
        role,
        dialect: Dialect::Extended,
        config: SessionConfig::default(),
        span: Span::none(),
        peer: false,
        limits: Arc::default(),
        buffers: Buffers::default(),
    };
    let transport = ByteStream::new(io, BytesMut::new(), 1 << 20);
    let (shared, task) = prepare(tasks, transport, options, |_| owner);
    tasks.spawn(task);
    shared
}

/// Both ends of one connection through a tunnel.
pub(super) async fn streams() -> (TunnelStream, TunnelStream) {
    let tasks = Tasks::new();
    let (sender, mut dialled) = unbounded_channel();
    let (a, b) = duplex(64 << 10);
    let near = session(&tasks, a, Role::Acceptor, Dialled(sender.clone()));
    session(&tasks, b, Role::Connector, Dialled(sender));
    let accept = async { dialled.recv().await.unwrap().accept().unwrap() };
    let (near, far) = tokio::join!(dial(&near, "target", None), accept);
    (near.unwrap(), far)
}

/// A socket, and its faults.
pub(super) struct Wry {
    io: DuplexStream,
    /// The most bytes that one call moves.
    at_once: usize,
    pub(super) read_fails: bool,
    pub(super) write_fails: bool,
    /// The state of its kernel, if it has one.
    pub(super) kernel: Option<Arc<Mutex<TcpState>>>,
    /// The number of queries of the kernel.
    pub(super) asked: Arc<AtomicUsize>,
    aborted: Arc<AtomicBool>,
}

impl Wry {
    /// The socket, its remote, and whether the socket was aborted.
    pub(super) fn new(at_once: usize, buffer: usize) -> (Self, DuplexStream, Arc<AtomicBool>) {
        let (io, other) = duplex(buffer);
        let aborted = Arc::<AtomicBool>::default();
        let watched = Arc::clone(&aborted);
        let (kernel, asked) = (None, Arc::default());
        let (read_fails, write_fails) = (false, false);
        (Self { io, at_once, read_fails, write_fails, kernel, asked, aborted }, other, watched)
    }
}

fn broken<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionReset, "the cable is cut")))
}

impl AsyncRead for Wry {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read_fails {
            return broken();
        }
        let most = self.at_once.min(buf.remaining());
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(most));
        let read = Pin::new(&mut self.io).poll_read(cx, &mut part);
        let filled = part.filled().len();
        buf.advance(filled);
        read
    }
}

impl AsyncWrite for Wry {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.write_fails {
            return broken();
        }
        let part = buf.get(..self.at_once).unwrap_or(buf);
        Pin::new(&mut self.io).poll_write(cx, part)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl Side for Wry {
    fn abort(&self) {
        self.aborted.store(true, Ordering::Relaxed);
    }

    fn tcp(&self) -> Option<TcpState> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.kernel.as_ref().map(|state| *state.lock().unwrap())
    }
}
