//! Upgrades: once both ends have switched protocols, bytes are passed on as they come.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Response};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{self, AsyncRead, AsyncWrite, AsyncWriteExt};
use tracing::debug;

use super::super::answer::Answer;
use super::super::{Slot, State};
use super::problem::Problem;
use super::{empty, headers};
use crate::tasks::Tied;

/// How long the client's side of an upgrade may take once it has been answered.
const SWITCH_DEADLINE: Duration = Duration::from_secs(10);

/// How long one direction may go on after the other has ended. Upgraded protocols say goodbye in
/// both; one that does not must not stay for ever.
const HALF_CLOSED: Duration = Duration::from_secs(300);

/// Passes the target's 101 on and joins the two connections.
pub(super) fn switch(
    state: &Arc<State>,
    mut answer: Response<Incoming>,
    downstream: OnUpgrade,
    wanted: Option<HeaderValue>,
    held: (Slot, Tied),
) -> Result<Answer, Problem> {
    let protocol = headers::upgrade(answer.headers()).filter(|_| wanted.is_some());
    let target = || "the target".to_string();
    let protocol = protocol.ok_or_else(|| Problem::Upgrade { target: target() })?;
    let upstream = hyper::upgrade::on(&mut answer);
    state.tasks.spawn(async move {
        if let Err(error) = join(downstream, upstream).await {
            debug!(%error, "upgraded connection failed");
        }
        // The place among the admin connections, and the task of the one to the target.
        drop(held);
    });
    let (mut parts, _) = answer.into_parts();
    headers::strip(&mut parts.headers);
    headers::ask_for_upgrade(&mut parts.headers, &protocol);
    Ok(empty(parts))
}

async fn join(downstream: OnUpgrade, upstream: OnUpgrade) -> io::Result<()> {
    let both = async { tokio::try_join!(downstream, upstream) };
    let switched = tokio::time::timeout(SWITCH_DEADLINE, both).await?;
    let (downstream, upstream) = switched.map_err(io::Error::other)?;
    splice(downstream, upstream).await
}

async fn splice(downstream: Upgraded, upstream: Upgraded) -> io::Result<()> {
    let (mut from_client, mut to_client) = io::split(TokioIo::new(downstream));
    let (mut from_target, mut to_target) = io::split(TokioIo::new(upstream));
    let up = pass(&mut from_client, &mut to_target);
    let down = pass(&mut from_target, &mut to_client);
    tokio::pin!(up, down);
    let in_time = |rest| tokio::time::timeout(HALF_CLOSED, rest);
    tokio::select! {
        ended = &mut up => { ended?; in_time(down).await? }
        ended = &mut down => { ended?; in_time(up).await? }
    }
}

async fn pass<R, W>(from: &mut R, to: &mut W) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    io::copy(from, to).await?;
    to.shutdown().await
}
