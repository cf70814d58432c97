//! Exit codes.

use std::process::ExitCode;

/// How the program ends. The numbers are documented in SIMULATION.md and in the program's help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything is as it must be.
    Fine,
    /// A schedule showed a violation.
    Violation,
    /// A situation was never reached.
    Unreached,
    /// Two runs of a seed differ.
    Undetermined,
    /// A specimen was not caught, or by what proves nothing.
    Missed,
    /// A file could not be read or written, or a process not started.
    Failed,
    /// Ctrl-C.
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        // 2 is what clap ends with when the command line is wrong.
        Self::from(match exit {
            Exit::Fine => 0,
            Exit::Violation => 1,
            Exit::Unreached => 3,
            Exit::Undetermined => 4,
            Exit::Missed => 5,
            Exit::Failed => 6,
            Exit::Interrupted => 130,
        })
    }
}

/// What a command comes to: an error is said in one line.
pub(crate) type Ending = Result<Exit, Box<dyn std::error::Error>>;
