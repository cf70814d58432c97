//! Words for the standard output.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::process;

/// As `println!`, but it ends the program where nobody reads, instead of panicking.
macro_rules! say {
    ($($words:tt)*) => {
        $crate::say::write(format_args!("{}\n", format_args!($($words)*)))
    };
}
pub(crate) use say;

/// Writes to the standard output, or ends the program.
pub(crate) fn write(words: fmt::Arguments<'_>) {
    let Err(error) = io::stdout().lock().write_fmt(words) else { return };
    // As a program ends that the signal for it kills: after `| head` there is nobody to tell.
    if error.kind() == ErrorKind::BrokenPipe {
        process::exit(141);
    }
    eprintln!("watertight-sim: the standard output: {error}");
    process::exit(6);
}
