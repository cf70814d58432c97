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
    /// Whether nothing arrives now and nobody has anything to look at.
    pub(super) fn is_at_rest(&self, now: Instant, held: bool) -> bool {
        let [agent, server] = &self.seats;
        let touched = |seat: &Seated<E>| seat.view().is_some_and(|end| end.touched);
        let arrives = self.next_arrival(held).is_some_and(|at| at <= now);
        !arrives && !touched(agent) && !touched(server)
    }

    /// When something happens here next.
    pub(super) fn next_moment(&self, held: bool) -> Option<Instant> {
        let [agent, server] = &self.seats;
        let own = |seat: &Seated<E>| {
            let (timeout, farewell) =
                seat.view().map_or((None, None), |end| (end.timeout, end.farewell_until));
            earlier(timeout, farewell)
        };
        earlier(self.next_arrival(held), earlier(own(agent), own(server)))
    }

    fn next_arrival(&self, held: bool) -> Option<Instant> {
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
