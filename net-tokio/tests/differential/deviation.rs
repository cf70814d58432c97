//! Deviations by design: what a tunnel does that a direct connection does not, with the reason.

use crate::conversation::{Conversation, Leave, Side, Step};
use crate::outcome::{Ending, Outcome};
use crate::socket::Family;
use crate::way::Way;

/// A deviation by design.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Deviation {
    /// See [`Deviation::reason`].
    LaterWriteError,
    UnixReset,
    BaseHalfClose,
    BaseEndOfClient,
    EarlyReset,
}

impl Deviation {
    pub(crate) const ALL: [Self; 5] = [
        Self::LaterWriteError,
        Self::UnixReset,
        Self::BaseHalfClose,
        Self::BaseEndOfClient,
        Self::EarlyReset,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::LaterWriteError => "later write error",
            Self::UnixReset => "no reset on Unix sockets",
            Self::BaseHalfClose => "no half-close in the base dialect",
            Self::BaseEndOfClient => "no end of a client in the base dialect",
            Self::EarlyReset => "a dial withdrawn",
        }
    }

    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::LaterWriteError => {
                "The other end's kernel refuses a write one round trip later, and the tunnel is a \
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
                "The same message missing: a client that has closed cannot be told from one that has \
                 shut down its write side and waits for the answer. The target is told when the \
                 linger of the session has passed, by a reset."
            }
            Self::EarlyReset => {
                "A client that resets before its dial is answered withdraws the dial. Directly, the \
                 target accepts a connection that is dead already."
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

/// Why the conversation is not played on this way.
pub(crate) fn not_played(way: &Way, conversation: &Conversation) -> Option<Deviation> {
    (!way.half_closes && conversation.half_closes()).then_some(Deviation::BaseHalfClose)
}

/// The deviation that makes an outcome legal although the direct connection has not shown it; `Ok`
/// with none if it has.
///
/// # Errors
/// The outcome is legal by none.
pub(crate) fn judge<'a>(
    way: &Way,
    conversation: &Conversation,
    seen: &Outcome,
    direct: impl Iterator<Item = &'a Outcome> + Clone,
) -> Result<Option<Deviation>, ()> {
    if direct.clone().any(|direct| direct == seen) {
        return Ok(None);
    }
    if direct.clone().any(|direct| fails_later(direct, seen)) {
        return Ok(Some(Deviation::LaterWriteError));
    }
    if conversation.early && seen.target.absent && may_leave_by_reset(conversation) {
        return Ok(Some(Deviation::EarlyReset));
    }
    if way.is_base && direct.clone().any(|direct| ends_by_linger(conversation, direct, seen)) {
        return Ok(Some(Deviation::BaseEndOfClient));
    }
    Err(())
}

/// Whether the runs are the same, but for writes that fail directly only.
fn fails_later(direct: &Outcome, seen: &Outcome) -> bool {
    let mut later = *seen;
    for side in Side::BOTH {
        later.end_mut(side).broken |= direct.end(side).broken;
    }
    later == *direct
}

/// Whether the runs are the same, but for a reset in the place of the end of a client that closed.
fn ends_by_linger(conversation: &Conversation, direct: &Outcome, seen: &Outcome) -> bool {
    let mut told = *seen;
    if conversation.client.leave == Leave::Close && told.target.ending == Ending::Reset {
        told.target.ending = Ending::Eof;
    }
    told == *direct || fails_later(direct, &told)
}

/// Whether the client's kernel may send a reset when the client leaves.
fn may_leave_by_reset(conversation: &Conversation) -> bool {
    let sends = |step: &Step| matches!(step, Step::Send(_) | Step::Flood);
    conversation.client.leave == Leave::Reset || conversation.target.steps.iter().any(sends)
}
