//! Control messages that wait for the transport: some in order, some computed when they are sent.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::string::String;

use super::schedule::shrink_if_empty;
use crate::wire::{Body, ClientRoute, Settings};
use crate::{ConnectionId, Instant};

/// A control message that keeps its position in the queue.
#[derive(Debug)]
#[cfg_attr(feature = "testkit", derive(Clone, PartialEq, Eq, Hash))]
pub(super) enum Control {
    Settings(Settings),
    /// Taken back if the connection is gone before it is sent.
    Connect {
        id: ConnectionId,
        target: String,
        within_millis: i64,
    },
    /// An answer or an end: Opened, Reset, Error, or a Resume ahead of one.
    Connection {
        id: ConnectionId,
        body: Body,
    },
    GoingAway(Body),
}

/// The queues toward the transport.
#[derive(Debug, Default)]
#[cfg_attr(feature = "testkit", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Outbox {
    control: VecDeque<Control>,
    /// Routes to announce. A route that is removed before it was announced is in neither set, so
    /// they hold no more than there are routes, and routes that the remote knows.
    new_routes: BTreeSet<ClientRoute>,
    /// Routes to take back.
    gone_routes: BTreeSet<ClientRoute>,
    /// Ids answered with "connection not found" (base dialect), each queued once.
    not_found: BTreeSet<ConnectionId>,
    pub(super) ping: bool,
    /// The bytes of the latest Ping: of many, the latest is answered.
    pub(super) pong: Option<[u8; 8]>,
    pub(super) list: bool,
    /// When the transport last took a message, or something was queued while nothing was.
    since: Instant,
}

impl Outbox {
    pub(super) fn push(&mut self, now: Instant, control: Control) {
        self.touch(now);
        self.control.push_back(control);
    }

    pub(super) fn push_route(&mut self, now: Instant, route: ClientRoute, reachable: bool) {
        self.touch(now);
        let (to, from) = if reachable {
            (&mut self.new_routes, &mut self.gone_routes)
        } else {
            (&mut self.gone_routes, &mut self.new_routes)
        };
        if !from.remove(&route) {
            to.insert(route);
        }
    }

    pub(super) fn push_not_found(&mut self, now: Instant, id: ConnectionId) {
        self.touch(now);
        self.not_found.insert(id);
    }

    pub(super) fn set_ping(&mut self, now: Instant) {
        self.touch(now);
        self.ping = true;
    }

    pub(super) fn set_pong(&mut self, now: Instant, opaque: [u8; 8]) {
        self.touch(now);
        self.pong = Some(opaque);
    }

    pub(super) fn set_list(&mut self, now: Instant) {
        self.touch(now);
        self.list = true;
    }

    pub(super) fn pop_control(&mut self) -> Option<Control> {
        self.control.pop_front()
    }

    /// New routes come first, so that the remote sees no gap where one replaces another.
    pub(super) fn pop_route(&mut self) -> Option<(ClientRoute, bool)> {
        let new = self.new_routes.pop_first().map(|route| (route, true));
        new.or_else(|| self.gone_routes.pop_first().map(|route| (route, false)))
    }

    pub(super) fn pop_not_found(&mut self) -> Option<ConnectionId> {
        self.not_found.pop_first()
    }

    /// Takes back the Connect of a connection that is gone before it was sent.
    pub(super) fn forget_connect(&mut self, id: ConnectionId) {
        let connect =
            |control: &Control| matches!(control, Control::Connect { id: of, .. } if *of == id);
        if let Some(place) = self.control.iter().rposition(connect) {
            self.control.remove(place);
        }
        if self.is_empty() {
            self.since = Instant::EPOCH;
        }
    }

    /// The connections that end with a Resume which has not left yet (base dialect).
    pub(super) fn queued_resumes(&self) -> impl Iterator<Item = ConnectionId> {
        self.control.iter().filter_map(|control| match control {
            Control::Connection { id, body: Body::Resume } => Some(*id),
            _ => None,
        })
    }

    /// Control messages queued.
    pub(super) fn queued_control(&self) -> usize {
        self.queued_answers() + self.new_routes.len() + self.gone_routes.len()
    }

    /// Messages that the remote can cause: all but the announcements.
    pub(super) fn queued_answers(&self) -> usize {
        self.control.len()
            + self.not_found.len()
            + usize::from(self.ping)
            + usize::from(self.pong.is_some())
            + usize::from(self.list)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queued_control() == 0
    }

    /// A message is about to be queued.
    fn touch(&mut self, now: Instant) {
        if self.is_empty() {
            self.since = now;
        }
    }

    /// The transport took a message, or found none.
    pub(super) fn progressed(&mut self, now: Instant) {
        // No time is kept while nothing waits: equal states are equal.
        self.since = if self.is_empty() { Instant::EPOCH } else { now };
        shrink_if_empty(&mut self.control);
    }

    /// The transport's own queue has moved.
    pub(super) fn moved(&mut self, at: Instant) {
        if !self.is_empty() {
            self.since = self.since.max(at);
        }
    }

    /// Since when a message waits and none was taken. A queued message may have been taken back.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        (!self.is_empty()).then_some(self.since)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes")]
    fn a_burst_leaves_no_capacity_behind() {
        let mut outbox = Outbox::default();
        for number in 0..10_000 {
            let id = ConnectionId::from_wire(number);
            outbox.push(Instant::EPOCH, Control::Connection { id, body: Body::Opened });
        }
        while outbox.pop_control().is_some() {
            outbox.progressed(Instant::EPOCH);
        }
        assert_eq!(outbox.control.capacity(), 0);
    }

    #[test]
    fn what_is_taken_back_is_not_waited_for() {
        let (mut outbox, id) = (Outbox::default(), ConnectionId::from_wire(1));
        let at = |seconds| Instant::from_epoch(core::time::Duration::from_secs(seconds));
        outbox.push(at(1), Control::Connect { id, target: String::new(), within_millis: 0 });
        assert_eq!(outbox.waiting_since(), Some(at(1)));
        outbox.forget_connect(id);
        assert_eq!(outbox.waiting_since(), None);
        outbox.set_ping(at(5));
        outbox.set_list(at(6));
        assert_eq!(outbox.waiting_since(), Some(at(5)));
    }

    #[test]
    fn answers_are_counted_among_the_control_messages() {
        let mut outbox = Outbox::default();
        for number in 1..=3 {
            let id = ConnectionId::from_wire(number);
            outbox.push(Instant::EPOCH, Control::Connection { id, body: Body::Opened });
        }
        assert_eq!((outbox.queued_answers(), outbox.queued_control()), (3, 3));
    }
}
