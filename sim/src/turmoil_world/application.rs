//! An application on a host: dials, then reads and writes.

use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::spawn_local;
use watertight::core::session::OpenError;
use watertight::{Agent, DialError, Server, TunnelStream};

use super::deviation::Deviation;
use super::play::play;
use super::seat::Seat;
use super::stage::Stage;
use super::stream::Stream;
use crate::observed::DialOutcome;
use crate::player::Desire;
use crate::schedule::Host;
use crate::situation::Situation;

/// Who dials.
pub(super) enum Dialler {
    Server(Server),
    Agent(Agent),
}

impl Dialler {
    /// Whether only a peer says that it has the client.
    fn is_announced(&self, stream: &Stream) -> bool {
        let Self::Server(server) = self else { return false };
        let key = key(stream.agent);
        server.client(&key).is_none() && !server.peers_of(&key).is_empty()
    }

    async fn dial(self, stream: &Stream, within: Duration) -> Result<TunnelStream, DialError> {
        let (target, within) = (stream.target(), Some(within));
        match self {
            Self::Server(server) => server.dial_within(&key(stream.agent), &target, within).await,
            Self::Agent(agent) => agent.dial_within(&target, within).await,
        }
    }
}

async fn dial(
    stage: &Stage,
    stream: &Arc<Stream>,
    dialler: Dialler,
) -> Result<TunnelStream, DialError> {
    let ever = Duration::from_secs(3600);
    match stage.deviation {
        Deviation::DialWaits => dialler.dial(stream, ever).await,
        Deviation::DialGoesOn => dial_without_owner(stream, dialler).await,
        _ => dialler.dial(stream, stream.within).await,
    }
}

/// Dials in a task that goes on when nobody waits for it any more.
async fn dial_without_owner(
    stream: &Arc<Stream>,
    dialler: Dialler,
) -> Result<TunnelStream, DialError> {
    let (sender, receiver) = oneshot::channel();
    let stream = Arc::clone(stream);
    spawn_local(async move {
        let dialled = dialler.dial(&stream, stream.within).await;
        if let Err(orphan) = sender.send(dialled) {
            pending::<()>().await;
            drop(orphan);
        }
    });
    receiver.await.unwrap_or(Err(DialError::NoServer))
}

/// The client key of an agent.
pub(super) fn key(agent: u8) -> String {
    Host::Agent(agent).to_string()
}

/// Dials and plays its part, until it is done or its process dies.
pub(super) async fn run(stage: Arc<Stage>, stream: Arc<Stream>, dialler: Dialler) {
    let host = stream.from;
    let dying = Dying(&stage, &stream);
    stream.begin(stage.now());
    let announced = dialler.is_announced(&stream);
    let dialled = tokio::select! {
        biased;
        () = given_up(&stream.near) => None,
        dialled = dial(&stage, &stream, dialler) => Some(dialled),
    };
    match dialled {
        None => {
            stream.settle(stage.now(), DialOutcome::GivenUp);
            stage.note(Situation::DialGivenUp);
            stage.tale(host, || format!("{}: dial given up", stream.id));
        }
        Some(Err(error)) => {
            stage.tale(host, || format!("{}: dial failed: {error}", stream.id));
            note_failure(&stage, &error);
            let lost = announced && matches!(error, DialError::NotConnected(_));
            stage.note_if(lost, Situation::PeerWithoutClient);
            stream.settle(stage.now(), DialOutcome::Failed(error.to_string()));
        }
        Some(Ok(open)) => {
            stream.settle(stage.now(), DialOutcome::Opened);
            stage.tale(host, || format!("{}: opened", stream.id));
            stage.note_if(is_remote(&stage, &stream), Situation::DialThroughPeer);
            play(&stage, &stream.near, open).await;
            stage.tale(host, || format!("{}: {:?}", stream.id, stream.near.end()));
        }
    }
    drop(dying);
}

/// Whether it goes through a peer server.
fn is_remote(stage: &Stage, stream: &Stream) -> bool {
    let Host::Server(server) = stream.from else { return false };
    stage.agent(stream.agent).is_some_and(|agent| agent.home != server)
}

/// An application whose process dies in the middle of a dial has given it up.
struct Dying<'a>(&'a Stage, &'a Stream);

impl Drop for Dying<'_> {
    fn drop(&mut self) {
        let Self(stage, stream) = self;
        if stream.is_dialling() {
            stream.settle(stage.now(), DialOutcome::GivenUp);
        }
    }
}

async fn given_up(seat: &Seat) {
    poll_fn(|cx| {
        let mut state = seat.lock();
        if matches!(state.player.desire(), Desire::Drop | Desire::Reset) {
            state.player.gone();
            return Poll::Ready(());
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    })
    .await;
}

fn note_failure(stage: &Stage, error: &DialError) {
    let situation = match error {
        DialError::NotConnected(_) | DialError::NoServer => Situation::DialWithoutSession,
        DialError::NotSent(OpenError::GoingAway) => Situation::GoingAway,
        DialError::NotSent(_) => Situation::DialBeyondLimit,
        _ => return,
    };
    stage.note(situation);
}
