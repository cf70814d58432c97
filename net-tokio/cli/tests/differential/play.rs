//! One conversation on one connection.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::conversation::{Conversation, Leave, Side};
use crate::end::{End, Progress};
use crate::outcome::{Observed, Run};
use crate::route::Lane;
use crate::socket::Socket;
use crate::timing::Timing;

/// How long a connection may take from the client to the target.
const CONNECTS: Duration = Duration::from_secs(20);

/// How long the target waits for a connection that the client has left early.
const LATE: Duration = Duration::from_millis(300);

/// Plays the conversation on a lane. The lane cannot be used again if the target saw no connection,
/// because it may see it later.
pub(crate) async fn play(conversation: &Conversation, lane: &Lane, timing: Timing) -> Run {
    let mut run = Run { client: Observed::default(), target: Observed::default() };
    let (client, target) = (watch::Sender::new(Progress::default()), watch::Sender::default());
    let delay = |side, step| timing.delay(side, step);
    let connect = || lane.connect.connect().expect("the forward accepts");
    let accept = || async { lane.accept.accept().await.expect("the target accepts") };
    let client_end = End {
        side: Side::Client,
        script: &conversation.client,
        own: &client,
        other: target.subscribe(),
        delay: &delay,
        observed: &mut run.client,
    };
    let target_end = End {
        side: Side::Target,
        script: &conversation.target,
        own: &target,
        other: client.subscribe(),
        delay: &delay,
        observed: &mut run.target,
    };
    if !conversation.early {
        let connected = timeout(CONNECTS, async { (connect(), accept().await) }).await;
        let (client, target) = connected.expect("no connection");
        tokio::join!(
            within(timing.limit, client_end.play(client)),
            within(timing.limit, target_end.play(target))
        );
        return run;
    }
    let client_left = client.subscribe();
    let accept = accept_early(conversation, accept(), client_left);
    let target_plays = async {
        match accept.await {
            Some(socket) => {
                within(timing.limit, target_end.play(socket)).await;
                false
            }
            None => true,
        }
    };
    let client_plays = within(timing.limit, client_end.play(connect()));
    let (absent, ()) = tokio::join!(target_plays, client_plays);
    if absent {
        run.target.absent = true;
    }
    run
}

/// The target's socket; `None` if the client has left, and none comes.
async fn accept_early(
    conversation: &Conversation,
    accept: impl Future<Output = Socket>,
    mut client: watch::Receiver<Progress>,
) -> Option<Socket> {
    if conversation.client.leave == Leave::Keep {
        return Some(timeout(CONNECTS, accept).await.expect("no connection"));
    }
    tokio::select! {
        socket = accept => Some(socket),
        () = async {
            client.wait_for(Progress::is_gone).await.ok();
            tokio::time::sleep(LATE).await;
        } => None,
    }
}

/// Plays until the limit. Where it passes, the end has noted the step in which it was.
async fn within(limit: Duration, play: impl Future<Output = ()>) {
    timeout(limit, play).await.ok();
}
