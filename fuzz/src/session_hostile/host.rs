//! The application and the transport around a session, and what both have received.

use std::fmt::Display;
use std::time::Duration;

use watertight_core::{
    ConnectionId, Event, Instant, Limits, Role, Session, SessionConfig, SessionEnd,
};

use super::monitor::Monitor;
use super::scenario::Scenario;
use super::traffic::Traffic;
use crate::heap::Heap;

/// Steps concern this number of the newest connections.
pub(super) const NEWEST: u8 = 8;

/// A connection that the application has heard of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) id: ConnectionId,
    /// The remote dialled it, or has answered the application's dial.
    pub(super) opened: bool,
    pub(super) retired: bool,
    /// Bytes sent, bytes that may be sent, and bytes that the remote may send, since the beginning.
    pub(super) totals: (u64, u64, u64),
    /// Bytes that the application has read.
    pub(super) read: u64,
}

impl Known {
    pub(super) const fn new(id: ConnectionId, opened: bool) -> Self {
        Self { id, opened, retired: false, totals: (0, 0, 0), read: 0 }
    }
}

/// A session and its surroundings.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) session: Session,
    pub(super) config: SessionConfig,
    pub(super) heap: Heap,
    pub(super) traffic: Traffic,
    pub(super) monitor: Monitor,
    /// The clock, which may go back.
    pub(super) now: Instant,
    /// The newest time that the session received.
    pub(super) newest: Instant,
    pub(super) known: Vec<Known>,
    pub(super) retired: u64,
    pub(super) closed: bool,
    /// The most control messages that have waited at a time.
    pub(super) queued: u64,
    pub(super) checks: u64,
}

impl Host {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let now = Instant::from_epoch(Duration::from_secs(1));
        let config = scenario.size.config();
        let given = config.clone();
        let mut heap = Heap::default();
        let monitor = Monitor::new(scenario.role, scenario.dialect, config.limits.max_data);
        let session = heap.count(|| Session::new(now, scenario.role, scenario.dialect, given));
        Self {
            session,
            config,
            heap,
            traffic: Traffic::default(),
            monitor,
            now,
            newest: now,
            known: Vec::new(),
            retired: 0,
            closed: false,
            queued: 0,
            checks: 0,
        }
    }

    pub(super) const fn limits(&self) -> &Limits {
        &self.config.limits
    }

    pub(super) fn is_connector(&self) -> bool {
        self.session.role() == Role::Connector
    }

    /// One of the connections there have been, the newest one first.
    pub(super) fn pick(&self, which: u8) -> Option<Known> {
        self.known.iter().rev().nth(usize::from(which % NEWEST)).copied()
    }

    /// Calls the session and polls its events. The result of the call holds nothing of the heap.
    pub(super) fn call<T>(&mut self, call: impl FnOnce(&mut Session, Instant) -> T) -> T {
        let (session, now) = (&mut self.session, self.now);
        self.newest = self.newest.max(now);
        let result = self.heap.count(|| call(session, now));
        self.hear_events();
        result
    }

    /// Does what the application wants, if the session can, and returns whether it could.
    pub(super) fn attempt<E: Display>(
        &mut self,
        command: impl FnOnce(&mut Session, Instant) -> Result<(), E>,
    ) -> bool {
        self.call(|session, now| outcome(command(session, now)).is_some())
    }

    fn hear_events(&mut self) {
        let most = events(self.limits());
        let mut count = 0;
        while let Some(event) = self.heap.count(|| self.session.poll_event()) {
            self.on_event(&event);
            self.heap.count(|| drop(event));
            count += 1;
            assert!(count <= most, "more than {most} events");
        }
    }

    /// The totals of a connection only grow; a step changes one of the newest.
    pub(super) fn check_totals(&mut self) {
        for known in self.known.iter_mut().rev().take(NEWEST.into()).filter(|known| !known.retired)
        {
            let Some(totals) = self.session.credit(known.id) else { continue };
            let (sent, limit, granted) = known.totals;
            let grows = totals.0 >= sent && totals.1 >= limit && totals.2 >= granted;
            assert!(grows, "{}: {totals:?} after {:?}", known.id, known.totals);
            known.totals = totals;
        }
    }

    /// The application has read so many bytes of a connection.
    pub(super) fn has_read(&mut self, id: ConnectionId, bytes: usize) {
        if let Some(known) = self.known.iter_mut().rev().find(|known| known.id == id) {
            known.read += bytes as u64;
        }
    }

    /// Bytes that the remote may send before the application reads more.
    pub(super) fn windows(&self) -> u64 {
        let live = self.known.iter().filter(|known| !known.retired);
        let window = |known: &Known| Some(self.session.credit(known.id)?.2 - known.read);
        live.filter_map(window).sum()
    }

    fn on_event(&mut self, event: &Event) {
        match event {
            Event::Incoming { id, .. } => {
                assert!(self.find(*id).is_none(), "{id} came in twice");
                self.known.push(Known::new(*id, true));
            }
            Event::Opened(id) => {
                let before = std::mem::replace(&mut self.alive(*id, event).opened, true);
                assert!(!before, "{id} opened twice");
            }
            Event::Readable(id) | Event::Writable(id) | Event::Ended(id) => {
                self.alive(*id, event);
            }
            Event::Retired { id, end } => {
                self.alive(*id, event).retired = true;
                self.retired += 1;
                explained(end);
            }
            Event::GoingAway { text, .. } => printable(text),
            Event::Closed(end) => self.on_closed(end),
            _ => {}
        }
    }

    fn on_closed(&mut self, end: &SessionEnd) {
        assert!(!self.closed, "closed twice");
        self.closed = true;
        explained(end);
    }

    /// A connection of which events may come.
    fn alive(&mut self, id: ConnectionId, event: &Event) -> &mut Known {
        let known = self.known.iter_mut().rev().find(|known| known.id == id && !known.retired);
        known.unwrap_or_else(|| panic!("{event:?}, and there is no such connection"))
    }

    pub(super) fn find(&self, id: ConnectionId) -> Option<&Known> {
        self.known.iter().rev().find(|known| known.id == id)
    }

    /// The application dials; events from before it knew the id follow.
    pub(super) fn open(&mut self, target: &str, within: Option<Duration>) {
        let (session, now) = (&mut self.session, self.now);
        self.newest = self.newest.max(now);
        let opened = self.heap.count(|| outcome(session.open(now, target, within)));
        if let Some(id) = opened {
            assert!(self.find(id).is_none(), "{id} was allotted twice");
            self.known.push(Known::new(id, false));
        }
        self.call(|_, _| ());
    }
}

/// Bytes of a text that is logged: the most that is kept of the remote's text, and the own text around it.
const WORDS: usize = 1500;

/// Events of one input: it may end every connection, whose reader and writer both wait.
fn events(limits: &Limits) -> usize {
    4 * limits.max_connections + 4
}

/// What came of a command; an operator understands why nothing did.
pub(super) fn outcome<T, E: Display>(result: Result<T, E>) -> Option<T> {
    result.map_err(|error| explained(&error)).ok()
}

/// An error has words, and they can be logged.
pub(super) fn explained(error: &impl Display) {
    let text = error.to_string();
    assert!(!text.is_empty(), "an error has no words");
    printable(&text);
}

pub(super) fn printable(text: &str) {
    assert!(!text.contains(char::is_control), "{text:?} cannot be logged");
    assert!(text.len() <= WORDS, "{} bytes of text: {text}", text.len());
}
