//! A transport between two threads.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use watertight_core::wire::Encoded;

use crate::kernel::TcpState;
use crate::sync::{Mutex, MutexGuard, PoisonError};
use crate::transport::{Received, Transport, TransportError};

/// Messages in one direction.
#[derive(Debug, Default)]
struct Lane {
    messages: VecDeque<Bytes>,
    closed: bool,
    reader: Option<Waker>,
}

/// One end of a link.
#[derive(Debug)]
pub(super) struct Link {
    inbound: Arc<Mutex<Lane>>,
    outbound: Arc<Mutex<Lane>>,
}

pub(super) fn link() -> (Link, Link) {
    let lanes = [(); 2].map(|()| Arc::new(Mutex::new(Lane::default())));
    let end = |inbound: usize, outbound: usize| Link {
        inbound: Arc::clone(&lanes[inbound]),
        outbound: Arc::clone(&lanes[outbound]),
    };
    (end(0, 1), end(1, 0))
}

impl Link {
    fn change(&self, change: impl FnOnce(&mut Lane)) {
        let mut lane = lock(&self.outbound);
        change(&mut lane);
        let reader = lane.reader.take();
        drop(lane);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

fn lock(lane: &Mutex<Lane>) -> MutexGuard<'_, Lane> {
    lane.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Transport for Link {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, TransportError>> {
        let mut lane = lock(&self.inbound);
        if let Some(message) = lane.messages.pop_front() {
            return Poll::Ready(Ok(Received::Message(message)));
        }
        if lane.closed {
            return Poll::Ready(Ok(Received::Closed { reason: "the link is closed".into() }));
        }
        lane.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn send(&mut self, message: Encoded) -> Result<(), TransportError> {
        self.change(|lane| lane.messages.push_back(message.to_bytes()));
        Ok(())
    }

    fn tcp(&self) -> Option<TcpState> {
        None
    }

    fn send_ping(&mut self, _: Bytes) -> Result<(), TransportError> {
        Ok(())
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _: &mut Context<'_>, _: &str) -> Poll<Result<(), TransportError>> {
        self.change(|lane| lane.closed = true);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.change(|lane| lane.closed = true);
    }
}
