//! The limits of each part, in the order core, net-tokio, cli, sim, fuzz, tidy, root.
//!
//! Limits only go down, with the numbers. When a file moves to another part, its share of a limit moves, too.

use crate::report::ByPart;

/// Folders whose files may lack a `//!`, until their restructuring is done.
pub(crate) const UNDOCUMENTED: &[&str] = &[];

/// The most characters of a line.
pub(crate) const WIDTH: usize = 110;

/// Lines of Rust that are wider.
pub(crate) const WIDE_CODE: ByPart<usize> = [0, 0, 0, 0, 0, 0, 0];

/// Lines of Markdown that are wider, outside tables and code.
pub(crate) const WIDE_PROSE: ByPart<usize> = [0, 0, 0, 0, 0, 0, 0];

/// Banned phrases in comments and documents.
pub(crate) const PHRASES: ByPart<usize> = [0, 0, 0, 0, 0, 0, 0];

/// Banned names.
pub(crate) const NAMES: ByPart<usize> = [0, 0, 0, 0, 0, 0, 0];

/// Public types that have the name of another one in their crate.
pub(crate) const SHARED_NAMES: ByPart<usize> = [0, 0, 0, 0, 0, 0, 0];

/// Files in circles of imports.
pub(crate) const IN_CIRCLES: ByPart<usize> = [0, 0, 0, 0, 0, 0, 0];

/// Lines of the longest function, braces included.
pub(crate) const FUNCTION_LINES: ByPart<usize> = [39, 67, 59, 62, 57, 30, 0];

/// Files in a thousand lines of code. The aim for core and the adapter is 4 to 7.
pub(crate) const FILES: ByPart<f64> = [7.0, 7.0, 7.8, 8.8, 12.9, 14.0, 0.0];

/// The fewest assertions in a thousand lines of code. The aim for core and the adapter is 10.
pub(crate) const ASSERTS: ByPart<f64> = [16.4, 9.5, 0.0, 0.1, 39.5, 0.0, 0.0];

/// Packages that an embedder of the library compiles, without the default features and with them.
pub(crate) const EMBEDDED: [usize; 2] = [76, 78];

/// Look-ups in the core's tables for a payload, files that it crosses, and locks in a turn of the driver.
pub(crate) const PAYLOAD: [u64; 3] = [9, 15, 1];
