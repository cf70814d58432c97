use alloc::string::String;
use alloc::vec::Vec;

use bytes::{Buf, Bytes};

use super::reader::Reader;
use super::text::keep_head;
use super::{Body, ClientRoute, DecodeLimits, Dialect, Field, InvalidMessage, Message};
use super::{ResetCode, Settings, kind};
use crate::ConnectionId;

type Decoded<T> = Result<T, InvalidMessage>;

impl Message {
    /// Reads the message that fills `input`. The payload of Data stays where it is.
    ///
    /// # Errors
    ///
    /// The other end broke the protocol in the way that the error names.
    #[inline]
    pub fn decode(mut input: Bytes, dialect: Dialect, limits: &DecodeLimits) -> Decoded<Self> {
        let length = input.len();
        if length > limits.message {
            return Err(InvalidMessage::TooLong { length, limit: limits.message });
        }
        let mut reader = Reader::new(&input);
        let message_id = reader.signed(Field::MessageId)?;
        let connection = ConnectionId::from_wire(reader.signed(Field::ConnectionId)?);
        let kind = reader.signed(Field::Kind)?;
        let deadline = deadline(kind, &mut reader)?;
        let header = length - reader.rest().len();
        input.advance(header);
        // Data is most of what comes; built right here, it is not moved through another result.
        let body = if kind == kind::DATA {
            Body::Data { deadline, payload: input }
        } else {
            decode_body(connection, kind, deadline, &input, dialect, limits)?
        };
        Ok(Self { message_id, connection, body })
    }
}

#[inline]
fn deadline(kind: i64, reader: &mut Reader<'_>) -> Decoded<i64> {
    match kind {
        kind::DATA | kind::CONNECT => reader.signed(Field::Deadline),
        _ => Ok(0),
    }
}

#[inline]
fn decode_body(
    connection: ConnectionId,
    kind: i64,
    deadline: i64,
    payload: &[u8],
    dialect: Dialect,
    limits: &DecodeLimits,
) -> Decoded<Body> {
    match kind {
        kind::CONNECT => {
            Ok(Body::Connect { deadline, target: target(connection, payload, limits)? })
        }
        kind::ERROR..=kind::SYNC_CONNECTIONS => base(kind, payload, limits),
        kind::SETTINGS..=kind::SYNC if dialect == Dialect::Extended => {
            extension(kind, payload, limits)
        }
        _ => Ok(Body::Unknown { kind }),
    }
}

/// Bytes after an empty payload are ignored here, as the Go end ignores them.
fn base(kind: i64, payload: &[u8], limits: &DecodeLimits) -> Decoded<Body> {
    Ok(match kind {
        kind::ERROR => Body::Error { text: keep_head(payload, limits.text) },
        kind::ADD_CLIENT => Body::AddClient(route(payload, limits)?),
        kind::REMOVE_CLIENT => Body::RemoveClient(route(payload, limits)?),
        kind::PAUSE => Body::Pause,
        kind::RESUME => Body::Resume,
        kind::SYNC_CONNECTIONS => Body::SyncConnections { ids: whole_ids(payload, limits)? },
        _ => Body::Unknown { kind },
    })
}

fn extension(kind: i64, payload: &[u8], limits: &DecodeLimits) -> Decoded<Body> {
    let mut reader = Reader::new(payload);
    let body = match kind {
        kind::SETTINGS => return Settings::decode(payload).map(Body::Settings),
        kind::RESET => return reset(reader, limits),
        kind::GO_AWAY => return go_away(reader, limits),
        kind::PING => {
            return Ok(Body::Ping { opaque: opaque(payload)? });
        }
        kind::PONG => {
            return Ok(Body::Pong { opaque: opaque(payload)? });
        }
        kind::SYNC => return sync(reader, limits),
        kind::OPENED => Body::Opened,
        kind::FINISH => Body::Finish,
        kind::CREDIT => Body::Credit { bytes: credit(&mut reader)? },
        _ => return Ok(Body::Unknown { kind }),
    };
    reader.end(kind)?;
    Ok(body)
}

