use std::time::Instant;

use http::StatusCode;

use super::super::client::{Client, within};
use super::super::narrator::{Narrator, millis, size};
use super::super::stage::{KEY, SETTLE, Stage};
use super::super::wrong::Wrong;

/// How far the transfer comes before the agent dies.
const PART: u64 = 8 << 20;

/// How much is asked for: more than windows and sockets can hold, so that the transfer cannot be
/// complete when the agent dies.
const ASKED: u64 = 1 << 30;

/// How much is transferred through the new agent.
const AFTERWARDS: u64 = 32 << 20;

/// The agent dies in the middle of a transfer, and another one takes its place.
pub(super) async fn show(stage: &mut Stage, narrator: &mut Narrator) -> Result<(), Wrong> {
    let title = "an agent that is killed in the middle of a transfer, and comes back";
    let mut step = narrator.begin(title, AFTERWARDS);
    let mut client = Client::connect(&stage.http, &stage.tasks).await?;
    let mut download = client.get_pattern("", 4, ASKED).await?;
    while download.at() < PART {
        download.piece().await?;
    }
    let killed = Instant::now();
    stage.kill_agent().await?;
    let error = cut_off(&mut download).await?;
    let noticed = millis(killed.elapsed());
    unreachable(stage).await?;
    let start = Instant::now();
    stage.start_agent().await?;
    stage.connected().await?;
    let mut client = Client::connect(&stage.http, &stage.tasks).await?;
    let mut again = client.get_pattern("", 5, AFTERWARDS).await?;
    let back = millis(start.elapsed());
    within(SETTLE, "the second transfer", again.rest(|at| step.at(at))).await?;
    let (part, afterwards) = (size(download.at()), size(AFTERWARDS));
    step.end(&[
        format!("{part} into it the client is told of a failure, {noticed} after the kill:"),
        format!("\"{error}\""),
        format!("a new agent answers {back} after its start; {afterwards} came through it, whole"),
    ]);
    Ok(())
}

/// Reads on until the transfer fails. That it ends as if it were complete is not allowed.
async fn cut_off(download: &mut super::super::client::Download) -> Result<String, Wrong> {
    within(SETTLE, "waiting for the client's error", async {
        loop {
            match download.piece().await {
                Ok(true) => {}
                Ok(false) => return Err(Wrong::new("the transfer ended as if complete")),
                Err(error) => return Ok(error.to_string()),
            }
        }
    })
    .await
}

/// The proxy must say that the client is unknown.
async fn unreachable(stage: &Stage) -> Result<(), Wrong> {
    let mut client = Client::connect(&stage.admin, &stage.tasks).await?;
    within(SETTLE, "waiting for the server to miss the agent", async {
        loop {
            let path = format!("/client/{KEY}/http/{}/6/64", stage.services.http);
            let (status, mut body) = client.get(&path).await?;
            while http_body_util::BodyExt::frame(&mut body).await.transpose()?.is_some() {}
            if status == StatusCode::NOT_FOUND {
                return Ok(());
            }
        }
    })
    .await
}
