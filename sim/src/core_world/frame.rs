//! What travels through a pipe: frames, each with its kind in front.

use bytes::{BufMut, Bytes, BytesMut};
use watertight_core::ConnectionId;
use watertight_core::wire::{Body, DecodeLimits, Dialect, FramePrefix, Message, frame_prefix};

/// The kind of a frame. The core world has the same frames for both transports, so those of a WebSocket that
/// are not messages need a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameKind {
    /// A message of the protocol.
    Message,
    /// A WebSocket's ping.
    Ping,
    /// A WebSocket's pong.
    Pong,
    /// An agent asks for a session: the upgrade, or the preface.
    Hello,
    /// The server's answer.
    Accepted,
}

impl FrameKind {
    pub(crate) const fn to_byte(self) -> u8 {
        match self {
            Self::Message => 0,
            Self::Ping => 1,
            Self::Pong => 2,
            Self::Hello => 3,
            Self::Accepted => 4,
        }
    }

    pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Message,
            1 => Self::Ping,
            2 => Self::Pong,
            3 => Self::Hello,
            4 => Self::Accepted,
            _ => return None,
        })
    }

    /// The length in front of a frame with so many bytes beside its kind.
    pub(crate) fn prefix(payload: usize) -> FramePrefix {
        frame_prefix(payload + 1)
    }
}

/// The types of messages that the world looks for in transit.
pub(crate) mod kind {
    pub(crate) const DATA: i64 = 1;
    pub(crate) const CONNECT: i64 = 2;
    pub(crate) const PAUSE: i64 = 6;
    /// The same, as a number with a sign is written.
    pub(crate) const PAUSE_ON_WIRE: u8 = 12;
    pub(crate) const RESUME: i64 = 7;
    pub(crate) const SYNC_CONNECTIONS: i64 = 8;
    pub(crate) const OPENED: i64 = 33;
    pub(crate) const FINISH: i64 = 34;
    pub(crate) const RESET: i64 = 35;
    pub(crate) const CREDIT: i64 = 36;
    pub(crate) const SYNC: i64 = 40;
}

/// The kind of a message, as far as its first numbers show it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) connection: i64,
    /// Zero for what is no message.
    pub(crate) kind: i64,
}

impl Label {
    /// Reads the label of a message; that of one that cannot be read is zero.
    pub(crate) fn of(message: &[u8]) -> Self {
        let read = || {
            let (_, rest) = read_signed(message)?;
            let (connection, rest) = read_signed(rest)?;
            let (kind, _) = read_signed(rest)?;
            Some(Self { connection, kind })
        };
        read().unwrap_or_default()
    }
}

/// How many bytes of a connection a Data message carries.
pub(crate) fn data_in(message: &[u8]) -> Option<usize> {
    let (_, rest) = read_signed(message)?;
    let (_, rest) = read_signed(rest)?;
    let (_, rest) = read_signed(rest)?;
    let (_, payload) = read_signed(rest)?;
    Some(payload.len())
}

fn read_signed(input: &[u8]) -> Option<(i64, &[u8])> {
    let mut value = 0_u64;
    for (site, byte) in input.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * site).min(63);
        if *byte < 0x80 {
            let magnitude = (value >> 1).cast_signed();
            let sign = -((value & 1).cast_signed());
            return Some((magnitude ^ sign, input.get(site + 1..)?));
        }
    }
    None
}

/// The connection with this number on the wire, which only a session makes otherwise.
pub(crate) fn connection(number: i64) -> ConnectionId {
    let mut message = BytesMut::with_capacity(16);
    message.put_u8(0);
    let mut value = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while value >= 0x80 {
        message.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    message.put_u8((value & 0x7f) as u8);
    message.put_u8(kind::PAUSE_ON_WIRE);
    let decoded = Message::decode(message.freeze(), Dialect::Base, &DecodeLimits::default());
    decoded.map_or(ConnectionId::SESSION, |message| message.connection)
}

/// A message in words.
pub(crate) fn words(message: &Bytes, dialect: Dialect) -> String {
    match Message::decode(message.clone(), dialect, &DecodeLimits::default()) {
        Ok(Message { connection, body: Body::Data { payload, .. }, .. }) => {
            format!("Data #{connection} {} bytes", payload.len())
        }
        Ok(Message { connection, body, .. }) if connection == ConnectionId::SESSION => {
            format!("{body:?}")
        }
        Ok(Message { connection, body, .. }) => format!("{body:?} #{connection}"),
        Err(error) => format!("{} bytes that are no message: {error}", message.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_what_stands_in_the_message() {
        for number in [0, 1, -1, 2, 63, 64, -64, -65, 1 << 40, i64::MAX, i64::MIN] {
            let id = connection(number);
            assert_eq!(id.get(), number);
            let message = Message::new(id, Body::Credit { bytes: 7 }).encode();
            let label = Label::of(&message.to_bytes());
            assert_eq!(label, Label { connection: number, kind: kind::CREDIT });
        }
        assert_eq!(Label::of(&[0x80]), Label::default());
    }

    #[test]
    fn what_a_data_message_carries_is_its_payload() {
        for (deadline, length) in [(0, 0), (-1, 1), (1 << 40, 5000)] {
            let payload = Bytes::from(vec![0x80; length]);
            let message = Message::new(connection(7), Body::Data { deadline, payload }).encode();
            assert_eq!(data_in(&message.to_bytes()), Some(length));
        }
        assert_eq!(data_in(&[0x80]), None);
    }

    #[test]
    fn the_kinds_are_those_of_the_wire() {
        let id = connection(5);
        let bodies = [
            (Body::Data { deadline: 0, payload: Bytes::new() }, kind::DATA),
            (Body::Connect { deadline: 0, target: "a/b".into() }, kind::CONNECT),
            (Body::Pause, kind::PAUSE),
            (Body::Resume, kind::RESUME),
            (Body::SyncConnections { ids: Vec::new() }, kind::SYNC_CONNECTIONS),
            (Body::Opened, kind::OPENED),
            (Body::Finish, kind::FINISH),
            (Body::Reset { code: 0.into(), text: String::new() }, kind::RESET),
            (Body::Credit { bytes: 1 }, kind::CREDIT),
            (Body::Sync { newest: id, ids: Vec::new() }, kind::SYNC),
        ];
        for (body, kind) in bodies {
            assert_eq!(Label::of(&Message::new(id, body).encode().to_bytes()).kind, kind);
        }
    }
}
