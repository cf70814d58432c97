//! Values from few bytes: a fuzzer changes bytes one at a time, so that one byte should be worth a value
//! that makes a difference.

use arbitrary::{Arbitrary, Result, Unstructured};
use watertight_core::wire::printable;

/// Sizes on both sides of the limits of all configurations.
const SIZES: [u16; 16] = [
    500, 1023, 1024, 1025, 2000, 2047, 2048, 2049, 4095, 4096, 5000, 5001, 8192, 9000, 9001, 20_000,
];

/// The ends of what a number can be.
const EXTREMES: [i64; 8] =
    [i64::MIN, i64::MIN + 1, -1 << 32, 1 << 32, 1 << 62, i64::MAX - 2, i64::MAX - 1, i64::MAX];

/// One byte.
pub(super) fn byte(u: &mut Unstructured<'_>) -> Result<u8> {
    u8::arbitrary(u)
}

/// A size: one of the small ones, one at a limit, or one anywhere between.
pub(super) fn size(u: &mut Unstructured<'_>) -> Result<u16> {
    let byte = byte(u)?;
    let at_limit = || SIZES.get(usize::from(byte % 16)).copied().unwrap_or_default();
    Ok(match byte {
        0..128 => byte.into(),
        128..224 => 100 * u16::from(byte - 127),
        224.. => at_limit(),
    })
}

/// The length of a Data message: an allowed one, or one at a limit.
pub(super) fn payload(u: &mut Unstructured<'_>) -> Result<u16> {
    let byte = byte(u)?;
    let at_limit = || SIZES.get(usize::from(byte % 16)).copied().unwrap_or_default();
    Ok(if byte < 240 { 4 * u16::from(byte) } else { at_limit() })
}

/// A number: a small one on either side of zero, or one of the extremes.
pub(super) fn number(u: &mut Unstructured<'_>) -> Result<i64> {
    let byte = byte(u)?;
    let extreme = || EXTREMES.get(usize::from(byte % 8)).copied().unwrap_or_default();
    Ok(if byte < 224 { i64::from(byte) - 32 } else { extreme() })
}

/// The most that a count can be, or a part of it.
pub(super) fn magnitude(u: &mut Unstructured<'_>) -> Result<u64> {
    Ok(i64::MAX.cast_unsigned() >> (byte(u)? % 64))
}

/// A time in milliseconds: up to half an hour, the longer the coarser.
pub(super) fn millis(u: &mut Unstructured<'_>) -> Result<u32> {
    let byte = byte(u)?;
    Ok(u32::from(byte % 8) << (byte / 8 % 32).min(18))
}

/// Up to so many bytes as they are.
pub(super) fn raw(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let length = usize::from(byte(u)? % 64).min(u.len());
    u.bytes(length).map(<[u8]>::to_vec)
}

/// A text for people, or a target, or a client's name, chosen by the number.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Text(pub u8);

/// Texts with a meaning in the protocol or on a terminal.
const WORDS: [&str; 8] =
    ["tcp/127.0.0.1:80", "EOF", "", "/", "a/1", "a/x", "tcp/[::1]:80", "\r\n\u{1b}[2J"];

/// Pieces of the other texts: characters of one byte and of more, and one that controls a terminal.
const PIECES: [&str; 4] = ["a", "ü", "\u{9b}", "/1"];

impl Text {
    /// The target that is as good as any.
    pub const TARGET: Self = Self(0);
    /// The text of a graceful end.
    pub const EOF: Self = Self(1);
    /// Nothing.
    pub const EMPTY: Self = Self(2);

    /// The text of an application: short, and printable.
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
