use std::convert::Infallible;
use std::str::FromStr;

/// The first seed of a run: a number, or any other text, such as the hash of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FirstSeed(pub(crate) u64);

impl FromStr for FirstSeed {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.parse().unwrap_or_else(|_| hash(text))))
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
        let commits = ["ccc2a3b", "ccc2a3c", "7777777777777777777777777777777777777777"];
        let seeds = commits.map(|commit| commit.parse::<FirstSeed>().unwrap().0);
        assert!(seeds[0] != seeds[1] && seeds[1] != seeds[2] && seeds[0] != seeds[2]);
        assert!(seeds.iter().all(|seed| *seed < 1 << 48));
    }
}
