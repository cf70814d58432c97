//! Copies between a socket and a tunnel stream, both ways, in one task.
//!
//! No buffer is parked on an idle connection: a read borrows the thread's scratch buffer for the
//! length of one poll, and what has no room in the tunnel stays in the socket.

use std::cell::RefCell;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, Sleep};
use watertight_core::wire::ResetCode;

use crate::stream::TunnelStream;
use crate::transport::BoxIo;

/// What one read asks of the socket.
const SCRATCH: usize = 64 << 10;

/// Reads at least this long give their buffer away; shorter ones are copied out of it, so that
/// a few bytes never keep a whole buffer alive.
const GIVE_AWAY: usize = 16 << 10;

/// How much is taken out of the tunnel before the socket has taken it.
const IN_HAND: usize = 64 << 10;

/// How many pieces that may be.
const PIECES: usize = 8;

/// How many rounds a copy may go on before it lets other tasks run.
const ROUNDS: usize = 16;

thread_local! {
    static SCRATCH_BUFFER: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// A socket that a tunnel stream is copied to.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {
    /// Makes the coming close a reset, where the socket knows the difference, so that its other
    /// end does not take a truncated stream for a whole one.
    fn abort(&self) {}
}

impl Socket for TcpStream {
    fn abort(&self) {
        // Best effort: the socket is about to be closed.
        socket2::SockRef::from(self).set_linger(Some(Duration::ZERO)).ok();
    }
}

impl Socket for UnixStream {}
impl Socket for BoxIo {}

/// Bytes copied, seen from the socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Copied {
    /// From the socket into the tunnel.
    pub(crate) sent: u64,
    /// From the tunnel into the socket.
    pub(crate) received: u64,
}

/// Copies until both directions have finished, or one fails. An end-of-file in one direction is
/// passed on and leaves the other one open; if nothing has come in that other one for
/// `half_closed_idle`, the connection is given up.
///
/// Cancel safe in that dropping the future closes the socket and resets the connection.
///
/// # Errors
/// The first failure of either side. The other side has been reset by then, and told why.
pub(crate) async fn copy<S: Socket>(
    socket: S,
    stream: TunnelStream,
    half_closed_idle: Duration,
) -> io::Result<Copied> {
    let mut copy = Copy {
        socket,
        stream,
        copied: Copied::default(),
        in_hand: Vec::new(),
        up_done: false,
        down: Down::Flowing,
        half_closed_idle,
        idle: None,
    };
    let result = (&mut copy).await;
    copy.end(result)
}

struct Copy<S> {
    socket: S,
    stream: TunnelStream,
    copied: Copied,
    /// Taken out of the tunnel, not yet taken by the socket.
    in_hand: Vec<Bytes>,
    up_done: bool,
    down: Down,
    half_closed_idle: Duration,
    /// Runs while one direction is done and the other is not.
    idle: Option<Pin<Box<Sleep>>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Down {
    Flowing,
    /// The tunnel has finished; the socket's write side is yet to be shut down.
    Finishing,
    Done,
}

enum Failure {
    Socket(io::Error),
    Tunnel(io::Error),
    Idle,
}

impl<S: Socket> Copy<S> {
    /// Socket to tunnel. The room is asked for first, so that nothing is read that cannot go on.
    fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let room = ready!(self.stream.poll_room(cx)).map_err(Failure::Tunnel)?;
        let mut data = ready!(read(&mut self.socket, cx, room)).map_err(Failure::Socket)?;
        if data.is_empty() {
            self.up_done = true;
            let finished = poll_shutdown(&mut self.stream, cx);
            return finished.map_err(Failure::Tunnel);
        }
        self.copied.sent += data.len() as u64;
        // The room was there a moment ago and only this task uses it.
        ready!(self.stream.poll_write_bytes(cx, &mut data)).map_err(Failure::Tunnel)?;
        Poll::Ready(Ok(()))
    }

    /// Tunnel to socket.
    fn poll_down(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if self.down == Down::Flowing {
            self.take_in_hand(cx)?;
        }
        if !self.in_hand.is_empty() {
            return self.poll_write_out(cx);
        }
        if self.down == Down::Finishing {
            let done = ready!(poll_shutdown(&mut self.socket, cx));
            self.down = Down::Done;
            return Poll::Ready(done.map_err(Failure::Socket));
        }
        Poll::Pending
    }

