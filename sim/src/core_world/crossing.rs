//! Messages that cross on their way.

use super::frame::{Label, kind};
use super::pipe::Pipe;
use super::stage::Stage;
use crate::Situation;

/// A message leaves while others come the other way.
pub(super) fn note_crossing(stage: &mut Stage<'_>, sent: Label, coming: &Pipe) {
    match sent.kind {
        kind::RESET | kind::FINISH | kind::PAUSE | kind::RESUME => {
            let same = |label: &Label| label.connection == sent.connection;
            for label in coming.under_way().filter(same) {
                if let Some(situation) = of_connection(sent.kind, label.kind) {
                    stage.note(situation);
                }
            }
        }
        kind::DATA | kind::OPENED => {
            let reset = Label { kind: kind::RESET, ..sent };
            if coming.under_way().any(|label| label == reset)
                && let Some(situation) = of_connection(kind::RESET, sent.kind)
            {
                stage.note(situation);
            }
        }
        kind::CONNECT | kind::SYNC | kind::SYNC_CONNECTIONS => {
            for label in coming.under_way() {
                if let Some(situation) = of_session(sent.kind, label.kind) {
                    stage.note(situation);
                }
            }
        }
        _ => {}
    }
}

const fn of_connection(sent: i64, coming: i64) -> Option<Situation> {
    Some(match (sent, coming) {
        (kind::RESET, kind::FINISH) | (kind::FINISH, kind::RESET) => Situation::ResetCrossesFinish,
        (kind::FINISH, kind::FINISH) => Situation::FinishCrossesFinish,
        (kind::RESET, kind::DATA) => Situation::ResetCrossesData,
        (kind::RESET, kind::OPENED) => Situation::ResetCrossesOpened,
        (kind::PAUSE, kind::RESUME) | (kind::RESUME, kind::PAUSE) => Situation::PauseCrossesResume,
        _ => return None,
    })
}

const fn of_session(sent: i64, coming: i64) -> Option<Situation> {
    match (sent, coming) {
        (kind::CONNECT, kind::CONNECT) => Some(Situation::ConnectCrossesConnect),
        (kind::CONNECT, kind::SYNC | kind::SYNC_CONNECTIONS) => Some(Situation::ListCrossesConnect),
        (kind::SYNC | kind::SYNC_CONNECTIONS, kind::CONNECT) => Some(Situation::ListCrossesConnect),
        _ => None,
    }
}
