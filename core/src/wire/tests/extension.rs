//! The messages of the extension.

use super::{bytes_of, decode, raw};
use crate::ConnectionId;
use crate::wire::{Body, DecodeLimits, Dialect, GoAwayCode, Message, ResetCode, Settings};
use std::string::ToString;

const SETTINGS: Settings =
    Settings { initial_window: 65_536, max_data: 32_768, max_connections: 1000, silence: 30_000 };

/// P2.2.
#[test]
fn a_base_end_ignores_the_extension() {
    for kind in 32..=40 {
        let bytes = raw(kind, b"anything");
        let message = Message::decode(bytes, Dialect::Base, &DecodeLimits::default()).unwrap();
        assert_eq!(message.body, Body::Unknown { kind: kind.into() });
    }
}

/// P5.1.
#[test]
fn settings_that_a_later_version_adds_are_skipped() {
    let bytes = bytes_of(&Message::new(ConnectionId::SESSION, Body::Settings(SETTINGS)));
    let longer = [&*bytes, &[0x02, 0xff, 0x80]].concat().into();
    assert_eq!(decode(longer), Ok(Body::Settings(SETTINGS)));
}

#[test]
fn the_other_end_accepts_what_checks() {
    let settings =
        Settings { max_data: 1 << 20, initial_window: 1024, max_connections: 1, silence: 0 };
    for settings in [settings, Settings { silence: 1 << 32, ..settings }] {
        settings.check().unwrap();
        let bytes = bytes_of(&Message::new(ConnectionId::SESSION, Body::Settings(settings)));
        assert_eq!(decode(bytes), Ok(Body::Settings(settings)));
    }
    Settings { silence: (1 << 32) + 1, ..settings }.check().unwrap_err();
    Settings { max_connections: 0, ..settings }.check().unwrap_err();
    Settings { max_data: (1 << 20) + 1, ..settings }.check().unwrap_err();
    Settings { initial_window: 0, ..settings }.check().unwrap_err();
}

#[test]
fn go_away_tells_the_last_id_and_why() {
    let body = Body::GoAway {
        last: ConnectionId::from_wire(-3),
        code: GoAwayCode::TIMEOUT,
        text: "silent".to_string(),
    };
    let bytes = bytes_of(&Message::new(ConnectionId::SESSION, body.clone()));
    assert_eq!(bytes, b"\x00\x00\x4a\x05\x08silent".as_slice());
    assert_eq!(decode(bytes), Ok(body));
}

/// P5.16.
#[test]
fn codes_read_as_words() {
    assert_eq!(ResetCode::DIAL_REFUSED.to_string(), "dial refused");
    assert_eq!(ResetCode::from(77).to_string(), "unknown code 77");
    assert_eq!(GoAwayCode::DRAIN.to_string(), "drain");
    assert_eq!(GoAwayCode::from(6).to_string(), "unknown code 6");
    assert_eq!(GoAwayCode::from(6).get(), 6);
}

#[test]
fn a_reset_of_a_later_version_is_understood() {
    let reset = decode(raw(35, &[0xb4, 0x01]));
    assert_eq!(reset, Ok(Body::Reset { code: 90.into(), text: "".to_string() }));
}
