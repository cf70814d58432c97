//! What the two sockets of a TCP connection share: how much is under way, and whether it was cut.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::schedule::Host;

/// One end of a [`Line`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The end that connected.
    Connector,
    /// The end that accepted.
    Acceptor,
}

/// One TCP connection.
///
/// turmoil bounds how many writes are under way, of any size each; here it is bytes, as with real
/// sockets, and a write may be taken in part.
#[derive(Debug)]
pub(crate) struct Line {
    /// Who connected.
    pub(crate) by: Host,
    /// Whom.
    to: Host,
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    is_cut: bool,
    /// It takes nothing for now: what the sockets of both ends hold is full.
    is_full: bool,
    connector: End,
    acceptor: End,
}

#[derive(Debug, Default)]
struct End {
    /// Bytes that it wrote and the other end has not read.
    under_way: usize,
    /// It has a socket.
    is_open: bool,
    /// It was dropped: nothing waits for it any more, and turmoil says what becomes of writes.
    has_left: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Line {
    pub(crate) const fn new(by: Host, to: Host, capacity: usize) -> Self {
        let end = End { under_way: 0, is_open: false, has_left: false, reader: None, writer: None };
        let other =
            End { under_way: 0, is_open: false, has_left: false, reader: None, writer: None };
        let state = State { is_cut: false, is_full: false, connector: end, acceptor: other };
        Self { by, to, capacity, state: Mutex::new(state) }
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

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.lock().is_cut
    }

    /// Breaks the connection: both systems tell their ends.
    pub(crate) fn cut(&self) {
        let mut state = self.lock();
        state.is_cut = true;
        let State { connector, acceptor, .. } = &mut *state;
        let mut wakers = Vec::new();
        for end in [connector, acceptor] {
            wakers.extend(end.reader.take());
            wakers.extend(end.writer.take());
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
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
    pub(crate) fn room(&self, side: Side, waker: &Waker) -> usize {
        let mut state = self.lock();
        if state.end(side.other()).has_left {
            return self.capacity;
        }
        let is_full = state.is_full;
        let end = state.end(side);
        let room = if is_full { 0 } else { self.capacity.saturating_sub(end.under_way) };
        if room == 0 {
            end.writer = Some(waker.clone());
        }
        room
    }

    pub(crate) fn wrote(&self, side: Side, bytes: usize) {
        self.lock().end(side).under_way += bytes;
    }

    /// An end has read what the other one wrote.
    pub(crate) fn read(&self, side: Side, bytes: usize) {
        let mut state = self.lock();
        let writer = state.end(side.other());
        writer.under_way = writer.under_way.saturating_sub(bytes);
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

    /// An end is gone, and with it who would be woken.
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

impl State {
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

/// Every connection there is, by the addresses of who connected and who accepted.
#[derive(Debug, Default)]
pub(crate) struct Lines(BTreeMap<(SocketAddr, SocketAddr), Weak<Line>>);

impl Lines {
    /// The connection between two addresses, which is the same for both ends, whichever asks first.
    pub(crate) fn between(
        &mut self,
        connector: SocketAddr,
        acceptor: SocketAddr,
        make: impl FnOnce() -> Line,
    ) -> Arc<Line> {
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

    /// Those that a host made.
    pub(crate) fn by(&self, host: Host) -> Vec<Arc<Line>> {
        self.0.values().filter_map(Weak::upgrade).filter(|line| line.by == host).collect()
    }
}
