//! A ledger as operators and programs see it.

use std::fmt;

use serde_json::{Map, Value, json};
use watertight::core::Ledger;
use watertight::core::registry::Tally;
use watertight::{AgentLedger, ServerLedger};

/// The books of a server or an agent at their end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Books {
    pub(crate) of: &'static str,
    pub(crate) even: bool,
    /// An agent has no registry of sessions.
    pub(crate) sessions: Option<Tally>,
    pub(crate) connections: Ledger,
    pub(crate) tasks: usize,
}

impl Books {
    /// A server's, with the tasks of the admin server beside it.
    pub(crate) fn of_server(ledger: &ServerLedger, admin_tasks: usize) -> Self {
        Self {
            of: "server",
            even: ledger.is_settled() && admin_tasks == 0,
            sessions: Some(ledger.registry.agents),
            connections: ledger.connections,
            tasks: ledger.tasks + admin_tasks,
        }
    }

    pub(crate) fn of_agent(ledger: &AgentLedger) -> Self {
        Self {
            of: "agent",
            even: ledger.is_settled(),
            sessions: None,
            connections: ledger.connections,
            tasks: ledger.tasks,
        }
    }

    pub(crate) fn bytes_held(&self) -> u64 {
        self.connections.bytes_to_send + self.connections.bytes_received
    }

    pub(crate) fn to_json(self) -> Value {
        let mut object = json!({ "ledger": self.of, "even": self.even });
        if let (Some(object), Value::Object(figures)) = (object.as_object_mut(), self.figures()) {
            object.extend(figures);
        }
        object
    }

    /// The figures alone: while it runs, nobody can be even.
    pub(crate) fn figures(&self) -> Value {
        let mut figures = json!({
            "connections": connections_json(&self.connections),
            "tasks": self.tasks,
        });
        if let (Some(sessions), Some(figures)) = (self.sessions, figures.as_object_mut()) {
            figures.insert("sessions".into(), tally_json(sessions));
        }
        figures
    }
}

/// The books of connections as JSON. What was removed is given by cause; causes that did not occur
/// are left out.
pub(crate) fn connections_json(ledger: &Ledger) -> Value {
    let causes = ledger.removed.iter().filter(|(_, count)| *count > 0);
    let removed_by: Map<String, Value> =
        causes.map(|(cause, count)| (cause.name().to_string(), count.into())).collect();
    json!({
        "added": ledger.added,
        "removed": ledger.removed.total(),
        "removed_by": removed_by,
        "live": ledger.live,
        "opening": ledger.opening,
        "dialing": ledger.dialing,
        "bytes_to_send": ledger.bytes_to_send,
        "bytes_received": ledger.bytes_received,
        "queued_control": ledger.queued_control,
        "armed_timers": ledger.armed_timers,
    })
}

fn tally_json(tally: Tally) -> Value {
    json!({ "added": tally.added, "removed": tally.removed, "live": tally.live })
}

impl fmt::Display for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let evenness = if self.even { "even" } else { "UNEVEN" };
        write!(f, "{} ledger {evenness}: ", self.of)?;
        if let Some(Tally { added, removed, live }) = self.sessions {
            write!(f, "sessions added {added} removed {removed} live {live}; ")?;
        }
        let ledger = &self.connections;
        write!(f, "connections added {} removed {}", ledger.added, ledger.removed.total())?;
        fmt_causes(ledger, f)?;
        write!(
            f,
            " live {}; bytes held {}; control queued {}; timers {}; tasks {}",
            ledger.live,
            self.bytes_held(),
            ledger.queued_control,
            ledger.armed_timers,
            self.tasks
        )
    }
}

fn fmt_causes(ledger: &Ledger, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let causes = ledger.removed.iter().filter(|(_, count)| *count > 0);
    let causes: Vec<String> = causes.map(|(cause, count)| format!("{cause} {count}")).collect();
    if causes.is_empty() { Ok(()) } else { write!(f, " ({})", causes.join(", ")) }
}
