//! A transport connection between an agent and its server.

use watertight_core::Instant;

use super::endpoint::Endpoint;
use super::pipe::Pipe;
use super::tunnel::End;

/// A transport connection.
pub(super) struct Link<E> {
    pub(super) number: u32,
    pub(super) agent: usize,
    pub(super) seats: [Seated<E>; 2],
    /// Each carries what the end of the same place sends.
    pub(super) pipes: [Pipe; 2],
    /// Whether something was done to it, or to the path below, that may end its sessions.
    pub(super) shaken: bool,
    /// When something happens here next, as it was when it was looked at last.
    pub(super) next: Option<Instant>,
    /// Whether something happened here since.
    pub(super) due: bool,
}

impl<E: End> Link<E> {
    /// Whether somebody has something to look at.
    pub(super) fn is_touched(&self) -> bool {
        self.seats.iter().filter_map(Seated::view).any(|end| end.touched)
    }

    /// When an end does something by itself next.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let [agent, server] = &self.seats;
        let own = |seat: &Seated<E>| {
            let (timeout, farewell) =
                seat.view().map_or((None, None), |end| (end.timeout, end.farewell_until));
            earlier(timeout, farewell)
        };
        earlier(own(agent), own(server))
    }

    /// When something arrives that somebody takes in.
    pub(super) fn next_arrival(&self, held: bool) -> Option<Instant> {
        let [up, down] = &self.pipes;
        let [agent, server] = &self.seats;
        let arrival = |pipe: &Pipe, receiver: &Seated<E>| {
            let reads = receiver.view().is_none_or(Endpoint::reads);
            if reads { pipe.next(held) } else { None }
        };
        earlier(arrival(up, server), arrival(down, agent))
    }
}

/// The earlier one, where there is one.
pub(super) fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

/// Who sits at an end of a link.
pub(super) enum Seated<E> {
    /// Nobody yet: the handshake is not done.
    Before,
    There(Endpoint<E>),
    Gone,
}

impl<E> Seated<E> {
    pub(super) const fn there(&mut self) -> Option<&mut Endpoint<E>> {
        match self {
            Self::There(end) => Some(end),
            Self::Before | Self::Gone => None,
        }
    }

    pub(super) const fn view(&self) -> Option<&Endpoint<E>> {
        match self {
            Self::There(end) => Some(end),
            Self::Before | Self::Gone => None,
        }
    }
}
