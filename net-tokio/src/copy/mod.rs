//! Copies between a socket and a tunnel stream, both ways, in one task.
//!
//! No buffer is parked on an idle connection: a read borrows the thread's scratch buffer for the
//! length of one poll, and what has no room in the tunnel stays in the socket.

mod socket;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::time::{Instant, Sleep};
use watertight_core::wire::ResetCode;

use crate::stream::TunnelStream;

pub(crate) use socket::Socket;
use socket::{PIECES, poll_shutdown, read, write};

/// How much is taken out of the tunnel before the socket has taken it.
const IN_HAND: usize = 64 << 10;

/// How many rounds a copy may go on before it lets other tasks run.
const ROUNDS: usize = 4;

/// Bytes copied, seen from the socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Copied {
    /// From the socket into the tunnel.
    pub(crate) sent: u64,
    /// From the tunnel into the socket.
    pub(crate) received: u64,
}

/// How long a connection that can finish, but does not, may be idle before it is given up: a
/// half-closed one, or one whose last bytes the socket does not take. Long enough for an answer
/// that takes its time; short enough that they do not pile up behind an end that never closes.
const IDLE: Duration = Duration::from_secs(300);

/// Between two looks at a socket that is not read, because the tunnel takes nothing.
const WATCH: Duration = Duration::from_secs(5);

/// How long the socket may take for what came before a connection's failure.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What the socket's end of file means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnEof {
    /// It is passed on and leaves the other direction open.
    HalfClose,
    /// It ends the connection, after what came before it has been sent. So it is with a target
    /// behind a session that cannot half-close (base dialect): a client that waits for the end of
    /// the answer would wait in vain otherwise, and remotedialer does the same.
    Close,
}

/// Copies until both directions have finished, or one fails.
///
/// Dropping the future resets both sides: nobody takes a truncated stream for a whole one.
///
/// # Errors
/// The first failure of either side. The other side has been reset by then, and told why.
pub(crate) fn copy<S: Socket>(
    socket: S,
    stream: TunnelStream,
    on_eof: OnEof,
) -> impl Future<Output = io::Result<Copied>> + Send {
    let mut copy = Copy {
        socket,
        stream,
        on_eof,
        copied: Copied::default(),
        up: Up::Flowing,
        up_in_hand: Bytes::new(),
        down: Down::Flowing,
        down_in_hand: Vec::new(),
        limit: None,
        up_waits: false,
        watch: None,
        whole: false,
    };
    // An async function would keep its arguments beside what it has made of them.
    async move {
        let result = (&mut copy).await;
        copy.end(result)
    }
}

struct Copy<S: Socket> {
    socket: S,
    stream: TunnelStream,
    on_eof: OnEof,
    copied: Copied,
    up: Up,
    /// Read from the socket, not yet taken by the tunnel.
    up_in_hand: Bytes,
    down: Down,
    /// Taken out of the tunnel, not yet taken by the socket.
    down_in_hand: Vec<Bytes>,
    /// The deadline that is running, and what it was set to.
    limit: Option<(Duration, Pin<Box<Sleep>>)>,
    /// Whether the tunnel takes nothing now, so that the socket is not read.
    up_waits: bool,
    /// When a socket that is not read is looked at next.
    watch: Option<Pin<Box<Sleep>>>,
    /// Whether both directions came to their end.
    whole: bool,
}

/// From the socket into the tunnel.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Up {
    Flowing,
    Done,
    /// The tunnel takes nothing more. How the connection ended is for the other direction to say,
    /// which may have bytes to deliver first.
    Dead,
}

