//! turmoil's TCP with the traits of real sockets: capacity, partial writes, slow connections, resets.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};
use turmoil::net::TcpStream;
use watertight::simulation::{KernelSocket, TcpState};

use crate::schedule::Host;

/// One end of a [`TcpConnection`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The end that connected.
    Connector,
    /// The end that accepted.
    Acceptor,
}

/// One TCP connection.
///
/// turmoil bounds how many writes are in transit, of any size each; here it is bytes, as with real sockets,
/// and a write may be taken in part. A slow connection carries so many bytes in a millisecond, and an end
/// that has met a full queue waits until a third of it is free.
#[derive(Debug)]
pub(crate) struct TcpConnection {
    /// Who connected.
    pub(crate) by: Host,
    /// Whom.
    to: Host,
    capacity: usize,
    /// Bytes in a millisecond, where it is slow.
    rate: Option<NonZeroU32>,
    state: Mutex<ConnectionState>,
}

#[derive(Debug, Default)]
pub(crate) struct ConnectionState {
    is_cut: bool,
    /// It takes nothing for now: the sockets of both ends are full.
    is_full: bool,
    connector: End,
    acceptor: End,
}

#[derive(Debug, Default)]
struct End {
    /// Bytes that it wrote and the remote has not read.
    under_way: usize,
    /// Bytes that it wrote and the remote has read.
    taken: u64,
    /// When that was last.
    moved: Option<Duration>,
    /// The kernel's record of these two: unchanged since the return path is lost.
    acked: (u64, Option<Duration>),
    /// Nothing that the remote sends reaches it, which takes acknowledgements with it.
    is_deaf: bool,
    /// Until when the line was busy with what has been read, or idle.
    carried: Option<Duration>,
    /// It has met a full queue and waits for more than a little space.
    waits: bool,
    /// It has a socket.
    is_open: bool,
    /// It was dropped: nothing waits for it any more, and turmoil decides the result of writes.
    has_left: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl TcpConnection {
    pub(crate) fn new(by: Host, to: Host, capacity: usize, rate: Option<NonZeroU32>) -> Self {
        Self { by, to, capacity, rate, state: Mutex::default() }
    }

    /// An end has its socket.
    pub(crate) fn opened(&self, side: Side) {
        self.lock().end(side).is_open = true;
    }

    /// How many sockets of it a host has.
    fn sockets(&self, host: Host) -> u64 {
        let state = self.lock();
        u64::from(self.by == host && state.connector.is_open)
            + u64::from(self.to == host && state.acceptor.is_open)
    }

    fn lock(&self) -> MutexGuard<'_, ConnectionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.lock().is_cut
    }

