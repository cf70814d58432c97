//! The opening of a session on a byte stream.

use bytes::BytesMut;
use proptest::prelude::*;
use watertight_core::wire::{
    Hello, HelloReply, InvalidPreface, InvalidVarint, PrefaceField, PrefaceLimits,
};

const LIMITS: PrefaceLimits = PrefaceLimits { client_key: 8, token: 8, text: 8 };

fn hello() -> Hello {
    Hello { version: 1, client_key: "edge-7".into(), token: "secret".into() }
}

fn decode(bytes: &[u8]) -> Result<Option<Hello>, InvalidPreface> {
    Hello::decode(&mut BytesMut::from(bytes), &LIMITS)
}

fn decode_reply(bytes: &[u8]) -> Result<Option<HelloReply>, InvalidPreface> {
    HelloReply::decode(&mut BytesMut::from(bytes), &LIMITS)
}

fn after_magic(fields: &[u8]) -> Vec<u8> {
    [b"\0watertight?", fields].concat()
}

/// P3.4.
#[test]
fn the_bytes_are_as_documented() {
    assert_eq!(*hello().encode(), *b"\0watertight?\x01\x06edge-7\x06secret");
    let reply = HelloReply { version: 1, status: 401, text: "no".into() };
    assert_eq!(*reply.encode(), *b"\0watertight!\x01\x91\x03\x02no");
}

#[test]
fn what_follows_stays_in_the_buffer() {
    let mut buffer = BytesMut::from(&*[&hello().encode()[..], b"next"].concat());
    assert_eq!(Hello::decode(&mut buffer, &LIMITS), Ok(Some(hello())));
    assert_eq!(buffer, b"next"[..]);
}

/// P3.5.
#[test]
fn other_protocols_are_told_by_their_first_byte() {
    for start in [&b"G"[..], b"P", b"\x16", b"\x80"] {
        assert_eq!(decode(start), Err(InvalidPreface::Magic { position: 0 }));
    }
    assert_eq!(decode(b"\0wet"), Err(InvalidPreface::Magic { position: 2 }));
}

/// P3.5.
#[test]
fn an_end_that_meets_itself_notices() {
    assert_eq!(decode_reply(&hello().encode()), Err(InvalidPreface::Magic { position: 11 }));
}

/// P3.4.
#[test]
fn limits_hold_before_the_text_arrives() {
    let too_long = |field, length| InvalidPreface::TooLong { field, length, limit: 8 };
    let key = decode(&after_magic(&[1, 9]));
    assert_eq!(key, Err(too_long(PrefaceField::ClientKey, 9)));
    let token = decode(&after_magic(&[1, 0, 0xff, 0xff, 0xff, 0x7f]));
    assert_eq!(token, Err(too_long(PrefaceField::Token, (1 << 28) - 1)));
    let text = decode_reply(b"\0watertight!\x01\x00\x09");
    assert_eq!(text, Err(too_long(PrefaceField::Text, 9)));
}

#[test]
fn texts_at_the_limit_are_taken() {
    let longest = Hello { client_key: "12345678".into(), token: "12345678".into(), ..hello() };
    assert_eq!(decode(&longest.encode()), Ok(Some(longest)));
}

/// P3.4.
#[test]
fn texts_are_utf8() {
    let error = InvalidPreface::NotUtf8 { field: PrefaceField::ClientKey };
    assert_eq!(decode(&after_magic(b"\x01\x01\xff")), Err(error));
}

/// P1.2.
#[test]
fn numbers_are_short_and_not_padded() {
    let field = PrefaceField::Version;
    let padded = decode(&after_magic(&[0x81, 0x00]));
    assert_eq!(padded, Err(InvalidPreface::Padded { field }));
    let source = InvalidVarint::Overlong;
    let endless = decode(&after_magic(&[0x80; 11]));
    assert_eq!(endless, Err(InvalidPreface::Varint { field, source }));
}

/// P3.4.
#[test]
fn a_status_has_sixteen_bits() {
    let error = InvalidPreface::Status { status: 65_536 };
    assert_eq!(decode_reply(b"\0watertight!\x01\x80\x80\x04"), Err(error));
}

#[test]
fn the_token_is_not_shown() {
    let shown = format!("{:?}", hello());
    assert!(shown.contains("edge-7") && !shown.contains("secret"), "{shown}");
}

proptest! {
    #[test]
    fn a_hello_comes_back_from_any_split(
        version: u64, client_key in "\\PC{0,60}", token in "\\PC{0,60}", at: prop::sample::Index,
    ) {
        let sent = Hello { version, client_key, token };
        let bytes = sent.encode();
        let (first, second) = bytes.split_at(at.index(bytes.len()));
        let mut buffer = BytesMut::from(first);
        prop_assert_eq!(Hello::decode(&mut buffer, &PrefaceLimits::default()), Ok(None));
        prop_assert_eq!(&*buffer, first);
        buffer.extend_from_slice(second);
        prop_assert_eq!(Hello::decode(&mut buffer, &PrefaceLimits::default()), Ok(Some(sent)));
        prop_assert!(buffer.is_empty());
    }

    #[test]
    fn a_reply_comes_back_from_any_split(
        version: u64, status: u16, text in "\\PC{0,60}", at: prop::sample::Index,
    ) {
        let sent = HelloReply { version, status, text };
        let bytes = sent.encode();
        let (first, second) = bytes.split_at(at.index(bytes.len()));
        let mut buffer = BytesMut::from(first);
        prop_assert_eq!(HelloReply::decode(&mut buffer, &PrefaceLimits::default()), Ok(None));
        buffer.extend_from_slice(second);
        prop_assert_eq!(HelloReply::decode(&mut buffer, &PrefaceLimits::default()), Ok(Some(sent)));
    }

    #[test]
    fn no_bytes_panic(fields: Vec<u8>) {
        let _ = decode(&fields);
        let _ = decode(&after_magic(&fields));
        let _ = decode_reply(&[b"\0watertight!", &*fields].concat());
    }
}
