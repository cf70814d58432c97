//! What happens, in words.

use std::fmt;

use super::{Action, Step, TargetPlan};

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{} ms  {}", self.after, self.action)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial { stream, from, to, target, within } => {
                let TargetPlan { answer, reads, writes, end } = target;
                write!(f, "{stream}: {from} dials at agent{to} within {within} ms (target: ")?;
                write!(f, "{answer:?}, reads {reads:?}, writes {writes:?}, ends {end:?})")
            }
            Self::Write { stream, bytes } => write!(f, "{stream}: writes {bytes} bytes"),
            Self::Read { stream, bytes } => write!(f, "{stream}: reads {bytes} bytes"),
            Self::ReadAll { stream } => write!(f, "{stream}: reads all"),
            Self::Finish { stream } => write!(f, "{stream}: finishes"),
            Self::Reset { stream } => write!(f, "{stream}: resets"),
            Self::Drop { stream } => write!(f, "{stream}: drops"),
            Self::Replace { agent } => write!(f, "agent{agent} is replaced by a newer process"),
            Self::Disconnect { agent } => write!(f, "agent{agent} is disconnected by its server"),
            Self::Drain { agent, by_server, within } => {
                let by = if *by_server { "server" } else { "agent" };
                write!(f, "the session of agent{agent} is drained by the {by} within {within} ms")
            }
            Self::Restart { host, within } => write!(f, "{host} shuts down within {within} ms"),
            Self::Crash { host } => write!(f, "{host} crashes"),
            Self::Bounce { host } => write!(f, "{host} starts again"),
            Self::Partition { a, b } => write!(f, "{a} and {b} are partitioned"),
            Self::PartitionOneWay { from, to } => write!(f, "{from} no longer reaches {to}"),
            Self::Repair { a, b } => write!(f, "{a} and {b} are repaired"),
            Self::Hold { a, b } => write!(f, "{a} and {b} are held"),
            Self::Release { a, b } => write!(f, "{a} and {b} are released"),
            Self::Latency { a, b, millis } => write!(f, "{a} and {b} are {millis} ms apart"),
            Self::Cut { by } => write!(f, "the connections that {by} has made are cut"),
            Self::Say { agent, message } => write!(f, "agent{agent} says {message:?}"),
            Self::StrangersConnect {
                server,
                sockets,
                transport,
                opening,
                leave_after,
                again_for,
                hold_on,
            } => {
                let leave = leave_after.map(|after| format!(", and close after {after} ms"));
                let leave = leave.unwrap_or_default();
                let again = format!(", and again for {again_for} ms");
                let again = if *again_for == 0 { "" } else { &again };
                let hold_on = if *hold_on { ", and hold on" } else { "" };
                write!(f, "strangers open {sockets} {transport:?} sockets to server{server}")?;
                write!(f, " with {opening:?}{leave}{again}{hold_on}")
            }
            Self::Impersonate { server, opening, within } => {
                write!(f, "strangers answer for server{server} with {opening:?} for {within} ms")
            }
            Self::Idle => f.write_str("nothing"),
        }
    }
}
