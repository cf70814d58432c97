//! What the copy knows of sockets: how to read from, write to and close one.

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

use crate::kernel::{Below, Keepalive, TcpState};
use crate::transport::BoxIo;

/// What one read asks of the socket: as much as four Data messages carry, unless their size is
/// set to another one.
const SCRATCH: usize = (64 << 10) - 256;

/// Reads at least this long give their buffer away; shorter ones are copied out of it. What is held
/// for a connection is counted by its bytes: they must not keep much more memory than that.
const GIVE_AWAY: usize = 32 << 10;

/// Between two looks at a Unix socket that waits for a dial.
#[cfg(unix)]
const ASK: Duration = Duration::from_millis(200);

/// How many pieces one write takes.
pub(super) const PIECES: usize = 8;

thread_local! {
    static SCRATCH_BUFFER: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// A socket that a tunnel stream is copied to.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {
    /// Makes the coming close a reset, where the socket knows the difference, so that its other
    /// end does not take a truncated stream for a whole one.
    fn abort(&self) {}

    /// Takes an [`abort`](Self::abort) back.
    fn keep(&self) {}

    /// Whether the socket has failed, for one that is neither read nor written. Told once.
    fn failure(&self) -> Option<io::Error> {
        None
    }

    /// Resolves when the socket's other end has let go of it in both directions, for one that is
    /// neither read nor written. An end of file alone may be a half-close, behind which somebody
    /// waits for an answer. Cancel safe.
    fn gone(&self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// What the kernel knows of it, for one that is a TCP connection.
    fn tcp(&self) -> Option<TcpState> {
        None
    }

    /// Has the kernel notice that the remote's machine has vanished, for one that is a TCP connection.
    fn probe(&self, _keepalive: Keepalive) {}
}

impl Socket for TcpStream {
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

    async fn gone(&self) {
        // A socket that cannot be watched is found out when it is used.
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
impl Socket for UnixStream {
    async fn gone(&self) {
        // Its close is no error, and only who asks whether it can be written hears of it. It can be
        // for as long as nothing is, so it is asked from time to time.
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

/// A stream of a dialer's own, which may be a TCP connection all the same.
impl Socket for BoxIo {
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
        TcpState::below(self)
    }

    fn probe(&self, keepalive: Keepalive) {
        match (Below::of(self), keepalive.time()) {
            (Some(Below::Tcp(tcp)), _) => tcp.probe(keepalive),
            (Some(Below::Simulated(socket)), Some(time)) => socket.keepalive(time),
            _ => {}
        }
    }
}

/// Reads at most `room` bytes through the thread's scratch buffer; empty at the end.
pub(super) fn read<S: AsyncRead + Unpin>(
    socket: &mut S,
    cx: &mut Context<'_>,
    room: usize,
) -> Poll<io::Result<Bytes>> {
    SCRATCH_BUFFER.with_borrow_mut(|scratch| {
        scratch.reserve(SCRATCH);
        let mut buffer = (&mut *scratch).limit(room.min(SCRATCH));
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
pub(super) fn write<S: AsyncWrite + Unpin>(
    socket: &mut S,
    cx: &mut Context<'_>,
    pieces: &[Bytes],
) -> Poll<io::Result<usize>> {
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
        // The other side was faster: there is nothing left to shut down.
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
    async fn a_boxed_tcp_connection_tells_what_its_kernel_knows() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (remote, _) = listener.accept().await.unwrap();
        let boxed: BoxIo = Box::new(socket);
        assert!(Socket::tcp(&boxed).is_some());
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
    async fn a_unix_socket_is_gone_with_its_other_end_and_not_with_a_half_close() {
        let (socket, mut other) = UnixStream::pair().unwrap();
        let mut gone = Box::pin(socket.gone());
        let waits = ASK * 3;
        tokio::time::timeout(waits, gone.as_mut()).await.unwrap_err();
        other.shutdown().await.unwrap();
        tokio::time::timeout(waits, gone.as_mut()).await.unwrap_err();
        drop(other);
        tokio::time::timeout(Duration::from_secs(30), gone).await.unwrap();
    }

    #[tokio::test]
    async fn a_unix_socket_tells_of_bytes_that_its_other_end_never_read() {
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
    async fn what_is_not_connected_any_more_needs_no_shutdown() {
        let shutdown = |kind| poll_fn(move |cx| poll_shutdown(&mut Fails(kind), cx));
        shutdown(io::ErrorKind::NotConnected).await.unwrap();
        shutdown(io::ErrorKind::ConnectionReset).await.unwrap_err();
    }

    #[tokio::test]
    async fn what_is_read_holds_no_more_than_twice_its_memory() {
        for length in [1, 1000, 16 << 10, (32 << 10) - 1, 32 << 10, 50_000, SCRATCH] {
            let mut source = io::Cursor::new(vec![7; length]);
            let data = poll_fn(|cx| read(&mut source, cx, usize::MAX)).await.unwrap();
            assert_eq!(data.len(), length);
            let held = data.try_into_mut().unwrap().capacity();
            assert!(held <= 2 * length, "{length} bytes hold {held}");
        }
    }
}
