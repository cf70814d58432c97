//! Bytes that identify their stream, direction and offset, so that a byte that goes astray shows.

use std::fmt;

use crate::schedule::StreamId;

/// Bytes that follow from one number.
const WORD: usize = 8;

/// The direction of the bytes of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the application that dialled to the target.
    ToTarget,
    /// From the target to the application.
    ToApplication,
}

impl Direction {
    /// The opposite direction.
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::ToTarget => Self::ToApplication,
            Self::ToApplication => Self::ToTarget,
        }
    }
}

/// The bytes of one direction of one stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pattern {
    base: u64,
}

/// Bytes that are not those of their offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WrongByte {
    offset: u64,
    got: u8,
    expected: u8,
}

impl Pattern {
    pub(crate) fn new(stream: StreamId, direction: Direction) -> Self {
        let direction = u64::from(direction == Direction::ToApplication);
        Self { base: (u64::from(stream.0) * 2 + direction + 1) << 40 }
    }

    /// Appends `length` bytes from `offset` on.
    pub(crate) fn append(self, offset: u64, length: usize, to: &mut Vec<u8>) {
        to.reserve(length);
        let (mut index, skip) = (offset / 8, (offset % 8) as usize);
        let mut missing = length;
        let head = self.word(index).to_le_bytes();
        let head = head.get(skip..).unwrap_or_default();
        let head = head.get(..missing).unwrap_or(head);
        to.extend_from_slice(head);
        missing -= head.len();
        while missing >= WORD {
            index += 1;
            to.extend_from_slice(&self.word(index).to_le_bytes());
            missing -= WORD;
        }
        let tail = self.word(index + 1).to_le_bytes();
        to.extend_from_slice(tail.get(..missing).unwrap_or_default());
    }

    /// Whether `bytes` are those from `offset` on.
    pub(crate) fn check(self, offset: u64, bytes: &[u8]) -> Result<(), WrongByte> {
        let head = ((WORD - (offset % 8) as usize) % WORD).min(bytes.len());
        let (head, rest) = bytes.split_at(head);
        self.check_part(offset, head)?;
        let mut offset = offset + head.len() as u64;
        let mut words = rest.chunks_exact(WORD);
        for word in &mut words {
            // Whole words are compared as such, because most are right.
            if word != self.word(offset / 8).to_le_bytes() {
                return self.check_part(offset, word);
            }
            offset += WORD as u64;
        }
        self.check_part(offset, words.remainder())
    }

    /// Compares a part of one word.
    fn check_part(self, offset: u64, part: &[u8]) -> Result<(), WrongByte> {
        let word = self.word(offset / 8).to_le_bytes();
        let expected = word.get((offset % 8) as usize..).unwrap_or_default();
        if part == expected.get(..part.len()).unwrap_or_default() {
            return Ok(());
        }
        Err(wrong_byte(offset, part, expected))
    }

    const fn word(self, index: u64) -> u64 {
        // The finalizer of SplitMix64: each offset has its own word, of each stream.
        let mut word = (self.base + index).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word ^ (word >> 27)
    }
}

fn wrong_byte(offset: u64, part: &[u8], expected: &[u8]) -> WrongByte {
    let pairs = part.iter().zip(expected).zip(offset..);
    let wrong = pairs.into_iter().find(|((got, expected), _)| got != expected);
    let ((got, expected), offset) = wrong.map_or(((0, 0), offset), |((a, b), at)| ((*a, *b), at));
    WrongByte { offset, got, expected }
}

impl fmt::Display for WrongByte {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, got, expected } = self;
        write!(f, "byte {offset} is {got:#04x}, not {expected:#04x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_is_recognised_and_no_other() {
        let pattern = Pattern::new(StreamId(3), Direction::ToTarget);
        let mut whole = Vec::new();
        pattern.append(0, 100, &mut whole);
        for from in 0..20 {
            for to in from..40 {
                let mut part = Vec::new();
                pattern.append(from as u64, to - from, &mut part);
                assert_eq!(part, whole[from..to]);
                assert_eq!(pattern.check(from as u64, &part), Ok(()));
            }
        }
        for (offset, byte) in whole.clone().into_iter().enumerate() {
            let mut changed = whole.clone();
            changed[offset] ^= 1;
            let wrong = WrongByte { offset: offset as u64, got: byte ^ 1, expected: byte };
            assert_eq!(pattern.check(0, &changed), Err(wrong));
        }
        let back = Pattern::new(StreamId(3), Direction::ToApplication);
        assert!(back.check(0, &whole).is_err());
        assert!(Pattern::new(StreamId(4), Direction::ToTarget).check(0, &whole).is_err());
    }
}
