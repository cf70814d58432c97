//! The ledger of a session: connections, bytes and timers held, and removals by cause.

use core::fmt;

use crate::wire::ResetCode;

/// Why a connection was removed from its session's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Both directions were finished, and read to the end or let go of. In the base dialect, which
    /// cannot finish one direction: the own direction was, and the application gave its handle
    /// back.
    Finished,
    /// The application dropped its handle before it had finished.
    Dropped,
    /// The application reset the connection.
    Aborted,
    /// The user's or the target's machine has vanished, so the application reset the connection with
    /// [`ResetCode::VANISHED`](crate::wire::ResetCode::VANISHED).
    Vanished,
    /// The application dropped its handle after finishing, and the remote still sent.
    Stopped,
    /// The dial was refused, by either end, or failed.
    Refused,
    /// The remote reset the connection.
    RemoteReset,
    /// The remote closed both directions gracefully (base dialect).
    RemoteClosed,
    /// The remote did not answer a dial in time.
    DialTimeout,
    /// The application did not answer the remote's dial in time.
    AcceptTimeout,
    /// The remote did not finish in the time that lingering allows.
    LingerTimeout,
    /// The remote no longer lists the connection.
    NotListed,
    /// The remote ignored flow control (base dialect).
    Overrun,
    /// The remote goes away and did not take this dial.
    GoingAway,
    /// The session ended.
    SessionEnded,
}

impl Cause {
    /// Every cause, in the order of declaration.
    pub const ALL: [Self; 15] = [
        Self::Finished,
        Self::Dropped,
        Self::Aborted,
        Self::Vanished,
        Self::Stopped,
        Self::Refused,
        Self::RemoteReset,
        Self::RemoteClosed,
        Self::DialTimeout,
        Self::AcceptTimeout,
        Self::LingerTimeout,
        Self::NotListed,
        Self::Overrun,
        Self::GoingAway,
        Self::SessionEnded,
    ];

    /// Why a connection ends that the application resets.
    pub(crate) fn of_reset(code: ResetCode) -> Self {
        if code == ResetCode::VANISHED { Self::Vanished } else { Self::Aborted }
    }

    /// A short name in snake case, as metrics and logs show it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Dropped => "dropped",
            Self::Aborted => "aborted",
            Self::Vanished => "vanished",
            Self::Stopped => "stopped",
            Self::Refused => "refused",
            Self::RemoteReset => "remote_reset",
            Self::RemoteClosed => "remote_closed",
            Self::DialTimeout => "dial_timeout",
            Self::AcceptTimeout => "accept_timeout",
            Self::LingerTimeout => "linger_timeout",
            Self::NotListed => "not_listed",
            Self::Overrun => "overrun",
            Self::GoingAway => "going_away",
            Self::SessionEnded => "session_ended",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Connections removed, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Removed([u64; Cause::ALL.len()]);

impl Removed {
    /// Connections removed for `cause`.
    #[must_use]
    pub fn by(&self, cause: Cause) -> u64 {
        self.iter().find_map(|(of, count)| (of == cause).then_some(count)).unwrap_or(0)
    }

    /// Connections removed for any cause.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Every cause with its count, zero counts included.
    pub fn iter(&self) -> impl Iterator<Item = (Cause, u64)> + '_ {
        Cause::ALL.into_iter().zip(self.0)
    }

    pub(crate) fn count(&mut self, cause: Cause) {
        for (of, count) in Cause::ALL.into_iter().zip(&mut self.0) {
            *count += u64::from(of == cause);
        }
    }

    fn absorb(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count += more;
        }
    }
}

