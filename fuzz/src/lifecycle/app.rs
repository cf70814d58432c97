//! What an application knows of its connections, from what it did and was told.

use watertight_core::{Cause, ConnectionId, Event, Instant};

/// What an application knows of one connection. It tries again what was blocked only when it is
/// told to: an event that does not come is a hang.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Handle {
    /// We dialled, and must have an answer by then.
    pub(super) deadline: Option<Instant>,
    /// The remote dialled, and waits for our answer.
    pub(super) unanswered: bool,
    pub(super) opened: bool,
    pub(super) wrote: u16,
    pub(super) read: u16,
    pub(super) finished: bool,
    /// We threw bytes away, or may have.
    pub(super) aborted: bool,
    pub(super) released: bool,
    pub(super) write_blocked: bool,
    pub(super) read_blocked: bool,
    pub(super) end_of_file: bool,
    pub(super) retired: Option<Retired>,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Retired {
    pub(super) cause: Cause,
    pub(super) complete: bool,
}

impl Handle {
    /// Whether the application still has it.
    pub(super) const fn is_held(&self) -> bool {
        !self.released && !self.aborted && self.retired.is_none()
    }

    /// Keeps what the remote's bytes are compared with: the rest makes no difference any more.
    fn retire(&mut self, retired: Retired) {
        assert!(self.retired.is_none(), "retired twice");
        self.retired = Some(retired);
        self.deadline = None;
        (self.unanswered, self.write_blocked, self.read_blocked) = (false, false, false);
    }
}

/// The connections of an application, by their ids: there are few.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct App {
    handles: Vec<(ConnectionId, Handle)>,
    /// The session has said that it is over.
    pub(super) closed: bool,
    pub(super) drained: bool,
}

impl App {
    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnectionId, &Handle)> {
        self.handles.iter().map(|(id, handle)| (*id, handle))
    }

    /// Those that the application has.
    pub(super) fn held(&self) -> impl Iterator<Item = (ConnectionId, &Handle)> {
        self.iter().filter(|(_, handle)| handle.is_held())
    }

    pub(super) fn get(&self, id: ConnectionId) -> Option<&Handle> {
        self.iter().find_map(|(of, handle)| (of == id).then_some(handle))
    }

    /// The handle of a connection that the application has heard of.
    pub(super) fn handle(&mut self, id: ConnectionId) -> &mut Handle {
        let handle = self.handles.iter_mut().find(|(of, _)| *of == id);
        let Some((_, handle)) = handle else { panic!("{id} is unknown to the application") };
        handle
    }

    pub(super) fn add(&mut self, id: ConnectionId, handle: Handle) {
        let place = self.handles.binary_search_by_key(&id, |(of, _)| *of);
        let Err(place) = place else { panic!("{id} comes in twice") };
        self.handles.insert(place, (id, handle));
    }

    pub(super) fn on_event(&mut self, event: Event) {
        match event {
            Event::Incoming { id, .. } => {
                self.add(id, Handle { unanswered: true, ..Handle::default() });
            }
            Event::Opened(id) => {
                let handle = self.live(id);
                assert!(!handle.opened && !handle.unanswered, "{id} opened twice");
                (handle.opened, handle.deadline) = (true, None);
            }
            Event::Readable(id) | Event::Ended(id) => self.live(id).read_blocked = false,
            Event::Writable(id) => self.live(id).write_blocked = false,
            Event::Retired { id, end } => {
                let retired = Retired { cause: end.cause, complete: end.complete };
                self.handle(id).retire(retired);
            }
            Event::Closed(_) => {
                assert!(!self.closed, "closed twice");
                self.closed = true;
            }
            _ => {}
        }
    }

    /// Nothing is said of a connection after its last event.
    fn live(&mut self, id: ConnectionId) -> &mut Handle {
        let handle = self.handle(id);
        assert!(handle.retired.is_none(), "{id}: an event after the last one");
        handle
    }
}
