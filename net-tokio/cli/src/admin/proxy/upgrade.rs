//! Upgrades: once both ends have switched protocols, bytes are passed on as they come.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderValue, Response};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tracing::debug;
use watertight::StreamControl;

use super::super::State;
use super::super::answer::Answer;
use super::super::client::Client;
use super::super::watch::Watch;
use super::problem::Problem;
use super::splice::{Unread, splice};
use super::upstream::Tunnelled;
use super::{empty, headers};

/// How long the client's side of an upgrade may take once it has been answered.
const SWITCH_DEADLINE: Duration = Duration::from_secs(10);

/// Passes the target's 101 on and joins the two connections.
pub(super) fn switch(
    state: &Arc<State>,
    mut answer: Response<Incoming>,
    downstream: OnUpgrade,
    wanted: Option<HeaderValue>,
    client: &Client,
    target: Tunnelled,
) -> Result<Answer, Problem> {
    let protocol = headers::upgrade(answer.headers()).filter(|_| wanted.is_some());
    let unwanted = || Problem::Upgrade { target: "the target".to_string() };
    let protocol = protocol.ok_or_else(unwanted)?;
    let upstream = hyper::upgrade::on(&mut answer);
    client.hand_over();
    let client = client.clone();
    state.tasks.spawn(async move {
        if let Err(error) = join(&client, target, downstream, upstream).await {
            debug!(%error, "upgraded connection failed");
        }
    });
    let (mut parts, _) = answer.into_parts();
    headers::strip(&mut parts.headers);
    headers::ask_for_upgrade(&mut parts.headers, &protocol);
    Ok(empty(parts))
}

async fn join(
    client: &Client,
    target: Tunnelled,
    downstream: OnUpgrade,
    upstream: OnUpgrade,
) -> io::Result<()> {
    let both = async { tokio::try_join!(downstream, upstream) };
    let switched = tokio::time::timeout(SWITCH_DEADLINE, both).await?;
    let (downstream, upstream) = switched.map_err(io::Error::other)?;
    let (mut downstream, mut upstream) = (TokioIo::new(downstream), TokioIo::new(upstream));
    let watch = watch(client, target.control());
    let result = splice(&mut downstream, &mut upstream, watch).await;
    if result.is_ok() {
        target.release();
        return result;
    }
    // In this order: a stream that has ended in good order is not reset by its drop.
    drop(target);
    drop(upstream);
    // It ends in a reset, which takes what the client has not received.
    client.received().await;
    result
}

/// Looks at the two ends, of which those that are `unread` say nothing by themselves.
fn watch(
    client: &Client,
    target: &StreamControl,
) -> impl FnMut(&mut Context<'_>, Unread) -> Poll<io::Result<()>> {
    let (mut of_client, mut of_target) = (Watch::default(), Watch::default());
    let cut = || target.is_cut().then(|| io::ErrorKind::ConnectionReset.into());
    move |cx, unread| {
        let needed = unread.a || client.needs_look();
        let client_news = of_client.poll(cx, needed, || client.failure(), || client.passed())?;
        let target_news = of_target.poll(cx, unread.b, cut, || client.taken())?;
        let any = client_news.is_ready() || target_news.is_ready();
        if any { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}
