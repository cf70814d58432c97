//! The bytes of a hostile agent's messages, written by hand: some of them no decent end can send.

use super::HostileMessage;

/// The most bytes that it sends as one message.
const LARGEST: u32 = 256 << 10;

/// The text of messages that have one.
const WORDS: &str = "hostile";
const OPAQUE: &str = "hostile!";

/// The milliseconds that it gives a dial in the base dialect.
const DEADLINE: i64 = 15_000;

impl HostileMessage {
    /// The message itself, without its frame; nothing for what is no single message. The numbers of
    /// the types are those of the protocol.
    pub(crate) fn payload(&self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        match self {
            Self::Data { id, bytes } => {
                head(*id, 1, &mut out);
                signed(0, &mut out);
                out.resize(out.len() + (*bytes).min(LARGEST) as usize, 0x5a);
            }
            Self::Connect { id, target } => {
                values(*id, 2, &[DEADLINE.cast_unsigned()], &mut out);
                out.extend_from_slice(target.as_bytes());
            }
            Self::Error { id, text } => text_of(*id, 3, text, &mut out),
            Self::AddClient { key } => text_of(0, 4, &format!("{key}/1"), &mut out),
            Self::Pause { id } => head(*id, 6, &mut out),
            Self::Resume { id } => head(*id, 7, &mut out),
            Self::SyncConnections { ids } => {
                head(0, 8, &mut out);
                ids.iter().for_each(|id| out.extend_from_slice(&id.to_le_bytes()));
            }
            Self::Settings { window, max_data, max_connections } => {
                values(0, 32, &[*window, *max_data, *max_connections], &mut out);
            }
            Self::Opened { id } => head(*id, 33, &mut out),
            Self::Finish { id } => head(*id, 34, &mut out),
            Self::Reset { id, code } => {
                values(*id, 35, &[*code], &mut out);
                out.extend_from_slice(WORDS.as_bytes());
            }
            Self::Credit { id, bytes } => values(*id, 36, &[*bytes], &mut out),
            Self::GoAway { code } => {
                values(0, 37, &[0, *code], &mut out);
                out.extend_from_slice(WORDS.as_bytes());
            }
            Self::Ping => text_of(0, 38, OPAQUE, &mut out),
            Self::Pong => text_of(0, 39, OPAQUE, &mut out),
            Self::Sync { newest, ids } => sync(*newest, ids, &mut out),
            Self::Raw { bytes } => out.extend_from_slice(bytes),
            Self::Deaf | Self::Length { .. } | Self::Flood { .. } => return None,
        }
        Some(out)
    }
}

fn head(id: i64, kind: i64, out: &mut Vec<u8>) {
    [0, id, kind].into_iter().for_each(|number| signed(number, out));
}

fn text_of(id: i64, kind: i64, text: &str, out: &mut Vec<u8>) {
    head(id, kind, out);
    out.extend_from_slice(text.as_bytes());
}

fn values(id: i64, kind: i64, values: &[u64], out: &mut Vec<u8>) {
    head(id, kind, out);
    values.iter().for_each(|number| signed(number.cast_signed(), out));
}

fn sync(newest: i64, ids: &[i64], out: &mut Vec<u8>) {
    head(0, 40, out);
    signed(newest, out);
    let mut before = 0_i64;
    for id in ids {
        signed(id.wrapping_sub(before), out);
        before = *id;
    }
}

fn signed(value: i64, out: &mut Vec<u8>) {
    unsigned((value << 1 ^ value >> 63).cast_unsigned(), out);
}

/// A number as the protocol writes it: seven bits at a time, the lowest first.
pub(crate) fn unsigned(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use watertight_core::wire::{DecodeLimits, Dialect, Message};

    use super::*;

    #[test]
    fn what_is_legal_is_understood() {
        let messages = [
            HostileMessage::Settings { window: 1024, max_data: 1024, max_connections: 4 },
            HostileMessage::Connect { id: -3, target: "tcp/s1.example:1".into() },
            HostileMessage::Data { id: 3, bytes: 300 },
            HostileMessage::Opened { id: 3 },
            HostileMessage::Finish { id: 3 },
            HostileMessage::Reset { id: 3, code: 2 },
            HostileMessage::Credit { id: 3, bytes: 70_000 },
            HostileMessage::Error { id: 3, text: "EOF".into() },
            HostileMessage::Pause { id: 3 },
            HostileMessage::Resume { id: 3 },
            HostileMessage::Ping,
            HostileMessage::Pong,
            HostileMessage::Sync { newest: 5, ids: vec![1, 3] },
            HostileMessage::SyncConnections { ids: vec![-1, 3] },
            HostileMessage::GoAway { code: 1 },
            HostileMessage::AddClient { key: "client1".into() },
        ];
        for message in messages {
            let payload = message.payload().unwrap();
            let limits = DecodeLimits::default();
            let bytes = payload.clone().into();
            let decoded = Message::decode(bytes, Dialect::Extended, &limits).unwrap();
            assert_eq!(payload, decoded.encode().to_bytes(), "{message:?}");
        }
    }
}
