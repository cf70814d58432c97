//! What a session says to people.

use std::fmt::Display;

use super::bounds;

/// What came of a command; an operator understands why nothing did.
pub(super) fn outcome<T, E: Display>(result: Result<T, E>) -> Option<T> {
    result.map_err(|error| explained(&error)).ok()
}

/// An error has words, and they can be logged.
pub(super) fn explained(error: &impl Display) {
    let text = error.to_string();
    assert!(!text.is_empty(), "an error has no words");
    printable(&text);
}

pub(super) fn printable(text: &str) {
    assert!(!text.contains(char::is_control), "{text:?} cannot be logged");
    assert!(text.len() <= bounds::WORDS, "{} bytes of text: {text}", text.len());
}
