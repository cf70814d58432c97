//! Failures to start, and the exit codes of the program.

use std::fmt;

use thiserror::Error;

/// The exit codes. Printed by `--help`; change both together.
pub(crate) mod exit_code {
    /// The ledger is settled: everything that was opened was closed.
    pub(crate) const SETTLED: u8 = 0;
    /// The ledger is not settled, or a check of the demo failed.
    pub(crate) const NOT_SETTLED: u8 = 1;
    /// The command line, the environment or a file is wrong; nothing was started. It is also what
    /// clap exits with.
    pub(crate) const CONFIGURATION: u8 = 2;
    /// The system did not give what the configuration asks for, a port for example; nothing was
    /// started.
    pub(crate) const START: u8 = 3;
    /// The base to which the number of the third signal is added, which ends the program at once.
    pub(crate) const SIGNAL: u8 = 128;
}

/// The reason why nothing was started, with advice for the operator.
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
