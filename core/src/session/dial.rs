//! Dials: of the application, and of the remote.

use alloc::string::{String, ToString};
use core::time::Duration;

use super::input::Handled;
use super::outbox::Control;
use super::{Event, InvalidState, OpenError, ProtocolViolation, Session, base};
use crate::connection::{Command, Connection, Early, Flow, Phase, RemoteSignal};
use crate::time::{Deadline, Timer};
use crate::wire::{Body, Dialect, InvalidMessage, ResetCode};
use crate::{ConnectionId, Instant};

impl Session {
    /// Dials `target` on the remote's side. [`Event::Opened`] or [`Event::Retired`] answers within
    /// `within`, by default within the configured time.
    ///
    /// The base dialect has no answer: there the connection counts as opened at once, and a dial
    /// that fails ends it.
    ///
    /// # Errors
    /// Nothing was sent: see [`OpenError`].
    pub fn open(
        &mut self,
        now: Instant,
        target: &str,
        within: Option<Duration>,
    ) -> Result<ConnectionId, OpenError> {
        let now = self.common.at(now);
        self.check_dial(target)?;
        self.make_space();
        self.check_capacity()?;
        let within = within.unwrap_or(self.common.config.timing.dial);
        let id = self.common.ids.allocate();
        let (phase, deadline) = match self.common.dialect {
            Dialect::Base => (Phase::OPEN, None),
            Dialect::Extended => {
                let deadline = Deadline { at: now + within, timer: Timer::Dial(id) };
                (Phase::PendingOutbound, Some(deadline))
            }
        };
        let connection = Connection::new(phase, self.new_flow(), false, deadline);
        self.connections.insert(id, connection, target);
        if phase == Phase::OPEN {
            self.common.events.push_back(Event::Opened(id));
        }
        let within_millis = i64::try_from(within.as_millis()).unwrap_or(i64::MAX);
        let connect = Control::Connect { id, target: target.to_string(), within_millis };
        self.common.outbox.push(now, connect);
        Ok(id)
    }

    /// Whether a dial would be sent if there is space for the connection.
    fn check_dial(&self, target: &str) -> Result<(), OpenError> {
        let limits = &self.common.config.limits;
        let pending = self.connections.totals().outbound;
        if self.common.ended.is_some() {
            Err(OpenError::Closed)
        } else if self.common.is_going_away() {
            Err(OpenError::GoingAway)
        } else if let Err(error) = self.check_target(target) {
            Err(error)
        } else if pending >= limits.max_dials {
            Err(OpenError::TooManyDials(pending))
        } else if let Some(pending) =
            self.connections.shared().outbound.excess(target, limits.max_dials)
        {
            Err(OpenError::TooManyDialsOfTarget(pending))
        } else if self.common.outbox.queued_answers() >= limits.max_queued_control / 2 {
            Err(OpenError::Congested)
        } else {
            Ok(())
        }
    }

    fn check_target(&self, target: &str) -> Result<(), OpenError> {
        let limit = self.common.config.limits.max_target;
        let limit = match self.common.dialect {
            Dialect::Base => base::check_target(target, limit)?,
            Dialect::Extended => limit,
        };
        if target.len() > limit {
            return Err(OpenError::TargetTooLong { length: target.len(), limit });
        }
        Ok(())
    }

    fn check_capacity(&self) -> Result<(), OpenError> {
        let remote = self.common.remote.map_or(u64::MAX, |settings| settings.max_connections);
        let (own, connections) =
            (self.common.config.limits.max_connections, self.connections.len());
        if connections >= own || connections as u64 >= remote {
            return Err(OpenError::TooManyConnections(connections));
        }
        Ok(())
    }

    fn new_flow(&self) -> Flow {
        let Self { common, .. } = self;
        Flow::new(common.dialect, &common.config.limits, common.remote.as_ref())
    }

