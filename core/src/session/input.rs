//! What the other end sent.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

use super::{Event, PeerMisbehaved, Session};
use crate::connection::Signal;
use crate::timers::Timer;
use crate::wire::{Body, EOF, GoAwayCode, InvalidMessage, Message, ResetCode, Settings};
use crate::{ConnectionId, Instant};

pub(super) type Handled = Result<(), PeerMisbehaved>;

impl Session {
    /// A message arrived: the payload of one binary WebSocket message, or one frame of a byte
    /// stream. Data keeps slices of it; whatever the other end did wrong ends the session, and
    /// the end says so.
    pub fn handle_message(&mut self, now: Instant, message: Bytes) {
        let now = self.at(now);
        if self.ended.is_some() {
            return;
        }
        self.keepalive.heard(now);
        let handled = match Message::decode(message, self.dialect, &self.decode_limits) {
            Ok(message) => self.on_message(now, message),
            Err(error) => self.on_invalid(error),
        };
        if let Err(fault) = handled.and_then(|()| self.check_answers()) {
            self.end(fault.into());
        }
    }

    fn on_message(&mut self, now: Instant, message: Message) -> Handled {
        let Message { connection: id, body, .. } = message;
        if self.extended() && self.peer.is_none() {
            return self.on_first(body);
        }
        match body {
            Body::Data { payload, .. } => self.on_data(id, payload),
            Body::Connect { target, deadline } => self.on_connect(id, target, deadline),
            Body::Error { text } => self.on_error(id, text),
            Body::AddClient(route) => self.on_route(Event::ClientAdded(route)),
            Body::RemoveClient(route) => self.on_route(Event::ClientRemoved(route)),
            Body::Pause => self.on_pause(id, true),
            Body::Resume => self.on_pause(id, false),
            Body::SyncConnections { ids } => self.on_sync_connections(ids),
            Body::Settings(_) => Err(PeerMisbehaved::SettingsTwice),
            Body::Opened => self.on_opened(id),
            Body::Finish => self.on_signal(id, Signal::Finish),
            Body::Reset { code, text } => self.on_reset(id, code, text),
            Body::Credit { bytes } => self.on_credit(id, bytes),
            Body::GoAway { last, code, text } => {
                self.on_go_away(last, code, text);
                Ok(())
            }
            Body::Ping { opaque } => {
                self.outbox.set_pong(now, opaque);
                Ok(())
            }
            Body::Pong { opaque } => {
                self.keepalive.pong(now, &opaque);
                Ok(())
            }
            Body::Sync { newest, ids } => {
                self.on_sync(newest, &ids);
                Ok(())
            }
            Body::Unknown { .. } => Ok(()),
        }
    }

    fn on_invalid(&mut self, error: InvalidMessage) -> Handled {
        match error.bad_target() {
            Some(_) if self.extended() && self.peer.is_none() => {
                Err(PeerMisbehaved::SettingsMissing)
            }
            Some(id) => self.on_bad_target(id, &error),
            None => Err(error.into()),
        }
    }

    fn on_first(&mut self, body: Body) -> Handled {
        match body {
            Body::Settings(settings) => self.on_settings(settings),
            // An end that closes at once has nothing to settle.
            Body::GoAway { last, code, text } if code != GoAwayCode::DRAIN => {
                self.on_go_away(last, code, text);
                Ok(())
            }
            _ => Err(PeerMisbehaved::SettingsMissing),
        }
    }

    fn on_settings(&mut self, settings: Settings) -> Handled {
        self.peer = Some(settings);
        let now = self.now;
        self.timers.arm_sooner(Timer::Ping, now + self.ping_interval());
        let ids: Vec<_> = self.table.ids().collect();
        for id in ids {
            // Fresh rows start at zero credit, and the value is range-checked: no overflow.
            self.table.update(id, |row| row.send.add_credit(settings.initial_window));
        }
        Ok(())
    }

