use std::collections::BTreeMap;

use watertight_core::{ConnectionEnd, ConnectionId, Event, Instant};

/// What an application knows of one connection. It tries again what was blocked only when it is
/// told to: an event that does not come is a hang.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handle {
    /// We dialled, and must have an answer by then.
    pub(crate) deadline: Option<Instant>,
    /// The remote dialled, and waits for our answer.
    pub(crate) unanswered: bool,
    pub(crate) opened: bool,
    pub(crate) wrote: usize,
    pub(crate) read: usize,
    pub(crate) finished: bool,
    /// We reset it, or refused it: what we had not read is thrown away.
    pub(crate) aborted: bool,
    pub(crate) released: bool,
    pub(crate) write_blocked: bool,
    pub(crate) read_blocked: bool,
    pub(crate) end_of_file: bool,
    pub(crate) retired: Option<ConnectionEnd>,
}

/// An application at one end.
#[derive(Clone, Debug, Default)]
pub(crate) struct App {
    pub(crate) handles: BTreeMap<ConnectionId, Handle>,
    seen: usize,
}

impl App {
    /// Those that the application holds, oldest first.
    pub(crate) fn held(&self) -> Vec<ConnectionId> {
        let held =
            |handle: &Handle| !handle.released && !handle.aborted && handle.retired.is_none();
        self.handles.iter().filter(|(_, handle)| held(handle)).map(|(id, _)| *id).collect()
    }

    pub(crate) fn pick(&self, which: u8) -> Option<ConnectionId> {
        let held = self.held();
        let place = usize::from(which).checked_rem(held.len())?;
        held.get(place).copied()
    }

    pub(crate) fn handle(&mut self, id: ConnectionId) -> &mut Handle {
        self.handles.get_mut(&id).unwrap()
    }

    /// Takes in the events that are new in the list of all.
    pub(crate) fn notice(&mut self, events: &[Event]) {
        for event in &events[self.seen..] {
            self.on_event(event);
        }
        self.seen = events.len();
    }

    fn on_event(&mut self, event: &Event) {
        match event {
            Event::Incoming { id, .. } => {
                let before =
                    self.handles.insert(*id, Handle { unanswered: true, ..Handle::default() });
                assert!(before.is_none(), "{id} comes in twice");
            }
            Event::Opened(id) => {
                let handle = self.handles.entry(*id).or_default();
                assert!(!handle.opened && !handle.unanswered, "{id} opened twice");
                handle.opened = true;
            }
            Event::Readable(id) => self.handle(*id).read_blocked = false,
            Event::Writable(id) => self.handle(*id).write_blocked = false,
            Event::Ended(id) => self.handle(*id).read_blocked = false,
            Event::Retired { id, end } => {
                self.handles.entry(*id).or_default().retired = Some(end.clone());
            }
            _ => {}
        }
    }
}
