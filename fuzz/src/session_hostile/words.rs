//! What a peer says, as the protocol words it.

use bytes::Bytes;
use watertight_core::ConnectionId;
use watertight_core::wire::{Body, ClientRoute, Settings};

use super::case::Case;
use super::known::NEWEST;
use super::peer::id;
use super::{List, Say, Text, Whom};

impl Case {
    /// The message that a peer means.
    pub(super) fn body(&mut self, say: &Say) -> Body {
        match say {
            Say::Data { length } => data(*length),
            Say::Connect { deadline, target } => {
                Body::Connect { deadline: *deadline, target: target.string() }
            }
            Say::Error { text } => Body::Error { text: text.string() },
            Say::AddClient { key, session_key } => Body::AddClient(route(*key, *session_key)),
            Say::RemoveClient { key, session_key } => Body::RemoveClient(route(*key, *session_key)),
            Say::Pause => Body::Pause,
            Say::Resume => Body::Resume,
            Say::SyncConnections(list) => Body::SyncConnections { ids: self.ids(list) },
            Say::Settings { initial_window, max_data, max_connections, silence } => {
                Body::Settings(Settings {
                    initial_window: (*initial_window).into(),
                    max_data: (*max_data).into(),
                    max_connections: (*max_connections).into(),
                    silence: (*silence).into(),
                })
            }
            Say::Opened => Body::Opened,
            Say::Finish => Body::Finish,
            Say::Reset { code, text } => Body::Reset { code: (*code).into(), text: text.string() },
            Say::Credit { bytes } => Body::Credit { bytes: *bytes },
            Say::GoAway { last, code, text } => {
                Body::GoAway { last: self.listed(*last), code: (*code).into(), text: text.string() }
            }
            Say::Ping { opaque } => Body::Ping { opaque: u64::from(*opaque).to_be_bytes() },
            Say::Pong { opaque } => Body::Pong { opaque: u64::from(*opaque).to_be_bytes() },
            Say::Sync { newest, list } => {
                Body::Sync { newest: self.listed(*newest), ids: self.ids(list) }
            }
            Say::Unknown { kind } => Body::Unknown { kind: *kind },
        }
    }

    fn listed(&mut self, whom: Whom) -> ConnectionId {
        id(self.number(whom))
    }

    fn ids(&self, list: &List) -> Vec<ConnectionId> {
        let listed = (0..NEWEST).filter(|place| list.known >> place & 1 == 1);
        let known = listed.filter_map(|place| self.host.pick(place)).map(|known| known.id);
        known.chain(list.others.iter().map(|number| id(*number))).collect()
    }
}

fn data(length: u16) -> Body {
    Body::Data { deadline: 0, payload: Bytes::from(vec![7; length.into()]) }
}

fn route(key: Text, session_key: i64) -> ClientRoute {
    ClientRoute { client_key: key.string(), session_key }
}
