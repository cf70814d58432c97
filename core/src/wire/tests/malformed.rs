//! Every kind of malformed message, each with an error of its own.

use super::{decode, decode_within, ids, raw};
use crate::ConnectionId;
use crate::wire::{Body, DecodeLimits, Field, InvalidMessage, InvalidVarint};
use std::vec::Vec;

const SMALL: DecodeLimits = DecodeLimits { message: 64, text: 4, target: 8, client_key: 4, ids: 2 };

fn error(kind: u8, payload: &[u8]) -> InvalidMessage {
    decode_within(raw(kind, payload), &SMALL).unwrap_err()
}

/// P2.3.
#[test]
fn a_message_above_the_limit() {
    assert!(decode_within(raw(1, &[0; 61]), &SMALL).is_ok());
    assert_eq!(error(1, &[0; 62]), InvalidMessage::TooLong { length: 65, limit: 64 });
}

/// P2.1.
#[test]
fn a_header_that_ends_too_early() {
    let whole = [0, 2, 2, 0];
    let fields = [Field::MessageId, Field::ConnectionId, Field::Kind, Field::Deadline];
    for (len, field) in fields.into_iter().enumerate() {
        let source = InvalidVarint::Truncated;
        let error = decode(whole[..len].to_vec().into()).unwrap_err();
        assert_eq!(error, InvalidMessage::Varint { field, source });
    }
    decode(whole.to_vec().into()).unwrap();
}

/// P1.1.
#[test]
fn a_header_number_that_never_ends() {
    let error = decode([0x80; 20].to_vec().into()).unwrap_err();
    let source = InvalidVarint::Overlong;
    assert_eq!(error, InvalidMessage::Varint { field: Field::MessageId, source });
}

/// P4.3, P5.14.
#[test]
fn a_target_above_the_limit() {
    assert!(decode_within(raw(2, b"\0tcp/abcd"), &SMALL).is_ok());
    let connection = ConnectionId::from_wire(1);
    let expected = InvalidMessage::TargetTooLong { connection, length: 9, limit: 8 };
    assert_eq!(error(2, b"\0tcp/abcde"), expected);
}

/// P4.3, P5.14.
#[test]
fn a_target_that_is_not_utf8() {
    let connection = ConnectionId::from_wire(1);
    let expected = InvalidMessage::TargetNotUtf8 { connection, valid: 4 };
    assert_eq!(error(2, b"\0tcp/\xff"), expected);
}

/// P1.4.
#[test]
fn a_route_that_is_not_utf8() {
    assert_eq!(error(4, b"\xff/1"), InvalidMessage::RouteNotUtf8 { valid: 0 });
}

/// P6.1.
#[test]
fn a_route_without_a_session_key() {
    assert_eq!(error(4, b"abc"), InvalidMessage::RouteWithoutSessionKey);
    assert_eq!(error(5, b""), InvalidMessage::RouteWithoutSessionKey);
}

/// P6.1.
#[test]
fn a_session_key_that_is_not_a_number() {
    for route in [&b"a/"[..], b"a/b", b"a/9223372036854775808"] {
        assert_eq!(error(5, route), InvalidMessage::RouteSessionKey);
    }
}

/// P1.4.
#[test]
fn a_client_key_above_the_limit() {
    assert!(decode_within(raw(4, b"abcd/1"), &SMALL).is_ok());
    assert_eq!(error(4, b"abcde/1"), InvalidMessage::ClientKeyTooLong { length: 5, limit: 4 });
}

/// P4.12.
#[test]
fn ids_that_are_not_whole() {
    assert_eq!(error(8, &[0; 9]), InvalidMessage::IdsNotWhole { length: 9 });
}

/// P4.12, P5.15.
#[test]
fn ids_above_the_limit() {
    assert!(decode_within(raw(8, &[0; 16]), &SMALL).is_ok());
    assert_eq!(error(8, &[0; 24]), InvalidMessage::TooManyIds { limit: 2 });
    assert!(decode_within(raw(40, &[2, 2, 2]), &SMALL).is_ok());
    assert_eq!(error(40, &[2, 2, 2, 2]), InvalidMessage::TooManyIds { limit: 2 });
}

