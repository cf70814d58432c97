//! Flow control of one connection, in both directions.
//!
//! Between watertight ends it is credit; toward a remotedialer end it is Pause and Resume. The
//! session asks both through the same few methods and does not distinguish them.

mod credit;
mod pause_flag;
mod window;

use core::time::Duration;

use super::{Phase, RecvBuffer};
use crate::Instant;
use crate::session::Limits;
use crate::wire::{Body, Dialect, Settings};

pub(crate) use credit::Credit;
pub(crate) use pause_flag::PauseFlag;

/// Flow control of one connection.
#[derive(Debug)]
#[cfg_attr(feature = "testkit", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) enum Flow {
    /// Toward a watertight end: bytes that each end may send, as running totals.
    Credit(Credit),
    /// Toward a remotedialer end: one flag that stops and wakes the remote's writer.
    PauseResume(PauseFlag),
}

/// Input of flow control beside the connection itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pressure<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) rtt: Duration,
    /// Connections of the session.
    pub(crate) connections: usize,
    /// Bytes that all of them have received and not read.
    pub(crate) unread: usize,
    /// Their windows, summed.
    pub(crate) windows: u64,
    /// Whether the process is short of memory.
    pub(crate) short_of_memory: bool,
}

/// The remote sent more than flow control allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excess {
    /// More than was granted: a violation of the protocol.
    Credit,
    /// More than this end holds for a remote that ignores Pause, which may be late only.
    Overrun,
}

impl Flow {
    /// The flow control of a new connection. `remote` is known once its Settings have arrived.
    pub(crate) fn new(dialect: Dialect, limits: &Limits, remote: Option<&Settings>) -> Self {
        match dialect {
            Dialect::Base => Self::PauseResume(PauseFlag::default()),
            Dialect::Extended => {
                let limit = remote.map_or(0, |settings| settings.initial_window);
                Self::Credit(Credit::new(limit, limits.initial_window))
            }
        }
    }

    /// Bytes that may be taken from the application, after `written` since the beginning.
    pub(crate) fn writable(&self, written: u64) -> usize {
        match self {
            Self::Credit(credit) => credit.writable(written),
            Self::PauseResume(flag) => flag.writable(),
        }
    }

    /// Bytes were taken from the application.
    pub(crate) fn on_written(&mut self, bytes: usize) {
        if let Self::PauseResume(flag) = self {
            flag.on_written(bytes);
        }
    }

    /// Bytes were handed to the transport.
    pub(crate) const fn on_sent(&mut self) {
        if let Self::PauseResume(flag) = self {
            flag.on_sent();
        }
    }

    /// The application writes nothing more.
    pub(crate) fn on_finished(&mut self) {
        if let Self::PauseResume(flag) = self {
            flag.on_finished();
        }
    }

    /// A payload of `bytes` arrived and is about to be added to `recv`.
    ///
    /// # Errors
    ///
    /// It is not to be added.
    pub(crate) fn on_received(
        &mut self,
        recv: &RecvBuffer,
        bytes: usize,
        pressure: &Pressure<'_>,
    ) -> Result<(), Excess> {
        match self {
            Self::Credit(credit) => credit.on_received(recv, bytes),
            Self::PauseResume(flag) => flag.on_received(recv, bytes, pressure),
        }
    }

    /// Whether the remote has to be sent an [`update`](Self::update).
    pub(crate) fn update_is_due(
        &self,
        phase: Phase,
        recv: &RecvBuffer,
        pressure: &Pressure<'_>,
    ) -> bool {
        match self {
            // Where nothing more is taken in, the remote needs no credit.
            Self::Credit(credit) => phase.delivers() && credit.grant_is_due(recv),
            Self::PauseResume(flag) => {
                let pause = phase.delivers() && flag.should_pause(recv, pressure);
                phase.is_live() && (pause != flag.pauses() || flag.is_due())
            }
        }
    }

    /// The message that is due now, if one still is.
    pub(crate) fn update(
        &mut self,
        now: Instant,
        phase: Phase,
        recv: &RecvBuffer,
        pressure: &Pressure<'_>,
    ) -> Option<Body> {
        match self {
            Self::Credit(_) if phase.received_all() => None,
            Self::Credit(credit) => credit.grant(now, recv, pressure),
            Self::PauseResume(flag) => {
                flag.set_pauses(phase.delivers() && flag.should_pause(recv, pressure));
                flag.message()
            }
        }
    }

    /// Bytes that the remote may have in flight, or unread here.
    pub(crate) const fn window(&self) -> u64 {
        match self {
            Self::Credit(credit) => credit.window(),
            Self::PauseResume(_) => 0,
        }
    }
}
