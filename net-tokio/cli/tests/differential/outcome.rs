//! The observations of the ends of a conversation.

use std::fmt;

use crate::conversation::{Conversation, Side};
use crate::socket::Family;

/// How a stream ended for the end that read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum StreamEnd {
    /// The script did not look, or saw no end.
    #[default]
    NotObserved,
    Eof,
    Reset,
    /// Either of them: a Unix socket cannot reset.
    EofOrReset,
}

/// What one end saw, as it happened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Observed {
    pub(crate) received: u64,
    pub(crate) written: u64,
    /// Bytes that the remote kernel had acknowledged when this end left. The other bytes a
    /// reset throws away, on any path.
    pub(crate) acknowledged: Option<u64>,
    pub(crate) stream_end: StreamEnd,
    /// A write failed.
    pub(crate) broken: bool,
    /// A write reported that the connection was reset. The kernel reports that once: a read reports that
    /// the stream ended, from then on.
    pub(crate) reset_reported: bool,
    /// The offset of a byte that differs from the sent one.
    pub(crate) corrupt: Option<u64>,
    /// The step that did not complete in time.
    pub(crate) stuck: Option<usize>,
    /// The target never saw a connection.
    pub(crate) absent: bool,
}

/// How many bytes an end received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Received {
    Exactly(u64),
    /// A large transfer, up to its end, or to what was acknowledged when its sender left.
    Whole,
    /// A large transfer, but for its tail: a part of what was acknowledged.
    Part,
}

/// What one end saw, in the terms in which runs are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct EndOutcome {
    pub(crate) received: Received,
    pub(crate) stream_end: StreamEnd,
    pub(crate) broken: bool,
    pub(crate) stuck: Option<usize>,
    pub(crate) absent: bool,
}

/// What both ends saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Outcome {
    pub(crate) client: EndOutcome,
    pub(crate) target: EndOutcome,
}

/// What both ends saw, as it happened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) client: Observed,
    pub(crate) target: Observed,
}

impl Observed {
    /// Bytes that must arrive at an end that reads to the end.
    fn delivered(&self) -> u64 {
        self.acknowledged.map_or(self.written, |acknowledged| acknowledged.min(self.written))
    }

    /// How the stream ended, as any call reported it.
    fn stream_end(&self) -> StreamEnd {
        match self.stream_end {
            StreamEnd::Eof if self.reset_reported => StreamEnd::Reset,
            stream_end => stream_end,
        }
    }
}

impl Run {
    const fn observed(&self, side: Side) -> &Observed {
        match side {
            Side::Client => &self.client,
            Side::Target => &self.target,
        }
    }

    /// The run in the terms in which runs of `conversation` are compared.
    pub(crate) fn outcome(&self, conversation: &Conversation) -> Outcome {
        let end = |side: Side| {
            let (observed, other) = (self.observed(side), self.observed(side.other()));
            let stream_end = observed.stream_end();
            let received = match stream_end {
                _ if conversation.is_small(side) => Received::Exactly(observed.received),
                StreamEnd::NotObserved => Received::Exactly(observed.received),
                _ if observed.received == 0 && other.delivered() > 0 => Received::Exactly(0),
                _ if observed.received >= other.delivered() => Received::Whole,
                _ => Received::Part,
            };
            let Observed { broken, stuck, absent, .. } = *observed;
            EndOutcome { received, stream_end, broken, stuck, absent }
        };
        Outcome { client: end(Side::Client), target: end(Side::Target) }
    }

    /// An error of the run that no direct connection can excuse.
    pub(crate) fn violation(&self, families: [Family; 2]) -> Option<String> {
        Side::BOTH.iter().find_map(|side| {
            let (observed, other) = (self.observed(*side), self.observed(side.other()));
            if let Some(at) = observed.corrupt {
                return Some(format!("{side:?}: byte {at} is not the one that was sent"));
            }
            if observed.received > other.written && other.stuck.is_none() {
                let (received, written) = (observed.received, other.written);
                return Some(format!("{side:?}: {received} bytes received, {written} sent"));
            }
            let clean = observed.stream_end() == StreamEnd::Eof && families == [Family::Tcp; 2];
            (clean && observed.received != other.written && other.stuck.is_none()).then(|| {
                let (received, written) = (observed.received, other.written);
                format!("{side:?}: a clean end after {received} of {written} bytes")
            })
        })
    }
}

impl Outcome {
    pub(crate) const fn end(&self, side: Side) -> &EndOutcome {
        match side {
            Side::Client => &self.client,
            Side::Target => &self.target,
        }
    }

    pub(crate) const fn end_mut(&mut self, side: Side) -> &mut EndOutcome {
        match side {
            Side::Client => &mut self.client,
            Side::Target => &mut self.target,
        }
    }

    /// The outcome with reset and end of file as one, for ends of Unix sockets.
    pub(crate) fn seen_by(mut self, families: [Family; 2]) -> Self {
        for side in Side::BOTH {
            let end = self.end_mut(side);
            if families[side as usize] == Family::Unix && end.stream_end != StreamEnd::NotObserved {
                end.stream_end = StreamEnd::EofOrReset;
            }
        }
        self
    }

    pub(crate) fn is_stuck(&self) -> bool {
        Side::BOTH.iter().any(|side| self.end(*side).stuck.is_some())
    }
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} received, {} written", self.received, self.written)?;
        self.acknowledged.map_or(Ok(()), |bytes| write!(f, ", {bytes} acknowledged when it left"))
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client: {} | target: {}", self.client, self.target)
    }
}

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(bytes) => write!(f, "{bytes} bytes"),
            Self::Whole => f.write_str("all bytes"),
            Self::Part => f.write_str("a part"),
        }
    }
}

impl fmt::Display for EndOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.absent {
            return f.write_str("no connection");
        }
        self.received.fmt(f)?;
        f.write_str(match self.stream_end {
            StreamEnd::NotObserved => "",
            StreamEnd::Eof => ", end of file",
            StreamEnd::Reset => ", reset",
            StreamEnd::EofOrReset => ", end of file or reset",
        })?;
        if self.broken {
            f.write_str(", a write failed")?;
        }
        self.stuck.map_or(Ok(()), |step| write!(f, ", STUCK in step {}", step + 1))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client: {} | target: {}", self.client, self.target)
    }
}
