//! Varints: LEB128, signed (zig-zag, Go's `binary.PutVarint`) and unsigned; and frames of a byte
//! stream: each message has its length in front, as an unsigned one.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::ops::Deref;

use bytes::{Buf, Bytes, BytesMut};

/// The most bytes that 64 bits take.
pub(super) const MAX_LEN: usize = 10;

/// Why bytes are not a varint of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum InvalidVarint {
    /// The bytes end inside the number.
    #[error("it ends too early")]
    Truncated,
    /// The number has more than ten bytes.
    #[error("it is longer than 10 bytes")]
    Overlong,
    /// The number has more than 64 bits.
    #[error("it does not fit into 64 bits")]
    Overflow,
}

/// Reads a signed number, with its length in bytes.
#[inline]
pub(super) fn read_signed(input: &[u8]) -> Result<(i64, usize), InvalidVarint> {
    read_unsigned(input).map(|(value, len)| (from_zig_zag(value), len))
}

/// Reads an unsigned number, with its length in bytes.
#[inline]
pub(super) fn read_unsigned(input: &[u8]) -> Result<(u64, usize), InvalidVarint> {
    // Nearly every number of a watertight end's message is one byte long.
    match input.first() {
        Some(&byte) if byte < 0x80 => Ok((u64::from(byte), 1)),
        _ => read_long(input),
    }
}

fn read_long(input: &[u8]) -> Result<(u64, usize), InvalidVarint> {
    let mut value = 0;
    for ((&byte, len), shift) in input.iter().zip(1..MAX_LEN).zip((0..).step_by(7)) {
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            debug_assert!(len <= input.len(), "a number is longer than its input");
            return Ok((value, len));
        }
    }
    match input.get(MAX_LEN - 1) {
        None => Err(InvalidVarint::Truncated),
        Some(&last @ 0..=1) => Ok((value | u64::from(last) << 63, MAX_LEN)),
        Some(0x80..) => Err(InvalidVarint::Overlong),
        Some(_) => Err(InvalidVarint::Overflow),
    }
}

/// Whether an unsigned number takes more bytes than it needs.
pub(super) const fn is_padded(value: u64, len: usize) -> bool {
    len > 1 && value >> (7 * (len - 1)) == 0
}

#[inline]
pub(super) fn write_signed(value: i64, put: impl FnMut(u8)) {
    write_unsigned(to_zig_zag(value), put);
}

#[inline]
pub(super) fn write_unsigned(mut value: u64, mut put: impl FnMut(u8)) {
    while value >= 0x80 {
        put(low_bits(value) | 0x80);
        value >>= 7;
    }
    put(low_bits(value));
}

const fn to_zig_zag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

const fn from_zig_zag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

const fn low_bits(value: u64) -> u8 {
    value.to_le_bytes()[0] & 0x7f
}

/// The longest message that a length of four bytes can express.
pub const MAX_FRAME: usize = (1 << (7 * MAX_PREFIX)) - 1;

const MAX_PREFIX: usize = 4;

/// The length in front of a message.
pub type FramePrefix = Inline<{ MAX_LEN }>;

/// How the remote's framing breaks the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidFrame {
    /// A message has no bytes (P3.2).
    #[error("the remote sent an empty message")]
    Empty,
    /// A message is longer than this end takes (P2.3).
    #[error("the remote announced a message of {length} bytes, the limit is {limit}")]
    TooLong {
        /// Its bytes.
        length: u64,
        /// The largest that this end takes.
        limit: usize,
    },
    /// A length takes more than four bytes (P3.2).
    #[error("the remote sent a length of more than {MAX_PREFIX} bytes")]
    PrefixTooLong,
    /// A length takes more bytes than it needs (P1.2).
    #[error("the remote padded the length of a message")]
    PrefixPadded,
}

/// Takes the next message off the front of `buffer`, without copying it.
///
/// `None` while the message is incomplete; `buffer` is then as it was. The caller decides how much
/// capacity the rest of it gets: a length alone, which costs its sender nothing, must not take the
/// memory of a message.
///
/// # Errors
///
/// The remote broke the protocol, and where its next message starts is unknown.
pub fn decode_frame(
    buffer: &mut BytesMut,
    max_message: usize,
) -> Result<Option<Bytes>, InvalidFrame> {
    let Some((length, prefix)) = read_prefix(buffer)? else {
        return Ok(None);
    };
    let length = check_length(length, max_message)?;
    if buffer.len() < prefix + length {
        return Ok(None);
    }
    buffer.advance(prefix);
    Ok(Some(buffer.split_to(length).freeze()))
}

/// The length to send in front of a message of `len` bytes.
///
/// A receiver refuses what is longer than [`MAX_FRAME`].
#[must_use]
#[inline]
pub fn frame_prefix(len: usize) -> FramePrefix {
    let mut prefix = FramePrefix::new();
    write_unsigned(len.try_into().unwrap_or(u64::MAX), |byte| prefix.push(byte));
    prefix
}

