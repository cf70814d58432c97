//! The transitions of the search: every step that an application, the transport or time can take.

use std::fmt;

use watertight_core::ConnectionId;

use super::app::Handle;
use super::bounds::Bounds;
use super::end::End;
use super::side::Side;
use super::state::State;

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// The application at this end does something.
    Command(Side, Command),
    /// The transport takes a message of this end.
    Transmit(Side),
    /// A message arrives at this end.
    Deliver(Side),
    /// The transport ends, as this end sees it: what was on its way to it is lost, what it has
    /// sent may still arrive. A cut that loses everything at once is one at either end.
    Lose(Side),
    /// Time passes until the next deadline of either end.
    Wait,
    /// This end learns that its deadline has come.
    Expire(Side),
}

/// What an application does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Command {
    Open,
    Drain,
    Close,
    Connection(ConnectionId, Deed),
}

/// What it does with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Deed {
    Accept,
    Refuse,
    Write,
    Read,
    Finish,
    Reset,
    Release,
}

impl State {
    /// Everything that may happen next. Left out is what changes nothing by the session's own
    /// word: commands on connections that are gone, and messages for a session that has ended.
    ///
    /// What an application does after the end of its session nobody else can notice, and nothing
    /// else changes what it can do: so it goes first, which is one order for all of them.
    pub(super) fn actions(&self, bounds: &Bounds) -> Vec<Action> {
        let mut actions = Vec::with_capacity(16);
        for side in Side::BOTH {
            let end = self.end(side);
            if end.session.ended().is_some() && end.app.held().next().is_some() {
                self.commands(bounds, end, |command| actions.push(Action::Command(side, command)));
                return actions;
            }
        }
        for side in Side::BOTH {
            let end = self.end(side);
            self.commands(bounds, end, |command| actions.push(Action::Command(side, command)));
            self.transport(bounds, end, &mut actions);
        }
        self.time(bounds, &mut actions);
        actions
    }

    fn commands(&self, bounds: &Bounds, end: &End, mut add: impl FnMut(Command)) {
        if end.session.ended().is_none() {
            if self.dials < bounds.dials && !end.session.is_going_away() {
                add(Command::Open);
            }
            if bounds.endings && !end.app.drained {
                add(Command::Drain);
            }
            if bounds.endings {
                add(Command::Close);
            }
        }
        for (id, handle) in end.app.held() {
            deeds(bounds, end, id, handle, |deed| add(Command::Connection(id, deed)));
        }
    }

    fn transport(&self, bounds: &Bounds, end: &End, actions: &mut Vec<Action>) {
        if !end.joined {
            return;
        }
        let side = end.side;
        let room = self.pipe(side.other()).len() < bounds.in_flight;
        if room && end.session.has_transmit() {
            actions.push(Action::Transmit(side));
        }
        if !self.pipe(side).is_empty() {
            actions.push(Action::Deliver(side));
        }
        if bounds.endings || end.session.ended().is_some() {
            actions.push(Action::Lose(side));
        }
    }

    /// Time passes when nothing is due, so that no deadline is missed; what is due may be noticed
    /// before or after anything else that happens at that time.
    fn time(&self, bounds: &Bounds, actions: &mut Vec<Action>) {
        let mut due = false;
        for side in Side::BOTH {
            if self.is_due(side) {
                due = true;
                actions.push(Action::Expire(side));
            }
        }
        if !due && self.waits < bounds.waits && self.next_deadline().is_some() {
            actions.push(Action::Wait);
        }
    }
}

/// What may be done with a connection that the application has.
fn deeds(bounds: &Bounds, end: &End, id: ConnectionId, handle: &Handle, mut add: impl FnMut(Deed)) {
    if handle.unanswered {
        add(Deed::Accept);
        add(Deed::Refuse);
    }
    if !handle.finished && !handle.write_blocked && handle.wrote < bounds.bytes {
        add(Deed::Write);
    }
    if handle.opened && !handle.read_blocked && !handle.end_of_file {
        add(Deed::Read);
    }
    let cut = end.session.read_end(id) == Some(watertight_core::ReadEnd::CutOff);
    if handle.opened && !handle.finished && !cut {
        add(Deed::Finish);
    }
    add(Deed::Reset);
    add(Deed::Release);
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(side, Command::Open) => write!(f, "{side}: open"),
            Self::Command(side, Command::Drain) => write!(f, "{side}: drain"),
            Self::Command(side, Command::Close) => write!(f, "{side}: close"),
            Self::Command(side, Command::Connection(id, deed)) => {
                write!(f, "{side}: {} {id}", format!("{deed:?}").to_lowercase())
            }
            Self::Transmit(side) => write!(f, "{side}: transmit"),
            Self::Deliver(side) => write!(f, "{side}: deliver"),
            Self::Lose(side) => write!(f, "{side}: the transport ends"),
            Self::Wait => f.write_str("time passes"),
            Self::Expire(side) => write!(f, "{side}: a deadline"),
        }
    }
}
