//! Messages on a byte stream that arrives in any pieces.

use bytes::{Bytes, BytesMut};
use watertight_core::wire::{InvalidFrame, MAX_FRAME, decode_frame, frame_prefix};

const LIMIT: usize = 1 << 20;

fn frame(message: &[u8]) -> Vec<u8> {
    [&*frame_prefix(message.len()), message].concat()
}

fn decode(bytes: &[u8]) -> Result<Option<Bytes>, InvalidFrame> {
    decode_frame(&mut BytesMut::from(bytes), LIMIT)
}

#[test]
fn a_message_is_taken_without_copying_it() {
    let mut buffer = BytesMut::from(&*[frame(b"first"), frame(b"second")].concat());
    let start = buffer[1..].as_ptr();
    let first = decode_frame(&mut buffer, LIMIT).unwrap().unwrap();
    assert_eq!((&*first, first.as_ptr()), (&b"first"[..], start));
    assert_eq!(buffer, *frame(b"second"));
}

#[test]
fn an_incomplete_message_stays_where_it_is() {
    for length in [0, 1, 100, 5001] {
        let mut buffer = BytesMut::from(&frame(&[7; 5000])[..length]);
        let before = (buffer.as_ptr(), buffer.capacity());
        assert_eq!(decode_frame(&mut buffer, LIMIT), Ok(None));
        assert_eq!(((buffer.as_ptr(), buffer.capacity()), buffer.len()), (before, length));
    }
}

/// P2.3.
#[test]
fn the_limit_is_the_longest_message() {
    let mut buffer = BytesMut::from(&*frame(&[1; 10]));
    assert_eq!(decode_frame(&mut buffer.clone(), 10).unwrap().unwrap().len(), 10);
    let error = InvalidFrame::TooLong { length: 10, limit: 9 };
    assert_eq!(decode_frame(&mut buffer, 9), Err(error));
}

/// P3.2.
#[test]
fn an_empty_message_is_refused() {
    assert_eq!(decode(&[0]), Err(InvalidFrame::Empty));
}

/// P3.2.
#[test]
fn a_length_has_four_bytes_at_most() {
    assert_eq!(decode(&[0x80; 3]), Ok(None));
    assert_eq!(decode(&[0x80; 4]), Err(InvalidFrame::PrefixTooLong));
    assert_eq!(decode(&frame_prefix(MAX_FRAME + 1)), Err(InvalidFrame::PrefixTooLong));
    let error = InvalidFrame::TooLong { length: MAX_FRAME as u64, limit: LIMIT };
    assert_eq!(decode(&frame_prefix(MAX_FRAME)), Err(error));
}

/// P1.2.
#[test]
fn a_padded_length_is_refused() {
    assert_eq!(decode(&[0x81, 0x00, 1]), Err(InvalidFrame::PrefixPadded));
    assert_eq!(decode(&[0x80, 0x00]), Err(InvalidFrame::PrefixPadded));
}
