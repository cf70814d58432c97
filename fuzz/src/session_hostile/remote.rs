//! The remote sends messages, by the rules or not, with any id.

use bytes::Bytes;
use watertight_core::ConnectionId;
use watertight_core::wire::{Body, ClientRoute, DecodeLimits, Dialect, Message, Settings};

use super::case::Case;
use super::draw::Text;
use super::host::NEWEST;
use super::message::{List, RemoteMessage, Whom};

impl Case {
    /// The number of an id.
    pub(super) fn number(&mut self, whom: Whom) -> i64 {
        match whom {
            Whom::Session => 0,
            Whom::Known(which) => self.host.pick(which).map_or(0, |known| known.id.get()),
            Whom::Any(number) => number,
            Whom::Next => self.take_number(0),
            Whom::Later(by) => self.take_number(by.into()),
        }
    }

    fn take_number(&mut self, later: i64) -> i64 {
        let number = self.next.saturating_add(2 * later);
        self.next = number.saturating_add(2);
        number
    }

    pub(super) fn send(&mut self, whom: Whom, message: &RemoteMessage) {
        let message = self.message(whom, message);
        self.host.take(&message);
    }

    fn message(&mut self, whom: Whom, message: &RemoteMessage) -> Vec<u8> {
        let body = self.body(message);
        encode(self.number(whom), body)
    }

    pub(super) fn flood(&mut self, count: u8, whom: Whom, message: &RemoteMessage) {
        for _ in 0..count {
            if self.host.closed {
                break;
            }
            self.send(whom, message);
        }
    }

    pub(super) fn mangle(&mut self, whom: Whom, message: &RemoteMessage, place: u8, bits: u8) {
        let mut message = self.message(whom, message);
        let place = usize::from(place) % message.len();
        if let Some(byte) = message.get_mut(place) {
            *byte ^= bits;
        }
        self.host.take(&message);
    }

    /// Sends it about a connection for which it is allowed.
    pub(super) fn keep(&mut self, which: u8, message: &RemoteMessage) {
        let extended = self.host.session.dialect() == Dialect::Extended;
        match message {
            RemoteMessage::Settings { .. } => {}
            RemoteMessage::Error { .. }
            | RemoteMessage::Pause
            | RemoteMessage::Resume
            | RemoteMessage::SyncConnections(_)
                if extended => {}
            RemoteMessage::Connect { .. } => self.send(Whom::Next, message),
            RemoteMessage::GoAway { .. }
            | RemoteMessage::Ping { .. }
            | RemoteMessage::Pong { .. }
            | RemoteMessage::Sync { .. } => {
                self.send(Whom::Session, message);
            }
            _ => self.keep_of(which, message),
        }
    }

    fn keep_of(&mut self, which: u8, message: &RemoteMessage) {
        let Some(known) = self.host.pick(which) else { return };
        let whom = Whom::Known(which);
        match message {
            RemoteMessage::Opened if known.opened => {}
            RemoteMessage::Data { .. } | RemoteMessage::Finish if !known.opened => {
                self.send(whom, &RemoteMessage::Opened)
            }
            _ => self.send(whom, message),
        }
    }

    /// The message that a peer means.
    pub(super) fn body(&mut self, message: &RemoteMessage) -> Body {
        match message {
            RemoteMessage::Data { length } => data(*length),
            RemoteMessage::Connect { deadline, target } => {
                Body::Connect { deadline: *deadline, target: target.string() }
            }
            RemoteMessage::Error { text } => Body::Error { text: text.string() },
            RemoteMessage::AddClient { key, session_key } => {
                Body::AddClient(route(*key, *session_key))
            }
            RemoteMessage::RemoveClient { key, session_key } => {
                Body::RemoveClient(route(*key, *session_key))
            }
            RemoteMessage::Pause => Body::Pause,
            RemoteMessage::Resume => Body::Resume,
            RemoteMessage::SyncConnections(list) => Body::SyncConnections { ids: self.ids(list) },
            RemoteMessage::Settings { initial_window, max_data, max_connections, silence } => {
                Body::Settings(Settings {
                    initial_window: (*initial_window).into(),
                    max_data: (*max_data).into(),
                    max_connections: (*max_connections).into(),
                    silence: (*silence).into(),
                })
            }
            RemoteMessage::Opened => Body::Opened,
            RemoteMessage::Finish => Body::Finish,
            RemoteMessage::Reset { code, text } => {
                Body::Reset { code: (*code).into(), text: text.string() }
            }
            RemoteMessage::Credit { bytes } => Body::Credit { bytes: *bytes },
            RemoteMessage::GoAway { last, code, text } => {
                Body::GoAway { last: self.listed(*last), code: (*code).into(), text: text.string() }
            }
            RemoteMessage::Ping { opaque } => {
                Body::Ping { opaque: u64::from(*opaque).to_be_bytes() }
            }
            RemoteMessage::Pong { opaque } => {
                Body::Pong { opaque: u64::from(*opaque).to_be_bytes() }
            }
            RemoteMessage::Sync { newest, list } => {
                Body::Sync { newest: self.listed(*newest), ids: self.ids(list) }
            }
            RemoteMessage::Unknown { kind } => Body::Unknown { kind: *kind },
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

/// A message about any connection.
fn encode(number: i64, body: Body) -> Vec<u8> {
    let encoded = Message::new(ConnectionId::SESSION, body).encode();
    // The message's id and the session's have a byte each.
    let (ids, header) = encoded.header.split_at(2);
    debug_assert_eq!(ids, [0, 0]);
    let mut message = Vec::with_capacity(encoded.len() + 10);
    message.push(0);
    put(number, &mut message);
    message.extend_from_slice(header);
    message.extend_from_slice(&encoded.payload);
    message
}

/// Any id, as the remote would read it.
fn id(number: i64) -> ConnectionId {
    let message = Bytes::from(encode(number, Body::Pause));
    match Message::decode(message, Dialect::Base, &DecodeLimits::default()) {
        Ok(message) => message.connection,
        Err(error) => unreachable!("{error}"),
    }
}

/// A signed number as the wire has it.
fn put(number: i64, message: &mut Vec<u8>) {
    let mut zigzag = (number << 1 ^ number >> 63).cast_unsigned();
    while zigzag >= 0x80 {
        message.push(zigzag.to_le_bytes()[0] | 0x80);
        zigzag >>= 7;
    }
    message.push(zigzag.to_le_bytes()[0]);
}
