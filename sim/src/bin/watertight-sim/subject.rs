//! The arguments that name a schedule: a file, or a seed.

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;

use watertight_sim::{Case, CaseError, World};

/// A schedule to play: a file, or the schedule of a seed.
#[derive(Clone, Debug)]
pub(crate) enum Subject {
    File(PathBuf),
    Seed(u64),
}

impl FromStr for Subject {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.parse().map_or_else(|_| Self::File(text.into()), Self::Seed))
    }
}

impl Subject {
    /// The error for one that cannot be read.
    pub(crate) fn blame(&self, error: &CaseError) -> String {
        match self {
            Self::File(path) if !path.exists() => format!("{error}, nor is that a seed"),
            _ => error.to_string(),
        }
    }

    /// The schedule, in its own world unless `world` is given.
    pub(crate) fn case(&self, world: Option<World>) -> Result<Case, CaseError> {
        match self {
            Self::Seed(seed) => Ok(Case::of_seed(*seed, world.unwrap_or(World::Core))),
            Self::File(path) => {
                let mut case = Case::read(path)?;
                case.world = world.unwrap_or(case.world);
                Ok(case)
            }
        }
    }

    /// Where to write what is made of it.
    pub(crate) fn derived(&self, world: World, extension: &str) -> PathBuf {
        match self {
            Self::Seed(seed) => format!("{world}-{seed}.{extension}").into(),
            Self::File(path) => path.with_extension(extension),
        }
    }
}

/// The first seed of a run: a number, or any other text, such as the hash of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FirstSeed(pub(crate) u64);

impl FirstSeed {
    /// Behind the last one there is space for any run.
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

/// FNV-1a, and only 48 bits of it: that is a number to type, with space for any run behind it.
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
