//! Values from few bytes: a fuzzer changes bytes one at a time, so that one byte should be worth a value
//! that makes a difference.

use arbitrary::{Arbitrary, Result, Unstructured};

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

/// The length of a Data message: one that is allowed, or one at a limit.
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
