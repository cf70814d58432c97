use std::time::{Duration, Instant};

use super::super::client::{Client, within};
use super::super::narrator::{Narrator, rate, size};
use super::super::stage::Stage;
use super::super::wrong::Wrong;

const DEADLINE: Duration = Duration::from_secs(120);

/// One connection at full speed.
pub(super) async fn show(stage: &Stage, narrator: &mut Narrator, length: u64) -> Result<(), Wrong> {
    let title = format!("a download of {} through one connection", size(length));
    let mut step = narrator.begin(&title, length);
    let mut client = Client::connect(&stage.http, &stage.tasks).await?;
    let start = Instant::now();
    within(DEADLINE, "the download", async {
        let mut download = client.get_pattern("", 1, length).await?;
        download.rest(|at| step.at(at)).await
    })
    .await?;
    let rate = rate(length, start.elapsed());
    step.end(&[format!("{rate}, every byte as it was sent")]);
    Ok(())
}
