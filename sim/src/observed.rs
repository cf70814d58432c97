//! The observation of a world: everything that the invariants check.

use std::time::Duration;

use watertight_core::Ledger;

use crate::schedule::{Host, StreamId};

/// The observation that the invariants check. A world keeps it up to date.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Virtual time since the start.
    pub now: Duration,
    /// The ledger of every host.
    pub hosts: Vec<HostLedger>,
    /// Every stream that was dialled, those of the liveness check included.
    pub streams: Vec<StreamRecord>,
    /// Bytes of heap that the whole world holds, all hosts together, beyond what it held at its start.
    pub heap: u64,
    /// The most that it has held at any moment, where that is measured.
    pub heap_peak: u64,
    /// The bound of `heap`, and of its peak, while it runs.
    pub heap_bound: u64,
    /// The bound of `heap` when it is quiet: the heap of hosts that have nothing to do.
    pub heap_at_rest: u64,
    /// What contradicts the world's own account: a byte of another stream, an event that comes twice
    /// or after the end.
    pub contradictions: Vec<String>,
    /// Dials that were refused for those of a target that does not answer.
    pub without_share: Vec<String>,
    /// Lines that were logged as errors.
    pub errors_logged: Vec<String>,
    /// What does not work though everything is healed.
    pub stuck: Vec<String>,
    /// Agents that unauthenticated remotes keep out.
    pub kept_out: Vec<String>,
    /// Excesses that a server allowed unauthenticated remotes.
    pub unauthenticated: Vec<String>,
}

/// The ledger of one host.
#[derive(Clone, Debug)]
pub struct HostLedger {
    /// Which host.
    pub host: Host,
    /// Its sessions.
    pub sessions: Counts,
    /// How many of its sessions may be up now: agents that are connected, and peers.
    pub sessions_expected: u64,
    /// How often the end of a session was reported.
    pub closes_reported: u64,
    /// The connections of its sessions, past ones included.
    pub connections: Ledger,
    /// The routes that its peers announced.
    pub routes: Counts,
    /// Sockets that are open, where there are some.
    pub sockets: u64,
    /// Tasks of the library that are alive, where there is a runtime.
    pub tasks: u64,
    /// The bound of its tasks when it is quiet: the tasks of its sessions, and the tasks that keep the
    /// sessions up.
    pub tasks_at_rest: u64,
    /// Entries of the adapter's own tables, where there is one.
    pub kept: Kept,
    /// What its sessions may hold together.
    pub bounds: Bounds,
    /// The fault that it found with an end that behaves.
    pub blamed: Option<String>,
    /// The end of a session whose remote should have sent a close reason.
    pub without_reason: Option<String>,
}

/// What came, what went and what is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields explain themselves")]
pub struct Counts {
    pub added: u64,
    pub removed: u64,
    pub live: u64,
}

/// Entries of the adapter's own tables, which no ledger counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Connections with a handle.
    pub streams: u64,
    /// Permits of clients' sessions that are out.
    pub permits: u64,
    /// Sockets that are no sessions yet.
    pub handshakes: u64,
    /// Sessions of which some task is there.
    pub sessions: u64,
    /// Sessions that have ended and have something for an application.
    pub held: u64,
}

/// The bounds of a host's sessions together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Connections.
    pub connections: u64,
    /// Bytes taken from applications that the transports have not taken.
    pub bytes_to_send: u64,
    /// Bytes that the applications have not read.
    pub bytes_received: u64,
    /// Control messages that the transports have not taken.
    pub queued_control: u64,
    /// Sockets that are no sessions yet, of the whole host.
    pub handshakes: u64,
    /// Sockets.
    pub sockets: u64,
}

/// One dialled stream.
#[derive(Clone, Debug)]
pub struct StreamRecord {
    /// Which one.
    pub stream: StreamId,
    /// When the dial must have an answer at the latest.
    pub deadline: Duration,
    /// When it had one, where the world keeps that.
    pub settled: Option<Duration>,
    /// What became of the dial.
    pub dial: DialOutcome,
    /// The end that dialled.
    pub near: StreamEnd,
    /// The target, once it was reached.
    pub far: Option<StreamEnd>,
    /// Whether both ends and all between them behave as the protocol demands.
    pub honest: bool,
    /// Whether one direction can be finished: not in the base dialect.
    pub half_closes: bool,
}

/// What became of a dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialOutcome {
    /// No answer yet.
    Pending,
    /// It succeeded.
    Opened,
    /// It failed: why, in the library's words.
    Failed(String),
    /// The application gave it up.
    GivenUp,
}

/// What one end of a stream has done and seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamEnd {
    /// Bytes that the tunnel took from it.
    pub written: u64,
    /// Bytes that it read.
    pub read: u64,
    /// It finished its direction.
    pub finished: bool,
    /// It reset the connection or let go of it.
    pub let_go: bool,
    /// It read the end of file: nothing follows.
    pub eof: bool,
    /// The connection broke, and why.
    pub broken: Option<String>,
    /// Bytes that it must have read by now, once its connection has ended: all that was written before a
    /// reset, or had arrived when the session ended. `None` where that cannot be known.
    pub owed: Option<u64>,
}

impl StreamEnd {
    /// Whether nothing more can happen at this end.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.let_go || self.broken.is_some() || (self.finished && self.eof)
    }
}

impl HostLedger {
    /// A host that has done nothing yet.
    #[must_use]
    pub fn new(host: Host, bounds: Bounds) -> Self {
        Self {
            host,
            sessions: Counts::default(),
            sessions_expected: 0,
            closes_reported: 0,
            connections: Ledger::default(),
            routes: Counts::default(),
            sockets: 0,
            tasks: 0,
            tasks_at_rest: u64::MAX,
            kept: Kept::default(),
            bounds,
            blamed: None,
            without_reason: None,
        }
    }
}