/// From the tunnel into the socket.
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
    fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.up_waits = true;
        if !self.up_in_hand.is_empty() {
            let written = ready!(self.stream.poll_write_bytes(cx, &mut self.up_in_hand));
            self.up_took(written.map(drop));
            return Poll::Ready(Ok(()));
        }
        // The room is asked for first, so that little is read that cannot go on.
        let room = match ready!(self.stream.poll_room(cx)) {
            Ok(room) => room,
            Err(error) => {
                self.up_took(Err(error));
                return Poll::Ready(Ok(()));
            }
        };
        self.up_waits = false;
        let data = ready!(read(&mut self.socket, cx, room)).map_err(Failure::Socket)?;
        if data.is_empty() {
            self.up = Up::Done;
            let finished = ready!(poll_shutdown(&mut self.stream, cx));
            self.up_took(finished);
            if self.on_eof == OnEof::Close {
                // Dropping the finished stream sends what is queued, and then the end.
                self.down = Down::Done;
            }
            return Poll::Ready(Ok(()));
        }
        self.copied.sent += data.len() as u64;
        self.up_in_hand = data;
        Poll::Ready(Ok(()))
    }

    fn up_took(&mut self, taken: io::Result<()>) {
        if taken.is_err() {
            self.up = Up::Dead;
            self.up_in_hand = Bytes::new();
        }
    }

    fn poll_down(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if self.down == Down::Flowing {
            self.take_in_hand(cx)?;
        }
        if !self.down_in_hand.is_empty() {
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
        let mut held = self.down_in_hand.iter().map(Bytes::len).sum::<usize>();
        while held < IN_HAND && self.down_in_hand.len() < PIECES {
            match self.stream.poll_read_bytes(cx, IN_HAND - held) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(data)) if data.is_empty() => {
                    self.down = Down::Finishing;
                    return Ok(());
                }
                Poll::Ready(Ok(data)) => {
                    held += data.len();
                    self.down_in_hand.push(data);
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
            ready!(write(&mut self.socket, cx, &self.down_in_hand)).map_err(Failure::Socket)?;
        if written == 0 {
            return Poll::Ready(Err(Failure::Socket(io::ErrorKind::WriteZero.into())));
        }
        self.copied.received += written as u64;
        self.taken(written);
        Poll::Ready(Ok(()))
    }

    /// Forgets the first `written` bytes in hand.
    fn taken(&mut self, mut written: usize) {
        self.down_in_hand.retain_mut(|data| {
            let part = written.min(data.len());
            data.advance(part);
            written -= part;
            !data.is_empty()
        });
        if self.down_in_hand.is_empty() {
            // An idle connection keeps no memory for what it is not doing.
            self.down_in_hand = Vec::new();
        }
    }

    /// Nothing moves: is there an end that nobody has seen, or a deadline that has passed?
    fn poll_blocked(&mut self, cx: &mut Context<'_>, moved: bool) -> Poll<Result<(), Failure>> {
        self.watch_unread(cx).map_err(Failure::Socket)?;
        let reads = self.down == Down::Flowing && self.down_in_hand.is_empty();
        let ended = if reads { Poll::Pending } else { self.stream.poll_ended(cx) };
        let half_closed = (self.up != Up::Flowing) != (self.down == Down::Done);
        let limit = match ended {
            // Nothing can go up any more, and down is done.
            Poll::Ready(_) if self.down == Down::Done => {
                self.up = Up::Dead;
                return Poll::Ready(Ok(()));
            }
            Poll::Ready(false) => LAST_WORDS,
            Poll::Ready(true) => IDLE,
            Poll::Pending if half_closed => IDLE,
            Poll::Pending => {
                self.limit = None;
                return Poll::Pending;
            }
        };
        self.poll_limit(cx, limit, moved && limit == IDLE)
    }

    /// A socket that is not read does not tell that it was reset: it is asked from time to time.
    fn watch_unread(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.up != Up::Flowing || !self.up_waits {
            self.watch = None;
            return Ok(());
        }
        let watch = self.watch.get_or_insert_with(|| Box::pin(tokio::time::sleep(WATCH)));
        while watch.as_mut().poll(cx).is_ready() {
            self.socket.failure().map_or(Ok(()), Err)?;
            watch.as_mut().reset(Instant::now() + WATCH);
        }
        Ok(())
    }

    fn poll_limit(
        &mut self,
        cx: &mut Context<'_>,
        limit: Duration,
        anew: bool,
    ) -> Poll<Result<(), Failure>> {
        let running = self.limit.take().filter(|(of, _)| *of == limit && !anew);
        let (_, sleep) = self
            .limit
            .insert(running.unwrap_or_else(|| (limit, Box::pin(tokio::time::sleep(limit)))));
        sleep.as_mut().poll(cx).map(|()| Err(Failure::Idle))
    }

    fn end(mut self, result: Result<(), Failure>) -> io::Result<Copied> {
        let control = self.stream.control();
        match result {
            Ok(()) => {
                // The end of a target may have come before everything was written to it.
                self.whole = self.down_in_hand.is_empty();
                Ok(self.copied)
            }
            Err(Failure::Socket(error)) => {
                control.reset(ResetCode::CANCELLED, &error.to_string());
                Err(error)
            }
            Err(Failure::Tunnel(error)) => Err(error),
            Err(Failure::Idle) => {
                let text = "the connection could have finished and was idle for too long";
                control.reset(ResetCode::STALLED, text);
                Err(io::Error::new(io::ErrorKind::TimedOut, text))
            }
        }
    }
}

impl<S: Socket> Drop for Copy<S> {
    fn drop(&mut self) {
        if !self.whole {
            self.socket.abort();
        }
    }
}

impl<S: Socket> Future for Copy<S> {
    type Output = Result<(), Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let copy = &mut *self;
        let mut moved = false;
        for _ in 0..ROUNDS {
            let mut moves = false;
            if copy.up == Up::Flowing && copy.poll_up(cx)?.is_ready() {
                moves = true;
            }
            if copy.down != Down::Done && copy.poll_down(cx)?.is_ready() {
                moves = true;
            }
            if copy.up != Up::Flowing && copy.down == Down::Done {
                return Poll::Ready(Ok(()));
            }
            if !moves {
                return copy.poll_blocked(cx, moved);
            }
            moved = true;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
