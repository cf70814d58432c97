use std::fmt;

use super::pattern::Mismatch;

/// What a step found that should not be.
#[derive(Debug)]
pub(super) struct Wrong(String);

impl Wrong {
    pub(super) fn new(what: impl fmt::Display) -> Self {
        Self(what.to_string())
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Mismatch> for Wrong {
    fn from(Mismatch { bytes: (from, to) }: Mismatch) -> Self {
        Self(format!("bytes {from} to {to} are not those that were sent"))
    }
}
