//! The connection of a client, which the HTTP library and its owner share.
//!
//! The library reads only what it needs. The owner reads ahead of it while a request is answered:
//! that is how the end of the client's side is passed on to a target, and how a client that has
//! gone away is noticed. Where something is unread, or bytes are in flight to the client, the
//! kernel is asked for that. The owner also decides how the connection ends: in a reset where the
//! answer was cut.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;
use tokio_util::io::poll_read_buf;
use tokio_util::sync::CancellationToken;
use watertight::{Accepted, Keepalive, TcpState, acknowledged};

use super::slots::Slot;
use super::socket::Socket;

/// The most bytes that are read before the library asks for them. More stays in the kernel, which holds the
/// client back.
const AHEAD: usize = 4 << 10;

/// How long a client may take to end its side once the answer is sent. A socket that is closed
/// while a request still arrives resets the connection, and takes the answer with it.
const LINGER_IDLE: Duration = Duration::from_secs(2);
const LINGER: Duration = Duration::from_secs(30);

/// How long a client may acknowledge nothing of the bytes before a cut.
const PATIENCE: Duration = Duration::from_secs(10);

/// A handle to the connection.
#[derive(Clone)]
pub(super) struct Client(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    finished: CancellationToken,
    address: Option<SocketAddr>,
    keepalive: Keepalive,
    /// How much of what it sent has been passed on to a target.
    passed: Arc<AtomicU64>,
    /// The slot of the connection. It goes with the connection if that is
    /// upgraded.
    slot: Arc<Slot>,
}

struct State {
    socket: Socket,
    /// Read, and not yet asked for.
    ahead: BytesMut,
    /// The end of the client's side has been read.
    ended: bool,
    /// Everything that was written has reached the kernel.
    flushed: bool,
    /// Whether the client may not have acknowledged what was written.
    unacked: bool,
    /// The local side has ended in good order.
    shut_down: bool,
    /// Why the client is disconnected. No byte arrives afterwards.
    broken: Option<ErrorKind>,
    answer: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Whole,
    /// The rest of the answer will never come.
    Cut,
    /// The connection is upgraded: it is no longer the library's.
    HandedOver,
}

impl Client {
    pub(super) fn new(accepted: Accepted, keepalive: Keepalive, slot: Slot) -> Self {
        let (socket, address) = match accepted {
            Accepted::Tcp(socket, from) => (Socket::Tcp(socket), Some(from)),
            Accepted::Unix(socket) => (Socket::Unix(socket), None),
        };
        let state = State {
            socket,
            ahead: BytesMut::new(),
            ended: false,
            flushed: true,
            unacked: false,
            shut_down: false,
            broken: None,
            answer: Fate::Whole,
        };
        Self(Arc::new(Shared {
            state: Mutex::new(state),
            finished: CancellationToken::new(),
            address,
            keepalive,
            passed: Arc::default(),
            slot: Arc::new(slot),
        }))
    }

