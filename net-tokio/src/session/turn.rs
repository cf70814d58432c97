//! What a turn of the driver brings to the session, and what follows from it.

use std::collections::VecDeque;

use watertight_core::{ConnectionEnd, Event, Transmit};

use super::coalesce::Coalescer;
use crate::transport::{Received, TransportError};

/// Messages of one batch, which is taken from the session under one lock.
pub(super) const TRANSMIT_BATCH: usize = 16;

/// The same in bytes.
const TRANSMIT_BYTES: usize = 64 << 10;

/// What a turn brings to the session.
#[derive(Debug, Default)]
pub(super) struct Input {
    pub(super) received: Vec<Result<Received, TransportError>>,
    /// Nothing more can be sent, and everything that had arrived is in `received`.
    pub(super) failed: Option<TransportError>,
    /// A deadline has passed. Only then is the kernel asked how far the transport got.
    pub(super) progress: Option<Progress>,
}

/// When bytes last moved in the kernel's queues: later than the session knows, where a transport
/// takes or delivers a long message in parts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    pub(super) received: Option<watertight_core::Instant>,
    pub(super) sent: Option<watertight_core::Instant>,
}

/// Where a turn puts what the session sends.
#[derive(Debug)]
pub(super) struct Output<'a> {
    /// Whether the transport takes a batch.
    pub(super) writable: bool,
    /// `None` where nothing is worth waiting for.
    pub(super) coalescer: Option<&'a mut Coalescer>,
    batch: &'a mut Vec<Transmit>,
    bytes: usize,
}

impl<'a> Output<'a> {
    pub(super) fn new(
        writable: bool,
        coalescer: Option<&'a mut Coalescer>,
        batch: &'a mut Vec<Transmit>,
    ) -> Self {
        Self { writable, coalescer, batch, bytes: 0 }
    }

    pub(super) fn is_full(&self) -> bool {
        self.batch.len() >= TRANSMIT_BATCH || self.bytes >= TRANSMIT_BYTES
    }

    pub(super) fn push(&mut self, transmit: Transmit) {
        if let Transmit::Message(message) = &transmit {
            self.bytes += message.len();
        }
        self.batch.push(transmit);
    }
}

/// What the driver passes on to the session's [`Owner`](super::Owner), in order.
#[derive(Debug)]
pub(super) enum Notice {
    Event(Event),
    ClientDialEnded { client: Box<str>, end: ConnectionEnd },
}

/// What follows from a turn.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) notices: VecDeque<Notice>,
    pub(super) timeout: Option<watertight_core::Instant>,
    pub(super) after: After,
}

/// What a turn leaves behind.
#[derive(Clone, Copy, Debug)]
pub(super) struct After {
    /// Whether the session may have more to send.
    pub(super) more: bool,
    pub(super) ended: bool,
    /// Whether nothing waits for the transport.
    pub(super) idle: bool,
}
