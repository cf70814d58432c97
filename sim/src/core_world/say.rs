//! What a hostile agent says, as bytes.

use bytes::Bytes;
use watertight_core::ConnectionId;
use watertight_core::wire::{Body, ClientRoute, Message, Settings};

use super::actor::Actor;
use super::frame::{FrameKind, Label, connection};
use super::tunnel::Tunnel;
use super::world::{AGENT, World};
use crate::Situation;
use crate::schedule::HostileMessage;

/// The most that a hostile end's sockets hold: the rest of a flood is never sent.
const FLOOD: usize = 256 << 10;
/// The most that it sends as one message.
const LARGEST: u32 = 256 << 10;

/// What goes into the pipe.
enum Speech {
    Message(Bytes),
    /// A frame's length without the frame.
    Length(u64),
    Deaf,
}

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
        let speech = speech(message);
        let (now, way) = (self.stage.now, self.way(agent, AGENT));
        let Some((_, found)) = self.link(link) else { return false };
        let [pipe, _] = &mut found.pipes;
        if pipe.len() > FLOOD {
            return false;
        }
        match speech {
            Speech::Message(message) => {
                let label = Label::of(&message);
                pipe.send(now, way, FrameKind::Message, label, [&message, &[]]);
            }
            Speech::Length(length) => {
                let mut bytes = Vec::new();
                let mut rest = length;
                while rest >= 0x80 {
                    bytes.push((rest & 0x7f) as u8 | 0x80);
                    rest >>= 7;
                }
                bytes.push((rest & 0x7f) as u8);
                pipe.send_raw(now, way, &bytes);
            }
            Speech::Deaf => self.set_deaf(link),
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

fn speech(message: &HostileMessage) -> Speech {
    let session = ConnectionId::SESSION;
    let (id, body) = match message {
        HostileMessage::Settings { window, max_data, max_connections } => {
            let (initial_window, max_data) = (*window, *max_data);
            let max_connections = *max_connections;
            (session, Body::Settings(Settings { initial_window, max_data, max_connections }))
        }
        HostileMessage::Connect { id, target } => {
            (connection(*id), Body::Connect { deadline: 15_000, target: target.clone() })
        }
        HostileMessage::Data { id, bytes } => {
            let payload = vec![0x5a; (*bytes).min(LARGEST) as usize].into();
            (connection(*id), Body::Data { deadline: 0, payload })
        }
        HostileMessage::Opened { id } => (connection(*id), Body::Opened),
        HostileMessage::Finish { id } => (connection(*id), Body::Finish),
        HostileMessage::Reset { id, code } => {
            (connection(*id), Body::Reset { code: (*code).into(), text: "hostile".into() })
        }
        HostileMessage::Error { id, text } => (connection(*id), Body::Error { text: text.clone() }),
        HostileMessage::Credit { id, bytes } => (connection(*id), Body::Credit { bytes: *bytes }),
        HostileMessage::Pause { id } => (connection(*id), Body::Pause),
        HostileMessage::Resume { id } => (connection(*id), Body::Resume),
        HostileMessage::Ping => (session, Body::Ping { opaque: *b"hostile!" }),
        HostileMessage::Pong => (session, Body::Pong { opaque: *b"hostile!" }),
        HostileMessage::Sync { newest, ids } => {
            let ids = ids.iter().map(|id| connection(*id)).collect();
            (session, Body::Sync { newest: connection(*newest), ids })
        }
        HostileMessage::SyncConnections { ids } => {
            (session, Body::SyncConnections { ids: ids.iter().map(|id| connection(*id)).collect() })
        }
        HostileMessage::GoAway { code } => {
            (session, Body::GoAway { last: session, code: (*code).into(), text: "hostile".into() })
        }
        HostileMessage::AddClient { key } => {
            (session, Body::AddClient(ClientRoute { client_key: key.clone(), session_key: 1 }))
        }
        HostileMessage::Length { length } => return Speech::Length(*length),
        HostileMessage::Raw { bytes } => return Speech::Message(bytes.clone().into()),
        // A flood in a flood is one of its messages.
        HostileMessage::Flood { message, .. } => return speech(message),
        HostileMessage::Deaf => return Speech::Deaf,
    };
    Speech::Message(Message::new(id, body).encode().to_bytes())
}
