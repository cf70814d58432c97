//! Bytes that a decent end would not send.

use crate::schedule::{HostileMessage, Transport};

/// The bytes of what a hostile agent says, frames included.
pub(super) fn bytes(message: &HostileMessage, transport: Transport) -> Vec<u8> {
    let mut out = Vec::new();
    append(message, transport, &mut out);
    out
}

fn append(message: &HostileMessage, transport: Transport, out: &mut Vec<u8>) {
    match message {
        HostileMessage::Deaf => {}
        HostileMessage::Length { length } => prefix(*length, transport, out),
        HostileMessage::Flood { count, message } => {
            for turn in 0..*count {
                append(&message.in_flood(turn), transport, out);
            }
        }
        message => {
            let payload = payload(message);
            prefix(payload.len() as u64, transport, out);
            out.extend_from_slice(&payload);
        }
    }
}

/// What stands in front of a message: a length, or the head of a binary WebSocket frame.
fn prefix(length: u64, transport: Transport, out: &mut Vec<u8>) {
    if transport == Transport::ByteStream {
        unsigned(length, out);
        return;
    }
    out.push(0x82);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ 0..=125), _) => out.push(length),
        (_, Ok(length)) => {
            out.push(126);
            out.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
}

/// The message itself. The numbers of the types are those of the protocol.
fn payload(message: &HostileMessage) -> Vec<u8> {
    let mut out = Vec::new();
    match message {
        HostileMessage::Data { id, bytes } => {
            head(*id, 1, &mut out);
            signed(0, &mut out);
            out.resize(out.len() + *bytes as usize, 0);
        }
        HostileMessage::Connect { id, target } => {
            head(*id, 2, &mut out);
            signed(0, &mut out);
            out.extend_from_slice(target.as_bytes());
        }
        HostileMessage::Error { id, text } => text_of(*id, 3, text, &mut out),
        HostileMessage::AddClient { key } => text_of(0, 4, &format!("{key}/1"), &mut out),
        HostileMessage::Pause { id } => head(*id, 6, &mut out),
        HostileMessage::Resume { id } => head(*id, 7, &mut out),
        HostileMessage::SyncConnections { ids } => {
            head(0, 8, &mut out);
            ids.iter().for_each(|id| out.extend_from_slice(&id.to_le_bytes()));
        }
        HostileMessage::Settings { window, max_data, max_connections } => {
            numbers(0, 32, &[*window, *max_data, *max_connections], &mut out);
        }
        HostileMessage::Opened { id } => head(*id, 33, &mut out),
        HostileMessage::Finish { id } => head(*id, 34, &mut out),
        HostileMessage::Reset { id, code } => numbers(*id, 35, &[*code], &mut out),
        HostileMessage::Credit { id, bytes } => numbers(*id, 36, &[*bytes], &mut out),
        HostileMessage::GoAway { code } => numbers(0, 37, &[0, *code], &mut out),
        HostileMessage::Ping => text_of(0, 38, "pingping", &mut out),
        HostileMessage::Pong => text_of(0, 39, "pongpong", &mut out),
        HostileMessage::Sync { newest, ids } => sync(*newest, ids, &mut out),
        HostileMessage::Raw { bytes } => out.extend_from_slice(bytes),
        // These are no messages.
        HostileMessage::Deaf | HostileMessage::Length { .. } | HostileMessage::Flood { .. } => {}
    }
    out
}

fn head(id: i64, kind: i64, out: &mut Vec<u8>) {
    [0, id, kind].into_iter().for_each(|number| signed(number, out));
}

fn text_of(id: i64, kind: i64, text: &str, out: &mut Vec<u8>) {
    head(id, kind, out);
    out.extend_from_slice(text.as_bytes());
}

fn numbers(id: i64, kind: i64, numbers: &[u64], out: &mut Vec<u8>) {
    head(id, kind, out);
    numbers.iter().for_each(|number| signed(number.cast_signed(), out));
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

fn unsigned(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use watertight::core::wire::{DecodeLimits, Dialect, Message, decode_frame};

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
            let mut buffer = BytesMut::from(&*bytes(&message, Transport::ByteStream));
            let frame = decode_frame(&mut buffer, 1 << 16).unwrap().unwrap();
            assert!(buffer.is_empty());
            let limits = DecodeLimits::default();
            let decoded = Message::decode(frame, Dialect::Extended, &limits).unwrap();
            let same = decoded.encode().to_bytes();
            assert_eq!(payload(&message), same, "{message:?}");
        }
    }
}