    fn on_opened(&mut self, id: ConnectionId) -> Handled {
        // The table lets it pass once: for a dial of ours that was not answered yet.
        let opened = self.on_signal_to(id, Signal::Opened)?;
        if opened {
            self.events.push_back(Event::Opened(id));
            self.review_writer(id);
        }
        Ok(())
    }

    fn on_reset(&mut self, id: ConnectionId, code: ResetCode, text: String) -> Handled {
        self.table.update(id, |row| {
            row.farewell.get_or_insert_with(|| Box::new((Some(code), text)));
        });
        self.on_signal(id, Signal::Reset)
    }

    fn on_error(&mut self, id: ConnectionId, text: String) -> Handled {
        if self.extended() {
            return Err(PeerMisbehaved::NotAllowed("Error"));
        }
        let signal = if text == EOF { Signal::Eof } else { Signal::Reset };
        self.table.update(id, |row| {
            row.farewell.get_or_insert_with(|| Box::new((None, text)));
        });
        // An Error for an unknown connection is the echo of ours.
        self.apply(id, signal, "").map(drop)
    }

    fn on_credit(&mut self, id: ConnectionId, bytes: u64) -> Handled {
        if !self.is_heard_of(id) {
            return self.on_unknown(id);
        }
        let added = self.table.update(id, |row| row.send.add_credit(bytes)).flatten();
        added.ok_or(PeerMisbehaved::CreditOverflow(id))?;
        self.review_writer(id);
        Ok(())
    }

    fn on_pause(&mut self, id: ConnectionId, paused: bool) -> Handled {
        if self.extended() {
            return Err(PeerMisbehaved::NotAllowed("Pause and Resume"));
        }
        let now = self.now;
        self.table.update(id, |row| match paused {
            true => row.flag.on_pause(now),
            false => row.flag.on_resume(),
        });
        self.review_flow(id);
        self.review_stop(id);
        self.review_writer(id);
        Ok(())
    }

    fn on_route(&mut self, event: Event) -> Handled {
        if self.trusts_routes {
            self.events.push_back(event);
        }
        Ok(())
    }

    fn on_signal(&mut self, id: ConnectionId, signal: Signal) -> Handled {
        self.on_signal_to(id, signal).map(drop)
    }

    /// Applies the other end's signal; `false` if the connection is gone.
    pub(super) fn on_signal_to(
        &mut self,
        id: ConnectionId,
        signal: Signal,
    ) -> Result<bool, PeerMisbehaved> {
        if self.is_heard_of(id) {
            return self.apply(id, signal, "");
        }
        self.on_unknown(id)?;
        Ok(false)
    }

    /// Whether there is the connection, and the other end can know of it: a dial that has not left yet nobody
    /// can answer.
    fn is_heard_of(&self, id: ConnectionId) -> bool {
        self.table.get(id).is_some_and(|row| row.announced || !self.extended())
    }

    /// A message for a connection that is not there. Between two ends of ours it is late, or the
    /// sender is wrong; a remotedialer end may never have heard that it is gone.
    fn on_unknown(&mut self, id: ConnectionId) -> Handled {
        if self.extended() {
            return if self.numbers.was_used(id) && !self.table.contains(id) {
                Ok(())
            } else {
                Err(PeerMisbehaved::NeverOpened(id))
            };
        }
        if !self.numbers.is_own(id) {
            self.outbox.push_not_found(self.now, id);
        }
        Ok(())
    }

    /// An end that makes us answer must read the answers.
    fn check_answers(&self) -> Handled {
        let limits = &self.config.limits;
        // What the application itself can have queued is not the other end's fault.
        let bound = limits.max_queued_control.max(limits.max_connections.saturating_mul(4));
        let queued = self.outbox.queued_answers();
        if queued > bound { Err(PeerMisbehaved::AnswersUnread(queued)) } else { Ok(()) }
    }
}
