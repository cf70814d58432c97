//! The connection of a client, which the HTTP library and its owner share.
//!
//! The library reads only what it needs. The owner reads ahead of it while a request is answered:
//! that is how the end of the client's side is passed on to a target, and how a client that has
//! gone away is noticed. The owner also decides how the connection ends: in a reset where the
//! answer was cut.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_util::io::poll_read_buf;
use tokio_util::sync::CancellationToken;
use watertight::{Accepted, acknowledged};

use super::socket::Socket;

/// What is read before the library asks for it, at most. More stays in the kernel, which holds the
/// client back.
const AHEAD: usize = 4 << 10;

/// How long a client may take to end its side once the answer is sent. A socket that is closed
/// while a request still arrives resets the connection, and takes the answer with it.
const LINGER_IDLE: Duration = Duration::from_secs(2);
const LINGER: Duration = Duration::from_secs(30);

/// How long a client may take nothing of what came before a cut.
const PATIENCE: Duration = Duration::from_secs(10);

/// A handle to the connection.
#[derive(Clone)]
pub(super) struct Client(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    finished: CancellationToken,
    address: Option<SocketAddr>,
    /// The connection's place among those that may be open. It goes with the connection if that is
    /// upgraded.
    _permit: Option<OwnedSemaphorePermit>,
}

struct State {
    socket: Socket,
    /// Read, and not yet asked for.
    ahead: BytesMut,
    /// The end of the client's side has been read.
    ended: bool,
    /// Everything that was written has reached the kernel.
    flushed: bool,
    /// Our side has ended in an orderly way.
    shut_down: bool,
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
    pub(super) fn new(accepted: Accepted, permit: Option<OwnedSemaphorePermit>) -> Self {
        let (socket, address) = match accepted {
            Accepted::Tcp(socket, from) => (Socket::Tcp(socket), Some(from)),
            Accepted::Unix(socket) => (Socket::Unix(socket), None),
        };
        let state = State {
            socket,
            ahead: BytesMut::new(),
            ended: false,
            flushed: true,
            shut_down: false,
            answer: Fate::Whole,
        };
        let finished = CancellationToken::new();
        Self(Arc::new(Shared { state: Mutex::new(state), finished, address, _permit: permit }))
    }

    /// Where the client is, unless it came by a Unix socket.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.0.address
    }

    /// Is cancelled once the client has ended its side.
    pub(super) fn finished(&self) -> &CancellationToken {
        &self.0.finished
    }

    /// The byte stream for the library. There is one.
    pub(super) fn wire(&self) -> Wire {
        Wire(self.clone())
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
        if state.ended || !state.ahead.is_empty() {
            return Poll::Pending;
        }
        self.poll_more(&mut state, cx)
    }

    fn poll_more(&self, state: &mut State, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let State { socket, ahead, ended, .. } = state;
        ahead.reserve(AHEAD);
        if ready!(poll_read_buf(Pin::new(socket), cx, ahead))? == 0 {
            *ended = true;
            self.0.finished.cancel();
        }
        Poll::Ready(Ok(()))
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
        acknowledged(|| self.lock().socket.tcp(), PATIENCE).await;
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
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.0.address).finish()
    }
}

/// The connection as the library reads and writes it.
pub(super) struct Wire(Client);

impl AsyncRead for Wire {
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
        ready!(Pin::new(&mut state.socket).poll_read(cx, buffer))?;
        if buffer.filled().len() == before {
            state.ended = true;
            self.0.finished().cancel();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock();
        state.flushed = false;
        Pin::new(&mut state.socket).poll_write(cx, data)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock();
        state.flushed = false;
        Pin::new(&mut state.socket).poll_write_vectored(cx, pieces)
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

impl Drop for Wire {
    fn drop(&mut self) {
        let state = self.0.lock();
        if state.answer == Fate::HandedOver && !state.shut_down {
            state.socket.reset();
        }
    }
}
