//! Any bytes as one message: they are understood or refused, what is understood means the same when it is
//! passed on, and takes no more memory than its length explains.

use bytes::Bytes;
use watertight_core::wire::{Body, DecodeLimits, Dialect, InvalidMessage, Message, Settings};

use crate::heap;

/// Limits that short inputs meet.
const SMALL: DecodeLimits =
    DecodeLimits { message: 200, text: 16, target: 20, client_key: 10, ids: 4 };

/// Decodes in both dialects, within usual limits and within small ones, and encodes back.
pub fn run(input: &[u8]) {
    let input = Bytes::copy_from_slice(input);
    for dialect in [Dialect::Base, Dialect::Extended] {
        check(&input, dialect, &DecodeLimits::default());
        check(&input, dialect, &SMALL);
    }
}

/// The decoded bytes in each dialect.
#[must_use]
pub fn explain(input: &[u8]) -> String {
    let decode =
        |dialect| Message::decode(Bytes::copy_from_slice(input), dialect, &DecodeLimits::default());
    format!("base: {:?}, extended: {:?}", decode(Dialect::Base), decode(Dialect::Extended))
}

/// Decodes a message, and encodes what was understood.
///
/// # Panics
/// Something does not hold.
pub fn check(input: &Bytes, dialect: Dialect, limits: &DecodeLimits) {
    let (most, decoded) = heap::most(|| Message::decode(input.clone(), dialect, limits));
    let explained = 64 * input.len() as u64 + 4096;
    assert!(most <= explained, "{most} bytes of heap for a message of {}", input.len());
    match decoded {
        Ok(message) => {
            assert!(input.len() <= limits.message, "a message of {} bytes", input.len());
            is_as_read(input, &message, limits);
            is_within(&message.body, limits);
            encode_back(input, message, dialect, limits);
        }
        Err(error) => is_explained(&error),
    }
}

/// The numbers of a message by the rules of the protocol, read without any regard for their size.
fn is_as_read(input: &[u8], message: &Message, limits: &DecodeLimits) {
    let mut numbers = LongVarints(input);
    assert_eq!(numbers.next(), Some(message.message_id.into()), "the message's id");
    assert_eq!(numbers.next(), Some(message.connection.get().into()), "the connection");
    assert_eq!(numbers.next(), Some(kind(&message.body).into()), "the type");
    match &message.body {
        Body::Data { deadline, payload } => {
            assert_eq!(numbers.next(), Some((*deadline).into()), "the deadline");
            assert_eq!(numbers.0, payload, "the payload");
        }
        Body::Connect { deadline, target } => {
            assert_eq!(numbers.next(), Some((*deadline).into()), "the deadline");
            assert_eq!(numbers.0, target.as_bytes(), "the target");
        }
        Body::Credit { bytes } => assert_eq!(numbers.next(), Some((*bytes).into()), "the credit"),
        Body::Error { text } => is_head(text, numbers.0, limits),
        Body::Reset { code, text } => {
            assert_eq!(numbers.next(), Some(code.get().into()), "the code");
            is_head(text, numbers.0, limits);
        }
        Body::GoAway { last, code, text } => {
            assert_eq!(numbers.next(), Some(last.get().into()), "the last id");
            assert_eq!(numbers.next(), Some(code.get().into()), "the code");
            is_head(text, numbers.0, limits);
        }
        Body::AddClient(route) | Body::RemoveClient(route) => {
            let words = std::str::from_utf8(numbers.0).ok().and_then(|text| text.rsplit_once('/'));
            let read = words.and_then(|(key, number)| Some((key, number.parse().ok()?)));
            assert_eq!(read, Some((route.client_key.as_str(), route.session_key)), "the route");
        }
        Body::Settings(settings) => {
            let Settings { initial_window, max_data, max_connections, silence } = *settings;
            for setting in [initial_window, max_data, max_connections] {
                assert_eq!(numbers.next(), Some(setting.into()), "a setting");
            }
            // A field that an earlier version does not send.
            let sent = if numbers.0.is_empty() { Some(0) } else { numbers.next() };
            assert_eq!(sent, Some(silence.into()), "the silence");
        }
        Body::Ping { opaque } | Body::Pong { opaque } => assert_eq!(numbers.0, opaque),
        Body::Sync { newest, ids } => {
            assert_eq!(numbers.next(), Some(newest.get().into()), "the newest id");
            let mut last = 0_i64;
            for id in ids {
                let step = numbers.next().and_then(|step| i64::try_from(step).ok());
                assert_eq!(step.map(|step| last.wrapping_add(step)), Some(id.get()), "an id");
                last = id.get();
            }
            assert!(numbers.0.is_empty(), "ids that were left out");
        }
        Body::SyncConnections { ids } => {
            let raw = ids.iter().flat_map(|id| id.get().to_le_bytes());
            assert!(numbers.0.iter().copied().eq(raw), "the ids");
        }
        Body::Pause | Body::Resume | Body::Opened | Body::Finish | Body::Unknown { .. } => {}
    }
}