/// P5.11.
#[test]
fn ids_that_do_not_ascend() {
    assert_eq!(error(40, &[2, 2, 0]), InvalidMessage::IdsNotAscending { previous: 1, id: 1 });
    assert_eq!(error(40, &[2, 2, 1]), InvalidMessage::IdsNotAscending { previous: 1, id: 0 });
}

#[test]
fn a_sync_that_ends_inside_an_id() {
    let source = InvalidVarint::Truncated;
    let varint = |field| InvalidMessage::Varint { field, source };
    assert_eq!(error(40, &[]), varint(Field::NewestId));
    assert_eq!(error(40, &[2, 0x80]), varint(Field::ListedId));
}

/// P5.1.
#[test]
fn settings_that_make_no_sense() {
    let cases = [
        (Field::InitialWindow, 1023, [1023, 1024, 1]),
        (Field::InitialWindow, (1 << 30) + 1, [(1 << 30) + 1, 1024, 1]),
        (Field::MaxData, 1023, [1024, 1023, 1]),
        (Field::MaxData, (1 << 20) + 1, [1024, (1 << 20) + 1, 1]),
        (Field::MaxConnections, 0, [1024, 1024, 0]),
        (Field::MaxConnections, 1 << 40, [1024, 1024, 1 << 40]),
    ];
    for (wrong, wrong_value, values) in cases {
        let error = error(32, &signed(&values));
        let expected = matches!(error, InvalidMessage::Setting { field, value, .. }
            if field == wrong && value == wrong_value);
        assert!(expected, "{error}");
    }
}

/// P5.1.
#[test]
fn settings_that_are_missing() {
    let source = InvalidVarint::Truncated;
    let expected = InvalidMessage::Varint { field: Field::MaxConnections, source };
    assert_eq!(error(32, &signed(&[1024, 1024])), expected);
}

/// P1.3.
#[test]
fn counts_below_zero() {
    let negative = |field| InvalidMessage::Negative { field, value: -1 };
    assert_eq!(error(32, &[1]), negative(Field::InitialWindow));
    assert_eq!(error(35, &[1]), negative(Field::Code));
    assert_eq!(error(36, &[1]), negative(Field::Credit));
    assert_eq!(error(37, &[0, 1]), negative(Field::Code));
}

/// P5.6.
#[test]
fn a_credit_of_nothing() {
    assert_eq!(error(36, &[0]), InvalidMessage::ZeroCredit);
}

/// P5.9.
#[test]
fn a_ping_of_another_length() {
    assert_eq!(error(38, &[0; 7]), InvalidMessage::PingLength { length: 7 });
    assert_eq!(error(39, &[0; 9]), InvalidMessage::PingLength { length: 9 });
}

/// P5.18.
#[test]
fn bytes_after_the_end_of_an_extension_message() {
    for (kind, payload) in [(33, &b"x"[..]), (34, b"x"), (36, b"\x02x")] {
        assert_eq!(error(kind, payload), InvalidMessage::Trailing { kind: kind.into(), length: 1 });
    }
}

/// The Go end looks at the type only, so it may one day send more.
#[test]
fn bytes_after_the_end_of_a_base_message_are_nobodys_business() {
    assert_eq!(decode(raw(6, b"x")), Ok(Body::Pause));
    assert_eq!(decode(raw(7, b"x")), Ok(Body::Resume));
}

/// P1.4.
#[test]
fn texts_for_people_are_cut_instead() {
    let text = "abcd".into();
    assert_eq!(decode_within(raw(3, b"abcdef"), &SMALL), Ok(Body::Error { text }));
    let body = decode_within(raw(35, b"\x02ab\xff"), &SMALL).unwrap();
    assert_eq!(body, Body::Reset { code: 1.into(), text: "ab".into() });
}

#[test]
fn repeated_ids_of_the_base_protocol_are_taken_as_they_come() {
    let payload = [3_i64, -1].map(i64::to_le_bytes).concat();
    assert_eq!(decode(raw(8, &payload)), Ok(Body::SyncConnections { ids: ids(&[3, -1]) }));
}

fn signed(values: &[i64]) -> Vec<u8> {
    let mut out = Vec::new();
    for &value in values {
        crate::wire::varint::write_signed(value, |byte| out.push(byte));
    }
    out
}
