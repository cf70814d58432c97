//! Deviations by design: differences of a tunnel from a direct connection, with the reasons.

use crate::conversation::{Conversation, Leave, Side, Step};
use crate::outcome::{Outcome, Received, StreamEnd};
use crate::route::Route;
use crate::socket::Family;

/// A deviation by design.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Deviation {
    /// See [`Deviation::reason`].
    LaterWriteError,
    UnixReset,
    BaseHalfClose,
    BaseEndOfClient,
    EarlyReset,
    EarlyClose,
    GoReset,
    GoDial,
}

impl Deviation {
    pub(crate) const ALL: [Self; 8] = [
        Self::LaterWriteError,
        Self::UnixReset,
        Self::BaseHalfClose,
        Self::BaseEndOfClient,
        Self::EarlyReset,
        Self::EarlyClose,
        Self::GoReset,
        Self::GoDial,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::LaterWriteError => "later write error",
            Self::UnixReset => "no reset on Unix sockets",
            Self::BaseHalfClose => "no half-close in the base dialect",
            Self::BaseEndOfClient => "no end of a client in the base dialect",
            Self::EarlyReset => "a dial withdrawn",
            Self::EarlyClose => "a close before what arrives",
            Self::GoReset => "remotedialer cuts what comes before a reset",
            Self::GoDial => "remotedialer takes a reset for a refusal",
        }
    }

    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::LaterWriteError => {
                "The remote's kernel refuses a write one round trip later, and the tunnel is a \
                 longer one. A write that fails directly may succeed through it. A write that never \
                 fails is no deviation: `flood` waits for the failure."
            }
            Self::UnixReset => {
                "A Unix socket has no SO_LINGER and no RST. Its peer sees ECONNRESET only where bytes \
                 were left unread, which a tunnel cannot bring about. Played with close in the place \
                 of reset; end of file and reset count as one."
            }
            Self::BaseHalfClose => {
                "remotedialer's protocol has one message for the end of a connection and none for \
                 the end of a direction. Not played where a script has `finish`."
            }
            Self::BaseEndOfClient => {
                "The same message missing: a client that has closed cannot be distinguished from \
                 one that has shut down its write side and waits for the answer. The target is \
                 notified when the linger of the session has passed, by a reset."
            }
            Self::EarlyReset => {
                "A client that resets before its dial is answered withdraws the dial. Directly, the \
                 target accepts a connection that is dead already. In the base dialect no dial is \
                 answered, so that the reset also reaches one that has just connected: the target \
                 sees a reset and none of the bytes. Only where the client has not heard of the target."
            }
            Self::EarlyClose => {
                "A close is a FIN, or a reset where bytes are unread: it depends on what has arrived. \
                 The tunnel is a longer path and holds more of a large transfer than the kernel, so that \
                 an end may close before it has what the other one sent, or sooner than it could directly. \
                 Only where all of its own bytes arrive before the end of file, and where it has not \
                 waited for those of the remote."
            }
            Self::GoReset => {
                "remotedialer's program closes both of its sockets when a copy in either direction fails, \
                 drops what it still holds, and tells a reset as an end or an end as a reset. Only where \
                 the direct connection ends by a reset."
            }
            Self::GoDial => {
                "Go's net.Dial asks for the socket's error after connecting. A target that answers and \
                 resets at once counts as one that refuses, and its answer is lost."
            }
        }
    }
}

impl Conversation {
    /// The conversation as it is played between sockets of these families.
    pub(crate) fn on(&self, families: [Family; 2]) -> Self {
        let mut played = self.clone();
        for side in Side::BOTH {
            let script = played.script_mut(side);
            if families[side as usize] == Family::Unix && script.leave == Leave::Reset {
                script.leave = Leave::Close;
            }
        }
        played
    }
}

/// Why the conversation is not played on this route.
pub(crate) fn not_played(route: &Route, conversation: &Conversation) -> Option<Deviation> {
    (!route.half_closes && conversation.half_closes()).then_some(Deviation::BaseHalfClose)
}

