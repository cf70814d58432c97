//! The frames of what a hostile agent says.

use crate::schedule::{HostileMessage, Transport, unsigned};

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
            let payload = message.payload().unwrap_or_default();
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

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use watertight::core::wire::decode_frame;

    use super::*;

    #[test]
    fn a_flood_is_as_many_frames() {
        let message = Box::new(HostileMessage::Data { id: 3, bytes: 300 });
        let payload = message.payload().unwrap();
        let flood = HostileMessage::Flood { count: 3, message };
        let mut buffer = BytesMut::from(&*bytes(&flood, Transport::ByteStream));
        for _ in 0..3 {
            assert_eq!(decode_frame(&mut buffer, 1 << 16).unwrap().unwrap(), payload);
        }
        assert!(buffer.is_empty());
    }

    #[test]
    fn a_frame_of_a_web_socket_has_the_length_that_it_needs() {
        let head = |count| {
            let message = HostileMessage::Raw { bytes: vec![7; count] };
            let mut frame = bytes(&message, Transport::WebSocket);
            let payload = frame.split_off(frame.len() - count);
            assert!(payload.iter().all(|byte| *byte == 7));
            frame
        };
        assert_eq!(head(125), [0x82, 125]);
        assert_eq!(head(126), [0x82, 126, 0, 126]);
        assert_eq!(head(1 << 16), [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }
}
