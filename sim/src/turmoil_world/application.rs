//! The processes of a host: an application, which dials, then reads and writes; and the death of a process.

use std::future::{Future, pending, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::spawn_local;
use watertight::proto::session::OpenError;
use watertight::{Agent, DialError, Server, TunnelStream};

use super::environment::Environment;
use super::plan::{Deviation, FOREVER, client_key};
use super::play::play;
use super::shared_player::SharedPlayer;
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
    /// Whether the client is known from a peer only.
    fn is_announced(&self, stream: &Stream) -> bool {
        let Self::Server(server) = self else { return false };
        let key = client_key(stream.agent);
        server.client(&key).is_none() && !server.peers_of(&key).is_empty()
    }

    async fn dial(self, stream: &Stream, within: Duration) -> Result<TunnelStream, DialError> {
        let (target, within) = (stream.target(), Some(within));
        match self {
            Self::Server(server) => {
                server.dial_within(&client_key(stream.agent), &target, within).await
            }
            Self::Agent(agent) => agent.dial_within(&target, within).await,
        }
    }
}

async fn dial(
    env: &Environment,
    stream: &Arc<Stream>,
    dialler: Dialler,
) -> Result<TunnelStream, DialError> {
    match env.plan.deviation {
        Deviation::DialWaits => dialler.dial(stream, FOREVER).await,
        Deviation::DialGoesOn => dial_without_owner(stream, dialler).await,
        _ => dialler.dial(stream, stream.within).await,
    }
}

/// Dials in a task that continues when its caller has given up.
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

/// Dials and plays its part, until it is done or its process dies.
pub(super) async fn run(env: Arc<Environment>, stream: Arc<Stream>, dialler: Dialler) {
    let host = stream.from;
    let dying = Dying(&env, &stream);
    stream.begin(env.recorder.now());
    let announced = dialler.is_announced(&stream);
    let dialled = tokio::select! {
        biased;
        () = given_up(&stream.near) => None,
        dialled = dial(&env, &stream, dialler) => Some(dialled),
    };
    match dialled {
        None => {
            stream.settle(env.recorder.now(), DialOutcome::GivenUp);
            env.recorder.note(Situation::DialGivenUp);
            env.recorder.trace_host(host, || format!("{}: dial given up", stream.id));
        }
        Some(Err(error)) => {
            env.recorder.trace_host(host, || format!("{}: dial failed: {error}", stream.id));
            note_failure(&env, &error);
            let lost = announced && matches!(error, DialError::NotConnected(_));
            env.recorder.note_if(lost, Situation::PeerWithoutClient);
            stream.settle(env.recorder.now(), DialOutcome::Failed(error.to_string()));
        }
        Some(Ok(open)) => {
            stream.settle(env.recorder.now(), DialOutcome::Opened);
            env.recorder.trace_host(host, || format!("{}: opened", stream.id));
            env.recorder.note_if(is_remote(&env, &stream), Situation::DialThroughPeer);
            play(&env, &stream.near, open).await;
            env.recorder.trace_host(host, || format!("{}: {:?}", stream.id, stream.near.end()));
        }
    }
    drop(dying);
}

/// Whether it goes through a peer server.
fn is_remote(env: &Environment, stream: &Stream) -> bool {
    let Host::Server(server) = stream.from else { return false };
    env.plan.agent(stream.agent).is_some_and(|agent| agent.home != server)
}

/// An application whose process dies in the middle of a dial has given it up.
struct Dying<'a>(&'a Environment, &'a Stream);

impl Drop for Dying<'_> {
    fn drop(&mut self) {
        let Self(env, stream) = self;
        if stream.is_dialling() {
            stream.settle(env.recorder.now(), DialOutcome::GivenUp);
        }
    }
}

async fn given_up(shared: &SharedPlayer) {
    poll_fn(|cx| {
        let mut state = shared.lock();
        if matches!(state.player.desire(), Desire::Drop | Desire::Reset) {
            state.player.disconnected();
            return Poll::Ready(());
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    })
    .await;
}

fn note_failure(env: &Environment, error: &DialError) {
    let situation = match error {
        DialError::NotConnected(_) | DialError::NoServer => Situation::DialWithoutSession,
        DialError::NotSent(OpenError::GoingAway) => Situation::GoingAway,
        DialError::NotSent(_) => Situation::DialBeyondLimit,
        _ => return,
    };
    env.recorder.note(situation);
}

/// Runs the software of a host until its death, and ends every task of the library then. The tasks end one
/// after the other, in the order in which they run, and the host takes no socket and no command any more: a
/// dropped runtime drops its tasks in an order that depends on everything that has ever run in this program,
/// and two runs of a seed would differ.
pub(super) async fn until_death(
    env: Arc<Environment>,
    host: Host,
    software: impl Future<Output = turmoil::Result>,
) -> turmoil::Result {
    let death = env.with_host(host, |state| Arc::clone(&state.death)).unwrap_or_default();
    tokio::select! {
        biased;
        () = death.notified() => {}
        ended = software => return ended,
    }
    kill(&env, host).await;
    env.with_host(host, |state| state.is_dead = true);
    pending().await
}

async fn kill(env: &Environment, host: Host) {
    let (server, agents) = env
        .with_host(host, |state| {
            let server = state.server.as_ref().map(|state| state.server.clone());
            (server, state.agents.clone())
        })
        .unwrap_or_default();
    if let Some(server) = server {
        server.kill().await;
    }
    for (_, agent) in agents {
        agent.kill().await;
    }
}
