//! What a server says to a peer that dials a client which is not there.
//!
//! The Go end has no codes, only words, and cuts them.

use alloc::format;
use alloc::string::String;

use crate::wire::base;

/// The words for a client that is not there, as the Go end puts them.
#[must_use]
pub fn no_such_client(client_key: &str) -> String {
    format!("failed to find Session for client {client_key}")
}

/// Whether an end that dialled this client through a peer was told that it is not there.
#[must_use]
pub fn says_no_such_client(text: &str, client_key: &str) -> bool {
    let whole = no_such_client(client_key);
    // A cut does not split a character, so it may come a little before the limit.
    whole == text || (text.len() + char::MAX_LEN_UTF8 > base::MAX_ERROR && whole.starts_with(text))
}

#[cfg(test)]
mod tests {
    use super::*;

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
