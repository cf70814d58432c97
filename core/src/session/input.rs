//! Messages of the remote.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::connections::Row;
use super::{Event, ProtocolViolation, Session};
use crate::connection::{CloseReason, Flow, RemoteSignal};
use crate::time::Timer;
use crate::wire::{Body, Dialect, GoAwayCode, InvalidMessage, Message, ResetCode, Settings};
use crate::{ConnectionId, Instant};

pub(super) type Handled = Result<(), ProtocolViolation>;

impl Session {
    /// A message arrived: the payload of one binary WebSocket message, or one frame of a byte
    /// stream. Data keeps slices of it. A violation of the protocol ends the session, and
    /// [`Event::Closed`] names it.
    pub fn handle_message(&mut self, now: Instant, message: Bytes) {
        let now = self.common.at(now);
        if self.common.ended.is_some() {
            return;
        }
        self.common.keepalive.heard(now);
        let handled = match Message::decode(message, self.common.dialect, &self.decode_limits) {
            Ok(message) => self.on_message(message),
            Err(error) => self.on_invalid(error),
        };
        if let Err(fault) = handled.and_then(|()| self.check_answers()) {
            self.end(fault.into());
        }
    }

    fn on_message(&mut self, message: Message) -> Handled {
        let Message { connection: id, body, .. } = message;
        if self.awaits_settings() {
            return self.on_first(body);
        }
        let now = self.common.now;
        match body {
            Body::Data { payload, .. } => self.on_data(id, payload),
            Body::Connect { target, deadline } => self.on_connect(id, target, deadline),
            Body::AddClient(route) => self.on_route(Event::ClientAdded(route)),
            Body::RemoveClient(route) => self.on_route(Event::ClientRemoved(route)),
            Body::Error { .. } | Body::Pause | Body::Resume | Body::SyncConnections { .. } => {
                self.on_base_message(id, body)
            }
            Body::Settings(_) => Err(ProtocolViolation::SettingsTwice),
            Body::Opened => self.on_opened(id),
            Body::Finish => self.known(id, |row| row.on_remote(RemoteSignal::Finish)),
            Body::Reset { code, text } => self.on_reset(id, code, text),
            Body::Credit { bytes } => self.on_credit(id, bytes),
            Body::GoAway { last, code, text } => {
                self.on_go_away(last, code, text);
                Ok(())
            }
            Body::Ping { opaque } => {
                self.common.outbox.set_pong(now, opaque);
                Ok(())
            }
            Body::Pong { opaque } => {
                self.common.keepalive.pong(now, &opaque);
                Ok(())
            }
            Body::Sync { newest, ids } => {
                self.on_sync(newest, &ids);
                Ok(())
            }
            Body::Unknown { .. } => Ok(()),
        }
    }

    fn awaits_settings(&self) -> bool {
        self.common.remote.is_none() && self.common.dialect == Dialect::Extended
    }

    fn on_invalid(&mut self, error: InvalidMessage) -> Handled {
        match error.bad_target() {
            Some(_) if self.awaits_settings() => Err(ProtocolViolation::SettingsMissing),
            Some(id) => self.on_bad_target(id, &error),
            None => Err(error.into()),
        }
    }

    fn on_first(&mut self, body: Body) -> Handled {
        match body {
            Body::Settings(settings) => {
                self.on_settings(settings);
                Ok(())
            }
            // An end that closes at once has nothing to settle.
            Body::GoAway { last, code, text } if code != GoAwayCode::DRAIN => {
                self.on_go_away(last, code, text);
                Ok(())
            }
            _ => Err(ProtocolViolation::SettingsMissing),
        }
    }

    fn on_settings(&mut self, settings: Settings) {
        debug_assert!(self.common.remote.is_none(), "Settings are taken twice");
        self.common.remote = Some(settings);
        let ping = self.common.now + self.common.ping_interval();
        self.common.timers.arm_sooner(Timer::Ping, ping);
        let ids: Vec<_> = self.connections.ids().collect();
        for id in ids {
            self.connections.with(id, &mut self.common, |row| {
                if let Flow::Credit(credit) = &mut row.flow {
                    // Rows of before start at zero, and the value is range-checked: no overflow.
                    let added = credit.add(settings.initial_window);
                    debug_assert!(added.is_some(), "the first credit of {id} overflows");
                }
            });
        }
    }

    fn on_reset(&mut self, id: ConnectionId, code: ResetCode, text: String) -> Handled {
        self.known(id, |row| {
            row.close_reason
                .get_or_insert_with(|| Box::new(CloseReason { code: Some(code), text }));
            row.on_remote(RemoteSignal::Reset)
        })
    }

    fn on_route(&mut self, event: Event) -> Handled {
        if self.common.trusts_routes {
            self.common.events.push_back(event);
        }
        Ok(())
    }

    /// Applies a message to a connection that the remote can know of: nobody can answer a dial that
    /// was not sent yet.
    pub(super) fn known(
        &mut self,
        id: ConnectionId,
        message: impl FnOnce(&mut Row<'_>) -> Handled,
    ) -> Handled {
        let extended = self.common.dialect == Dialect::Extended;
        let handled = self.connections.with(id, &mut self.common, |row| {
            if extended && !row.announced {
                return Err(ProtocolViolation::NeverOpened(id));
            }
            message(row)
        });
        match handled {
            Some(handled) => handled,
            // Between two watertight ends the message is late, or the sender is wrong.
            None if extended && self.common.ids.was_used(id) => Ok(()),
            None if extended => Err(ProtocolViolation::NeverOpened(id)),
            None => {
                self.answer_not_found(id);
                Ok(())
            }
        }
    }

    /// A remote that makes this end answer must read the answers.
    fn check_answers(&self) -> Handled {
        let limits = &self.common.config.limits;
        // Messages that the application itself can have queued are not the remote's fault.
        let bound = limits.max_queued_control.max(limits.max_connections.saturating_mul(4));
        let queued = self.common.outbox.queued_answers();
        if queued > bound { Err(ProtocolViolation::AnswersUnread(queued)) } else { Ok(()) }
    }
}
