//! Copies between a socket and a tunnel stream, both ways, in one task.
//!
//! An error in one direction takes nothing from the other, nor from what the same one has received:
//! what came before a reset is delivered, and then the reset, as between two sockets that are joined
//! directly.
//!
//! No buffer is parked on an idle connection: a read borrows the thread's scratch buffer for the
//! length of one poll, and what has no room in the tunnel stays in the socket.

mod settle;
mod simulated;
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

use crate::kernel::Keepalive;
use crate::session::InHand;
use crate::stream::TunnelStream;

#[cfg(feature = "simulation")]
pub use simulated::{KernelSocket, SimulatedSocket};
#[cfg(not(feature = "simulation"))]
pub(crate) use simulated::{KernelSocket, SimulatedSocket};
pub(crate) use socket::Socket;
use socket::{PIECES, poll_shutdown, read, write};

/// How much is taken out of the tunnel before the socket has taken it.
const IN_HAND: usize = 64 << 10;

/// The same where the process has little memory left.
const LESS_IN_HAND: usize = 16 << 10;

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

/// Between two checks of a socket that says nothing by itself: one that is not read, because the
/// tunnel takes nothing, and one whose remote may not acknowledge what was written.
const WATCH: Duration = Duration::from_secs(3);

/// How long the bytes ahead of a failure wait for somebody to take [`SOME`] of them: directly, an end
/// that reads nothing learns of a reset at once.
pub(crate) const LAST_BYTES: Duration = Duration::from_secs(2);

/// Bytes that count as taken. A remotedialer end that reads nothing still takes a byte now and then, by
/// which it is asked whether it reads.
pub(crate) const SOME: u64 = 64;

/// How long a socket that cannot be written may have nothing to read before the failure is passed
/// on. A reset TCP socket is at its end as soon as it is read; a Unix socket may go on.
const READ_ON: Duration = Duration::from_secs(5);

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

/// Copies until both directions have finished, or one fails. A machine that is silent for longer than
/// `keepalive` allows counts as vanished.
///
/// Dropping the future resets both sides: nobody takes a truncated stream for a whole one.
///
/// # Errors
/// The first failure of either side. The other side has received by then what came before it, and has
/// been reset with the reason.
pub(crate) fn copy<S: Socket>(
    socket: S,
    stream: TunnelStream,
    on_eof: OnEof,
    keepalive: Keepalive,
) -> impl Future<Output = io::Result<Copied>> + Send {
    let mut copy = Copy {
        in_hand: stream.in_hand(),
        socket,
        stream,
        on_eof,
        vanishes_after: keepalive.time(),
        copied: Copied::default(),
        up: Up::Flowing,
        up_in_hand: Bytes::new(),
        down: Down::Flowing,
        down_in_hand: Vec::new(),
        broken: None,
        limit: None,
        up_waits: false,
        unacked: false,
        acked: 0,
        watch: None,
        whole: false,
    };
    // An async function would keep its arguments beside what it has made of them.
    async move {
        let result = (&mut copy).await;
        // The tunnel learns of it before the socket is settled, which may take a while.
        let result = copy.reset_stream(result);
        copy.settle(result.is_err()).await;
        copy.close(result)
    }
}