    /// Breaks the connection: both systems notify their ends.
    pub(crate) fn cut(&self) {
        let mut state = self.lock();
        state.is_cut = true;
        let ConnectionState { connector, acceptor, .. } = &mut *state;
        let mut wakers = Vec::new();
        for end in [connector, acceptor] {
            wakers.extend(end.reader.take());
            wakers.extend(end.writer.take());
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// What goes from one host to another one is lost, for good.
    fn lose(&self, from: Host, to: Host) {
        let side = match (self.by, self.to) {
            ends if ends == (from, to) => Side::Acceptor,
            ends if ends == (to, from) => Side::Connector,
            _ => return,
        };
        self.lock().end(side).is_deaf = true;
    }

    /// Takes nothing more for now, or takes something again.
    pub(crate) fn fill(&self, is_full: bool) {
        let mut state = self.lock();
        state.is_full = is_full;
        let wakers = [state.connector.writer.take(), state.acceptor.writer.take()];
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// How many bytes an end may write now; waits if it is none.
    pub(crate) fn writable(&self, side: Side, waker: &Waker) -> usize {
        let mut state = self.lock();
        if state.end(side.other()).has_left {
            return self.capacity;
        }
        let is_full = state.is_full;
        let end = state.end(side);
        let waits = end.waits && 3 * end.under_way > 2 * self.capacity;
        let writable =
            if is_full || waits { 0 } else { self.capacity.saturating_sub(end.under_way) };
        end.waits = self.rate.is_some() && writable == 0;
        if writable == 0 {
            end.writer = Some(waker.clone());
        }
        writable
    }

    pub(crate) fn wrote(&self, side: Side, bytes: usize) {
        let mut state = self.lock();
        let end = state.end(side);
        if end.under_way == 0 {
            end.carried = Some(now());
        }
        end.under_way += bytes;
    }

    /// How many bytes the line has carried to an end that has not read them; `None` where it is quick, or
    /// has nothing to carry.
    pub(crate) fn arrived(&self, side: Side) -> Option<usize> {
        let rate = u64::from(self.rate?.get());
        let mut state = self.lock();
        let writer = state.end(side.other());
        let busy = now().saturating_sub(writer.carried?);
        let carried = usize::try_from(u64::try_from(busy.as_micros()).ok()? * rate / 1000).ok()?;
        (writer.under_way > 0).then(|| carried.min(writer.under_way))
    }

    /// The state of the kernel of an end.
    pub(crate) fn tcp(&self, side: Side) -> TcpState {
        let mut state = self.lock();
        let ago =
            |moved: Option<Duration>| moved.map_or(Duration::MAX, |at| now().saturating_sub(at));
        let other = state.end(side.other());
        let (received, received_ago) = (other.taken, ago(other.moved));
        let end = state.end(side);
        TcpState {
            acked: end.acked.0,
            received,
            unacked: end.under_way > 0,
            owes_answer: true,
            silent_for: ago(end.acked.1),
            received_ago,
        }
    }

    /// An end has read what the other one wrote.
    pub(crate) fn read(&self, side: Side, bytes: usize) {
        let mut state = self.lock();
        let writer = state.end(side.other());
        writer.under_way = writer.under_way.saturating_sub(bytes);
        if bytes > 0 {
            writer.taken += bytes as u64;
            writer.moved = Some(now());
            if !writer.is_deaf {
                writer.acked = (writer.taken, writer.moved);
            }
            let takes = |rate: NonZeroU32| bytes as u64 * 1000 / u64::from(rate.get());
            let takes = Duration::from_micros(self.rate.map_or(0, takes));
            writer.carried = writer.carried.map(|carried| carried + takes);
        }
        let waker = writer.writer.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// An end waits for bytes: a cut wakes it.
    pub(crate) fn reader(&self, side: Side, waker: &Waker) {
        self.lock().end(side).reader = Some(waker.clone());
    }

    /// An end waits for turmoil to take its bytes: a cut wakes it.
    pub(crate) fn writer(&self, side: Side, waker: &Waker) {
        self.lock().end(side).writer = Some(waker.clone());
    }

    /// An end has left, and with it the task that would be woken.
    pub(crate) fn left(&self, side: Side) {
        let mut state = self.lock();
        let end = state.end(side);
        end.has_left = true;
        end.is_open = false;
        let own = (end.reader.take(), end.writer.take());
        let other = state.end(side.other()).writer.take();
        drop(state);
        drop(own);
        if let Some(other) = other {
            other.wake();
        }
    }
}

/// Virtual time, the same for every host: each has a clock of its own.
fn now() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}

impl ConnectionState {
    const fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Connector => &mut self.connector,
            Side::Acceptor => &mut self.acceptor,
        }
    }
}

impl Side {
    const fn other(self) -> Self {
        match self {
            Self::Connector => Self::Acceptor,
            Self::Acceptor => Self::Connector,
        }
    }
}

/// Every connection, by the addresses of its connector and its acceptor.
#[derive(Debug, Default)]
pub(crate) struct TcpConnections(BTreeMap<(SocketAddr, SocketAddr), Weak<TcpConnection>>);

impl TcpConnections {
    /// The connection between two addresses, which is the same for both ends, whichever asks first.
    pub(crate) fn between(
        &mut self,
        connector: SocketAddr,
        acceptor: SocketAddr,
        make: impl FnOnce() -> TcpConnection,
    ) -> Arc<TcpConnection> {
        self.0.retain(|_, line| line.strong_count() > 0);
        let known = self.0.get(&(connector, acceptor)).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let line = Arc::new(make());
            self.0.insert((connector, acceptor), Arc::downgrade(&line));
            line
        })
    }

    /// How many sockets a host has.
    pub(crate) fn sockets(&self, host: Host) -> u64 {
        self.0.values().filter_map(Weak::upgrade).map(|line| line.sockets(host)).sum()
    }

    /// What goes from one host to another one is lost.
    pub(crate) fn lose(&self, from: Host, to: Host) {
        self.0.values().filter_map(Weak::upgrade).for_each(|line| line.lose(from, to));
    }

    /// The connections that a host made.
    pub(crate) fn by(&self, host: Host) -> Vec<Arc<TcpConnection>> {
        self.0.values().filter_map(Weak::upgrade).filter(|line| line.by == host).collect()
    }
}

