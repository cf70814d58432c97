//! The steps of the demo. Each shows something, measures it, and checks every byte.

mod burst;
mod download;
mod half_close;
mod kill;
mod slow_reader;

use std::fmt;

use super::narrator::Narrator;
use super::pattern::Mismatch;
use super::stage::Stage;

pub(super) const STEPS: usize = 5;

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

/// Tells the whole story, with a download of `size` bytes. A step that goes wrong ends it.
pub(super) async fn tell(
    stage: &mut Stage,
    narrator: &mut Narrator,
    size: u64,
) -> Result<(), Wrong> {
    stage.connected().await?;
    download::show(stage, narrator, size).await?;
    burst::show(stage, narrator).await?;
    half_close::show(stage, narrator).await?;
    slow_reader::show(stage, narrator).await?;
    kill::show(stage, narrator).await
}
