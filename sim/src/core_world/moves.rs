//! What applications and targets do with their connections.

use bytes::Bytes;
use watertight_core::ConnectionId;
use watertight_core::session::{ReadError, WriteError};
use watertight_core::wire::ResetCode;

use super::actor::Actor;
use super::context::{Context, Role, Site};
use super::link::{Endpoint, Handle};
use super::tunnel::End;
use crate::player::Desire;
use crate::{DialOutcome, Player, Situation};

/// The most that is written or read at once.
const PORTION: u64 = 16 << 10;

/// Every player at this end that has something to do does it.
pub(super) fn run_players<E: End>(end: &mut Endpoint<E>, context: &mut Context<'_>, site: Site) {
    for place_of_handle in 0..end.handles.len() {
        let Some(handle) = end.handles.get_mut(place_of_handle).filter(|handle| handle.ready)
        else {
            continue;
        };
        handle.ready = false;
        Move { actor: &mut end.actor, handle, context, site }.run();
    }
}

/// One end of a stream and its connection.
struct Move<'a, 'b, E> {
    actor: &'a mut Actor<E>,
    handle: &'a mut Handle,
    context: &'a mut Context<'b>,
    site: Site,
}

impl<E: End> Move<'_, '_, E> {
    fn run(&mut self) {
        while !self.handle.released && (self.act() | self.read()) {
            self.context.progress += 1;
        }
    }

    fn player(&mut self) -> Option<&mut Player> {
        self.context.streams.get_mut(self.handle.stream)?.player(self.handle.role)
    }

    fn desire(&self) -> Desire {
        let stream = self.context.streams.get(self.handle.stream);
        let player = stream.and_then(|stream| stream.view(self.handle.role));
        player.map_or(Desire::Nothing, Player::desire)
    }

    /// Whether it did something.
    fn act(&mut self) -> bool {
        match self.desire() {
            Desire::Write(bytes) if self.handle.open && !self.handle.write_blocked => {
                self.write(bytes)
            }
            Desire::Finish if self.handle.open && !self.handle.write_blocked => self.finish(),
            Desire::Reset => {
                let code = self.reset_code();
                self.let_go("resets", |actor, context, id| actor.reset(context.now, id, code));
                true
            }
            Desire::Drop => {
                self.let_go("drops", |actor, context, id| actor.release(context.now, id));
                true
            }
            Desire::Write(_) | Desire::Finish | Desire::Nothing => self.release_if_done(),
        }
    }

    fn write(&mut self, bytes: u64) -> bool {
        let (now, id) = (self.context.now, self.handle.id);
        let written = self.actor.writable(now, id).and_then(|space| {
            let length = usize::try_from(bytes.min(PORTION)).unwrap_or(0).min(space);
            let mut data = self.bytes(length);
            self.actor.write(now, id, &mut data)
        });
        match written {
            Ok(taken) => {
                if let Some(player) = self.player() {
                    player.wrote(taken as u64);
                }
                taken > 0
            }
            Err(WriteError::Blocked) => {
                self.handle.write_blocked = true;
                self.note_blocked();
                false
            }
            // The event with the reason is in transit.
            Err(_) => {
                self.handle.write_blocked = true;
                false
            }
        }
    }

    fn bytes(&self, length: usize) -> Bytes {
        let Some(stream) = self.context.streams.get(self.handle.stream) else {
            return Bytes::new();
        };
        let written = stream.view(self.handle.role).map_or(0, |player| player.end().written);
        let mut bytes = Vec::with_capacity(length);
        stream.writes(self.handle.role).append(written, length, &mut bytes);
        bytes.into()
    }

    fn finish(&mut self) -> bool {
        let (now, id) = (self.context.now, self.handle.id);
        if !self.actor.finish(now, id) {
            // It was cut off; the event for it is in transit.
            self.handle.write_blocked = true;
            return false;
        }
        let whole = matches!(self.actor, Actor::Remotedialer(_));
        if let Some(player) = self.player() {
            player.finished();
            if whole {
                player.disconnected();
            }
        }
        self.handle.released = whole;
        self.context.event(self.site.host, || format!("#{id} finished"));
        true
    }

