//! Content that can be made and checked at any place without keeping it.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

/// What each step from one word to the next is multiplied with: an odd number without a pattern.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

const WORD: u64 = 8;

/// An endless text that depends on a seed. Two seeds have no piece in common, so that bytes of
/// another transfer are noticed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pattern {
    seed: u64,
    at: u64,
}

/// Bytes that are not those of the pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mismatch {
    /// In which piece.
    pub(super) bytes: (u64, u64),
}

impl Pattern {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, at: 0 }
    }

    /// The next `length` bytes.
    pub(super) fn take(&mut self, length: usize) -> Bytes {
        let mut bytes = BytesMut::with_capacity(length + 2 * 8);
        let (words, skip) = self.words(length);
        for index in words {
            bytes.put_u64_le(self.word(index));
        }
        self.at += length as u64;
        bytes.freeze().slice(skip..skip + length)
    }

    /// Compares the next bytes.
    pub(super) fn check(&mut self, bytes: &[u8]) -> Result<(), Mismatch> {
        let start = self.at;
        if self.take(bytes.len()) == bytes {
            Ok(())
        } else {
            Err(Mismatch { bytes: (start, self.at) })
        }
    }

    /// How far it has come.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// The words that have the next `length` bytes in them, and how many bytes of the first one
    /// are not among these.
    fn words(&self, length: usize) -> (Range<u64>, usize) {
        let end = self.at + length as u64;
        let skip = usize::try_from(self.at % WORD).unwrap_or_default();
        (self.at / WORD..end.div_ceil(WORD), skip)
    }

    fn word(&self, index: u64) -> u64 {
        let mixed = index.wrapping_add(self.seed << 40).wrapping_mul(STEP);
        mixed ^ (mixed >> 29)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_the_same_text_as_the_whole() {
        let whole = Pattern::new(7).take(1000);
        let mut pieces = Pattern::new(7);
        for size in [1, 7, 8, 9, 100, 0, 875] {
            let start = usize::try_from(pieces.at()).unwrap();
            pieces.check(&whole[start..start + size]).unwrap();
        }
        assert_eq!(pieces.at(), 1000);
    }

    #[test]
    fn another_seed_or_place_is_noticed() {
        let text = Pattern::new(1).take(64);
        Pattern::new(2).check(&text).unwrap_err();
        Pattern::new(1).check(&text[8..]).unwrap_err();
    }
}
