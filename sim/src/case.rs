//! Schedules as JSON files, with the violation that each is kept for.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::schedule::{Schedule, VERSION};
use crate::violation::Violation;
use crate::{Outcome, Trace, World};

/// A schedule in a file: where it runs, what it showed when it was found, and why it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Why it is kept, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// Where it runs.
    pub world: World,
    /// The seeded bug that fails on it, if it was found on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seeded_bug: Option<String>,
    /// The violation that it showed when it was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<Violation>,
    /// What happens.
    pub schedule: Schedule,
}

/// Why a file gives no [`Case`], or a case no file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CaseError {
    /// It cannot be read or written.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        #[source]
        error: io::Error,
    },
    /// It is no case.
    #[error("{path}: no schedule: {error}")]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        error: serde_json::Error,
    },
    /// Somebody or something is in it that is not there.
    #[error("{path}: {what}")]
    Cast {
        /// The file.
        path: PathBuf,
        /// Who or what.
        what: String,
    },
    /// It has the format of another version, in which it would mean something else.
    #[error("{path}: a schedule of version {version}, this program plays version {VERSION}")]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
}

/// As much of a case as every version has.
#[derive(Deserialize)]
struct Head {
    schedule: Version,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

impl Case {
    /// The schedule of a seed.
    #[must_use]
    pub fn of_seed(seed: u64, world: World) -> Self {
        let schedule = Schedule::generate(seed, world);
        Self { about: String::new(), world, seeded_bug: None, found: None, schedule }
    }

    /// Reads a case.
    ///
    /// # Errors
    /// There is no such file, or no case of this version in it.
    pub fn read(path: &Path) -> Result<Self, CaseError> {
        let file = || path.to_path_buf();
        let text =
            fs::read_to_string(path).map_err(|error| CaseError::Io { path: file(), error })?;
        let failed = |error| CaseError::Json { path: file(), error };
        // First, since one of another version may have other fields.
        let head: Head = serde_json::from_str(&text).map_err(failed)?;
        if head.schedule.version != VERSION {
            return Err(CaseError::Version { path: file(), version: head.schedule.version });
        }
        let case: Self = serde_json::from_str(&text).map_err(failed)?;
        match case.schedule.check() {
            Ok(()) => Ok(case),
            Err(what) => Err(CaseError::Cast { path: file(), what }),
        }
    }

    /// Writes it as JSON that a person can read and change, and makes the folder it is in.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), CaseError> {
        let failed = |error| CaseError::Io { path: path.to_path_buf(), error };
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(failed)?;
        let mut text = serde_json::to_string_pretty(self).map_err(|error| failed(error.into()))?;
        text.push('\n');
        fs::write(path, text).map_err(failed)
    }

    /// Plays it.
    #[must_use]
    pub fn run(&self, trace: &Trace) -> Outcome {
        self.world.run(&self.schedule, trace)
    }
}
