//! What hostile bytes can do to a watertight tunnel: nothing. And what two right ends can do to each
//! other, in every order: see [`lifecycle`].
//!
//! A target is a function of bytes in a module of its own ([`TARGETS`] lists them): it panics where something
//! does not hold. `fuzz_targets` hands it to the fuzzer, `tests/corpus.rs` plays what the fuzzer has found
//! so far, and `tests/properties` draws more input for the same functions, with weights where bytes alone
//! would not get far.

use std::path::Path;
use std::{fs, io};

pub mod dialogue;
pub mod framing;
pub mod handshake;
mod heap;
pub mod lifecycle;
pub mod message;
pub mod registry;
pub mod seeds;
pub mod session_hostile;

#[cfg(fuzzing)]
#[doc(hidden)]
pub use libfuzzer_sys;

/// A fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name of its program, its corpus and its crashes.
    pub name: &'static str,
    /// Plays an input; panics where something does not hold.
    pub run: fn(&[u8]),
    /// What an input means, in words.
    pub explain: fn(&[u8]) -> String,
}

macro_rules! targets {
    ($($target:ident),+) => {
        /// Every target.
        pub const TARGETS: [Target; [$(stringify!($target)),+].len()] = [$(Target {
            name: stringify!($target),
            run: $target::run,
            explain: $target::explain,
        }),+];
    };
}

targets!(dialogue, framing, handshake, message, registry, session_hostile);

/// The program of a target: for the fuzzer what it links with, otherwise one that explains and plays the
/// files that it is given.
#[macro_export]
macro_rules! target {
    ($target:ident) => {
        #[cfg(fuzzing)]
        $crate::libfuzzer_sys::fuzz_target!(|input: &[u8]| $crate::$target::run(input));

        #[cfg(not(fuzzing))]
        fn main() -> std::io::Result<()> {
            $crate::play(stringify!($target), std::env::args_os().skip(1))
        }
    };
}

/// Explains and plays files, one after the other; a file that shows a bug ends the program with a panic.
///
/// # Errors
/// A file cannot be read.
pub fn play<P: AsRef<Path>>(name: &str, paths: impl IntoIterator<Item = P>) -> io::Result<()> {
    let target = TARGETS.iter().find(|target| target.name == name);
    let target = target.ok_or_else(|| io::Error::other(format!("there is no target {name}")))?;
    for path in paths {
        let path = path.as_ref();
        let at = |error| io::Error::other(format!("{}: {error}", path.display()));
        let input = fs::read(path).map_err(at)?;
        println!("{}: {}", path.display(), (target.explain)(&input));
        (target.run)(&input);
    }
    Ok(())
}