    fn take_in_hand(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        let mut held = self.in_hand.iter().map(Bytes::len).sum::<usize>();
        while held < IN_HAND && self.in_hand.len() < PIECES {
            match self.stream.poll_read_bytes(cx, IN_HAND - held) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(data)) if data.is_empty() => {
                    self.down = Down::Finishing;
                    return Ok(());
                }
                Poll::Ready(Ok(data)) => {
                    held += data.len();
                    self.in_hand.push(data);
                }
                // What came before the failure goes out first.
                Poll::Ready(Err(_)) if held > 0 => return Ok(()),
                Poll::Ready(Err(error)) => return Err(Failure::Tunnel(error)),
            }
        }
        Ok(())
    }

    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let written =
            ready!(write(&mut self.socket, cx, &self.in_hand)).map_err(Failure::Socket)?;
        if written == 0 {
            return Poll::Ready(Err(Failure::Socket(io::ErrorKind::WriteZero.into())));
        }
        self.copied.received += written as u64;
        self.taken(written);
        Poll::Ready(Ok(()))
    }

    /// Forgets the first `written` bytes in hand.
    fn taken(&mut self, mut written: usize) {
        self.in_hand.retain_mut(|data| {
            let part = written.min(data.len());
            data.advance(part);
            written -= part;
            !data.is_empty()
        });
        if self.in_hand.is_empty() {
            // An idle connection keeps no memory for what it is not doing.
            self.in_hand = Vec::new();
        }
    }

    /// Whether a half-closed connection has been idle for too long.
    fn poll_idle(&mut self, cx: &mut Context<'_>, progressed: bool) -> Poll<()> {
        let half_closed = self.up_done != (self.down == Down::Done);
        if !half_closed {
            self.idle = None;
            return Poll::Pending;
        }
        let until = Instant::now() + self.half_closed_idle;
        let idle = self.idle.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if progressed {
            idle.as_mut().reset(until);
        }
        idle.as_mut().poll(cx)
    }

    fn end(self, result: Result<(), Failure>) -> io::Result<Copied> {
        match result {
            Ok(()) => Ok(self.copied),
            Err(Failure::Socket(error)) => {
                self.stream.reset(ResetCode::CANCELLED, &error.to_string());
                Err(error)
            }
            Err(Failure::Tunnel(error)) => {
                self.socket.abort();
                Err(error)
            }
            Err(Failure::Idle) => {
                let text = "half-closed and idle for too long";
                self.socket.abort();
                self.stream.reset(ResetCode::STALLED, text);
                Err(io::Error::new(io::ErrorKind::TimedOut, text))
            }
        }
    }
}

impl<S: Socket> Future for Copy<S> {
    type Output = Result<(), Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let copy = &mut *self;
        let mut progressed = false;
        for _ in 0..ROUNDS {
            let mut moved = false;
            if !copy.up_done && copy.poll_up(cx)?.is_ready() {
                moved = true;
            }
            if copy.down != Down::Done && copy.poll_down(cx)?.is_ready() {
                moved = true;
            }
            if copy.up_done && copy.down == Down::Done {
                return Poll::Ready(Ok(()));
            }
            if !moved {
                return copy.poll_idle(cx, progressed).map(|()| Err(Failure::Idle));
            }
            progressed = true;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Reads at most `room` bytes through the thread's scratch buffer; empty at the end.
fn read<S: AsyncRead + Unpin>(
    socket: &mut S,
    cx: &mut Context<'_>,
    room: usize,
) -> Poll<io::Result<Bytes>> {
    SCRATCH_BUFFER.with_borrow_mut(|scratch| {
        scratch.resize(SCRATCH, 0);
        let room = room.min(SCRATCH);
        let mut buffer = ReadBuf::new(scratch.get_mut(..room).unwrap_or_default());
        ready!(Pin::new(socket).poll_read(cx, &mut buffer))?;
        let read = buffer.filled().len();
        Poll::Ready(Ok(if read < GIVE_AWAY {
            Bytes::copy_from_slice(buffer.filled())
        } else {
            scratch.truncate(read);
            std::mem::take(scratch).freeze()
        }))
    })
}

/// Writes from the front of `pieces`, in one system call.
fn write<S: AsyncWrite + Unpin>(
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

fn poll_shutdown<S: AsyncWrite + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    match ready!(Pin::new(stream).poll_shutdown(cx)) {
        // The other side was faster: there is nothing left to shut down.
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
        done => Poll::Ready(done),
    }
}
