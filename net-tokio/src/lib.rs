//! A reverse tunnel whose connections, tasks and buffers cannot leak.

mod agent;
mod copy;
mod endpoint;
mod forward;
mod handshake;
pub mod metrics;
mod policy;
mod serve;
mod server;
mod session;
mod stream;
mod target;
mod tasks;
mod tls;
mod transport;

pub use agent::{Agent, AgentBuilder, AgentLedger, AgentStatus};
pub use endpoint::{Endpoint, InvalidEndpoint, ProxyPolicy};
pub use forward::{Forward, Listener};
pub use handshake::ConnectError;
pub use policy::{InvalidPattern, Pattern, Policy, TargetError};
pub use serve::DialRefusal;
pub use server::{
    AuthRequest, ClientInfo, Refusal, Server, ServerBuilder, ServerEvent, ServerLedger,
    TunnelConnector, UpgradeService,
};
pub use session::{DialError, Incoming};
pub use stream::{ReadHalf, StreamControl, TunnelStream, WriteHalf};
pub use target::{Host, InvalidTarget, Target};
pub use tls::{ClientTls, ServerTls, TlsError};
pub use transport::{BoxIo, Io};
pub use watertight_core as core;

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