/// A socket of turmoil's that can be cut, has a capacity, and takes bytes in small portions.
#[derive(Debug)]
pub(crate) struct TcpSocket {
    stream: TcpStream,
    line: Arc<TcpConnection>,
    side: Side,
    /// The most bytes that one call takes.
    portion: usize,
    /// When more will have arrived by a slow line.
    trickle: Option<Pin<Box<Sleep>>>,
}

/// Bytes that a slow connection carries in this time arrive at once.
const TRICKLE: Duration = Duration::from_millis(10);

impl TcpSocket {
    pub(crate) fn new(
        stream: TcpStream,
        line: Arc<TcpConnection>,
        side: Side,
        portion: usize,
    ) -> Self {
        line.opened(side);
        Self { stream, line, side, portion, trickle: None }
    }

    fn check(&self) -> io::Result<()> {
        if self.line.is_cut() {
            return Err(io::Error::new(io::ErrorKind::ConnectionReset, "the line was cut"));
        }
        Ok(())
    }
}

impl KernelSocket for TcpSocket {
    fn state(&self) -> Option<TcpState> {
        Some(self.line.tcp(self.side))
    }
}

impl AsyncRead for TcpSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check()?;
        let socket = &mut *self;
        let writable = match socket.line.arrived(socket.side) {
            Some(0) => {
                socket.line.reader(socket.side, cx.waker());
                let trickle = socket.trickle.get_or_insert_with(|| Box::pin(sleep(TRICKLE)));
                ready!(trickle.as_mut().poll(cx));
                socket.trickle = None;
                // Bytes that have arrived meanwhile are read at once.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Some(bytes) => bytes.min(buf.remaining()),
            None => buf.remaining(),
        };
        let mut end_traffic = ReadBuf::new(buf.initialize_unfilled_to(writable));
        let polled = Pin::new(&mut socket.stream).poll_read(cx, &mut end_traffic);
        let read = end_traffic.filled().len();
        buf.advance(read);
        match polled {
            Poll::Pending => {
                socket.line.reader(socket.side, cx.waker());
                Poll::Pending
            }
            Poll::Ready(result) => {
                result?;
                socket.line.read(socket.side, read);
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl AsyncWrite for TcpSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        let writable = self.line.writable(self.side, cx.waker()).min(self.portion);
        if writable == 0 && !buf.is_empty() {
            return Poll::Pending;
        }
        let socket = &mut *self;
        let end_traffic = buf.get(..writable).unwrap_or(buf);
        let polled = Pin::new(&mut socket.stream).poll_write(cx, end_traffic);
        if polled.is_pending() {
            socket.line.writer(socket.side, cx.waker());
        }
        let written = ready!(polled)?;
        socket.line.wrote(socket.side, written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Drop for TcpSocket {
    fn drop(&mut self) {
        self.line.left(self.side);
    }
}
