//! A session fed by anybody.

/// To come.
pub fn run(_input: &[u8]) {}
