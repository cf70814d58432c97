//! What a server tells of itself.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::broadcast::{Receiver, error::TryRecvError};
use watertight::{Server, ServerEvent, SessionEnd};

use super::books::blame;
use super::deviation::Deviation;
use super::roll::{Roll, With};
use super::stage::Stage;
use super::strangers::UNKNOWN;
use crate::schedule::{Action, Host, millis};
use crate::situation::Situation;

/// A server and what it has told of itself.
#[derive(Debug)]
pub(super) struct ServerDesk {
    pub(super) server: Server,
    pub(super) roll: Roll,
    events: Receiver<ServerEvent>,
    /// Clients that a specimen takes for logged in.
    pub(super) logged_in: BTreeSet<String>,
}

impl ServerDesk {
    pub(super) fn new(server: Server) -> Self {
        let events = server.subscribe();
        Self { server, events, roll: Roll::default(), logged_in: BTreeSet::new() }
    }

    /// Takes in what the server has told since. With the fault that it found with an honest end.
    pub(super) fn listen(&mut self, stage: &Stage, host: Host) -> Option<String> {
        let mut blamed = None;
        loop {
            let heard = match self.events.try_recv() {
                Ok(event) => self.hear(stage, event, &mut blamed),
                Err(TryRecvError::Lagged(_)) => Err("more events than anybody can follow".into()),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return blamed,
            };
            if let Err(what) = heard {
                stage.contradict(format!("{host}: {what}"));
            }
        }
    }

    fn hear(
        &mut self,
        stage: &Stage,
        event: ServerEvent,
        blamed: &mut Option<String>,
    ) -> Result<(), String> {
        match event {
            ServerEvent::Connected { key, session, .. } => {
                if key == UNKNOWN {
                    stage.door().intrude("a stranger has a session".into());
                }
                self.roll.began(stage.now(), session, With::Client(key))
            }
            ServerEvent::PeerConnected { id, session, direction, .. } => {
                self.roll.began(stage.now(), session, With::peer(&id, direction))
            }
            ServerEvent::Disconnected { session, .. }
                if stage.deviation == Deviation::ReplacedUntold
                    && self.roll.is_replaced(session) =>
            {
                Ok(())
            }
            ServerEvent::Disconnected { key, session, end } => {
                if !matches!(end, SessionEnd::Silent(_) | SessionEnd::Transport(_)) {
                    self.logged_in.remove(&key);
                }
                let fault = blame(&end).filter(|_| stage.is_honest_client(&key));
                *blamed = blamed.take().or(fault);
                note_end(stage, &end);
                self.roll.ended(session)
            }
            ServerEvent::PeerDisconnected { session, end, .. } => {
                let fault = blame(&end).filter(|_| !stage.has_impostors());
                *blamed = blamed.take().or(fault);
                let passes = |stream: &super::stream::Stream| {
                    stream.is_moving() && stage.goes_through_peer(stream)
                };
                stage.note_if(stage.any_stream(passes), Situation::PeerLostDuringTransfer);
                note_end(stage, &end);
                self.roll.ended(session)
            }
            _ => Ok(()),
        }
    }

    /// A session that was replaced so long ago that its end should have been told.
    pub(super) fn overdue(&self, stage: &Stage) -> Option<String> {
        let moment = stage.now().checked_sub(to_the_end(stage))?;
        let session = self.roll.replaced_before(moment)?;
        Some(format!("the end of session {session}, which was replaced, is never told"))
    }
}

fn note_end(stage: &Stage, end: &SessionEnd) {
    if let Some(situation) = Situation::of_session(end) {
        stage.note(situation);
    }
}

/// How long a session may run that was replaced: what drains has the time that it was given.
fn to_the_end(stage: &Stage) -> Duration {
    let given = stage.schedule.steps.iter().map(|step| match step.action {
        Action::Drain { within, .. } | Action::Restart { within, .. } => within,
        _ => 0,
    });
    stage.to_quiet() + millis(given.max().unwrap_or(0))
}
