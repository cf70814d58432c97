//! Targets of dials through a peer: `clientKey::proto/address`.
//!
//! The Go end takes what stands before the first `/`, and of that what stands before the first
//! `::`, for the client key. So it cannot express keys with either in them, nor a key that ends in
//! `:`. Toward a watertight end, `%`, `/` and `:` in a key are percent-encoded, and any key can be
//! expressed; without those three both forms are the same. A target toward such an end need not
//! have the form `proto/address` either.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;

use crate::ConnectionEnd;
use crate::wire::{Dialect, ResetCode, base};

const ESCAPES: [(char, &str); 3] = [('%', "%25"), ('/', "%2F"), (':', "%3A")];

/// Why a message to a peer cannot be encoded, in the base dialect or in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotEncodable {
    /// The client key is empty.
    #[error("an empty client key names nobody")]
    EmptyKey,
    /// The client key contains `/`.
    #[error("a peer that speaks the base protocol cannot dial a client key with `/` in it")]
    Slash,
    /// The client key contains `::` or ends in `:`.
    #[error("a peer that speaks the base protocol cannot dial a client key with `::` in it")]
    Colons,
    /// The peer would cut the announcement.
    #[error("the peer reads {limit} bytes of a route, this one has {length}")]
    RouteTooLong {
        /// Its bytes.
        length: usize,
        /// [`base::MAX_ROUTE`].
        limit: usize,
    },
    /// The peer would cut the target.
    #[error("the peer reads {limit} bytes of a target, this one has {length}")]
    TargetTooLong {
        /// Its bytes.
        length: usize,
        /// [`base::MAX_TARGET`].
        limit: usize,
    },
}

/// How a target that a peer sent is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPeerTarget {
    /// There is no `/` between protocol and address.
    #[error("the peer asked for a target without an address")]
    NoAddress,
    /// There is no `::` between client key and protocol.
    #[error("the peer asked for a target without a client key")]
    NoClientKey,
    /// A `%` is not followed by one of the codes that stand for a character here.
    #[error("the remote sent a client key that is not encoded as it should be")]
    Escape,
}

/// The target for a peer that dials `target` through its session of `client_key`.
///
/// # Errors
///
/// A peer that speaks the base protocol would dial something else.
pub fn peer_target(
    dialect: Dialect,
    client_key: &str,
    target: &str,
) -> Result<String, NotEncodable> {
    check_key(dialect, client_key)?;
    let text = match dialect {
        Dialect::Base => format!("{client_key}::{target}"),
        Dialect::Extended => format!("{}::{target}", escape(client_key)),
    };
    let (length, limit) = (text.len(), base::MAX_TARGET);
    if dialect == Dialect::Base && length > limit {
        return Err(NotEncodable::TargetTooLong { length, limit });
    }
    Ok(text)
}

/// The client key and the target that a peer means: the reverse of [`peer_target`].
///
/// # Errors
///
/// The peer asked for something else than a dial through one of our clients.
pub fn split_peer_target(
    dialect: Dialect,
    text: &str,
) -> Result<(Cow<'_, str>, &str), InvalidPeerTarget> {
    if dialect == Dialect::Base && !text.contains('/') {
        return Err(InvalidPeerTarget::NoAddress);
    }
    let split = text.split_once("::").filter(|(client_key, _)| !client_key.contains('/'));
    let (client_key, target) = split.ok_or(InvalidPeerTarget::NoClientKey)?;
    match dialect {
        Dialect::Base => Ok((Cow::Borrowed(client_key), target)),
        Dialect::Extended => Ok((unescape(client_key)?, target)),
    }
}

/// Whether a peer of this dialect reads the key as it is meant.
pub(super) fn check_key(dialect: Dialect, client_key: &str) -> Result<(), NotEncodable> {
    let base = dialect == Dialect::Base;
    match client_key {
        "" => Err(NotEncodable::EmptyKey),
        key if base && key.contains('/') => Err(NotEncodable::Slash),
        key if base && (key.contains("::") || key.ends_with(':')) => Err(NotEncodable::Colons),
        _ => Ok(()),
    }
}

fn escape(client_key: &str) -> String {
    let mut escaped = String::with_capacity(client_key.len());
    for character in client_key.chars() {
        match ESCAPES.iter().find(|(special, _)| *special == character) {
            Some((_, code)) => escaped.push_str(code),
            None => escaped.push(character),
        }
    }
    escaped
}

fn unescape(escaped: &str) -> Result<Cow<'_, str>, InvalidPeerTarget> {
    if !escaped.contains(['%', ':']) {
        return Ok(Cow::Borrowed(escaped));
    }
    let mut client_key = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some((plain, _)) = rest.split_once(['%', ':']) {
        client_key.push_str(plain);
        let code = rest.get(plain.len()..).unwrap_or_default();
        let (special, code_len) = read_escape(code)?;
        client_key.push(special);
        rest = code.get(code_len..).unwrap_or_default();
    }
    client_key.push_str(rest);
    Ok(Cow::Owned(client_key))
}

/// The character that the code at the start of `text` stands for, and the code's length.
fn read_escape(text: &str) -> Result<(char, usize), InvalidPeerTarget> {
    let escape = ESCAPES.iter().find(|(_, code)| text.starts_with(code));
    escape.map(|&(special, code)| (special, code.len())).ok_or(InvalidPeerTarget::Escape)
}

/// The words for a client that is not there, as the Go end puts them.
#[must_use]
pub fn no_such_client(client_key: &str) -> String {
    format!("failed to find Session for client {client_key}")
}

