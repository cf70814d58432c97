//! What dials lead to.

use std::future::pending;
use std::sync::Arc;

use tokio::time::sleep;
use watertight::simulation::SimulatedSocket;
use watertight::{DialRefusal, Incoming, ResetCode};

use super::deviation::Deviation;
use super::names::hanging;
use super::play::play;
use super::stage::Stage;
use super::stream::Stream;
use super::target_io::TargetIo;
use crate::schedule::{Answer, Host, millis};
use crate::situation::Situation;

/// Answers a dial and reads and writes its stream, as a handler does. `client` is whose session it
/// came by, where the dial came to a server.
pub(super) async fn handle(
    stage: Arc<Stage>,
    host: Host,
    client: Option<String>,
    mut incoming: Incoming,
) {
    let stream = stage.stream_to(incoming.target()).filter(|stream| is_for(stream, host, &client));
    if stage.deviation == Deviation::StrangersPanic {
        assert!(stream.is_some(), "every target that is dialled exists");
    }
    let Some(stream) = stream else {
        incoming.refuse(ResetCode::DIAL_REFUSED, "no such target");
        return;
    };
    match stream.plan.answer {
        Answer::Accept => {}
        Answer::Late(after) => tokio::select! {
            biased;
            _ = incoming.withdrawn() => return,
            () = sleep(millis(after)) => {}
        },
        Answer::Refuse => {
            incoming.refuse(ResetCode::DIAL_REFUSED, "refused by the target");
            return;
        }
        Answer::Hang => {
            incoming.withdrawn().await;
            return;
        }
    }
    let Ok(open) = incoming.accept() else { return };
    if stage.deviation == Deviation::TaskStays {
        tokio::spawn(pending::<()>());
    }
    stage.tale(host, || format!("{}: accepted", stream.id));
    let seat = stream.seat_target();
    play(&stage, &seat, open).await;
    stage.tale(host, || format!("{}: target {:?}", stream.id, seat.end()));
}

/// Makes the socket of a target, as a dialer does.
pub(super) async fn dial(
    stage: Arc<Stage>,
    host: Host,
    target: String,
) -> Result<SimulatedSocket, DialRefusal> {
    let refusal = |text: &str| DialRefusal { code: ResetCode::DIAL_REFUSED, text: text.into() };
    let stream = stage.stream_to(&target).filter(|stream| is_for(stream, host, &None));
    let stream = stream.ok_or_else(|| refusal("no such target"))?;
    match stream.plan.answer {
        Answer::Accept => {}
        Answer::Late(after) => sleep(millis(after)).await,
        Answer::Refuse => return Err(refusal("refused by the target")),
        Answer::Hang => {
            hang(&stage, host, &target).await;
            return Err(refusal("it has no address"));
        }
    }
    stage.tale(host, || format!("{}: target dialled", stream.id));
    Ok(SimulatedSocket::new(TargetIo::new(stage, &stream)))
}

/// Waits for the address of a name that has none.
async fn hang(stage: &Stage, host: Host, target: &str) {
    let Some(names) = stage.at(host, |desk| desk.names.clone()).flatten() else { return };
    stage.note_if(names.hanging() > 0, Situation::NamesHang);
    // Whoever dials hears no more of it than of a target that refuses.
    names.of_targets.resolve(&hanging(target)).await.ok();
}

/// Whether a dial that arrives here is that of the stream. A hostile end may name any target.
fn is_for(stream: &Stream, host: Host, client: &Option<String>) -> bool {
    let agent = Host::Agent(stream.agent);
    match client {
        Some(client) => stream.from == agent && *client == agent.to_string(),
        None => matches!(stream.from, Host::Server(_)) && agent == host,
    }
}
