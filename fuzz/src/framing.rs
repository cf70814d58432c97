//! Any bytes as a stream of messages with their lengths in front, in any pieces: whatever the pieces, they are
//! the same messages, and what is kept of a message that has only begun is no more than its bytes explain.

use arbitrary::{Arbitrary, Unstructured};
use bytes::{Bytes, BytesMut};
use watertight_core::wire::{InvalidFrame, decode_frame, frame_prefix};

/// Room that is made for a message that has only begun, as `watertight_core::wire` documents it, and twice
/// what `BytesMut` adds by growing.
const AHEAD: usize = 4 * 64 * 1024;

/// A stream and how it arrives.
#[derive(Debug)]
pub struct Stream<'a> {
    /// The longest message that is taken.
    pub limit: u16,
    /// The lengths of the pieces, over and over; 0 is 256.
    pub pieces: &'a [u8],
    /// Everything that arrives.
    pub bytes: &'a [u8],
}

/// Pieces whose lengths are told.
const PIECES: u8 = 7;

impl<'a> Arbitrary<'a> for Stream<'a> {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let limit = input.arbitrary()?;
        let pieces = input.int_in_range(0..=PIECES)?;
        let pieces = input.bytes(pieces.into())?;
        Ok(Self { limit, pieces, bytes: input.bytes(input.len())? })
    }
}

/// What a stream was understood as: its messages, and how it is broken after them, if it is.
type Understood = (Vec<Bytes>, Option<InvalidFrame>);

/// Decodes the stream whole and in pieces.
pub fn run(input: &[u8]) {
    if let Ok(stream) = Stream::arbitrary(&mut Unstructured::new(input)) {
        check(&stream);
    }
}

/// The stream of the bytes.
#[must_use]
pub fn explain(input: &[u8]) -> String {
    format!("{:?}", Stream::arbitrary(&mut Unstructured::new(input)))
}

/// Decodes the stream whole and in pieces, and returns what was understood.
///
/// # Panics
/// Something does not hold.
pub fn check(stream: &Stream<'_>) -> Vec<Bytes> {
    let whole = decode(stream, &[stream.bytes]);
    let pieces = decode(stream, &split(stream.bytes, stream.pieces));
    assert_eq!(whole, pieces, "whole and in pieces");
    let (messages, broken) = whole;
    encode_back(stream.bytes, &messages, broken.is_some());
    if let Some(error) = broken {
        assert!(!error.to_string().is_empty(), "{error:?} has no words");
    }
    messages
}

/// The pieces, in order, of these lengths over and over.
fn split<'a>(mut bytes: &'a [u8], lengths: &[u8]) -> Vec<&'a [u8]> {
    let mut lengths = lengths.iter().cycle();
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        let length = lengths.next().map_or(1, |length| usize::from(length.wrapping_sub(1)) + 1);
        let (piece, rest) = bytes.split_at(length.min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

fn decode(stream: &Stream<'_>, pieces: &[&[u8]]) -> Understood {
    let limit = usize::from(stream.limit);
    let mut buffer = BytesMut::new();
    let mut messages = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match decode_frame(&mut buffer, limit) {
                Ok(Some(message)) => {
                    assert!((1..=limit).contains(&message.len()), "{} bytes", message.len());
                    messages.push(message);
                }
                Ok(None) => break,
                Err(error) => {
                    stays_broken(buffer, limit, error);
                    return (messages, Some(error));
                }
            }
        }
        let room = 2 * stream.bytes.len() + AHEAD;
        assert!(buffer.capacity() <= room, "room for {} bytes", buffer.capacity());
    }
    (messages, None)
}

/// Where the next message starts is unknown: more bytes do not mend that.
fn stays_broken(mut buffer: BytesMut, limit: usize, error: InvalidFrame) {
    buffer.extend_from_slice(&[1, 1, 1, 1, 1, 1, 1, 1]);
    assert_eq!(decode_frame(&mut buffer, limit), Err(error), "broken, and then not");
}

/// The messages with their lengths in front are the stream again, as far as it was understood.
fn encode_back(bytes: &[u8], messages: &[Bytes], broken: bool) {
    let frames = messages.iter().map(|message| [&*frame_prefix(message.len()), message].concat());
    let again = frames.collect::<Vec<_>>().concat();
    assert!(bytes.starts_with(&again), "encoded, the messages are another stream");
    assert!(broken || bytes.len() - again.len() < 4 + usize::from(u16::MAX), "something was left");
}
