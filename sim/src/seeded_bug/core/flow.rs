//! Flow control that is lost, taken twice or shared.

use std::collections::VecDeque;

use bytes::Bytes;
use watertight_core::session::ReadError;
use watertight_core::wire::{Body, Dialect, Message};
use watertight_core::{ConnectionId, Event, Instant, Transmit};

use super::broken::{broken, label, transmit_unless};
use crate::core_world::frame::{Label, kind};

broken! {
    /// R1: "draining clears it without a wake-up: the writer sleeps".
    SleepingWriter { read: Vec<ConnectionId> }

    fn read(&mut self, now: Instant, id: ConnectionId, most: usize) -> Result<Bytes, ReadError> {
        self.read.push(id);
        self.session.read(now, id, most)
    }

    fn poll_event(&mut self) -> Option<Event> {
        loop {
            match self.session.poll_event()? {
                Event::Writable(id) if self.read.contains(&id) => {}
                event => return Some(event),
            }
        }
    }
}

broken! {
    /// R2: "one flag for both directions: I resume it and write to an end that asked me to stop". Here, the
    /// bytes read count as credit to write.
    OneFlag {}

    fn read(&mut self, now: Instant, id: ConnectionId, most: usize) -> Result<Bytes, ReadError> {
        let bytes = self.session.read(now, id, most)?;
        if !bytes.is_empty() {
            let body = match self.session.dialect() {
                Dialect::Base => Body::Resume,
                Dialect::Extended => Body::Credit { bytes: bytes.len() as u64 },
            };
            self.session.handle_message(now, Message::new(id, body).encode().to_bytes());
        }
        Ok(bytes)
    }
}

broken! {
    /// R3: "my Pause and its Resume cross on the wire: Resume never sent again, the remote is paused without
    /// end". Here, a grant that comes in stands for the one that would go out.
    CrossedGrants { came: Vec<i64> }

    fn handle_message(&mut self, now: Instant, message: Bytes) {
        let label = Label::of(&message);
        if label.kind == kind::CREDIT {
            self.came.push(label.connection);
        }
        self.session.handle_message(now, message);
    }

    fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        transmit_unless(&mut self.session, now, |transmit| {
            let label = label(transmit);
            label.kind == kind::CREDIT && self.came.contains(&label.connection)
        })
    }
}

broken! {
    /// R4: "the session's reader itself writes; both readers wait for writers that wait for full sockets".
    /// Nothing is read while the transport does not take the outgoing messages.
    ReaderWrites {}

    fn reads(&self) -> bool {
        !self.session.has_transmit()
    }
}

/// The capacity of a bounded queue for a slow reader.
const QUEUE: u64 = 1500;

broken! {
    /// R8: "a slow reader with a bounded queue per connection: the session's reader blocks on it:
    /// pings unanswered, the whole session dies".
    ReaderWaits {}

    fn reads(&self) -> bool {
        self.session.ledger().bytes_received < QUEUE
    }
}

broken! {
    /// K3: "one reader is slow: no per-connection flow control: all stall". Messages are read in the order of
    /// their arrival, for any reader.
    OneQueue { queue: VecDeque<(ConnectionId, usize)>, woken: VecDeque<Event> }

    fn handle_message(&mut self, now: Instant, message: Bytes) {
        let label = Label::of(&message);
        let before = self.session.ledger().bytes_received;
        self.session.handle_message(now, message);
        let more = self.session.ledger().bytes_received.saturating_sub(before);
        if label.kind == kind::DATA && more > 0 {
            let id = crate::core_world::frame::connection(label.connection);
            self.queue.push_back((id, usize::try_from(more).unwrap_or(usize::MAX)));
        }
    }

    fn read(&mut self, now: Instant, id: ConnectionId, most: usize) -> Result<Bytes, ReadError> {
        match self.queue.front_mut() {
            Some((first, _)) if *first != id => Err(ReadError::Blocked),
            Some((_, left)) => {
                let bytes = self.session.read(now, id, most.min(*left))?;
                *left = left.saturating_sub(bytes.len());
                if *left == 0 {
                    self.queue.pop_front();
                    self.wake_next();
                }
                Ok(bytes)
            }
            None => self.session.read(now, id, most),
        }
    }

    fn poll_event(&mut self) -> Option<Event> {
        if let Some(event) = self.woken.pop_front() {
            return Some(event);
        }
        let event = self.session.poll_event()?;
        if let Event::Retired { id, .. } = &event {
            self.queue.retain(|(of, _)| of != id);
            self.wake_next();
        }
        Some(event)
    }
}

impl OneQueue {
    fn wake_next(&mut self) {
        self.woken.extend(self.queue.front().map(|(id, _)| Event::Readable(*id)));
    }
}

broken! {
    /// R17: "read deadline set while a read is blocked: the read does not wake". Every third reader
    /// is not woken.
    SleepingReader { wakes: u32 }

    fn poll_event(&mut self) -> Option<Event> {
        loop {
            let event = self.session.poll_event()?;
            if matches!(event, Event::Readable(_)) {
                self.wakes += 1;
                if self.wakes.is_multiple_of(3) {
                    continue;
                }
            }
            return Some(event);
        }
    }
}