struct Copy<S: Socket> {
    in_hand: InHand,
    socket: S,
    stream: TunnelStream,
    on_eof: OnEof,
    vanishes_after: Option<Duration>,
    copied: Copied,
    up: Up,
    /// Read from the socket, not yet taken by the tunnel.
    up_in_hand: Bytes,
    down: Down,
    /// Taken out of the tunnel, not yet taken by the socket.
    down_in_hand: Vec<Bytes>,
    /// Why the socket is of no use any more. What it had received before is still passed on.
    broken: Option<io::Error>,
    /// The timeout that is running.
    limit: Option<Limit>,
    /// Whether the tunnel takes nothing now, so that the socket is not read.
    up_waits: bool,
    /// Whether the remote may not have acknowledged what was written to the socket.
    unacked: bool,
    /// The bytes that it had acknowledged at the last check.
    acked: u64,
    /// When the socket is checked next.
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
    fn poll_rounds(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        for _ in 0..ROUNDS {
            let mut moves = false;
            if self.up == Up::Flowing && self.poll_up(cx)?.is_ready() {
                moves = true;
            }
            if self.down != Down::Done && self.poll_down(cx)?.is_ready() {
                moves = true;
            }
            if self.up != Up::Flowing && self.down == Down::Done {
                return Poll::Ready(Ok(()));
            }
            if !moves {
                return self.poll_blocked(cx);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.up_waits = true;
        if !self.up_in_hand.is_empty() {
            let written = ready!(self.stream.poll_write_bytes(cx, &mut self.up_in_hand));
            self.up_took(written.map(drop));
            return Poll::Ready(Ok(()));
        }
        // The room is asked for first, so that little is read that cannot go on.
        let room = match ready!(self.stream.poll_writable(cx)) {
            Ok(room) => room,
            Err(error) => {
                self.up_took(Err(error));
                return Poll::Ready(Ok(()));
            }
        };
        self.up_waits = false;
        let data = match ready!(read(&mut self.socket, cx, room)) {
            Ok(data) => data,
            Err(error) => return Poll::Ready(Err(self.failure(error))),
        };
        if data.is_empty() {
            // The kernel reports a reset once, here to a write or a check, and then an end of file. A
            // socket that was at its end before the reset has a broken pipe (EPIPE) instead, and then
            // the end is one.
            let cut_off = |error: &mut io::Error| error.kind() != io::ErrorKind::BrokenPipe;
            if let Some(error) = self.broken.take_if(cut_off) {
                return Poll::Ready(Err(Failure::Socket(error)));
            }
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
            self.unacked = true;
            return Poll::Ready(done.or_else(|error| self.socket_broke(error)));
        }
        Poll::Pending
    }

    fn take_in_hand(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        let mut held = self.down_held();
        let most = if self.in_hand.is_short() { LESS_IN_HAND } else { IN_HAND };
        while held < most && self.down_in_hand.len() < PIECES {
            match self.stream.poll_read_bytes(cx, most - held) {
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

    fn down_held(&self) -> usize {
        self.down_in_hand.iter().map(Bytes::len).sum()
    }

    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        match ready!(write(&mut self.socket, cx, &self.down_in_hand)) {
            Ok(0) => Poll::Ready(self.socket_broke(io::ErrorKind::WriteZero.into())),
            Ok(written) => {
                self.copied.received += written as u64;
                self.unacked = true;
                self.taken(written);
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(self.socket_broke(error)),
        }
    }

    /// The socket takes nothing more. What it has received is read on.
    fn socket_broke(&mut self, error: io::Error) -> Result<(), Failure> {
        self.down = Down::Done;
        self.down_in_hand = Vec::new();
        let error = self.failure(error);
        if self.up != Up::Flowing {
            return Err(error);
        }
        if let Failure::Socket(error) = error {
            self.broken = Some(error);
        }
        Ok(())
    }

    /// The first failure of the socket is the one that is reported.
    fn failure(&mut self, error: io::Error) -> Failure {
        Failure::Socket(self.broken.take().unwrap_or(error))
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

    /// Nothing moves: is there an end that nobody has seen, or a timeout that has passed?
    fn poll_blocked(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.check_socket(cx)?;
        let Some(limit) = self.limit(cx) else {
            self.limit = None;
            return Poll::Pending;
        };
        if self.up != Up::Flowing && self.down == Down::Done {
            return Poll::Ready(Ok(()));
        }
        self.poll_limit(cx, limit)
    }

    /// How long the connection may go on without a movement; `None` where that is nobody's business.
    fn limit(&mut self, cx: &mut Context<'_>) -> Option<Duration> {
        if self.in_hand.is_written_off() {
            return Some(Duration::ZERO);
        }
        if self.broken.is_some() {
            return Some(if self.up_waits { LAST_BYTES } else { READ_ON });
        }
        let reads = self.down == Down::Flowing && self.down_in_hand.is_empty();
        let ended = if reads { Poll::Pending } else { self.stream.poll_ended(cx) };
        let half_closed = (self.up != Up::Flowing) != (self.down == Down::Done);
        match ended {
            Poll::Ready(false) => Some(LAST_BYTES),
            Poll::Ready(true) => Some(IDLE),
            Poll::Pending => half_closed.then_some(IDLE),
        }
    }

    /// A socket that is not read does not say that it was reset, and one whose remote has vanished
    /// says nothing while bytes are on their way: it is asked from time to time.
    fn check_socket(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        let unread = self.up == Up::Flowing && self.up_waits;
        if self.broken.is_some() || !(unread || self.unacked) {
            self.watch = None;
            return Ok(());
        }
        let watch = self.watch.get_or_insert_with(|| Box::pin(tokio::time::sleep(WATCH)));
        if watch.as_mut().poll(cx).is_pending() {
            return Ok(());
        }
        let failure = self.socket.failure().or_else(|| self.vanished());
        if let Some(error) = failure {
            self.watch = None;
            return self.socket_broke(error);
        }
        self.watch = None;
        self.check_socket(cx)
    }

    /// Bytes wait for a machine that has not answered for too long. Keepalive does not see it: it
    /// probes idle connections.
    fn vanished(&mut self) -> Option<io::Error> {
        if self.acknowledged_more() {
            self.limit.iter_mut().for_each(Limit::moved);
        }
        let state = self.socket.tcp();
        self.unacked = state.is_some_and(|state| state.unacked);
        let state = state?;
        let time = self.vanishes_after?;
        state.has_vanished(time).then(|| io::ErrorKind::TimedOut.into())
    }

    /// Whether the remote has taken bytes since the last check. A socket with a long queue sends for a
    /// while without room for more.
    fn acknowledged_more(&mut self) -> bool {
        let acked = self.socket.tcp().map_or(0, |state| state.acked);
        acked > std::mem::replace(&mut self.acked, acked)
    }

    fn poll_limit(&mut self, cx: &mut Context<'_>, time: Duration) -> Poll<Result<(), Failure>> {
        let passed = self.copied.sent + self.copied.received - self.up_in_hand.len() as u64;
        let running = self.limit.take().filter(|limit| limit.time == time);
        let mut limit = running.unwrap_or_else(|| Limit::start(time, passed));
        limit.notice(passed);
        while limit.poll(cx).is_ready() {
            if !self.acknowledged_more() {
                return Poll::Ready(Err(self.idle()));
            }
            limit.moved();
        }
        self.limit = Some(limit);
        Poll::Pending
    }

    fn idle(&mut self) -> Failure {
        // What nobody has taken so far is not waited for once more.
        self.unacked = false;
        self.broken.take().map_or(Failure::Idle, Failure::Socket)
    }

    /// Resets the tunnel's stream if it was not that which failed.
    fn reset_stream(&self, result: Result<(), Failure>) -> io::Result<Copied> {
        let control = self.stream.control();
        match result {
            Ok(()) => Ok(self.copied),
            Err(Failure::Socket(error)) => {
                let (code, error) = reset_for(error);
                control.reset(code, &error.to_string());
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

impl<S: Socket> Copy<S> {
    /// Lets go of both sides.
    fn close(mut self, result: io::Result<Copied>) -> io::Result<Copied> {
        // The end of a target may have come before everything was written to it.
        self.whole = result.is_ok() && self.down_in_hand.is_empty();
        result
    }
}

/// A timeout that begins anew with each movement.
struct Limit {
    time: Duration,
    since: Instant,
    /// Bytes that had been passed on then.
    passed: u64,
    sleep: Pin<Box<Sleep>>,
}

impl Limit {
    fn start(time: Duration, passed: u64) -> Self {
        Self { time, since: Instant::now(), passed, sleep: Box::pin(tokio::time::sleep(time)) }
    }

    /// So many bytes have been passed on by now.
    fn notice(&mut self, passed: u64) {
        let least = if self.time == LAST_BYTES { SOME } else { 1 };
        if passed >= self.passed + least {
            self.passed = passed;
            self.moved();
        }
    }

    fn moved(&mut self) {
        self.since = Instant::now();
    }

    /// The timer is not moved by every movement; it looks, when it comes, at when the last one was.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            let until = self.since + self.time;
            if until <= Instant::now() {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(until);
        }
    }
}

/// The code and the words for a socket's failure.
fn reset_for(error: io::Error) -> (ResetCode, io::Error) {
    use io::ErrorKind::{HostUnreachable, NetworkUnreachable, TimedOut};
    match error.kind() {
        TimedOut | HostUnreachable | NetworkUnreachable => {
            let text = format!("the machine no longer answers: {error}");
            (ResetCode::VANISHED, io::Error::new(TimedOut, text))
        }
        _ => (ResetCode::CANCELLED, error),
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
        let polled = copy.poll_rounds(cx);
        copy.in_hand.set(copy.up_in_hand.len() + copy.down_held(), cx);
        polled
    }
}