/// The deviation that makes an outcome legal although the direct connection has not shown it; `Ok`
/// with none if it has.
///
/// # Errors
/// The outcome is legal by none.
pub(crate) fn judge<'a>(
    route: &Route,
    conversation: &Conversation,
    observed: &Outcome,
    direct: impl Iterator<Item = &'a Outcome> + Clone,
) -> Result<Option<Deviation>, ()> {
    if direct.clone().any(|direct| direct == observed) {
        return Ok(None);
    }
    if direct.clone().any(|direct| fails_later(direct, observed)) {
        return Ok(Some(Deviation::LaterWriteError));
    }
    if is_withdrawn(route, conversation, observed) && may_leave_by_reset(conversation) {
        return Ok(Some(Deviation::EarlyReset));
    }
    if route.is_base && direct.clone().any(|direct| ends_by_linger(conversation, direct, observed))
    {
        return Ok(Some(Deviation::BaseEndOfClient));
    }
    if direct.clone().any(|direct| closes_sooner(conversation, direct, observed)) {
        return Ok(Some(Deviation::EarlyClose));
    }
    if route.is_go && direct.clone().any(|direct| gets_a_fin(direct, observed)) {
        return Ok(Some(Deviation::GoReset));
    }
    if route.is_go && refused_by_reset(conversation, observed) {
        return Ok(Some(Deviation::GoDial));
    }
    Err(())
}

/// Whether the target may have observed nothing, because the dial was withdrawn.
fn is_withdrawn(route: &Route, conversation: &Conversation, observed: &Outcome) -> bool {
    let target = &observed.target;
    let reset = target.received == Received::Exactly(0) && target.stream_end == StreamEnd::Reset;
    let heard =
        sends(conversation, Side::Target) && observed.client.received != Received::Exactly(0);
    (conversation.early && target.absent) || (route.is_base && (target.absent || reset) && !heard)
}

/// Whether the runs are the same, but for an end of file instead of a reset, after all of a large
/// transfer, or from an end that closes without having waited for what arrives.
fn closes_sooner(conversation: &Conversation, direct: &Outcome, observed: &Outcome) -> bool {
    let mut sooner = *observed;
    for side in Side::BOTH {
        let end = sooner.end_mut(side);
        let other = conversation.script(side.other());
        let waits = other.steps.iter().any(|step| matches!(step, Step::Wait(_)));
        let early = end.received == Received::Whole || !waits;
        if other.leave == Leave::Close && early && end.stream_end == StreamEnd::Eof {
            end.stream_end = StreamEnd::Reset;
            end.received = direct.end(side).received;
        }
    }
    sooner == *direct || fails_later(direct, &sooner)
}

/// Whether the runs are the same, but for an end of file instead of a reset, and for what came
/// before it.
fn gets_a_fin(direct: &Outcome, observed: &Outcome) -> bool {
    let mut adjusted = *observed;
    for side in Side::BOTH {
        let (end, direct) = (adjusted.end_mut(side), direct.end(side));
        // A write that failed has met the reset, too.
        let is_reset = direct.stream_end == StreamEnd::Reset || direct.broken;
        if end.stream_end != StreamEnd::NotObserved && is_reset {
            (end.stream_end, end.received) = (direct.stream_end, direct.received);
        }
    }
    adjusted == *direct || fails_later(direct, &adjusted)
}

/// Whether the client was refused, and the target had left by a reset.
fn refused_by_reset(conversation: &Conversation, observed: &Outcome) -> bool {
    let nothing = matches!(observed.client.received, Received::Exactly(0) | Received::Part);
    let refused =
        nothing && matches!(observed.client.stream_end, StreamEnd::Reset | StreamEnd::NotObserved);
    refused && conversation.target.leave != Leave::Keep && !observed.is_stuck()
}

/// Whether the runs are the same, but for writes that fail directly only.
fn fails_later(direct: &Outcome, observed: &Outcome) -> bool {
    let mut later = *observed;
    for side in Side::BOTH {
        later.end_mut(side).broken |= direct.end(side).broken;
    }
    later == *direct
}

/// Whether the runs are the same, but for a reset instead of the end of a client that closed.
fn ends_by_linger(conversation: &Conversation, direct: &Outcome, observed: &Outcome) -> bool {
    let mut adjusted = *observed;
    if conversation.client.leave == Leave::Close && adjusted.target.stream_end == StreamEnd::Reset {
        adjusted.target.stream_end = StreamEnd::Eof;
    }
    adjusted == *direct || fails_later(direct, &adjusted)
}

/// Whether the client's kernel may send a reset when the client leaves.
fn may_leave_by_reset(conversation: &Conversation) -> bool {
    conversation.client.leave == Leave::Reset || sends(conversation, Side::Target)
}

fn sends(conversation: &Conversation, side: Side) -> bool {
    let sends = |step: &Step| matches!(step, Step::Send(_) | Step::Flood);
    conversation.script(side).steps.iter().any(sends)
}
