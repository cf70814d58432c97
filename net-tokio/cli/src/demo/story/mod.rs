//! The steps of the demo. Each shows something, measures it, and checks every byte.

mod burst;
mod download;
mod half_close;
mod kill;
mod slow_reader;

use super::narrator::Narrator;
use super::stage::Stage;
use super::wrong::Wrong;

pub(super) const STEPS: usize = 5;

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