fn target(connection: ConnectionId, payload: &[u8], limits: &DecodeLimits) -> Decoded<String> {
    let (length, limit) = (payload.len(), limits.target);
    if length > limit {
        return Err(InvalidMessage::TargetTooLong { connection, length, limit });
    }
    match str::from_utf8(payload) {
        Ok(target) => Ok(target.into()),
        Err(error) => Err(InvalidMessage::TargetNotUtf8 { connection, valid: error.valid_up_to() }),
    }
}

/// Client keys may contain `/` and session keys cannot: the last one separates them.
fn route(payload: &[u8], limits: &DecodeLimits) -> Decoded<ClientRoute> {
    let slash = payload.iter().rposition(|&byte| byte == b'/');
    let at = slash.ok_or(InvalidMessage::RouteWithoutSessionKey)?;
    if at > limits.client_key {
        return Err(InvalidMessage::ClientKeyTooLong { length: at, limit: limits.client_key });
    }
    let (client_key, session_key) = str::from_utf8(payload)
        .map_err(|error| InvalidMessage::RouteNotUtf8 { valid: error.valid_up_to() })?
        .rsplit_once('/')
        .ok_or(InvalidMessage::RouteWithoutSessionKey)?;
    let session_key = session_key.parse().map_err(|_| InvalidMessage::RouteSessionKey)?;
    Ok(ClientRoute { client_key: client_key.into(), session_key })
}

fn whole_ids(payload: &[u8], limits: &DecodeLimits) -> Decoded<Vec<ConnectionId>> {
    let (ids, []) = payload.as_chunks() else {
        return Err(InvalidMessage::IdsNotWhole { length: payload.len() });
    };
    if ids.len() > limits.ids {
        return Err(InvalidMessage::TooManyIds { limit: limits.ids });
    }
    Ok(ids.iter().map(|&id| ConnectionId::from_wire(i64::from_le_bytes(id))).collect())
}

fn reset(mut reader: Reader<'_>, limits: &DecodeLimits) -> Decoded<Body> {
    let code = ResetCode::from(reader.non_negative(Field::Code)?);
    Ok(Body::Reset { code, text: keep_head(reader.rest(), limits.text) })
}

fn go_away(mut reader: Reader<'_>, limits: &DecodeLimits) -> Decoded<Body> {
    let last = ConnectionId::from_wire(reader.signed(Field::LastId)?);
    let code = reader.non_negative(Field::Code)?.into();
    Ok(Body::GoAway { last, code, text: keep_head(reader.rest(), limits.text) })
}

fn opaque(payload: &[u8]) -> Decoded<[u8; 8]> {
    payload.try_into().map_err(|_| InvalidMessage::PingLength { length: payload.len() })
}

fn credit(reader: &mut Reader<'_>) -> Decoded<u64> {
    match reader.non_negative(Field::Credit)? {
        0 => Err(InvalidMessage::ZeroCredit),
        bytes => Ok(bytes),
    }
}

fn sync(mut reader: Reader<'_>, limits: &DecodeLimits) -> Decoded<Body> {
    let newest = ConnectionId::from_wire(reader.signed(Field::NewestId)?);
    let mut ids = Vec::new();
    while !reader.rest().is_empty() {
        if ids.len() == limits.ids {
            return Err(InvalidMessage::TooManyIds { limit: limits.ids });
        }
        let listed = reader.signed(Field::ListedId)?;
        ids.push(next_id(ids.last().copied(), listed)?);
    }
    Ok(Body::Sync { newest, ids })
}

/// The first id stands there itself, each other one as the difference to the id before it.
///
/// The difference of two i64 may not fit into one; it wraps then, at both ends alike, so that
/// every list has exactly one encoding.
fn next_id(previous: Option<ConnectionId>, listed: i64) -> Decoded<ConnectionId> {
    let Some(previous) = previous.map(ConnectionId::get) else {
        return Ok(ConnectionId::from_wire(listed));
    };
    let id = previous.wrapping_add(listed);
    if id <= previous {
        return Err(InvalidMessage::IdsNotAscending { previous, id });
    }
    Ok(ConnectionId::from_wire(id))
}
