//! The connector's end of a session: one attempt to connect, and attempts with backoff between them.

mod attempt;
mod retry;

pub(crate) use attempt::{ByteStreams, ConnectSettings, Connector, TokenSource};
pub use retry::{AgentStatus, AgentStopped, WaitReason};
pub(crate) use retry::{Connecting, LinkControl};
