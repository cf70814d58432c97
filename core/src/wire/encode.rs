//! Encoding of messages: a header on the stack, a payload that is shared.

use alloc::vec::Vec;

use bytes::Bytes;

use super::message::kind;
use super::varint::{self, Inline};
use super::{Body, ClientRoute, EOF, Message, Settings};
use crate::ConnectionId;

/// The longest header is four numbers: message id, connection id, type and one more.
const MAX_HEADER: usize = 4 * varint::MAX_LEN;

/// The numbers at the start of an encoded message.
pub type Header = Inline<MAX_HEADER>;

/// A message as it goes out: the header, then the payload.
///
/// They stay apart, so that the payload of Data is never copied: a transport writes both at once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Encoded {
    /// The message's header; a payload of a few bytes is part of it.
    pub header: Header,
    /// The rest of the message.
    pub payload: Bytes,
}

impl Encoded {
    /// The bytes of the whole message.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "a message is never empty")]
    pub fn len(&self) -> usize {
        self.header.len() + self.payload.len()
    }

    /// The whole message in one piece, which copies the payload.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut whole = Vec::with_capacity(self.len());
        whole.extend_from_slice(&self.header);
        whole.extend_from_slice(&self.payload);
        whole.into()
    }
}

impl Message {
    /// The bytes of this message. The payload of Data is shared, not copied.
    #[must_use]
    pub fn encode(&self) -> Encoded {
        let mut header = header(self.message_id, self.connection, self.body.kind());
        let payload = encode_body(&self.body, &mut header);
        Encoded { header, payload }
    }
}

/// The header of a Data message of this end, for which making a [`Message`] takes too long.
#[must_use]
#[inline]
pub fn data_header(connection: ConnectionId) -> Header {
    let mut header = header(0, connection, kind::DATA);
    put(&mut header, 0);
    header
}

#[inline]
fn header(message_id: i64, connection: ConnectionId, kind: i64) -> Header {
    let mut header = Header::new();
    put(&mut header, message_id);
    put(&mut header, connection.get());
    put(&mut header, kind);
    header
}

/// Appends what is short to the header and returns the rest.
fn encode_body(body: &Body, header: &mut Header) -> Bytes {
    match body {
        Body::Data { deadline, payload } => {
            put(header, *deadline);
            return payload.clone();
        }
        Body::Connect { deadline, target } => {
            put(header, *deadline);
            return copy(target);
        }
        Body::Error { text } => return error_text(text),
        Body::AddClient(route) | Body::RemoveClient(route) => return encode_route(route),
        Body::SyncConnections { ids } => return whole_ids(ids),
        Body::Settings(settings) => return encode_settings(settings),
        Body::Reset { code, text } => {
            put_unsigned(header, code.get());
            return copy(text);
        }
        Body::Credit { bytes } => put_unsigned(header, *bytes),
        Body::GoAway { last, code, text } => return go_away(*last, code.get(), text),
        Body::Ping { opaque } | Body::Pong { opaque } => header.extend(opaque),
        Body::Sync { newest, ids } => return sync(*newest, ids),
        Body::Pause | Body::Resume | Body::Opened | Body::Finish | Body::Unknown { .. } => {}
    }
    Bytes::new()
}

#[inline]
fn put(header: &mut Header, value: i64) {
    varint::write_signed(value, |byte| header.push(byte));
}

fn put_unsigned(header: &mut Header, value: u64) {
    put(header, saturate(value));
}

/// Numbers that count something are i64 on the wire; no real count comes near the end of those.
fn saturate(value: u64) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}

fn copy(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn error_text(text: &str) -> Bytes {
    if text == EOF { Bytes::from_static(EOF.as_bytes()) } else { copy(text) }
}

fn encode_route(route: &ClientRoute) -> Bytes {
    alloc::format!("{}/{}", route.client_key, route.session_key).into()
}

fn encode_settings(settings: &Settings) -> Bytes {
    let silence = (settings.silence > 0).then_some(settings.silence);
    let values = [settings.initial_window, settings.max_data, settings.max_connections];
    let mut payload = Vec::new();
    for value in values.into_iter().chain(silence) {
        varint::write_signed(saturate(value), |byte| payload.push(byte));
    }
    payload.into()
}

/// Ascending by value, as the Go end sends and sorts them; ids below zero come first.
fn whole_ids(ids: &[ConnectionId]) -> Bytes {
    let mut payload = Vec::with_capacity(8 * ids.len());
    for id in sorted(ids) {
        payload.extend_from_slice(&id.get().to_le_bytes());
    }
    payload.into()
}

fn go_away(last: ConnectionId, code: u64, text: &str) -> Bytes {
    let mut payload = Vec::with_capacity(2 * varint::MAX_LEN + text.len());
    varint::write_signed(last.get(), |byte| payload.push(byte));
    varint::write_signed(saturate(code), |byte| payload.push(byte));
    payload.extend_from_slice(text.as_bytes());
    payload.into()
}

fn sync(newest: ConnectionId, ids: &[ConnectionId]) -> Bytes {
    let mut payload = Vec::new();
    let mut previous = 0;
    varint::write_signed(newest.get(), |byte| payload.push(byte));
    for id in sorted(ids) {
        varint::write_signed(id.get().wrapping_sub(previous), |byte| payload.push(byte));
        previous = id.get();
    }
    payload.into()
}

fn sorted(ids: &[ConnectionId]) -> Vec<ConnectionId> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    ids
}
