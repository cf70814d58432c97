//! What the other end sent.

use alloc::boxed::Box;
use alloc::string::String;
use core::time::Duration;

use bytes::Bytes;

use super::{Control, Event, PeerMisbehaved, Session};
use crate::connection::{Connection, Early, Phase, RecvBuffer, Signal};
use crate::timers::Timer;
use crate::wire::{Body, EOF, GoAwayCode, Message, ResetCode, Settings};
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
        let handled = Message::decode(message, self.dialect, &self.decode_limits)
            .map_err(PeerMisbehaved::from)
            .and_then(|message| self.on_message(now, message))
            .and_then(|()| self.check_answers());
        if let Err(fault) = handled {
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
        let ids: alloc::vec::Vec<_> = self.table.ids().collect();
        for id in ids {
            // Fresh rows start at zero credit, and the value is range-checked: no overflow.
            self.table.update(id, |row| row.send.add_credit(settings.initial_window));
        }
        Ok(())
    }

    fn on_connect(&mut self, id: ConnectionId, target: String, deadline: i64) -> Handled {
        if !self.numbers.is_peers(id) {
            return Err(PeerMisbehaved::ForeignId(id));
        }
        if self.numbers.was_used(id) {
            return Err(PeerMisbehaved::ReusedId(id));
        }
        self.numbers.saw(id);
        if let Some((code, text)) = self.reason_to_refuse() {
            self.answer_refused(id, code, text);
            return Ok(());
        }
        let within = self.accept_time(deadline);
        let row = Connection::new(
            Phase::Dialing(Early::Open),
            self.initial_credit(),
            self.recv_buffer(),
            true,
        );
        self.insert(id, row);
        self.set_timer(id, Some((Timer::Accept(id), within)));
        self.events.push_back(Event::Incoming { id, target, within });
        Ok(())
    }

    fn reason_to_refuse(&self) -> Option<(ResetCode, &'static str)> {
        let limits = &self.config.limits;
        if self.draining {
            Some((ResetCode::GOING_AWAY, "this end takes no new connections"))
        } else if self.table.len() >= limits.max_connections {
            Some((ResetCode::LIMIT, "too many connections"))
        } else if self.table.totals().dialing >= limits.max_dials {
            Some((ResetCode::LIMIT, "too many dials in flight"))
        } else {
            None
        }
    }

    /// Refuses a dial that never becomes a row.
    fn answer_refused(&mut self, id: ConnectionId, code: ResetCode, text: &str) {
        let body = if self.extended() {
            Body::Reset { code, text: text.into() }
        } else {
            Body::Error { text: super::lifecycle::base_text(code, text) }
        };
        self.outbox.push(self.now, Control::Connection { id, body });
    }

    /// How long the application has to answer: an opener of ours says in the Connect how long it
    /// waits.
    fn accept_time(&self, deadline: i64) -> Duration {
        let own = self.config.timing.accept;
        match u64::try_from(deadline) {
            Ok(millis) if self.extended() && millis > 0 => own.min(Duration::from_millis(millis)),
            _ => own,
        }
    }

    /// The credit of a new connection, as far as it is known yet.
    pub(super) fn initial_credit(&self) -> u64 {
        match (&self.peer, self.extended()) {
            (Some(settings), _) => settings.initial_window,
            (None, true) => 0,
            (None, false) => u64::MAX,
        }
    }

    pub(super) fn recv_buffer(&self) -> RecvBuffer {
        if self.extended() {
            RecvBuffer::new(self.config.limits.initial_window)
        } else {
            RecvBuffer::ungranted()
        }
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

    fn on_data(&mut self, id: ConnectionId, payload: Bytes) -> Handled {
        if self.extended() && payload.len() > self.config.limits.max_data {
            return Err(PeerMisbehaved::DataTooLong(id));
        }
        if !self.on_signal_to(id, Signal::Data)? {
            return Ok(());
        }
        let wanted = self.table.get(id).is_some_and(|row| row.phase.delivers());
        if !wanted || payload.is_empty() {
            return Ok(());
        }
        if !self.extended() && self.overruns(id, payload.len()) {
            return self.on_overrun(id);
        }
        let received = self.table.update(id, |row| row.recv.receive(payload)).flatten();
        received.ok_or(PeerMisbehaved::CreditExceeded(id))?;
        self.after_data(id);
        Ok(())
    }

    fn after_data(&mut self, id: ConnectionId) {
        self.wake_reader(id);
        if !self.extended() {
            self.review_flow(id);
            // A half-closed connection lingers for as long as something comes.
            self.linger_anew(id);
        }
    }

    /// Whether a remotedialer end has gone on sending past every bound.
    fn overruns(&self, id: ConnectionId, more: usize) -> bool {
        let limits = &self.config.limits;
        let unread = self.table.get(id).map_or(0, |row| row.recv.unread());
        unread + more > limits.unread_cap
            || self.table.totals().received + more > limits.unread_budget
    }

    fn on_overrun(&mut self, id: ConnectionId) -> Handled {
        let text = "more unread data than this end holds; Pause was ignored";
        self.apply(id, Signal::Overrun, text).map(drop)
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
        let Some(added) = self.table.update(id, |row| row.send.add_credit(bytes)) else {
            return self.on_unknown(id);
        };
        added.ok_or(PeerMisbehaved::CreditOverflow(id))?;
        self.review_writer(id);
        Ok(())
    }

    fn on_pause(&mut self, id: ConnectionId, paused: bool) -> Handled {
        if self.extended() {
            return Err(PeerMisbehaved::NotAllowed("Pause and Resume"));
        }
        self.table.update(id, |row| row.send.set_paused(paused));
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
    fn on_signal_to(&mut self, id: ConnectionId, signal: Signal) -> Result<bool, PeerMisbehaved> {
        if self.table.contains(id) {
            return self.apply(id, signal, "");
        }
        self.on_unknown(id)?;
        Ok(false)
    }

    /// A message for a connection that is not there. Between two ends of ours it is late, or the
    /// sender is wrong; a remotedialer end may never have heard that it is gone.
    fn on_unknown(&mut self, id: ConnectionId) -> Handled {
        if self.extended() {
            return if self.numbers.was_used(id) {
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