/// Whether a dial of this client through a peer ended because the peer does not have it.
#[must_use]
pub fn lacks_client(end: &ConnectionEnd, client_key: &str) -> bool {
    match end.code {
        Some(code) => code == ResetCode::NO_SUCH_CLIENT,
        None => says_no_such_client(&end.text, client_key),
    }
}

/// Whether the text of an Error means that the peer does not have the dialled client.
#[must_use]
pub fn says_no_such_client(text: &str, client_key: &str) -> bool {
    let whole = no_such_client(client_key);
    // A cut does not split a character, so it may come a little before the limit.
    whole == text || (text.len() + char::MAX_LEN_UTF8 > base::MAX_ERROR && whole.starts_with(text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TARGET: &str = "tcp/[::1]:80";

    fn there_and_back(
        dialect: Dialect,
        client_key: &str,
        target: &str,
    ) -> Result<(), NotEncodable> {
        let text = peer_target(dialect, client_key, target)?;
        let split = split_peer_target(dialect, &text);
        assert_eq!(split, Ok((Cow::Borrowed(client_key), target)), "{text}");
        Ok(())
    }

    #[test]
    fn ordinary_keys_read_the_same_in_both_dialects() {
        for dialect in [Dialect::Base, Dialect::Extended] {
            let text = peer_target(dialect, "bar", "tcp/127.0.0.1:9102");
            assert_eq!(text.as_deref(), Ok("bar::tcp/127.0.0.1:9102"));
        }
    }

    #[test]
    fn keys_that_a_base_peer_would_take_for_another_one_are_refused() {
        let refused = |key| peer_target(Dialect::Base, key, TARGET).unwrap_err();
        assert_eq!(refused("a/b"), NotEncodable::Slash);
        assert_eq!(refused("a::b"), NotEncodable::Colons);
        assert_eq!(refused("a:"), NotEncodable::Colons);
        assert_eq!(refused(""), NotEncodable::EmptyKey);
        there_and_back(Dialect::Base, "a:b%2F", TARGET).unwrap();
        there_and_back(Dialect::Base, ":a", TARGET).unwrap();
    }

    #[test]
    fn a_watertight_peer_understands_any_key() {
        for key in ["a/b", "a::b", "a:", ":", "/", "%", "%2F", "a::tcp/b:1", "ключ"] {
            for target in [TARGET, "greeting", "", "::", "a::b"] {
                there_and_back(Dialect::Extended, key, target).unwrap();
            }
        }
        let text = peer_target(Dialect::Extended, "a/b::%", TARGET);
        assert_eq!(text.as_deref(), Ok("a%2Fb%3A%3A%25::tcp/[::1]:80"));
    }

    #[test]
    fn a_target_that_a_base_peer_would_cut_is_refused() {
        let longest = "h".repeat(base::MAX_TARGET - "a::tcp/".len());
        there_and_back(Dialect::Base, "a", &format!("tcp/{longest}")).unwrap();
        let error = NotEncodable::TargetTooLong { length: 267, limit: 266 };
        assert_eq!(peer_target(Dialect::Base, "ab", &format!("tcp/{longest}")), Err(error));
        there_and_back(Dialect::Extended, "ab", &format!("tcp/{longest}")).unwrap();
    }

    #[test]
    fn what_is_no_dial_through_a_client_is_refused() {
        let refused = |text| split_peer_target(Dialect::Extended, text).unwrap_err();
        let base = split_peer_target(Dialect::Base, "a::tcp");
        assert_eq!(base, Err(InvalidPeerTarget::NoAddress));
        assert_eq!(refused("tcp"), InvalidPeerTarget::NoClientKey);
        assert_eq!(refused("tcp/[::1]:80"), InvalidPeerTarget::NoClientKey);
        for text in ["a%::tcp/b:1", "a%2f::tcp/b:1", "a:b::tcp/b:1", "%é::tcp/b:1"] {
            assert_eq!(refused(text), InvalidPeerTarget::Escape);
        }
    }

    proptest! {
        #[test]
        fn a_key_comes_back_or_is_refused(
            key in "(\\PC|[:/%]){0,20}", target in "[a-z]{1,4}/(\\PC|[:/%]){0,20}", extended: bool,
        ) {
            let dialect = if extended { Dialect::Extended } else { Dialect::Base };
            let spoken = there_and_back(dialect, &key, &target);
            prop_assert_eq!(spoken.is_err() && extended, key.is_empty() && extended);
        }

        #[test]
        fn no_text_panics(text in "(\\PC|[:/%]|%2F){0,20}") {
            let _ = split_peer_target(Dialect::Base, &text);
            if let Ok((key, target)) = split_peer_target(Dialect::Extended, &text) {
                let again = key.is_empty() || there_and_back(Dialect::Extended, &key, target).is_ok();
                prop_assert!(again);
            }
        }
    }

    #[test]
    fn the_words_are_known_again_also_when_they_are_cut() {
        let key = "\u{e9}".repeat(80);
        let words = no_such_client(&key);
        let cut = &words[..words.floor_char_boundary(base::MAX_ERROR)];
        assert!(says_no_such_client(&words, &key) && says_no_such_client(cut, &key));
        assert!(says_no_such_client("failed to find Session for client edge-7", "edge-7"));
        for other in ["", "EOF", "failed to find Session for client ", "connection refused"] {
            assert!(!says_no_such_client(other, "edge-7"), "{other}");
        }
        assert!(!says_no_such_client("failed to find Session for client edge-7", "edge-70"));
    }
}
