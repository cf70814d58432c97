//! The ledger for operators and programs, and the lines on standard output, of which it is the last.
//!
//! Scripts rely on these lines, so they do not depend on the log's filter. With `--log-format json` each
//! line is an object.

use std::fmt;

use serde_json::{Map, Value, json};
use watertight::proto::Ledger;
use watertight::proto::registry::Tally;
use watertight::{AgentLedger, ServerLedger};

use crate::cli::LogFormat;
use crate::stdio;

/// The ledger of a server or an agent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LedgerReport {
    pub(crate) of: &'static str,
    pub(crate) settled: bool,
    /// An agent has no registry of sessions.
    pub(crate) sessions: Option<Tally>,
    pub(crate) connections: Ledger,
    pub(crate) tasks: usize,
}

impl LedgerReport {
    /// The ledger of a server, with the tasks of its admin server.
    pub(crate) fn of_server(ledger: &ServerLedger, admin_tasks: usize) -> Self {
        Self {
            of: "server",
            settled: ledger.is_settled() && admin_tasks == 0,
            sessions: Some(ledger.registry.agents),
            connections: ledger.connections,
            tasks: ledger.tasks + admin_tasks,
        }
    }

    pub(crate) fn of_agent(ledger: &AgentLedger) -> Self {
        Self {
            of: "agent",
            settled: ledger.is_settled(),
            sessions: None,
            connections: ledger.connections,
            tasks: ledger.tasks,
        }
    }

    pub(crate) fn bytes_held(&self) -> u64 {
        self.connections.bytes_to_send + self.connections.bytes_received
    }

    pub(crate) fn to_json(self) -> Value {
        let mut object = json!({ "ledger": self.of, "even": self.settled });
        if let (Some(object), Value::Object(figures)) = (object.as_object_mut(), self.figures()) {
            object.extend(figures);
        }
        object
    }

    /// The figures alone, for a program that still runs and so holds something.
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

/// The ledger of connections as JSON. Removed connections are counted by cause; causes that did not
/// occur are left out.
pub(crate) fn connections_json(ledger: &Ledger) -> Value {
    let causes = ledger.removed.iter().filter(|(_, count)| *count > 0);
    let removed_by: Map<String, Value> =
        causes.map(|(cause, count)| (cause.name().to_string(), count.into())).collect();
    json!({
        "added": ledger.added,
        "removed": ledger.removed.total(),
        "removed_by": removed_by,
        "live": ledger.live,
        "outbound_dials": ledger.outbound_dials,
        "inbound_dials": ledger.inbound_dials,
        "bytes_to_send": ledger.bytes_to_send,
        "bytes_received": ledger.bytes_received,
        "queued_control": ledger.queued_control,
        "armed_timers": ledger.armed_timers,
    })
}

fn tally_json(tally: Tally) -> Value {
    json!({ "added": tally.added, "removed": tally.removed, "live": tally.live })
}

impl fmt::Display for LedgerReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settled = if self.settled { "even" } else { "NOT EVEN" };
        write!(f, "{} ledger {settled}: ", self.of)?;
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

/// Standard output, in the format of the log.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Output {
    format: LogFormat,
}

impl Output {
    pub(crate) fn new(format: LogFormat) -> Self {
        Self { format }
    }

    /// Prints an address that is listened on, and its purpose.
    pub(crate) fn listening(self, purpose: &str, address: &str) {
        self.line(
            || format!("{purpose} listening on {address}"),
            || json!({ "listening": purpose, "address": address }),
        );
    }

    /// Prints that a server listens on every address, or that an agent has its first session.
    pub(crate) fn ready(self) {
        self.line(|| "ready".to_string(), || json!({ "ready": true }));
    }

    /// Prints the last line.
    pub(crate) fn ledger(self, ledger: &LedgerReport) {
        self.line(|| ledger.to_string(), || ledger.to_json());
    }

    fn line(self, text: impl FnOnce() -> String, object: impl FnOnce() -> Value) {
        let line = match self.format {
            LogFormat::Text => text(),
            LogFormat::Json => object().to_string(),
        };
        stdio::output(&line);
    }
}
