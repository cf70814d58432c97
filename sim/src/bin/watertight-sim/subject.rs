//! The argument that names a schedule: a file, or a seed.

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;

use watertight_sim::{Case, CaseError, World};

/// What is played: a file, or the schedule of a seed.
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
    /// What is said of one that cannot be read.
    pub(crate) fn blame(&self, error: &CaseError) -> String {
        match self {
            Self::File(path) if !path.exists() => format!("{error}, nor is that a seed"),
            _ => error.to_string(),
        }
    }

    /// The schedule, and where it is run unless `world` says otherwise.
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
    pub(crate) fn derived(&self, world: World, ending: &str) -> PathBuf {
        match self {
            Self::Seed(seed) => format!("{world}-{seed}.{ending}").into(),
            Self::File(path) => path.with_extension(ending),
        }
    }
}
