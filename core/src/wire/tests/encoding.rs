//! Bytes of messages, as the protocol defines them.

use std::string::ToString;
use std::vec;

use bytes::Bytes;

use super::{bytes_of, decode, ids, raw};
use crate::ConnectionId;
use crate::wire::{Body, DecodeLimits, Dialect, EOF, Message, data_header};

fn data(payload: Bytes) -> Message {
    Message::new(ConnectionId::from_wire(7), Body::Data { deadline: 0, payload })
}

#[test]
fn the_payload_of_data_is_shared_when_it_goes_out() {
    let payload = Bytes::from(vec![1; 100]);
    assert_eq!(data(payload.clone()).encode().payload.as_ptr(), payload.as_ptr());
}

#[test]
fn the_payload_of_data_is_shared_when_it_comes_in() {
    let input = bytes_of(&data(vec![1; 100].into()));
    let decoded = Message::decode(input.clone(), Dialect::Base, &DecodeLimits::default());
    let Body::Data { payload, .. } = decoded.unwrap().body else { panic!("not Data") };
    assert_eq!(payload.as_ptr(), input[4..].as_ptr());
}

#[test]
fn the_fast_header_is_that_of_the_message() {
    for id in [0, 1, -1, 64, i64::MIN, i64::MAX] {
        let id = ConnectionId::from_wire(id);
        let message = Message::new(id, Body::Data { deadline: 0, payload: Bytes::new() });
        assert_eq!(data_header(id), message.encode().header);
    }
}

#[test]
fn the_longest_header_has_room() {
    let message = Message {
        message_id: i64::MIN,
        connection: ConnectionId::from_wire(i64::MIN),
        body: Body::Unknown { kind: i64::MIN },
    };
    assert_eq!(message.encode().header.len(), 30);
    let body = Body::Data { deadline: i64::MIN, payload: Bytes::new() };
    assert_eq!(Message { body, ..message }.encode().header.len(), 31);
}

#[test]
fn what_is_short_needs_no_allocation() {
    for body in [Body::Credit { bytes: u64::MAX }, Body::Ping { opaque: [0xff; 8] }, Body::Opened] {
        assert!(Message::new(ConnectionId::SESSION, body).encode().payload.is_empty());
    }
}

#[test]
fn ids_go_out_in_ascending_order_and_each_once() {
    let unordered = ids(&[3, -2, 2, i64::MAX, 3, i64::MIN]);
    let ordered = ids(&[i64::MIN, -2, 2, 3, i64::MAX]);
    let sync = Body::SyncConnections { ids: unordered.clone() };
    let decoded = decode(bytes_of(&Message::new(ConnectionId::SESSION, sync)));
    assert_eq!(decoded, Ok(Body::SyncConnections { ids: ordered.clone() }));
    let newest = ConnectionId::from_wire(9);
    let sync = Body::Sync { newest, ids: unordered };
    let decoded = decode(bytes_of(&Message::new(ConnectionId::SESSION, sync)));
    assert_eq!(decoded, Ok(Body::Sync { newest, ids: ordered }));
}

#[test]
fn sync_lists_differences() {
    let body = Body::Sync { newest: ConnectionId::from_wire(5), ids: ids(&[2, 3, 5]) };
    let bytes = bytes_of(&Message::new(ConnectionId::SESSION, body));
    assert_eq!(bytes, [0, 0, 80, 10, 4, 2, 4].as_slice());
}

#[test]
fn eof_is_the_graceful_end() {
    assert_eq!(decode(raw(3, b"EOF")), Ok(Body::Error { text: EOF.to_string() }));
}

#[test]
fn the_last_slash_separates_the_session_key() {
    let Ok(Body::AddClient(route)) = decode(raw(4, b"a/b::c/17")) else { panic!("not a route") };
    assert_eq!((route.client_key.as_str(), route.session_key), ("a/b::c", 17));
}
