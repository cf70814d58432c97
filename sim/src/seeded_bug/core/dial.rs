//! Dials that are lost, cut or never answered.

use std::time::Duration;

use bytes::Bytes;
use watertight_core::session::{InvalidState, OpenError};
use watertight_core::wire::{GoAwayCode, ResetCode};
use watertight_core::{ConnectionId, Event, Instant, Transmit};

use super::broken::{broken, label, transmit_unless};
use crate::core_world::frame::{Label, kind};

/// Longer than any schedule.
const EVER: Duration = Duration::from_secs(1_000_000);

broken! {
    /// R13: "the authorizer refuses one Connect: the whole session and every other connection end".
    RefusalEndsAll {}

    fn refuse(
        &mut self,
        now: Instant,
        id: ConnectionId,
        code: ResetCode,
        text: &str,
    ) -> Result<(), InvalidState> {
        let refused = self.session.refuse(now, id, code, text);
        self.session.close(now, GoAwayCode::PROTOCOL_ERROR, text);
        refused
    }
}

broken! {
    /// R20: "a dial is cancelled between Connect and its return: the connection is orphaned on both
    /// ends".
    OrphanedDial { open: Vec<ConnectionId> }

    fn accept(&mut self, now: Instant, id: ConnectionId) -> Result<(), InvalidState> {
        self.open.push(id);
        self.session.accept(now, id)
    }

    fn poll_event(&mut self) -> Option<Event> {
        let event = self.session.poll_event()?;
        if let Event::Opened(id) = event {
            self.open.push(id);
        }
        Some(event)
    }

    fn release(&mut self, now: Instant, id: ConnectionId) {
        if self.open.contains(&id) {
            self.session.release(now, id);
        }
    }
}

broken! {
    /// R23: "a long host name, or a long client key in front of it: silently cut: another port is
    /// dialled".
    CutTarget {}

    fn open(
        &mut self,
        now: Instant,
        target: &str,
        within: Option<Duration>,
    ) -> Result<ConnectionId, OpenError> {
        self.session.open(now, target.get(..12).unwrap_or(target), within)
    }
}

broken! {
    /// K1: "the dial answer arrives after the dialler gave up: swallowed; nobody closes: three
    /// processes leak".
    GivenUpSilently { answered: Vec<i64> }

    fn handle_message(&mut self, now: Instant, message: Bytes) {
        let label = Label::of(&message);
        if matches!(label.kind, kind::OPENED | kind::CONNECT) {
            self.answered.push(label.connection);
        }
        self.session.handle_message(now, message);
    }

    fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        transmit_unless(&mut self.session, now, |transmit| {
            let label = label(transmit);
            label.kind == kind::RESET && !self.answered.contains(&label.connection)
        })
    }
}

broken! {
    /// K2: "the agent dies, or stalls while \"ready\", between dial and answer: pending dials grow
    /// without bound".
    DialWithoutDeadline {}

    fn open(
        &mut self,
        now: Instant,
        target: &str,
        _within: Option<Duration>,
    ) -> Result<ConnectionId, OpenError> {
        self.session.open(now, target, Some(EVER))
    }
}

broken! {
    /// N6: "4096 dials are in flight", all of one target that does not answer: every other one is
    /// refused. Here, no two dials are of the same target.
    NoShares { dials: u64 }

    fn open(
        &mut self,
        now: Instant,
        target: &str,
        within: Option<Duration>,
    ) -> Result<ConnectionId, OpenError> {
        self.dials += 1;
        self.session.open(now, &format!("{}/{target}", self.dials), within)
    }

    fn poll_event(&mut self) -> Option<Event> {
        let event = self.session.poll_event()?;
        Some(match event {
            Event::Incoming { id, target, within } => {
                let whole = target.split_once('/').map_or(&*target, |(_, target)| target).into();
                Event::Incoming { id, target: whole, within }
            }
            event => event,
        })
    }
}
