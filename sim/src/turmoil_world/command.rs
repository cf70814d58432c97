//! Commands from the runner to the software of a host.

use std::sync::Arc;
use std::time::Duration;

use super::strangers::Visitors;
use super::stream::Stream;
use crate::schedule::HostileMessage;

/// What the software of a host is told to do.
#[derive(Debug)]
pub(super) enum Command {
    /// An application dials.
    Dial(Arc<Stream>),
    /// Ends the agent's sessions.
    Disconnect(u8),
    /// A server drains the sessions of the agent, or an agent its own.
    Drain { agent: u8, within: Duration },
    /// A second process of the agent takes over.
    Replace,
    /// Shuts down and starts again.
    Restart(Duration),
    /// Shuts down.
    Stop(Duration),
    /// A hostile agent says something.
    Say(HostileMessage),
    /// Strangers connect to a server.
    Visit(Visitors),
    /// A hostile agent goes, and a stranger who has a session.
    HangUp,
}
