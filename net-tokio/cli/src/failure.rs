//! Why the program did not run, and what its exit code says about it.

use std::fmt;

use thiserror::Error;

/// What the exit code says. Printed by `--help`; change both together.
pub(crate) mod exit_code {
    /// The books are even: everything that was opened was closed.
    pub(crate) const EVEN: u8 = 0;
    /// The books are uneven, or a check of the demo failed.
    pub(crate) const UNEVEN: u8 = 1;
    /// The command line, the environment or a file is wrong; nothing was started. It is also what
    /// clap exits with.
    pub(crate) const CONFIGURATION: u8 = 2;
    /// The system did not give what the configuration asks for, a port for example; nothing was
    /// started.
    pub(crate) const START: u8 = 3;
    /// To this the number of the third signal is added, which ends the program at once.
    pub(crate) const SIGNAL: u8 = 128;
}

/// Why nothing was started. The text tells the operator what to do about it.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Configuration(String),
    #[error("{0}")]
    Start(String),
}

impl Failure {
    pub(crate) fn configuration(text: impl fmt::Display) -> Self {
        Self::Configuration(text.to_string())
    }

    pub(crate) fn start(text: impl fmt::Display) -> Self {
        Self::Start(text.to_string())
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Configuration(_) => exit_code::CONFIGURATION,
            Self::Start(_) => exit_code::START,
        }
    }
}
