//! Random numbers as bytes, as `arbitrary` reads them: as many bytes for each as the range asks for.

use std::ops::RangeInclusive;

use arbitrary::Unstructured;

/// Reads numbers.
pub(super) struct Reader<'a>(Unstructured<'a>);

impl<'a> Reader<'a> {
    /// The seed of the random numbers that are drawn while the schedule runs comes first: they have no tape.
    pub(super) fn new(bytes: &'a [u8]) -> (u64, Self) {
        let mut reader = Self(Unstructured::new(bytes));
        (reader.next(0..=SEEDS), reader)
    }

    pub(super) fn next(&mut self, range: RangeInclusive<u64>) -> u64 {
        let least = *range.start();
        self.0.int_in_range(range).unwrap_or(least)
    }
}

/// Seeds are small, so that they take no more bytes than they are worth.
const SEEDS: u64 = u16::MAX as u64;

/// Writes numbers.
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn new(seed: u64) -> Self {
        let mut writer = Self(Vec::new());
        writer.push(&(0..=SEEDS), seed);
        writer
    }

    pub(super) fn push(&mut self, range: &RangeInclusive<u64>, shown: u64) {
        let (above, most) = (shown - range.start(), range.end() - range.start());
        let bytes = above.to_be_bytes();
        let unused = most.leading_zeros() / 8;
        self.0.extend(bytes.into_iter().skip(unused as usize));
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}
