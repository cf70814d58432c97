//! Decoding of messages, within limits.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::{Buf, Bytes};

use super::message::kind;
use super::{
    Body, ClientRoute, Dialect, Field, InvalidMessage, Message, ResetCode, Settings, varint,
};
use crate::ConnectionId;

/// How much of what the remote sends is taken in.
///
/// Nothing is allocated for what is above a limit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DecodeLimits {
    /// The longest message, header included, in bytes.
    pub message: usize,
    /// How many bytes of a text for people are kept; the rest is dropped.
    pub text: usize,
    /// The longest Connect target, in bytes.
    pub target: usize,
    /// The longest client key of a peer's route, in bytes.
    pub client_key: usize,
    /// The largest number of ids in one reconciliation message.
    pub ids: usize,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self {
            // A Go application's single write becomes one message of any size. This lets through
            // what such applications do write, and bounds one message's memory.
            message: 4 * 1024 * 1024,
            // Ten times what Go reads: enough for a chain of causes in a log line.
            text: 1024,
            // A host name has 253 bytes at most; a client key may stand in front of it.
            target: 1024,
            // Five times what fits into Go's route message.
            client_key: 512,
            // All the connections of a large session: 512 KiB of ids.
            ids: 65_536,
        }
    }
}

type Decoded<T> = Result<T, InvalidMessage>;

impl Message {
    /// Reads the message that fills `input`. The payload of Data stays where it is.
    ///
    /// # Errors
    ///
    /// The remote broke the rule that the error names.
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
        kind::SETTINGS => return settings(reader).map(Body::Settings),
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

fn settings(mut reader: Reader<'_>) -> Decoded<Settings> {
    let settings = Settings {
        initial_window: reader.non_negative(Field::InitialWindow)?,
        max_data: reader.non_negative(Field::MaxData)?,
        max_connections: reader.non_negative(Field::MaxConnections)?,
        silence: match reader.rest() {
            [] => 0,
            _ => reader.non_negative(Field::Silence)?,
        },
    };
    settings.check()?;
    Ok(settings)
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

/// Reads the fields of a message from its start.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline]
    pub(super) const fn new(input: &'a [u8]) -> Self {
        Self { rest: input }
    }

    #[inline]
    pub(super) fn signed(&mut self, field: Field) -> Result<i64, InvalidMessage> {
        let (value, len) = varint::read_signed(self.rest)
            .map_err(|source| InvalidMessage::Varint { field, source })?;
        debug_assert!(len <= self.rest.len(), "a number is longer than its message");
        self.rest = self.rest.get(len..).unwrap_or_default();
        Ok(value)
    }

    pub(super) fn non_negative(&mut self, field: Field) -> Result<u64, InvalidMessage> {
        let value = self.signed(field)?;
        u64::try_from(value).map_err(|_| InvalidMessage::Negative { field, value })
    }

    #[inline]
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The end of a message of the extension, after which nothing may come.
    pub(super) const fn end(&self, kind: i64) -> Result<(), InvalidMessage> {
        match self.rest.len() {
            0 => Ok(()),
            length => Err(InvalidMessage::Trailing { kind, length }),
        }
    }
}

/// The head of a text that is only for people.
///
/// The Go end cuts texts inside a character, so bytes that are not UTF-8 are replaced: a closing
/// message must not fail because of its wording. Characters that are not [`printable`] are
/// replaced, too.
pub(super) fn keep_head(bytes: &[u8], limit: usize) -> String {
    let head = bytes.get(..limit).unwrap_or(bytes);
    let mut text = printable(&String::from_utf8_lossy(head));
    // Each replaced byte may have become three.
    while text.len() > limit {
        text.pop();
    }
    debug_assert!(text.len() <= limit, "a text exceeds its limit");
    text
}

/// A text of the remote as it may stand in a log and on a terminal: without line ends and escape
/// sequences, with which it could forge lines that are not its own.
#[must_use]
pub fn printable(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::keep_head;

    #[test]
    fn what_controls_a_terminal_is_gone() {
        assert_eq!(keep_head(b"a\r\nINFO forged\x1b[2J\xc2\x9bx", 100), "a  INFO forged [2J x");
    }

    #[test]
    fn a_short_text_is_kept() {
        assert_eq!(keep_head("añ".as_bytes(), 3), "añ");
    }

    #[test]
    fn a_long_text_loses_its_tail() {
        assert_eq!(keep_head(b"abcd", 3), "abc");
        assert_eq!(keep_head("aañ".as_bytes(), 3), "aa");
    }

    #[test]
    fn a_text_cut_inside_a_character_is_readable() {
        assert_eq!(keep_head(b"caf\xc3", 100), "caf\u{fffd}");
    }

    #[test]
    fn replacements_stay_within_the_limit() {
        assert_eq!(keep_head(&[0xff; 8], 8), "\u{fffd}\u{fffd}");
        assert_eq!(keep_head(&[0xff; 8], 0), "");
    }
}
