//! A side of a splice: a socket, another byte stream, or a tunnel stream.

use std::cell::RefCell;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, Interest};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio_util::io::poll_read_buf;
use watertight_core::wire::ResetCode;

use crate::io::tcp_below;
use crate::io::{Below, BoxIo};
use crate::kernel::{Keepalive, TcpState};
use crate::stream::TunnelStream;

/// Bytes of one read: as many as four Data messages of the default size carry.
const SCRATCH: usize = (64 << 10) - 256;

/// Reads of at least this length hand over the buffer; shorter ones are copied out of it. Held
/// memory is counted by its bytes, so that a buffer must not be much larger than they are.
const GIVE_AWAY: usize = 32 << 10;
const _: () = assert!(2 * GIVE_AWAY >= SCRATCH, "a buffer is at most twice as large as its bytes");

/// The interval of checks on a Unix socket that waits for a dial.
#[cfg(unix)]
const ASK: Duration = Duration::from_millis(200);

/// Pieces of one write.
pub(super) const PIECES: usize = 8;

thread_local! {
    static SCRATCH_BUFFER: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// A byte stream that can be spliced with another one.
pub trait Side: AsyncRead + AsyncWrite + Unpin + Send {
    /// Whether neither a read nor a write may report a failure of the side, so that
    /// [`failure`](Self::failure) and [`tcp`](Self::tcp) are polled periodically.
    const NEEDS_CHECKS: bool = true;

    /// Whether its read reports every failure, so that a failed write adds nothing.
    const READ_REPORTS_ALL: bool = false;

    /// Makes the coming close a reset, if the side has one: its remote does not mistake a truncated
    /// stream for a complete one.
    fn abort(&self) {}

    /// Undoes an [`abort`](Self::abort).
    fn keep(&self) {}

    /// Resets the side with a reason, if it can carry one.
    fn reset(&self, _code: ResetCode, _reason: &str) {}

    /// The failure of a side that is neither read nor written. It is reported once.
    fn failure(&self) -> Option<io::Error> {
        None
    }

    /// Resolves when the remote has closed both directions, for a side that is neither read nor
    /// written. An end of file alone may be a half-close, behind which an answer is expected.
    /// Cancel safe.
    fn disconnected(&self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// The state of the TCP connection, if it is one.
    fn tcp(&self) -> Option<TcpState> {
        None
    }

    /// Turns TCP keepalive on, if it is a TCP connection.
    fn probe(&self, _keepalive: Keepalive) {}

    /// The number of bytes that a write would take, never zero. Always ready for a side of which
    /// only a write reports it.
    fn poll_writable(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(usize::MAX))
    }

    /// Reads at most `max` bytes; empty at the end.
    fn poll_read_bytes(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<io::Result<Bytes>> {
        read(self, cx, max)
    }

    /// Writes from the front of at most eight pieces.
    fn poll_write_pieces(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[Bytes],
    ) -> Poll<io::Result<usize>> {
        write(self, cx, pieces)
    }

    /// Whether nothing more is in transit, and then whether everything had arrived. Pending for a
    /// side of which only a read reports it.
    fn poll_ended(&mut self, _cx: &mut Context<'_>) -> Poll<bool> {
        Poll::Pending
    }
}

impl Side for TunnelStream {
    const NEEDS_CHECKS: bool = false;

    const READ_REPORTS_ALL: bool = true;

    fn reset(&self, code: ResetCode, reason: &str) {
        self.control().reset(code, reason);
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        Self::poll_writable(self, cx).map_err(Into::into)
    }

    fn poll_read_bytes(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<io::Result<Bytes>> {
        Self::poll_read_bytes(self, cx, max).map_err(Into::into)
    }

    fn poll_write_pieces(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[Bytes],
    ) -> Poll<io::Result<usize>> {
        match pieces.first() {
            Some(first) => self.poll_write_bytes(cx, &mut first.clone()).map_err(Into::into),
            None => Poll::Ready(Ok(0)),
        }
    }

    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        Self::poll_ended(self, cx)
    }
}

impl Side for TcpStream {
    fn abort(&self) {
        // Best effort: the socket is about to be closed.
        socket2::SockRef::from(self).set_linger(Some(Duration::ZERO)).ok();
    }

    fn failure(&self) -> Option<io::Error> {
        self.take_error().ok().flatten()
    }

    fn keep(&self) {
        socket2::SockRef::from(self).set_linger(None).ok();
    }

    async fn disconnected(&self) {
        // The failure of a socket that cannot be watched is reported when it is used.
        if self.ready(Interest::ERROR).await.is_err() {
            std::future::pending().await
        }
    }

    fn tcp(&self) -> Option<TcpState> {
        TcpState::of(self)
    }

    fn probe(&self, keepalive: Keepalive) {
        keepalive.apply_or_log(self);
    }
}

#[cfg(unix)]
impl Side for UnixStream {
    async fn disconnected(&self) {
        // Its close is no error: only writability reports it, and that is ready from the start. So
        // it is checked periodically.
        let both = Interest::READABLE | Interest::WRITABLE;
        while let Ok(ready) = self.ready(both).await
            && !ready.is_write_closed()
        {
            tokio::time::sleep(ASK).await;
        }
    }

    fn failure(&self) -> Option<io::Error> {
        self.take_error().ok().flatten()
    }
}

/// An embedder's byte stream, possibly on a TCP connection.
impl Side for BoxIo {
    fn abort(&self) {
        match Below::of(self) {
            Some(Below::Tcp(tcp)) => tcp.abort(),
            Some(Below::Simulated(socket)) => socket.abort(),
            None => {}
        }
    }

    fn failure(&self) -> Option<io::Error> {
        match Below::of(self)? {
            Below::Tcp(tcp) => tcp.failure(),
            Below::Simulated(socket) => socket.failure(),
        }
    }

    fn tcp(&self) -> Option<TcpState> {
        tcp_below(self)
    }

    fn probe(&self, keepalive: Keepalive) {
        match (Below::of(self), keepalive.time()) {
            (Some(Below::Tcp(tcp)), _) => tcp.probe(keepalive),
            (Some(Below::Simulated(socket)), Some(time)) => socket.keepalive(time),
            _ => {}
        }
    }
}

/// Reads at most `most` bytes through the thread's scratch buffer; empty at the end.
fn read<S: AsyncRead + Unpin + ?Sized>(
    socket: &mut S,
    cx: &mut Context<'_>,
    most: usize,
) -> Poll<io::Result<Bytes>> {
    debug_assert!(most > 0, "an empty read means the end");
    SCRATCH_BUFFER.with_borrow_mut(|scratch| {
        debug_assert!(scratch.is_empty(), "a read leaves no bytes in the scratch buffer");
        scratch.reserve(SCRATCH);
        let mut buffer = (&mut *scratch).limit(most.min(SCRATCH));
        let read = ready!(poll_read_buf(Pin::new(socket), cx, &mut buffer))?;
        Poll::Ready(Ok(if read < GIVE_AWAY {
            let data = Bytes::copy_from_slice(scratch);
            scratch.clear();
            data
        } else {
            std::mem::take(scratch).freeze()
        }))
    })
}

/// Writes from the front of `pieces`, in one system call.
fn write<S: AsyncWrite + Unpin + ?Sized>(
    socket: &mut S,
    cx: &mut Context<'_>,
    pieces: &[Bytes],
) -> Poll<io::Result<usize>> {
    debug_assert!(pieces.len() <= PIECES, "a write has a bounded number of pieces");
    let socket = Pin::new(socket);
    if let [only] = pieces {
        return socket.poll_write(cx, only);
    }
    let mut slices = [IoSlice::new(&[]); PIECES];
    for (slice, data) in slices.iter_mut().zip(pieces) {
        *slice = IoSlice::new(data);
    }
    socket.poll_write_vectored(cx, slices.get(..pieces.len()).unwrap_or(&slices))
}

pub(super) fn poll_shutdown<S: AsyncWrite + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    match ready!(Pin::new(stream).poll_shutdown(cx)) {
        // The remote has closed the connection: nothing is left to shut down.
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
        done => Poll::Ready(done),
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn n2_a_tcp_connection_of_a_dialers_own_is_probed_too() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        // A dialer that chooses between kinds boxes it, and the library does.
        let boxed: BoxIo = Box::new(Box::new(socket) as BoxIo);
        boxed.probe(Keepalive::default());
        boxed.abort();
        let Some(Below::Tcp(tcp)) = Below::of(&boxed) else { panic!("a TCP connection") };
        let socket = socket2::SockRef::from(tcp);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.linger().unwrap(), Some(Duration::ZERO));
    }

    #[tokio::test]
    async fn a_boxed_tcp_connection_reports_its_kernels_state() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (remote, _) = listener.accept().await.unwrap();
        let boxed: BoxIo = Box::new(socket);
        assert!(Side::tcp(&boxed).is_some());
        assert!(boxed.failure().is_none());
        remote.set_zero_linger().unwrap();
        drop(remote);
        let Some(Below::Tcp(tcp)) = Below::of(&boxed) else { panic!("a TCP connection") };
        tcp.ready(Interest::ERROR).await.unwrap();
        assert_eq!(boxed.failure().unwrap().kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn an_abort_can_be_taken_back() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        socket.abort();
        socket.keep();
        assert_eq!(socket2::SockRef::from(&socket).linger().unwrap(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_unix_socket_is_disconnected_by_a_close_and_not_by_a_half_close() {
        let (socket, mut other) = UnixStream::pair().unwrap();
        let mut gone = Box::pin(socket.disconnected());
        let waits = ASK * 3;
        tokio::time::timeout(waits, gone.as_mut()).await.unwrap_err();
        other.shutdown().await.unwrap();
        tokio::time::timeout(waits, gone.as_mut()).await.unwrap_err();
        drop(other);
        tokio::time::timeout(Duration::from_secs(30), gone).await.unwrap();
    }

    #[tokio::test]
    async fn a_unix_socket_reports_bytes_that_its_remote_never_read() {
        let (mut socket, other) = UnixStream::pair().unwrap();
        socket.write_all(b"unread").await.unwrap();
        assert!(socket.failure().is_none());
        drop(other);
        assert_eq!(socket.failure().unwrap().kind(), io::ErrorKind::ConnectionReset);
    }

    /// A socket whose shutdown fails.
    struct Fails(io::ErrorKind);

    impl AsyncWrite for Fails {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(self.0.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Err(self.0.into()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Err(self.0.into()))
        }
    }

    #[tokio::test]
    async fn a_disconnected_socket_needs_no_shutdown() {
        let shutdown = |kind| poll_fn(move |cx| poll_shutdown(&mut Fails(kind), cx));
        shutdown(io::ErrorKind::NotConnected).await.unwrap();
        shutdown(io::ErrorKind::ConnectionReset).await.unwrap_err();
    }

    #[tokio::test]
    async fn read_bytes_hold_at_most_twice_their_memory() {
        for length in [1, 1000, 16 << 10, (32 << 10) - 1, 32 << 10, 50_000, SCRATCH] {
            let mut source = io::Cursor::new(vec![7; length]);
            let data = poll_fn(|cx| read(&mut source, cx, usize::MAX)).await.unwrap();
            assert_eq!(data.len(), length);
            let held = data.try_into_mut().unwrap().capacity();
            assert!(held <= 2 * length, "{length} bytes hold {held}");
        }
    }
}