/// A text for people is the text sent, or its head, where that is UTF-8 and can be logged.
fn is_head(text: &str, said: &[u8], limits: &DecodeLimits) {
    let Ok(said) = std::str::from_utf8(said) else { return };
    if !said.contains(char::is_control) {
        let whole = said.len() <= limits.text;
        // It may be cut inside a character.
        let head = text.trim_end_matches(char::REPLACEMENT_CHARACTER);
        assert!(said.starts_with(head) && (!whole || said == text), "{text:?} of {said:?}");
    }
}

/// The types as `PROTOCOL.md` numbers them.
const fn kind(body: &Body) -> i64 {
    match body {
        Body::Data { .. } => 1,
        Body::Connect { .. } => 2,
        Body::Error { .. } => 3,
        Body::AddClient(_) => 4,
        Body::RemoveClient(_) => 5,
        Body::Pause => 6,
        Body::Resume => 7,
        Body::SyncConnections { .. } => 8,
        Body::Settings(_) => 32,
        Body::Opened => 33,
        Body::Finish => 34,
        Body::Reset { .. } => 35,
        Body::Credit { .. } => 36,
        Body::GoAway { .. } => 37,
        Body::Ping { .. } => 38,
        Body::Pong { .. } => 39,
        Body::Sync { .. } => 40,
        Body::Unknown { kind } => *kind,
    }
}

/// Zig-zag numbers of any length.
struct LongVarints<'a>(&'a [u8]);

impl LongVarints<'_> {
    fn next(&mut self) -> Option<i128> {
        let last = self.0.iter().position(|byte| byte & 0x80 == 0)?;
        let (digits, rest) = self.0.split_at_checked(last + 1)?;
        self.0 = rest;
        let folded = digits.iter().rev().try_fold(0_i128, |number, byte| {
            number.checked_mul(0x80)?.checked_add(i128::from(byte & 0x7f))
        })?;
        Some(if folded % 2 == 0 { folded / 2 } else { -folded / 2 - 1 })
    }
}

/// The decoded parts of a message are within the limits, and a log shows them in one line.
fn is_within(body: &Body, limits: &DecodeLimits) {
    let (length, limit) = match body {
        Body::Connect { target, .. } => (target.len(), limits.target),
        Body::AddClient(route) | Body::RemoveClient(route) => {
            (route.client_key.len(), limits.client_key)
        }
        Body::Sync { ids, .. } | Body::SyncConnections { ids } => (ids.len(), limits.ids),
        Body::Error { text } | Body::Reset { text, .. } | Body::GoAway { text, .. } => {
            assert!(!text.contains(char::is_control), "a text with line ends: {text:?}");
            (text.len(), limits.text)
        }
        _ => (0, 0),
    };
    assert!(length <= limit, "{length}, the limit is {limit}: {body:?}");
}

/// A decoded message decodes to the same one when it is passed on. Numbers and ids take no more bytes than
/// before; a byte that is no text becomes a replacement character, which has three.
fn encode_back(input: &Bytes, mut message: Message, dialect: Dialect, limits: &DecodeLimits) {
    if let Body::SyncConnections { ids } = &mut message.body {
        ids.sort_unstable();
        ids.dedup();
    }
    has_words(&message.body);
    let encoded = message.encode();
    assert_eq!(encoded, message.encode(), "encoded again");
    let bytes = encoded.to_bytes();
    assert_eq!(encoded.len(), bytes.len(), "the length that is told");
    assert!(bytes.len() <= 3 * input.len(), "{} bytes became {}", input.len(), bytes.len());
    assert_eq!(Message::decode(bytes, dialect, limits), Ok(message));
}

/// A log shows the remote's message, and its reason for an end.
fn has_words(body: &Body) {
    let words = match body {
        Body::Reset { code, .. } => code.to_string(),
        Body::GoAway { code, .. } => code.to_string(),
        body => format!("{body:?}"),
    };
    assert!(!words.is_empty(), "{body:?} has no words");
}

/// An operator sees what the remote did wrong.
fn is_explained(error: &InvalidMessage) {
    assert!(!error.to_string().is_empty(), "{error:?} has no words");
}
