//! What hostile bytes can do to a watertight tunnel: nothing.
//!
//! A target is a function of bytes in a module of its own ([`TARGETS`] lists them): it panics where something
//! does not hold. `fuzz_targets` hands it to the fuzzer, `tests/corpus.rs` plays what the fuzzer has found
//! so far, and `tests/properties` draws more input for the same functions, with weights where bytes alone
//! would not get far.

pub mod dialogue;
pub mod framing;
pub mod handshake;
mod heap;
pub mod message;
pub mod registry;
pub mod seeds;
pub mod session_hostile;

#[cfg(fuzzing)]
#[doc(hidden)]
pub use libfuzzer_sys;

/// A target: its name and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// Every target, by the name of its program, its corpus and its crashes.
pub const TARGETS: [Target; 6] = [
    ("dialogue", dialogue::run),
    ("framing", framing::run),
    ("handshake", handshake::run),
    ("message", message::run),
    ("registry", registry::run),
    ("session_hostile", session_hostile::run),
];

/// The program of a target: for the fuzzer what it links with, otherwise one that plays the files that it
/// is given.
#[macro_export]
macro_rules! target {
    ($target:ident) => {
        #[cfg(fuzzing)]
        $crate::libfuzzer_sys::fuzz_target!(|input: &[u8]| $crate::$target::run(input));

        #[cfg(not(fuzzing))]
        fn main() -> std::io::Result<()> {
            $crate::play($crate::$target::run, std::env::args_os().skip(1))
        }
    };
}

/// Plays files, one after the other; one that shows a bug ends the program with a panic.
///
/// # Errors
/// A file cannot be read.
pub fn play<P: AsRef<std::path::Path>>(
    run: fn(&[u8]),
    paths: impl IntoIterator<Item = P>,
) -> std::io::Result<()> {
    paths.into_iter().try_for_each(|path| std::fs::read(path).map(|input| run(&input)))
}
