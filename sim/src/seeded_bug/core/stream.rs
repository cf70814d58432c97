//! Streams that end too early, too late or not at all, and bytes that go astray.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use watertight_core::session::{InvalidState, ReadError, WriteError};
use watertight_core::wire::{Body, Message, ResetCode};
use watertight_core::{ConnectionId, Event, Instant, Transmit};

use super::broken::{body, broken, decode, label, transmit_unless};
use crate::core_world::frame::{Label, connection, kind};

broken! {
    /// R10: "both ends dial: ids collide: bytes of one connection are delivered to another's
    /// target".
    CollidingIds { local: Vec<ConnectionId> }

    fn open(
        &mut self,
        now: Instant,
        target: &str,
        within: Option<Duration>,
    ) -> Result<ConnectionId, watertight_core::session::OpenError> {
        let id = self.session.open(now, target, within)?;
        self.local.push(id);
        Ok(id)
    }

    fn handle_message(&mut self, now: Instant, message: Bytes) {
        let label = Label::of(&message);
        // The remote's first connection has the number of our first one.
        let local = self.local.first().filter(|_| label.connection.abs() == 1);
        match (local, decode(&message)) {
            (Some(id), Some(Body::Data { payload, deadline })) => {
                let message = Message::new(*id, Body::Data { payload, deadline });
                self.session.handle_message(now, message.encode().to_bytes());
            }
            _ => self.session.handle_message(now, message),
        }
    }
}

broken! {
    /// R11: "a client sends everything and shuts down its write side; the target answers after that:
    /// the answer is lost (no half-close)".
    NoHalfClose {}

    fn handle_message(&mut self, now: Instant, message: Bytes) {
        let label = Label::of(&message);
        self.session.handle_message(now, message);
        if label.kind == kind::FINISH {
            self.session.finish(now, connection(label.connection)).ok();
        }
    }
}

broken! {
    /// C2: "first end-of-file closes both directions: truncation".
    FinishEndsBoth { finished: Vec<ConnectionId> }

    fn finish(&mut self, now: Instant, id: ConnectionId) -> Result<(), InvalidState> {
        self.finished.push(id);
        self.session.finish(now, id)
    }

    fn read(&mut self, now: Instant, id: ConnectionId, most: usize) -> Result<Bytes, ReadError> {
        if self.finished.contains(&id) {
            return Ok(Bytes::new());
        }
        self.session.read(now, id, most)
    }
}

broken! {
    /// R19: "end-of-file is handled before the bytes that came ahead of it are read: the tail is
    /// lost".
    EndOvertakes { finished: Vec<i64> }

    fn handle_message(&mut self, now: Instant, message: Bytes) {
        let label = Label::of(&message);
        if label.kind == kind::FINISH {
            self.finished.push(label.connection);
        }
        self.session.handle_message(now, message);
    }

    fn read(&mut self, now: Instant, id: ConnectionId, most: usize) -> Result<Bytes, ReadError> {
        if self.finished.contains(&id.get()) {
            return Ok(Bytes::new());
        }
        self.session.read(now, id, most)
    }
}

broken! {
    /// Y1: "the remote's read hangs": the end of a direction is never sent.
    FinishUnsaid {}

    fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        transmit_unless(&mut self.session, now, |transmit| label(transmit).kind == kind::FINISH)
    }
}

broken! {
    /// Y2: "the peer stops reading a half-closed stream: the writer blocks until a 5-minute timer".
    StopUnsaid {}

    fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        transmit_unless(&mut self.session, now, |transmit| {
            matches!(body(transmit), Some(Body::Reset { code: ResetCode::STOPPED, .. }))
        })
    }
}

/// When the deadline of a write passes that has long succeeded.
const OLD_DEADLINE: Duration = Duration::from_millis(50);

broken! {
    /// R15: "a write with a deadline succeeds; later the old deadline passes: the healthy connection
    /// is closed".
    OldDeadline { deadline: Option<(Instant, ConnectionId)> }

    fn write(
        &mut self,
        now: Instant,
        id: ConnectionId,
        data: &mut Bytes,
    ) -> Result<usize, WriteError> {
        self.deadline.get_or_insert((now + OLD_DEADLINE, id));
        self.session.write(now, id, data)
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        let deadline = self.deadline.map(|(at, _)| at);
        deadline.into_iter().chain(self.session.poll_timeout()).min()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.session.handle_timeout(now);
        if let Some((_, id)) = self.deadline.take_if(|(at, _)| *at <= now) {
            self.session.reset(now, id, ResetCode::STALLED, "deadline exceeded").ok();
        }
    }
}

broken! {
    /// R16: "a write times out: the caller gets \"timeout\", the bytes are sent all the same, later". Every
    /// fourth write.
    WrittenAllTheSame { writes: u32, woken: VecDeque<Event> }

    fn write(
        &mut self,
        now: Instant,
        id: ConnectionId,
        data: &mut Bytes,
    ) -> Result<usize, WriteError> {
        let written = self.session.write(now, id, data)?;
        self.writes += 1;
        if self.writes.is_multiple_of(4) {
            self.woken.push_back(Event::Writable(id));
            return Err(WriteError::Blocked);
        }
        Ok(written)
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.woken.pop_front().or_else(|| self.session.poll_event())
    }
}

broken! {
    /// N1: "a target sends, then resets: the bytes sent before are thrown away".
    ResetDiscards { reset: Vec<ConnectionId> }

    fn reset(
        &mut self,
        now: Instant,
        id: ConnectionId,
        code: ResetCode,
        text: &str,
    ) -> Result<(), InvalidState> {
        self.reset.push(id);
        self.session.reset(now, id, code, text)
    }

    fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        let reset = &self.reset;
        transmit_unless(&mut self.session, now, |transmit| {
            let label = label(transmit);
            label.kind == kind::DATA && reset.iter().any(|id| id.get() == label.connection)
        })
    }
}

broken! {
    /// Y4: "streams are dropped: never removed, until the limit refuses new ones".
    NeverReleased {}

    fn release(&mut self, _now: Instant, _id: ConnectionId) {}
}

broken! {
    /// T1: "half-closed connections pile up (1,300 seen)": the application is not notified that its target
    /// has reset.
    ResetUnheard { opened: Vec<ConnectionId>, reset: Vec<ConnectionId> }

    fn handle_message(&mut self, now: Instant, message: Bytes) {
        let label = Label::of(&message);
        self.session.handle_message(now, message);
        if label.kind == kind::RESET {
            let open = |id: &&ConnectionId| id.get() == label.connection;
            self.reset.extend(self.opened.iter().find(open));
        }
    }

    fn poll_event(&mut self) -> Option<Event> {
        loop {
            let event = self.session.poll_event()?;
            match &event {
                Event::Opened(id) => self.opened.push(*id),
                Event::Ended(id) | Event::Retired { id, .. } if self.reset.contains(id) => continue,
                _ => {}
            }
            return Some(event);
        }
    }
}
