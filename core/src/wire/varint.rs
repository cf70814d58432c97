//! LEB128, signed (zig-zag, Go's `binary.PutVarint`) and unsigned.

/// The most bytes that 64 bits take.
pub(super) const MAX_LEN: usize = 10;

/// Why bytes are not a varint of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum InvalidVarint {
    /// The bytes end inside the number.
    #[error("it ends too early")]
    Truncated,
    /// The number goes on after ten bytes.
    #[error("it is longer than 10 bytes")]
    Overlong,
    /// The number has more than 64 bits.
    #[error("it does not fit into 64 bits")]
    Overflow,
}

/// Reads a signed number and tells how many bytes it took.
#[inline]
pub(super) fn read_signed(input: &[u8]) -> Result<(i64, usize), InvalidVarint> {
    read_unsigned(input).map(|(value, len)| (from_zig_zag(value), len))
}

/// Reads an unsigned number and tells how many bytes it took.
#[inline]
pub(super) fn read_unsigned(input: &[u8]) -> Result<(u64, usize), InvalidVarint> {
    // Nearly every number of a message of ours is one byte long.
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
