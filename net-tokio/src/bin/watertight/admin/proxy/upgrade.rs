//! Upgrades: once both ends have switched protocols, bytes are passed on as they come.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Response};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tracing::debug;

use super::super::State;
use super::super::answer::Answer;
use super::super::client::Client;
use super::problem::Problem;
use super::splice::splice;
use super::{empty, headers};
use crate::tasks::Tied;

/// How long the client's side of an upgrade may take once it has been answered.
const SWITCH_DEADLINE: Duration = Duration::from_secs(10);

/// Passes the target's 101 on and joins the two connections.
pub(super) fn switch(
    state: &Arc<State>,
    mut answer: Response<Incoming>,
    downstream: OnUpgrade,
    wanted: Option<HeaderValue>,
    client: &Client,
    tied: Tied,
) -> Result<Answer, Problem> {
    let protocol = headers::upgrade(answer.headers()).filter(|_| wanted.is_some());
    let target = || "the target".to_string();
    let protocol = protocol.ok_or_else(|| Problem::Upgrade { target: target() })?;
    let upstream = hyper::upgrade::on(&mut answer);
    client.hand_over();
    let client = client.clone();
    state.tasks.spawn(async move {
        if let Err(error) = join(&client, downstream, upstream).await {
            debug!(%error, "upgraded connection failed");
        }
        // The task of the connection to the target.
        drop(tied);
    });
    let (mut parts, _) = answer.into_parts();
    headers::strip(&mut parts.headers);
    headers::ask_for_upgrade(&mut parts.headers, &protocol);
    Ok(empty(parts))
}

async fn join(client: &Client, downstream: OnUpgrade, upstream: OnUpgrade) -> io::Result<()> {
    let both = async { tokio::try_join!(downstream, upstream) };
    let switched = tokio::time::timeout(SWITCH_DEADLINE, both).await?;
    let (downstream, upstream) = switched.map_err(io::Error::other)?;
    let mut downstream = TokioIo::new(downstream);
    let result = splice(&mut downstream, TokioIo::new(upstream)).await;
    if result.is_err() {
        // It ends in a reset, which takes what the client has not received.
        client.received().await;
    }
    result
}