    /// Answers a dial of the remote: it succeeded.
    ///
    /// # Errors
    /// The dial has ended, by its deadline or by the remote; undo it.
    pub fn accept(&mut self, now: Instant, id: ConnectionId) -> Result<(), InvalidState> {
        self.command(now, id, |row| {
            row.on_command(Command::Accept, "")?;
            if row.session.dialect == Dialect::Extended {
                let body = Body::Opened;
                row.session.outbox.push(row.session.now, Control::Connection { id, body });
            }
            // The application may have tried to write before it answered.
            row.review_writer();
            Ok(())
        })
    }

    /// Answers a dial of the remote: it failed, or is not allowed.
    ///
    /// # Errors
    /// The dial has ended already.
    pub fn refuse(
        &mut self,
        now: Instant,
        id: ConnectionId,
        code: ResetCode,
        text: &str,
    ) -> Result<(), InvalidState> {
        self.command(now, id, |row| row.on_command(Command::Refuse(code), text))
    }

    /// The remote dials.
    pub(super) fn on_connect(
        &mut self,
        id: ConnectionId,
        target: String,
        deadline: i64,
    ) -> Handled {
        self.use_id(id)?;
        if let Some((code, text)) = self.reason_to_refuse(&target) {
            self.send_refusal(id, code, text);
            return Ok(());
        }
        let within = self.accept_time(deadline);
        let deadline = Deadline { at: self.common.now + within, timer: Timer::Accept(id) };
        let phase = Phase::PendingInbound(Early::Open);
        let connection = Connection::new(phase, self.new_flow(), true, Some(deadline));
        self.connections.insert(id, connection, &target);
        self.common.events.push_back(Event::Incoming { id, target, within });
        Ok(())
    }

    /// The remote dials something that is no target.
    pub(super) fn on_bad_target(&mut self, id: ConnectionId, error: &InvalidMessage) -> Handled {
        self.use_id(id)?;
        self.send_refusal(id, ResetCode::DIAL_REFUSED, &error.to_string());
        Ok(())
    }

    fn use_id(&mut self, id: ConnectionId) -> Handled {
        let ids = &mut self.common.ids;
        if !ids.is_remote(id) {
            return Err(ProtocolViolation::ForeignId(id));
        }
        if ids.was_used(id) {
            return Err(ProtocolViolation::ReusedId(id));
        }
        ids.use_remote(id);
        Ok(())
    }

    /// Space is made only for a dial that is not refused otherwise.
    fn reason_to_refuse(&mut self, target: &str) -> Option<(ResetCode, &'static str)> {
        let limits = &self.common.config.limits;
        if self.common.draining {
            return Some((ResetCode::GOING_AWAY, "this end takes no new connections"));
        }
        if self.connections.totals().inbound >= limits.max_dials {
            return Some((ResetCode::LIMIT, "too many dials in flight"));
        }
        if self.connections.shared().inbound.excess(target, limits.max_dials).is_some() {
            return Some((ResetCode::LIMIT, "too many dials of this target in flight"));
        }
        self.make_space();
        let full = self.connections.len() >= self.common.config.limits.max_connections;
        full.then_some((ResetCode::LIMIT, "too many connections"))
    }

    /// Refuses a dial that never becomes a row.
    fn send_refusal(&mut self, id: ConnectionId, code: ResetCode, text: &str) {
        let body = match self.common.dialect {
            Dialect::Base => base::error(code, text),
            Dialect::Extended => Body::Reset { code, text: text.into() },
        };
        self.common.outbox.push(self.common.now, Control::Connection { id, body });
    }

    /// How long the application has to answer: a watertight opener states in its Connect how long
    /// it waits.
    fn accept_time(&self, deadline: i64) -> Duration {
        let own = self.common.config.timing.accept;
        match u64::try_from(deadline) {
            Ok(millis) if self.common.dialect == Dialect::Extended && millis > 0 => {
                own.min(Duration::from_millis(millis))
            }
            _ => own,
        }
    }

    /// The remote answers a dial of this end.
    pub(super) fn on_opened(&mut self, id: ConnectionId) -> Handled {
        self.known(id, |row| {
            // The table lets it pass once: for a pending dial.
            row.on_remote(RemoteSignal::Opened)?;
            row.session.events.push_back(Event::Opened(id));
            row.review_writer();
            Ok(())
        })
    }
}
