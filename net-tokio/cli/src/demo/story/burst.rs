use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::super::client::{Client, within};
use super::super::narrator::{Narrator, percentiles};
use super::super::stage::{KEY, Stage};
use super::super::wrong::Wrong;
use crate::tasks::Tasks;

const REQUESTS: u64 = 1000;
const AT_ONCE: u64 = 50;
const LENGTH: u64 = 64;
const DEADLINE: Duration = Duration::from_secs(60);

/// Many short requests through the admin server's proxy, each with a connection of its own through
/// the tunnel.
pub(super) async fn show(stage: &Stage, narrator: &mut Narrator) -> Result<(), Wrong> {
    let title = format!(
        "{REQUESTS} short requests, {AT_ONCE} at a time, each on a new connection in the tunnel"
    );
    let mut step = narrator.begin(&title, REQUESTS);
    let prefix = format!("/client/{KEY}/http/{}", stage.services.http);
    let mut workers = JoinSet::new();
    for worker in 0..AT_ONCE {
        let (admin, tasks) = (stage.admin.clone(), stage.tasks.clone());
        workers.spawn(work(admin, prefix.clone(), tasks, worker));
    }
    let start = Instant::now();
    let mut times = Vec::new();
    within(DEADLINE, "the requests", async {
        while let Some(done) = workers.join_next().await {
            times.extend(done.map_err(Wrong::new)??);
            step.at(times.len() as u64);
        }
        Ok(())
    })
    .await?;
    #[allow(clippy::cast_precision_loss)] // A thousand.
    let rate = REQUESTS as f64 / start.elapsed().as_secs_f64();
    let times = percentiles(times);
    step.end(&[format!("{rate:.0} requests/s, {times}, each answer its own")]);
    Ok(())
}

/// One worker's share of the requests, one after the other.
async fn work(
    admin: String,
    prefix: String,
    tasks: Tasks,
    worker: u64,
) -> Result<Vec<Duration>, Wrong> {
    let mut client = Client::connect(&admin, &tasks).await?;
    let mut times = Vec::new();
    for request in 0..REQUESTS / AT_ONCE {
        let start = Instant::now();
        let seed = 1000 + worker * REQUESTS + request;
        client.get_pattern(&prefix, seed, LENGTH).await?.rest(|_| {}).await?;
        times.push(start.elapsed());
    }
    Ok(times)
}
