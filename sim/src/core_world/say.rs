//! What a hostile agent says.

use super::actor::Actor;
use super::frame::{FrameKind, Label};
use super::tunnel::Tunnel;
use super::world::{AGENT, World};
use crate::Situation;
use crate::schedule::{HostileMessage, unsigned};

/// The most that a hostile end's sockets hold: the rest of a flood is never sent.
const FLOOD: usize = 256 << 10;

impl<T: Tunnel> World<'_, T> {
    /// A hostile agent says something, if it has a session to say it in.
    pub(super) fn say(&mut self, agent: usize, message: &HostileMessage) {
        let Some(link) = self.connected(agent) else { return };
        match message {
            HostileMessage::Flood { count, message } => {
                self.stage.note(Situation::HostileFlood);
                self.set_deaf(link);
                for turn in 0..*count {
                    if !self.speak(agent, link, &message.in_flood(turn)) {
                        break;
                    }
                }
            }
            message => {
                self.speak(agent, link, message);
            }
        }
    }

    /// Whether the sockets took it.
    fn speak(&mut self, agent: usize, link: u32, message: &HostileMessage) -> bool {
        self.note_speech(message);
        let (now, way) = (self.stage.now, self.way(agent, AGENT));
        let Some((_, found)) = self.link(link) else { return false };
        let [pipe, _] = &mut found.pipes;
        if pipe.len() > FLOOD {
            return false;
        }
        match message {
            HostileMessage::Length { length } => {
                let mut prefix = Vec::new();
                unsigned(*length, &mut prefix);
                pipe.send_raw(now, way, &prefix);
            }
            HostileMessage::Deaf => self.set_deaf(link),
            // A flood in a flood is one of its messages.
            HostileMessage::Flood { message, .. } => return self.speak(agent, link, message),
            message => {
                let payload = message.payload().unwrap_or_default();
                let label = Label::of(&payload);
                pipe.send(now, way, FrameKind::Message, label, [&payload, &[]]);
            }
        }
        true
    }

    fn set_deaf(&mut self, link: u32) {
        if let Some(end) = self.end(link, AGENT)
            && let Actor::Hostile(hostile) = &mut end.actor
        {
            hostile.deaf = true;
        }
    }

    fn note_speech(&mut self, message: &HostileMessage) {
        let own = |id: i64| id > 0 && id % 2 == 1;
        let (situation, is_so) = match message {
            HostileMessage::Raw { .. } | HostileMessage::Length { .. } => {
                (Situation::HostileGarbage, true)
            }
            HostileMessage::AddClient { .. } => (Situation::HostileRoutes, true),
            HostileMessage::Connect { id, .. } | HostileMessage::Data { id, .. } => {
                (Situation::HostileId, !own(*id))
            }
            _ => return,
        };
        self.stage.seen.note_if(is_so, situation);
    }
}
