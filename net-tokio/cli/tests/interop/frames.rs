//! A counter of the pings and messages in the WebSocket frames that pass the relay.

use std::sync::atomic::{AtomicU64, Ordering};

/// The messages of the connector on its WebSocket.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pings: AtomicU64,
    sync_connections: AtomicU64,
}

impl Heard {
    pub(crate) fn pings(&self) -> u64 {
        self.pings.load(Ordering::Relaxed)
    }

    pub(crate) fn sync_connections(&self) -> u64 {
        self.sync_connections.load(Ordering::Relaxed)
    }
}

/// Reads the frames of a WebSocket (RFC 6455 section 5.2) as they pass by, and keeps none.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// Of a frame whose beginning has not passed by in full.
    pending: Vec<u8>,
    /// The rest of a frame whose beginning was read.
    skip: u64,
}

const BINARY: u8 = 2;
const PING: u8 = 9;

/// remotedialer's message type.
const SYNC_CONNECTIONS: i64 = 8;

/// Enough of a message for its id, its connection and its type.
const ENOUGH: u64 = 24;

impl Frames {
    pub(crate) fn pass(&mut self, mut bytes: &[u8], heard: &Heard) {
        while !bytes.is_empty() {
            let skipped = usize::try_from(self.skip).unwrap().min(bytes.len());
            self.skip -= skipped as u64;
            bytes = &bytes[skipped..];
            // A frame's beginning is short, so that few bytes are parsed twice.
            let Some((&byte, rest)) = bytes.split_first() else { return };
            self.pending.push(byte);
            bytes = rest;
            if let Some(frame) = Frame::read(&self.pending) {
                frame.count(heard);
                self.skip = frame.rest;
                self.pending.clear();
            }
        }
    }
}

struct Frame<'a> {
    opcode: u8,
    mask: &'a [u8],
    beginning: &'a [u8],
    /// Bytes that follow.
    rest: u64,
}

impl<'a> Frame<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let ([first, second], mut after) = bytes.split_first_chunk()?;
        let length = match second & 0x7f {
            126 => u16::from_be_bytes(*take(&mut after)?).into(),
            127 => u64::from_be_bytes(*take(&mut after)?),
            short => short.into(),
        };
        let mask: &[u8] = if second & 0x80 == 0 { &[] } else { take::<4>(&mut after)? };
        let shown = length.min(ENOUGH);
        (after.len() as u64 == shown).then_some(Self {
            opcode: first & 0x0f,
            mask,
            beginning: after,
            rest: length - shown,
        })
    }

    fn count(&self, heard: &Heard) {
        match self.opcode {
            PING => heard.pings.fetch_add(1, Ordering::Relaxed),
            BINARY if self.message_type() == Some(SYNC_CONNECTIONS) => {
                heard.sync_connections.fetch_add(1, Ordering::Relaxed)
            }
            _ => 0,
        };
    }

    fn message_type(&self) -> Option<i64> {
        let mask = self.mask.iter().cycle();
        let mut bytes = self.beginning.iter().zip(mask).map(|(byte, mask)| byte ^ mask);
        varint(&mut bytes)?;
        varint(&mut bytes)?;
        varint(&mut bytes)
    }
}

fn take<'a, const N: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(taken)
}

fn varint(bytes: &mut impl Iterator<Item = u8>) -> Option<i64> {
    let mut zigzag = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = bytes.next()?;
        zigzag |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            let magnitude = i64::try_from(zigzag >> 1).unwrap();
            return Some(if zigzag & 1 == 0 { magnitude } else { -magnitude - 1 });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames with a mask of zeros, except the third.
    #[rustfmt::skip]
    const MESSAGES: &[u8] = &[
        0x89, 0x80, 0, 0, 0, 0, // a ping
        0x82, 0x86, 0, 0, 0, 0, 2, 0, 16, 1, 2, 3, // SyncConnections
        0x82, 0x83, 1, 2, 3, 4, 0, 2, 1, // Data, empty
        0x89, 0x80, 0, 0, 0, 0, // a ping
    ];

    #[test]
    fn frames_are_counted_however_they_come() {
        for piece in 1..MESSAGES.len() {
            let (mut frames, heard) = (Frames::default(), Heard::default());
            MESSAGES.chunks(piece).for_each(|bytes| frames.pass(bytes, &heard));
            assert_eq!((heard.pings(), heard.sync_connections()), (2, 1));
        }
    }

    #[test]
    fn long_frames_are_skipped() {
        let (mut frames, heard) = (Frames::default(), Heard::default());
        let long = [[0x82, 0xfe, 0x01, 0x00, 0, 0, 0, 0].as_slice(), &[0; 256]].concat();
        frames.pass(&[&long, MESSAGES].concat(), &heard);
        assert_eq!((heard.pings(), heard.sync_connections()), (2, 1));
    }
}
