//! Hosts with a bad habit around right sessions.

use crate::core_world::tunnel::Habits;

/// R12: "an agent reconnects while its old session is half dead: every dial goes to the oldest
/// session".
pub(super) const OLDEST_WINS: Habits =
    Habits { closes_replaced: false, newest_wins: false, ..Habits::RIGHT };

/// R14: "a session fails on the server: its socket is never closed: the agent stays attached to
/// nothing".
pub(super) const LEAVES_SOCKET_OPEN: Habits = Habits { closes_transport: false, ..Habits::RIGHT };

/// R25: "its session stays and stays authorised": what has ended stays in the registry.
pub(super) const KEEPS_ENDED: Habits = Habits { removes_ended: false, ..Habits::RIGHT };
