//! One socket of a stranger at a server, from its greeting to its end.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::wire;
use crate::schedule::{Host, Opening, Transport, millis};
use crate::situation::Situation;
use crate::turmoil_world::connect::connect;
use crate::turmoil_world::door::Visit;
use crate::turmoil_world::greeting::{self, greeting, lets_in};
use crate::turmoil_world::socket::Socket;
use crate::turmoil_world::stage::Stage;

/// Strangers that connect together.
#[derive(Clone, Debug)]
pub(in crate::turmoil_world) struct Visitors {
    pub(in crate::turmoil_world) server: u8,
    pub(in crate::turmoil_world) sockets: u16,
    pub(in crate::turmoil_world) transport: Transport,
    pub(in crate::turmoil_world) opening: Opening,
    pub(in crate::turmoil_world) leave_after: Option<u32>,
    /// Until when they connect again where the server closes.
    pub(in crate::turmoil_world) until: Duration,
    /// They close late, when the server has closed.
    pub(in crate::turmoil_world) hold_on: bool,
}

/// The client key of those whose token is wrong: nobody has it.
pub(in crate::turmoil_world) const UNKNOWN: &str = "stranger";

/// Bytes of an answer that are looked at.
const HEAD: usize = 64;

/// Between the end of a socket and the next one, and where the server is not there.
const BREAK: Duration = Duration::from_millis(2);
const REST: Duration = Duration::from_millis(30);

/// Visits a server, and again for as long as it is told to.
pub(super) async fn visit_again(
    stage: Arc<Stage>,
    number: u64,
    visitors: Visitors,
    healed: CancellationToken,
) {
    loop {
        let was_there = visit(Arc::clone(&stage), number, &visitors, &healed).await;
        if healed.is_cancelled() || stage.now() >= visitors.until {
            return;
        }
        sleep(if was_there { BREAK } else { REST }).await;
    }
}

/// Connects, and stays until the server closes or it is time to leave. With a session a stranger leaves when
/// everything is healed: nothing else ends it. Whether the server was there.
async fn visit(
    stage: Arc<Stage>,
    number: u64,
    visitors: &Visitors,
    healed: &CancellationToken,
) -> bool {
    let Visitors { server, transport, ref opening, leave_after, hold_on, .. } = *visitors;
    let connecting = connect(Arc::clone(&stage), Host::Strangers, server);
    // The server may be away.
    let Ok(Ok(mut socket)) = timeout(stage.handshake(), connecting).await else { return false };
    let has_session = matches!(opening, Opening::Frames { .. });
    let visit = Visit::begin(&stage, number, opening);
    let time_to_leave = async {
        match leave_after {
            Some(after) => sleep(millis(after)).await,
            None => pending().await,
        }
    };
    let answer = tokio::select! {
        biased;
        () = time_to_leave => return true,
        () = healed.cancelled(), if has_session => return true,
        answer = talk(&mut socket, number, opening, transport) => answer,
    };
    // Who was closed before he could speak had no answer.
    let Ok(answer) = answer else { return true };
    if !has_session && lets_in(&answer) {
        stage.door().intrude(format!("a stranger is let in with {opening:?}"));
    }
    note(&stage, server, opening, &answer, &visit);
    drop(visit);
    if hold_on {
        sleep(stage.handshake()).await;
    }
    true
}

/// Greets the server, and reads until it closes. The beginning of its answer.
async fn talk(
    socket: &mut Socket,
    number: u64,
    opening: &Opening,
    transport: Transport,
) -> io::Result<Vec<u8>> {
    let wrong = greeting(UNKNOWN, "wrong", transport, false);
    match opening {
        Opening::Silence => {}
        Opening::Part { bytes } => socket.write_all(wire::part(&wrong, *bytes)).await?,
        Opening::Garbage { bytes } => socket.write_all(bytes).await?,
        Opening::Wrong => socket.write_all(&wrong).await?,
        Opening::Frames { frames } => {
            let key = format!("{UNKNOWN}{number}");
            greeting::exchange(socket, &key, transport, false).await?;
            // The server may have had enough before the last of them.
            socket.write_all(&wire::broken(frames, transport)).await.ok();
        }
    }
    let mut answer = Vec::new();
    let mut heard = [0; 1024];
    loop {
        match socket.read(&mut heard).await {
            Ok(0) | Err(_) => break,
            Ok(read) => {
                let room = HEAD.saturating_sub(answer.len()).min(read);
                answer.extend_from_slice(heard.get(..room).unwrap_or_default());
            }
        }
    }
    Ok(answer)
}

/// The server has closed the socket.
fn note(stage: &Stage, server: u8, opening: &Opening, answer: &[u8], visit: &Visit<'_>) {
    let ran_out = visit.ran_out();
    let crowded_out = answer.is_empty() && !ran_out && stage.is_crowded(server);
    let situation = match opening {
        Opening::Silence | Opening::Part { .. } if crowded_out => Situation::StrangerCrowdedOut,
        Opening::Silence if ran_out => Situation::StrangerSilent,
        Opening::Part { .. } if ran_out => Situation::StrangerHalf,
        Opening::Garbage { .. } if !answer.is_empty() => Situation::StrangerGarbage,
        Opening::Wrong if !answer.is_empty() => Situation::StrangerRefused,
        Opening::Frames { .. } => Situation::StrangerFrames,
        _ => return,
    };
    stage.note(situation);
}