    /// The address of the client; `None` for a Unix socket.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.0.address
    }

    /// The slot of the connection.
    pub(super) fn slot(&self) -> &Arc<Slot> {
        &self.0.slot
    }

    /// Is cancelled once the client has ended its side.
    pub(super) fn finished(&self) -> &CancellationToken {
        &self.0.finished
    }

    /// Counts what a target has taken of the client's bytes.
    pub(super) fn counter(&self) -> &Arc<AtomicU64> {
        &self.0.passed
    }

    /// How much a target has taken of the client's bytes.
    pub(super) fn passed(&self) -> u64 {
        self.0.passed.load(Ordering::Relaxed)
    }

    /// The state of its TCP connection.
    pub(super) fn tcp(&self) -> Option<TcpState> {
        self.lock().answering()
    }

    /// How long its machine may be silent.
    pub(super) fn keepalive(&self) -> Keepalive {
        self.0.keepalive
    }

    /// Whether a read would not notice that the client is disconnected.
    pub(super) fn needs_look(&self) -> bool {
        let state = self.lock();
        state.unacked || state.ended || state.broken.is_some() || !state.ahead.is_empty()
    }

    /// Asks the kernel whether the client is disconnected, even with unread bytes, and why.
    pub(super) fn failure(&self) -> Option<io::Error> {
        let mut state = self.lock();
        state.broken = state.broken.or_else(|| state.failure(self.0.keepalive));
        state.broken.map(io::Error::from)
    }

    /// The byte stream for the library. There is one.
    pub(super) fn wire(&self) -> ClientIo {
        ClientIo(self.clone())
    }

    /// Whether the client's first bytes are these. They remain to be read. Cancel safe.
    ///
    /// # Errors
    /// The connection failed.
    pub(super) async fn begins_with(&self, text: &[u8]) -> io::Result<bool> {
        poll_fn(|cx| {
            let mut state = self.lock();
            loop {
                let length = state.ahead.len().min(text.len());
                if state.ahead.get(..length) != text.get(..length) {
                    return Poll::Ready(Ok(false));
                }
                if length == text.len() || state.ended {
                    return Poll::Ready(Ok(length == text.len()));
                }
                ready!(self.poll_more(&mut state, cx))?;
            }
        })
        .await
    }

    /// Reads ahead, unless something waits to be read. Ready when the library has something new to
    /// read, or the connection failed.
    pub(super) fn poll_ahead(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        if !state.ahead.is_empty() {
            return Poll::Pending;
        }
        if state.ended {
            return state.broken.map_or(Poll::Pending, |broken| Poll::Ready(Err(broken.into())));
        }
        self.poll_more(&mut state, cx)
    }

    fn poll_more(&self, state: &mut State, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let State { socket, ahead, .. } = state;
        ahead.reserve(AHEAD);
        let read = poll_read_buf(Pin::new(socket), cx, ahead);
        self.read(state, read).map_ok(drop)
    }

    /// Takes the result of a read of the socket. The kernel may have reported the error already, and the
    /// socket of a vanished machine has none.
    fn read(&self, state: &mut State, read: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match (&read, state.broken) {
            (Poll::Pending | Poll::Ready(Ok(0)), Some(broken)) => {
                return Poll::Ready(Err(broken.into()));
            }
            (Poll::Ready(Ok(0)), None) => {
                state.ended = true;
                self.0.finished.cancel();
            }
            (Poll::Ready(Err(error)), None) => state.broken = Some(error.kind()),
            _ => {}
        }
        read
    }

    /// The rest of the answer will never come: the connection ends in a reset, behind what has come.
    pub(super) fn cut(&self) {
        self.lock().answer = Fate::Cut;
    }

    pub(super) fn is_cut(&self) -> bool {
        self.lock().answer == Fate::Cut
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.lock().flushed
    }

    /// From here on the connection is an upgraded one. If it is dropped before its side has been
    /// shut down, it ends in a reset.
    pub(super) fn hand_over(&self) {
        self.lock().answer = Fate::HandedOver;
    }

    pub(super) fn is_handed_over(&self) -> bool {
        self.lock().answer == Fate::HandedOver
    }

    /// Ends the connection in a reset, once the client has received what was written.
    pub(super) async fn reset(self) {
        self.received().await;
        self.lock().socket.reset();
    }

    /// Waits until the client's kernel has what was written. A client that does not read loses what it
    /// has not read.
    pub(super) async fn received(&self) {
        acknowledged(|| self.lock().answering(), PATIENCE).await;
    }

    /// Makes the connection end in a reset: the client is disconnected.
    pub(super) fn abort(&self) {
        self.lock().socket.reset();
    }

    /// Ends our side, and discards what the client still sends until it ends its own.
    pub(super) async fn linger(self) {
        let discard = async {
            poll_fn(|cx| self.lock().poll_shutdown(cx)).await?;
            while !timeout(LINGER_IDLE, poll_fn(|cx| self.poll_discard(cx))).await?? {}
            io::Result::Ok(())
        };
        // However it ends, the connection is over.
        timeout(LINGER, discard).await.ok();
    }

    /// Discards what there is; whether that was the end.
    fn poll_discard(&self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut state = self.lock();
        if !state.ended {
            state.ahead.clear();
            ready!(self.poll_more(&mut state, cx))?;
        }
        Poll::Ready(Ok(state.ended))
    }

    /// The lock guards what is consistent after each statement.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.socket).poll_shutdown(cx))?;
        self.shut_down = true;
        self.unacked = true;
        Poll::Ready(Ok(()))
    }

    /// Writes by `write`, unless the client is disconnected: a machine that has vanished takes no bytes.
    fn poll_write(
        &mut self,
        write: impl FnOnce(Pin<&mut Socket>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Some(broken) = self.broken {
            return Poll::Ready(Err(broken.into()));
        }
        self.flushed = false;
        self.unacked = true;
        let written = ready!(write(Pin::new(&mut self.socket)));
        if let Err(error) = &written {
            self.broken = Some(error.kind());
        }
        Poll::Ready(written)
    }

    fn failure(&mut self, keepalive: Keepalive) -> Option<ErrorKind> {
        let tcp = self.socket.tcp();
        self.unacked = tcp.is_some_and(|tcp| tcp.unacked);
        let vanished = tcp.zip(keepalive.time()).filter(|(tcp, time)| tcp.has_vanished(*time));
        let is_let_go = !self.shut_down && self.socket.is_let_go();
        let failure = self.socket.failure().or(vanished.map(|_| ErrorKind::TimedOut));
        failure.or(is_let_go.then_some(ErrorKind::ConnectionReset))
    }

    /// The kernel's state of a client that is there.
    fn answering(&self) -> Option<TcpState> {
        self.broken.is_none().then(|| self.socket.tcp())?
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.0.address).finish()
    }
}

/// The connection as the library reads and writes it.
pub(super) struct ClientIo(Client);

impl AsyncRead for ClientIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let state = &mut *self.0.lock();
        if !state.ahead.is_empty() {
            let length = state.ahead.len().min(buffer.remaining());
            buffer.put_slice(state.ahead.get(..length).unwrap_or_default());
            state.ahead.advance(length);
            if state.ahead.is_empty() {
                // An idle connection has no buffer.
                state.ahead = BytesMut::new();
            }
            return Poll::Ready(Ok(()));
        }
        if state.ended || buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut state.socket).poll_read(cx, buffer);
        let read = read.map_ok(|()| buffer.filled().len() - before);
        self.0.read(state, read).map_ok(drop)
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.lock().poll_write(|socket| socket.poll_write(cx, data))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.lock().poll_write(|socket| socket.poll_write_vectored(cx, pieces))
    }

    fn is_write_vectored(&self) -> bool {
        self.0.lock().socket.is_write_vectored()
    }

    /// The library calls this once it has no more to write.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.lock();
        ready!(Pin::new(&mut state.socket).poll_flush(cx))?;
        state.flushed = true;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.lock().poll_shutdown(cx)
    }
}

impl Drop for ClientIo {
    fn drop(&mut self) {
        let state = self.0.lock();
        if state.answer == Fate::HandedOver && !state.shut_down {
            state.socket.reset();
        }
    }
}
