//! What all ends of a world share: the time, the streams, and what is written down.

use std::time::Duration;

use watertight_core::{ConnectionId, Instant};

use super::stream::Stream;
use crate::schedule::{Host, StreamId};
use crate::situation::Seen;
use crate::{Observed, Schedule, Situation, StreamRecord, Trace};

/// What all ends of a world share.
#[derive(Debug)]
pub(super) struct Stage<'a> {
    pub(super) schedule: &'a Schedule,
    pub(super) trace: &'a Trace,
    pub(super) now: Instant,
    pub(super) streams: Vec<Stream>,
    pub(super) observed: Observed,
    pub(super) seen: Seen,
    /// Targets that answer later.
    pub(super) late: Vec<Late>,
    /// All handles go: targets that are reached now let go at once.
    pub(super) closing: bool,
    /// How often an application or a target got on: a world where nobody does may be stuck.
    pub(super) progress: u64,
}

/// A target that answers later.
#[derive(Clone, Copy, Debug)]
pub(super) struct Late {
    pub(super) at: Instant,
    pub(super) link: u32,
    pub(super) side: usize,
    pub(super) id: ConnectionId,
}

/// Who acts where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) link: u32,
    /// The agent's end is 0, the server's end is 1.
    pub(super) side: usize,
    pub(super) agent: usize,
    pub(super) host: Host,
    /// Whether both ends of the link behave.
    pub(super) honest: bool,
    /// Whether nothing was done to the link that would explain the end of its sessions.
    pub(super) calm: bool,
}

impl Stage<'_> {
    pub(super) fn note(&mut self, situation: Situation) {
        self.seen.note(situation);
    }

    pub(super) fn contradiction(&mut self, what: impl FnOnce() -> String) {
        let what = what();
        self.observed.contradictions.push(what);
    }

    pub(super) fn find(&self, id: StreamId) -> Option<usize> {
        self.streams.iter().position(|stream| stream.id == id && stream.record.is_some())
    }

    /// Whether a stream's target never answers.
    pub(super) fn hangs(&self, stream: usize) -> bool {
        self.streams.get(stream).is_some_and(|stream| stream.plan.hangs())
    }

    pub(super) fn record(&mut self, stream: usize) -> Option<&mut StreamRecord> {
        let record = self.streams.get(stream)?.record?;
        self.observed.streams.get_mut(record)
    }

    pub(super) fn told(&self, host: Host, what: impl FnOnce() -> String) {
        self.trace.note(self.at(), host, what);
    }

    pub(super) const fn at(&self) -> Duration {
        self.now.since_epoch()
    }
}
