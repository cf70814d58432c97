//! Messages as a correct end sends them.

use std::string::String;
use std::vec::Vec;

use bytes::Bytes;
use proptest::prelude::*;

use crate::ConnectionId;
use crate::wire::{Body, ClientRoute, Dialect, Message, Settings};

/// Texts, targets and keys: any characters, also the ones with a meaning on the wire.
const TEXT: &str = "(\\PC|[/:%]){0,40}";

pub(super) fn message(dialect: Dialect) -> BoxedStrategy<Message> {
    let body = match dialect {
        Dialect::Base => base().boxed(),
        Dialect::Extended => prop_oneof![base(), extension()].boxed(),
    };
    (any::<i64>(), id(), body)
        .prop_map(|(message_id, connection, body)| Message { message_id, connection, body })
        .boxed()
}

fn base() -> impl Strategy<Value = Body> {
    prop_oneof![
        (any::<i64>(), payload()).prop_map(|(deadline, payload)| Body::Data { deadline, payload }),
        (any::<i64>(), TEXT).prop_map(|(deadline, target)| Body::Connect { deadline, target }),
        TEXT.prop_map(|text| Body::Error { text }),
        route().prop_map(Body::AddClient),
        route().prop_map(Body::RemoveClient),
        Just(Body::Pause),
        Just(Body::Resume),
        ids().prop_map(|ids| Body::SyncConnections { ids }),
        unknown_kind().prop_map(|kind| Body::Unknown { kind }),
    ]
}

fn extension() -> impl Strategy<Value = Body> {
    prop_oneof![
        settings().prop_map(Body::Settings),
        Just(Body::Opened),
        Just(Body::Finish),
        (count(), TEXT).prop_map(|(code, text)| Body::Reset { code: code.into(), text }),
        count().prop_map(|bytes| Body::Credit { bytes: bytes.max(1) }),
        (id(), count(), TEXT).prop_map(|(last, code, text)| Body::GoAway {
            last,
            code: code.into(),
            text
        }),
        any::<[u8; 8]>().prop_map(|opaque| Body::Ping { opaque }),
        any::<[u8; 8]>().prop_map(|opaque| Body::Pong { opaque }),
        (id(), ids()).prop_map(|(newest, ids)| Body::Sync { newest, ids }),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    let connections = Settings::MAX_CONNECTIONS;
    let values = (Settings::INITIAL_WINDOW, Settings::MAX_DATA, connections, Settings::SILENCE);
    values.prop_map(|(initial_window, max_data, max_connections, silence)| Settings {
        initial_window,
        max_data,
        max_connections,
        silence,
    })
}

fn route() -> impl Strategy<Value = ClientRoute> {
    (TEXT, any::<i64>()).prop_map(|(client_key, session_key): (String, i64)| ClientRoute {
        client_key,
        session_key,
    })
}

fn payload() -> impl Strategy<Value = Bytes> {
    any::<Vec<u8>>().prop_map(Bytes::from)
}

fn id() -> impl Strategy<Value = ConnectionId> {
    prop_oneof![any::<i64>(), -4..4_i64].prop_map(ConnectionId::from_wire)
}

fn ids() -> impl Strategy<Value = Vec<ConnectionId>> {
    prop::collection::btree_set(id(), 0..20).prop_map(|ids| ids.into_iter().collect())
}

/// What counts is never negative on the wire.
fn count() -> impl Strategy<Value = u64> {
    prop_oneof![0..=i64::MAX.cast_unsigned(), 0..12_u64]
}

/// Types that neither dialect knows.
fn unknown_kind() -> impl Strategy<Value = i64> {
    prop_oneof![i64::MIN..=0, 9..=31_i64, 41..=i64::MAX]
}