/// The length and how many bytes it takes; `None` while it is incomplete.
fn read_prefix(buffer: &[u8]) -> Result<Option<(u64, usize)>, InvalidFrame> {
    let head = buffer.get(..MAX_PREFIX).unwrap_or(buffer);
    match read_unsigned(head) {
        Ok((length, bytes)) if is_padded(length, bytes) => Err(InvalidFrame::PrefixPadded),
        Ok(prefix) => Ok(Some(prefix)),
        Err(InvalidVarint::Truncated) if head.len() < MAX_PREFIX => Ok(None),
        Err(_) => Err(InvalidFrame::PrefixTooLong),
    }
}

fn check_length(length: u64, limit: usize) -> Result<usize, InvalidFrame> {
    match usize::try_from(length) {
        Ok(0) => Err(InvalidFrame::Empty),
        Ok(length) if length <= limit => Ok(length),
        _ => Err(InvalidFrame::TooLong { length, limit }),
    }
}

/// At most `N` bytes, held without an allocation.
#[derive(Clone, Copy)]
pub struct Inline<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Inline<N> {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; N], len: 0 }
    }

    /// `N` is chosen for the longest content, so a byte that does not fit is a bug of this crate.
    #[inline]
    pub(super) fn push(&mut self, byte: u8) {
        debug_assert!(self.len < N, "the inline buffer is too small");
        if let Some(slot) = self.bytes.get_mut(self.len) {
            *slot = byte;
            self.len += 1;
        }
    }

    pub(super) fn extend(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.push(byte);
        }
    }
}

impl<const N: usize> Deref for Inline<N> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl<const N: usize> AsRef<[u8]> for Inline<N> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl<const N: usize> PartialEq for Inline<N> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<const N: usize> Eq for Inline<N> {}

impl<const N: usize> Hash for Inline<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl<const N: usize> fmt::Debug for Inline<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn signed(value: i64) -> Vec<u8> {
        let mut out = Vec::new();
        write_signed(value, |byte| out.push(byte));
        out
    }

    #[test]
    fn small_numbers_are_zig_zag() {
        assert_eq!(signed(0), [0]);
        assert_eq!(signed(-1), [1]);
        assert_eq!(signed(1), [2]);
        assert_eq!(signed(15_000), [0xb0, 0xea, 0x01]);
    }

    #[test]
    fn the_ends_of_the_range_take_ten_bytes() {
        for value in [i64::MIN, i64::MAX] {
            let bytes = signed(value);
            assert_eq!(bytes.len(), MAX_LEN);
            assert_eq!(read_signed(&bytes), Ok((value, MAX_LEN)));
        }
    }

    #[test]
    fn a_number_that_ends_too_early_is_truncated() {
        assert_eq!(read_signed(&[]), Err(InvalidVarint::Truncated));
        assert_eq!(read_signed(&[0x80; 9]), Err(InvalidVarint::Truncated));
    }

    #[test]
    fn eleven_bytes_are_overlong() {
        assert_eq!(read_signed(&[0x80; 10]), Err(InvalidVarint::Overlong));
        assert_eq!(read_signed(&[0x80; 11]), Err(InvalidVarint::Overlong));
    }

    #[test]
    fn sixty_five_bits_overflow() {
        let mut bytes = [0xff; 10];
        bytes[9] = 0x02;
        assert_eq!(read_signed(&bytes), Err(InvalidVarint::Overflow));
    }

    #[test]
    fn padding_is_read_as_go_reads_it() {
        assert_eq!(read_signed(&[0x82, 0x80, 0x00]), Ok((1, 3)));
    }

    #[test]
    fn a_number_is_padded_where_fewer_bytes_would_do() {
        for (value, len) in [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (u64::MAX, 10)] {
            assert!(!is_padded(value, len), "{value}");
            assert!(len == MAX_LEN || is_padded(value, len + 1), "{value}");
        }
    }

    fn holding(bytes: &[u8]) -> Inline<4> {
        let mut inline = Inline::new();
        inline.extend(bytes);
        inline
    }

    #[test]
    fn what_is_equal_has_the_same_bytes() {
        assert_eq!(holding(b"ab"), holding(b"ab"));
        assert_ne!(holding(b"ab"), holding(b"ac"));
        assert_ne!(holding(b"a"), holding(b"a\0"));
    }

    proptest! {
        #[test]
        fn every_number_comes_back(value: i64, tail: Vec<u8>) {
            let mut bytes = signed(value);
            let len = bytes.len();
            bytes.extend(tail);
            prop_assert_eq!(read_signed(&bytes), Ok((value, len)));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            if let Ok((_, len)) = read_unsigned(&bytes) {
                prop_assert!(len <= bytes.len());
            }
        }
    }
}
