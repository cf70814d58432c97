//! The two preface decoders on arbitrary bytes: a split into pieces never changes the result.

use bytes::BytesMut;
use watertight_core::wire::{Hello, HelloReply, InvalidPreface, PrefaceLimits};

use crate::heap;

/// So little that it is met.
const LIMITS: PrefaceLimits = PrefaceLimits { client_key: 20, token: 30, text: 20 };

/// What one of the decoders makes of a buffer.
type Decode<T> = fn(&mut BytesMut, &PrefaceLimits) -> Result<Option<T>, InvalidPreface>;

/// Decodes both prefaces, whole and in pieces.
pub(super) fn check(bytes: &[u8], piece: u8) {
    if let Some(hello) = whole_and_in_pieces(bytes, piece, Hello::decode) {
        assert!(bytes.starts_with(&hello.encode()), "encoded, {hello:?} is another one");
        let other = Hello { token: "another".into(), ..hello.clone() };
        assert_eq!(format!("{hello:?}"), format!("{other:?}"), "the token shows");
        assert!(hello.client_key.len() <= LIMITS.client_key && hello.token.len() <= LIMITS.token);
    }
    if let Some(reply) = whole_and_in_pieces(bytes, piece, HelloReply::decode) {
        assert!(bytes.starts_with(&reply.encode()), "encoded, {reply:?} is another one");
        assert!(reply.text.len() <= LIMITS.text);
    }
}

fn whole_and_in_pieces<T: PartialEq + std::fmt::Debug>(
    bytes: &[u8],
    piece: u8,
    decode: Decode<T>,
) -> Option<T> {
    let mut buffer = BytesMut::from(bytes);
    let (most, whole) = heap::most(|| decode(&mut buffer, &LIMITS));
    assert!(most <= 4 * bytes.len() as u64, "{most} bytes of heap for {}", bytes.len());
    let mut gathered = BytesMut::new();
    let mut in_pieces = Ok(None);
    for piece in bytes.chunks(piece.max(1).into()) {
        gathered.extend_from_slice(piece);
        if matches!(in_pieces, Ok(None)) {
            in_pieces = decode(&mut gathered, &LIMITS);
        }
    }
    assert_eq!(whole, in_pieces, "whole and in pieces");
    if let Err(error) = &whole {
        assert!(!error.to_string().is_empty(), "{error:?} has no words");
    }
    let decoded = whole.ok().flatten()?;
    assert_eq!(buffer, gathered, "what follows it");
    Some(decoded)
}
