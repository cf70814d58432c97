//! How much of a payload the Go implementation of the base protocol reads.
//!
//! It cuts what is longer without a word, and a cut target is another target. Whoever sends toward
//! such an end refuses what does not fit.

/// The longest Connect payload (`proto/address`), in bytes.
pub const MAX_TARGET: usize = 266;

/// The longest AddClient or RemoveClient payload (`clientKey/sessionKey`), in bytes.
pub const MAX_ROUTE: usize = 100;

/// The part of an Error text that is read, in bytes. Cutting is harmless here: people read it.
pub const MAX_ERROR: usize = 100;
