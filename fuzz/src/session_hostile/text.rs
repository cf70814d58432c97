//! Arbitrary texts, most of which have a meaning in the protocol or are hostile to a terminal.

use arbitrary::Arbitrary;
use watertight_core::wire::printable;

/// A text for people, or a target, or a client's name: which one the number tells.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Text(pub u8);

/// What has a meaning to someone.
const WORDS: [&str; 8] =
    ["tcp/127.0.0.1:80", "EOF", "", "/", "a/1", "a/x", "tcp/[::1]:80", "\r\n\u{1b}[2J"];

/// What the others are made of: of one byte and of more, and what controls a terminal.
const PIECES: [&str; 4] = ["a", "ü", "\u{9b}", "/1"];

impl Text {
    /// The target that is as good as any.
    pub const TARGET: Self = Self(0);
    /// The text of a graceful end.
    pub const EOF: Self = Self(1);
    /// Nothing.
    pub const EMPTY: Self = Self(2);

    /// What an application of ours says: short, and nothing that it could not log.
    pub(super) fn words(self) -> String {
        printable(&Self(self.0 % 64).string())
    }

    pub(super) fn string(self) -> String {
        let number = usize::from(self.0);
        let piece = PIECES.get(number % 4).copied().unwrap_or_default();
        match WORDS.get(number) {
            Some(word) => (*word).to_string(),
            // Every limit of texts is among the lengths.
            None => piece.repeat(number * number / 32),
        }
    }
}
