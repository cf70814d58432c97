use std::fmt;
use std::sync::Arc;

use watertight_core::SessionEnd;
use watertight_core::wire::Dialect;

use crate::session::Shared;

/// The owner of an agent that is not an application's own: a server, whose way to a peer it is. It
/// keeps the books of the agent's sessions.
///
/// None of this may block.
pub(crate) trait Host: fmt::Debug + Send + Sync {
    /// An attempt to connect begins.
    fn connecting(&self);

    /// There is a session, whose task is not spawned yet. `false` if it is not wanted any more: it
    /// then ends at once.
    fn started(&self, session: &Arc<Shared>, dialect: Dialect) -> bool;

    /// A session has ended: one that was started, or was not wanted.
    fn ended(&self, session: &Arc<Shared>, end: SessionEnd);
}