    /// Of the targets that leave, the machine of every other one has vanished: their kernels report it.
    fn reset_code(&self) -> ResetCode {
        let stream = self.context.streams.get(self.handle.stream);
        stream.map_or(ResetCode::CANCELLED, |stream| {
            stream.id.reset_code(self.handle.role == Role::Far)
        })
    }

    fn let_go(&mut self, what: &str, end: impl FnOnce(&mut Actor<E>, &Context<'_>, ConnectionId)) {
        let id = self.handle.id;
        end(self.actor, self.context, id);
        // This end cannot notify the remote that it did not mean to finish.
        let says_eof = matches!(self.actor, Actor::Remotedialer(_)) && what == "drops";
        if let Some(player) = self.player() {
            if says_eof {
                player.finished();
            }
            player.disconnected();
        }
        self.handle.released = true;
        self.context.event(self.site.host, || format!("#{id} {what}"));
        let pending = |record: &&mut crate::StreamRecord| record.dial == DialOutcome::Pending;
        if self.handle.role == Role::Near
            && let Some(record) = self.context.record(self.handle.stream).filter(pending)
        {
            record.dial = DialOutcome::GivenUp;
            self.context.note(Situation::DialGivenUp);
        }
    }

    /// Both directions are over: the handle goes.
    fn release_if_done(&mut self) -> bool {
        let stream = self.context.streams.get(self.handle.stream);
        let player = stream.and_then(|stream| stream.view(self.handle.role));
        if player.is_some_and(Player::is_done) {
            self.actor.release(self.context.now, self.handle.id);
            self.handle.released = true;
        }
        false
    }

    /// Whether it read something.
    fn read(&mut self) -> bool {
        let stream = self.context.streams.get(self.handle.stream);
        let player = stream.and_then(|stream| stream.view(self.handle.role));
        let appetite = player.map_or(0, Player::appetite);
        let idle = self.handle.read_blocked || !self.handle.open || self.handle.released;
        if appetite == 0 || idle {
            return false;
        }
        let most = usize::try_from(appetite.min(PORTION)).unwrap_or(0);
        match self.actor.read(self.context.now, self.handle.id, most) {
            Ok(bytes) if bytes.is_empty() => {
                self.saw_eof();
                true
            }
            Ok(bytes) => {
                self.check(&bytes);
                true
            }
            Err(ReadError::Blocked | ReadError::Ended(_) | ReadError::Unknown) => {
                self.handle.read_blocked = true;
                false
            }
        }
    }

    fn saw_eof(&mut self) {
        let (host, id) = (self.site.host, self.handle.id);
        self.context.event(host, || format!("#{id} reads the end of file"));
        if let Some(player) = self.player() {
            player.saw_eof();
        }
        self.handle.read_blocked = true;
    }

    fn check(&mut self, bytes: &[u8]) {
        let role = self.handle.role;
        let Some(stream) = self.context.streams.get(self.handle.stream) else { return };
        let Some(player) = stream.view(role) else { return };
        if role == Role::Near && player.end().finished {
            self.context.seen.note(Situation::AnswerAfterFinish);
        }
        let wrong = stream.reads(role).check(player.end().read, bytes).err();
        if let Some(wrong) = wrong.filter(|_| self.site.honest) {
            let what = format!("{}: {wrong}", stream.id);
            self.context.contradiction(|| what);
        }
        if let Some(player) = self.player() {
            player.read(bytes.len() as u64);
        }
    }

    fn note_blocked(&mut self) {
        self.context.seen.note(Situation::WriteBlocked);
        let (host, id) = (self.site.host, self.handle.id);
        self.context.event(host, || format!("#{id} has to wait to write"));
    }
}
