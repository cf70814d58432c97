//! Any bytes as a stream of messages with their lengths in front, in any pieces: they are the same messages,
//! and what is kept of a message that has only begun is no more than its bytes explain.

use arbitrary::{Arbitrary, Unstructured};
use bytes::{Bytes, BytesMut};
use watertight_core::wire::{InvalidFrame, MAX_FRAME, decode_frame, frame_prefix};

use crate::heap;

/// The capacity that is reserved at a time, before there are bytes to justify more.
const AHEAD: u64 = 64 * 1024;

/// The longest messages that are taken: ones that short inputs meet, the usual one, and all there are.
pub const LIMITS: [usize; 4] = [130, 20_000, 4 << 20, MAX_FRAME];

/// A stream and how it arrives.
#[derive(Debug)]
pub struct Stream<'a> {
    /// The longest message that is taken.
    pub limit: usize,
    /// The lengths of the pieces, over and over; 0 is 256.
    pub pieces: &'a [u8],
    /// Everything that arrives.
    pub bytes: &'a [u8],
}

/// Pieces of given lengths.
const PIECES: u8 = 7;

impl<'a> Arbitrary<'a> for Stream<'a> {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let limit = *input.choose(&LIMITS)?;
        let pieces = input.int_in_range(0..=PIECES)?;
        let pieces = input.bytes(pieces.into())?;
        Ok(Self { limit, pieces, bytes: input.bytes(input.len())? })
    }
}

/// A decoded stream: its messages, and the error after them, if there is one.
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
    let expected = naive(stream);
    for pieces in [vec![stream.bytes], split(stream.bytes, stream.pieces)] {
        let (most, understood) = heap::most(|| decode(stream, &pieces));
        assert_eq!(understood, expected, "in {} pieces", pieces.len());
        // The bytes, their messages, and a buffer that is twice as large as it was, beside the one it was.
        let explained = 8 * stream.bytes.len() as u64 + 4 * AHEAD;
        assert!(most <= explained, "{most} bytes of heap for {}", stream.bytes.len());
    }
    let (messages, broken) = expected;
    if let Some(error) = broken {
        assert!(!error.to_string().is_empty(), "{error:?} has no words");
    }
    messages
}

/// The stream by the rules of the protocol, read byte by byte.
fn naive(stream: &Stream<'_>) -> Understood {
    let (mut messages, mut rest) = (Vec::new(), stream.bytes);
    loop {
        let (prefix, length) = match naive_length(rest, stream.limit) {
            Ok(Some(read)) => read,
            Ok(None) => return (messages, None),
            Err(error) => return (messages, Some(error)),
        };
        assert_eq!(&*frame_prefix(length), prefix, "encoded, the length is another one");
        let message = rest.get(prefix.len()..).and_then(|rest| rest.split_at_checked(length));
        let Some((message, after)) = message else { return (messages, None) };
        messages.push(Bytes::copy_from_slice(message));
        rest = after;
    }
}

/// The bytes of a length and its value; `None` while they are not all there.
fn naive_length(rest: &[u8], limit: usize) -> Result<Option<(&[u8], usize)>, InvalidFrame> {
    let last = rest.iter().position(|byte| byte & 0x80 == 0);
    let prefix = match last {
        Some(last) if last < 4 => rest.get(..=last).unwrap_or_default(),
        None if rest.len() < 4 => return Ok(None),
        _ => return Err(InvalidFrame::PrefixTooLong),
    };
    let digits = prefix.iter().rev();
    let length = digits.fold(0, |length, byte| length << 7 | usize::from(byte & 0x7f));
    match prefix {
        [0] => Err(InvalidFrame::Empty),
        [.., 0] => Err(InvalidFrame::PrefixPadded),
        _ if length > limit => Err(InvalidFrame::TooLong { length: length as u64, limit }),
        _ => Ok(Some((prefix, length))),
    }
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
    let mut buffer = BytesMut::new();
    let mut messages = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match decode_frame(&mut buffer, stream.limit) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => {
                    stays_broken(buffer, stream.limit, error);
                    return (messages, Some(error));
                }
            }
        }
    }
    (messages, None)
}

/// Where the next message starts is unknown: more bytes do not change that.
fn stays_broken(mut buffer: BytesMut, limit: usize, error: InvalidFrame) {
    buffer.extend_from_slice(&[1, 1, 1, 1, 1, 1, 1, 1]);
    assert_eq!(decode_frame(&mut buffer, limit), Err(error), "broken, and then not");
}