/// The ledger of one session, or the sum of several: connections added, removed by cause, and held.
///
/// `added − removed = live` holds at every moment. Once a session has ended and the application
/// has dropped its handles, nothing is held: see [`Ledger::is_settled`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Ledger {
    /// Connections ever added, by either end's dial.
    pub added: u64,
    /// Connections removed, by cause.
    pub removed: Removed,
    /// Connections in the table now.
    pub live: u64,
    /// Of the live ones, pending outbound dials.
    pub outbound_dials: u64,
    /// Of the live ones, pending inbound dials.
    pub inbound_dials: u64,
    /// Bytes accepted from the application that the transport has not taken yet.
    pub bytes_to_send: u64,
    /// Bytes received that the application has not read yet.
    pub bytes_received: u64,
    /// Control messages that the transport has not taken yet.
    pub queued_control: u64,
    /// Timers that are armed.
    pub armed_timers: u64,
}

impl Ledger {
    /// Whether the ledger balances and nothing is held: every connection ever added was removed, no
    /// byte is buffered, no message queued, no timer armed.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.is_quiet() && self.queued_control == 0 && self.armed_timers == 0
    }

    /// Whether every connection ever added was removed and no byte is buffered. A live session
    /// still has its keepalive armed and may have a ping queued.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.added == self.removed.total()
            && self.live == 0
            && self.outbound_dials == 0
            && self.inbound_dials == 0
            && self.bytes_to_send == 0
            && self.bytes_received == 0
    }

    /// Adds the ledger of another session.
    pub fn absorb(&mut self, other: &Self) {
        self.added += other.added;
        self.removed.absorb(&other.removed);
        self.live += other.live;
        self.outbound_dials += other.outbound_dials;
        self.inbound_dials += other.inbound_dials;
        self.bytes_to_send += other.bytes_to_send;
        self.bytes_received += other.bytes_received;
        self.queued_control += other.queued_control;
        self.armed_timers += other.armed_timers;
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "added {} removed {} live {} bytes to send {} received {} control {} timers {}",
            self.added,
            self.removed.total(),
            self.live,
            self.bytes_to_send,
            self.bytes_received,
            self.queued_control,
            self.armed_timers,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled() -> Ledger {
        let mut removed = Removed::default();
        removed.count(Cause::Finished);
        removed.count(Cause::Dropped);
        removed.count(Cause::Dropped);
        Ledger {
            added: 10,
            removed,
            live: 7,
            outbound_dials: 2,
            inbound_dials: 3,
            bytes_to_send: 4,
            bytes_received: 5,
            queued_control: 6,
            armed_timers: 8,
        }
    }

    #[test]
    fn removals_are_counted_by_cause() {
        let removed = filled().removed;
        assert_eq!(removed.by(Cause::Finished), 1);
        assert_eq!(removed.by(Cause::Dropped), 2);
        assert_eq!(removed.by(Cause::SessionEnded), 0);
        assert_eq!(removed.total(), 3);
    }

    #[test]
    fn books_add_up_field_by_field() {
        let mut sum = filled();
        sum.absorb(&filled());
        let mut removed = filled().removed;
        removed.absorb(&filled().removed);
        assert_eq!((removed.by(Cause::Finished), removed.by(Cause::Dropped)), (2, 4));
        let expected = Ledger {
            added: 20,
            removed,
            live: 14,
            outbound_dials: 4,
            inbound_dials: 6,
            bytes_to_send: 8,
            bytes_received: 10,
            queued_control: 12,
            armed_timers: 16,
        };
        assert_eq!(sum, expected);
    }

    #[test]
    fn books_are_quiet_or_even_only_if_nothing_at_all_is_held() {
        let even = Ledger { added: 3, removed: filled().removed, ..Ledger::default() };
        assert!(even.is_quiet() && even.is_settled());
        // A live session has these.
        for alive in [Ledger { queued_control: 1, ..even }, Ledger { armed_timers: 1, ..even }] {
            assert!(alive.is_quiet() && !alive.is_settled(), "{alive}");
        }
        let held = [
            Ledger { added: 4, ..even },
            Ledger { live: 1, ..even },
            Ledger { outbound_dials: 1, ..even },
            Ledger { inbound_dials: 1, ..even },
            Ledger { bytes_to_send: 1, ..even },
            Ledger { bytes_received: 1, ..even },
        ];
        for held in held {
            assert!(!held.is_quiet() && !held.is_settled(), "{held}");
        }
    }
}
