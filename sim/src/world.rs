//! The two worlds that run schedules.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where schedules are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum World {
    /// Sessions of `watertight-core` and virtual pipes, without a runtime.
    Core,
    /// The real server and agents on turmoil's simulated hosts.
    Turmoil,
}

impl World {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Core, Self::Turmoil];

    /// Its name on the command line and in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Turmoil => "turmoil",
        }
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
