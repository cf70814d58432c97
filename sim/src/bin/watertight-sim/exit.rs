//! Exit codes, and the standard output.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::process::{self, ExitCode};

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
    /// A seeded bug was not caught, or by a schedule that proves nothing.
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

/// The result of a command. An error is printed in one line.
pub(crate) type CommandResult = Result<Exit, Box<dyn std::error::Error>>;

/// As `println!`, but it ends the program if the output has no reader, instead of panicking.
macro_rules! print_line {
    ($($words:tt)*) => {
        $crate::exit::write(format_args!("{}\n", format_args!($($words)*)))
    };
}
pub(crate) use print_line;

/// Writes to the standard output, or ends the program.
pub(crate) fn write(words: fmt::Arguments<'_>) {
    let Err(error) = io::stdout().lock().write_fmt(words) else { return };
    // As a program ends that the signal for it kills: after `| head` there is no reader.
    if error.kind() == ErrorKind::BrokenPipe {
        process::exit(141);
    }
    eprintln!("watertight-sim: the standard output: {error}");
    process::exit(6);
}
