//! What stands around the session: its application and its transport, and what both have seen.

use std::fmt::Display;
use std::time::Duration;

use watertight_core::{
    ConnectionId, Event, Instant, Limits, Role, Session, SessionConfig, SessionEnd,
};

use super::bounds;
use super::known::{Known, NEWEST};
use super::monitor::Monitor;
use super::outcome::{explained, outcome, printable};
use super::scenario::Scenario;
use super::traffic::Traffic;
use crate::heap::Heap;

/// Bytes of a session that are many where there is little memory.
const FEW: u64 = 100;

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
    /// The newest time that the session was told.
    pub(super) newest: Instant,
    pub(super) known: Vec<Known>,
    pub(super) retired: u64,
    pub(super) closed: bool,
    /// The most control messages that have waited at a time.
    pub(super) queued: u64,
    checks: u64,
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

    /// Calls the session and hears what it has to say about it. What the call returns holds nothing of the
    /// heap.
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
        let most = bounds::events(self.limits());
        let mut count = 0;
        while let Some(event) = self.heap.count(|| self.session.poll_event()) {
            self.on_event(&event);
            self.heap.count(|| drop(event));
            count += 1;
            assert!(count <= most, "more than {most} events");
        }
    }

    /// What holds at any time. To count everything takes as long as the table, so a long one is counted
    /// less often.
    pub(super) fn check(&mut self) {
        let ledger = self.session.ledger();
        self.queued = self.queued.max(ledger.queued_control);
        self.checks += 1;
        if self.checks.is_multiple_of(1 + ledger.live / 8) {
            bounds::count(&self.session, &ledger);
            bounds::windows(self, &ledger);
        }
        self.check_totals();
        bounds::check(self, &ledger);
        assert_eq!(self.session.most_unread().is_some(), ledger.bytes_received > 0);
        // An adapter finds its memory short by what its sessions hold.
        let is_short = ledger.bytes_received + ledger.bytes_to_send > FEW;
        self.session.set_short_of_memory(self.newest, is_short);
    }

    /// What a connection has sent and may send only grows; one of the newest is the one that was changed.
    fn check_totals(&mut self) {
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

    /// The application dials; what was said about it before it knew the id comes after.
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
