//! Bytes that tell of which stream, which direction and which place they are, so that a byte that
//! goes astray shows.

use std::fmt;

use crate::schedule::StreamId;

/// Bytes that follow from one number.
const WORD: usize = 8;

/// Which way bytes of a stream go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the application that dialled to the target.
    ToTarget,
    /// From the target to the application.
    ToApplication,
}

impl Direction {
    /// The way back.
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

/// Bytes that are not those at their place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WrongByte {
    place: u64,
    got: u8,
    expected: u8,
}

impl Pattern {
    pub(crate) fn new(stream: StreamId, direction: Direction) -> Self {
        let direction = u64::from(direction == Direction::ToApplication);
        Self { base: (u64::from(stream.0) * 2 + direction + 1) << 40 }
    }

    /// Appends `length` bytes from `place` on.
    pub(crate) fn append(self, place: u64, length: usize, to: &mut Vec<u8>) {
        to.reserve(length);
        let (mut index, skip) = (place / 8, (place % 8) as usize);
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

    /// Whether `bytes` are those from `place` on.
    pub(crate) fn check(self, place: u64, bytes: &[u8]) -> Result<(), WrongByte> {
        let head = ((WORD - (place % 8) as usize) % WORD).min(bytes.len());
        let (head, rest) = bytes.split_at(head);
        self.check_part(place, head)?;
        let mut place = place + head.len() as u64;
        let mut words = rest.chunks_exact(WORD);
        for word in &mut words {
            // Whole words are compared as such, because most are right.
            if word != self.word(place / 8).to_le_bytes() {
                return self.check_part(place, word);
            }
            place += WORD as u64;
        }
        self.check_part(place, words.remainder())
    }

    /// Compares a part of one word.
    fn check_part(self, place: u64, part: &[u8]) -> Result<(), WrongByte> {
        let word = self.word(place / 8).to_le_bytes();
        let expected = word.get((place % 8) as usize..).unwrap_or_default();
        if part == expected.get(..part.len()).unwrap_or_default() {
            return Ok(());
        }
        Err(wrong_byte(place, part, expected))
    }

    const fn word(self, index: u64) -> u64 {
        // The finalizer of SplitMix64: each place has its own word, of each stream.
        let mut word = (self.base + index).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word ^ (word >> 27)
    }
}

fn wrong_byte(place: u64, part: &[u8], expected: &[u8]) -> WrongByte {
    let pairs = part.iter().zip(expected).zip(place..);
    let wrong = pairs.into_iter().find(|((got, expected), _)| got != expected);
    let ((got, expected), place) = wrong.map_or(((0, 0), place), |((a, b), at)| ((*a, *b), at));
    WrongByte { place, got, expected }
}

impl fmt::Display for WrongByte {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, got, expected } = self;
        write!(f, "byte {place} is {got:#04x}, not {expected:#04x}")
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
        for (place, byte) in whole.clone().into_iter().enumerate() {
            let mut changed = whole.clone();
            changed[place] ^= 1;
            let wrong = WrongByte { place: place as u64, got: byte ^ 1, expected: byte };
            assert_eq!(pattern.check(0, &changed), Err(wrong));
        }
        let back = Pattern::new(StreamId(3), Direction::ToApplication);
        assert!(back.check(0, &whole).is_err());
        assert!(Pattern::new(StreamId(4), Direction::ToTarget).check(0, &whole).is_err());
    }
}
