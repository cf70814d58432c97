//! Any bytes as one message: they are understood or refused, what is understood means the same when it is
//! passed on, and takes no more memory than its length explains.

use bytes::Bytes;
use watertight_core::wire::{Body, DecodeLimits, Dialect, InvalidMessage, Message, printable};

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

/// What the bytes are in each dialect.
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
            is_within(&message.body, limits);
            encode_back(input, message, dialect, limits);
        }
        Err(error) => is_explained(&error),
    }
}

/// What is kept of a message is within the limits, and shows in a log as one line.
fn is_within(body: &Body, limits: &DecodeLimits) {
    let (length, limit) = match body {
        Body::Connect { target, .. } => (target.len(), limits.target),
        Body::AddClient(route) | Body::RemoveClient(route) => {
            (route.client_key.len(), limits.client_key)
        }
        Body::Sync { ids, .. } | Body::SyncConnections { ids } => (ids.len(), limits.ids),
        Body::Error { text } | Body::Reset { text, .. } | Body::GoAway { text, .. } => {
            assert_eq!(printable(text), *text, "a text with line ends");
            (text.len(), limits.text)
        }
        _ => (0, 0),
    };
    assert!(length <= limit, "{length}, the limit is {limit}: {body:?}");
}

/// What was understood is understood in the same way when it is passed on. Numbers and ids take no more
/// bytes than before; a byte that is no text becomes a replacement character, which has three.
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

/// A log shows what the other end said, and why it ended something.
fn has_words(body: &Body) {
    let words = match body {
        Body::Reset { code, .. } => code.to_string(),
        Body::GoAway { code, .. } => code.to_string(),
        body => format!("{body:?}"),
    };
    assert!(!words.is_empty(), "{body:?} has no words");
}

/// An operator sees what the other end did wrong.
fn is_explained(error: &InvalidMessage) {
    assert!(!error.to_string().is_empty(), "{error:?} has no words");
}
