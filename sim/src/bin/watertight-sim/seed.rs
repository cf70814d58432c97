//! The first seed of a run, from a number or from any text.

use std::str::FromStr;

/// The first seed of a run: a number, or any other text, such as the hash of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FirstSeed(pub(crate) u64);

impl FirstSeed {
    /// Behind the last one there is room for any run.
    const LAST: u64 = (1 << 63) - 1;
}

impl FromStr for FirstSeed {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        // The hash of a commit may have digits only, but it has more of them.
        let is_number = text.len() <= 20 && text.bytes().all(|byte| byte.is_ascii_digit());
        let seed = if is_number { text.parse().ok() } else { Some(hash(text)) };
        let seed = seed.filter(|seed| *seed <= Self::LAST);
        seed.map(Self).ok_or("a first seed is a number below 2^63, or any other text")
    }
}

/// FNV-1a, and only 48 bits of it: that is a number to type, with room for any run behind it.
fn hash(text: &str) -> u64 {
    let mixed = text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (mixed >> 48 ^ mixed) & 0xffff_ffff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_itself_and_a_text_is_a_number() {
        assert_eq!("12".parse(), Ok(FirstSeed(12)));
        for wrong in ["", "9223372036854775808", "18446744073709551616"] {
            assert!(wrong.parse::<FirstSeed>().is_err(), "{wrong}");
        }
        let commits = ["ccc2a3b", "ccc2a3c", "7777777777777777777777777777777777777777"];
        let seeds = commits.map(|commit| commit.parse::<FirstSeed>().unwrap().0);
        assert!(seeds[0] != seeds[1] && seeds[1] != seeds[2] && seeds[0] != seeds[2]);
        assert!(seeds.iter().all(|seed| *seed < 1 << 48));
    }
}
