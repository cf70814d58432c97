//! A reverse tunnel whose connections, tasks and buffers cannot leak.
//!
//! An [`Agent`] behind a NAT keeps a session open to a [`Server`]; the server dials through it:
//! [`Server::dial`] returns a [`TunnelStream`], as if the agent's machine had connected. Where the
//! server allows it, [`Agent::dial`] dials in the other direction.
//!
//! - **Authentication** is the hook of [`Server::builder`]; **authorization of dials** is the
//!   agent's [`Policy`], which allows nothing by default, or the embedder's own
//!   [`dialer`](AgentBuilder::dialer) or [`dial_handler`](AgentBuilder::dial_handler).
//! - **Transports**: a WebSocket over HTTP(S), which goes through proxies and ingresses, or a plain
//!   byte stream (TCP, TLS, Unix socket), which costs less. See [`Endpoint`]. One listener serves
//!   both; [`Server::upgrade_service`] mounts the WebSocket in axum, hyper or tower, and any [`Io`]
//!   can carry a session ([`Server::serve_io`], [`AgentBuilder::connect_with`]).
//! - **HTTP through the tunnel**: [`Server::connector`] is a connector for hyper and its kin.
//! - **Several servers**: [`Server::add_peer`] makes two servers dial through each other, so that a
//!   client is reached from all of them; [`Server::discover_peers`] finds the others by name.
//! - **The ledger**: [`Server::ledger`] and [`Agent::ledger`] return at any time what was added,
//!   removed and is held, tasks included. [`Server::shutdown`] and [`Agent::shutdown`] drain, wait
//!   until every task has ended and return it; [`ServerLedger::is_settled`] is worth an assertion
//!   in your tests.
//! - **Metrics** go through the `metrics` facade with the feature `metrics` (see
//!   [`metrics`](mod@metrics)), spans and events through `tracing`.
//! - **The runtime** is tokio, with time and IO. Functions that start tasks panic outside of one,
//!   and document it. Unix sockets are served and dialled on Unix; elsewhere such an endpoint or
//!   target is an error.
//! - **The allocator** is the embedder's. Buffers of 64 KiB are allocated and freed with the
//!   traffic; glibc's allocator returns them to the kernel each time, which is a quarter of the CPU
//!   time of a bulk transfer. The binary (`watertight-cli`) uses mimalloc.
//!
//! Two watertight ends speak the extended dialect: dials are answered, half-close works, flow
//! control is by credit. Toward a remotedialer end everything falls back to its protocol; both are
//! described in [`proto::protocol`].
//!
//! # Features
//!
//! | feature | by default | effect |
//! | --- | --- | --- |
//! | `ring` | yes | ring below TLS |
//! | `aws-lc-rs` | no | aws-lc-rs below TLS, also where `ring` is on |
//! | `metrics` | no | records by the `metrics` facade: [`metrics`](mod@metrics) |
//! | `simulation` | no | for simulations and fuzzers; it may change in any version |
//!
//! A provider that the process has installed as rustls's default takes precedence over both.
//! Without any, the constructors of TLS identities and trust return
//! [`TlsError::NoProvider`](tls::TlsError::NoProvider);
//! [`ServerTls::from_config`](tls::ServerTls::from_config) and
//! [`ClientTls::from_config`](tls::ClientTls::from_config) need none.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod agent;
mod connect;
mod endpoint;
mod forward;
mod handshake;
mod io;
mod kernel;
#[doc = include_str!("../INTEROP.md")]
pub mod interop {}
mod listener;
mod log_limit;
pub mod metrics;
mod policy;
mod serve;
mod server;
mod session;
#[cfg(feature = "simulation")]
pub mod simulation;
mod splice;
mod stream;
mod sync;
mod target;
mod tasks;
pub mod tls;
mod transport;

pub use agent::{Agent, AgentBuilder, AgentLedger};
pub use connect::{AgentStatus, AgentStopped, WaitReason};
pub use endpoint::{Endpoint, InvalidEndpoint, ProxyPolicy};
pub use forward::Forward;
pub use handshake::{ConnectError, Refusal};
pub use io::{BoxIo, Io};
pub use kernel::Keepalive;
/// For code that reads and writes sockets beside the library, as the program's admin server does.
#[doc(hidden)]
pub use kernel::{TcpState, acknowledged};
pub use listener::{Accepted, Listener};
pub use policy::{InvalidPattern, Pattern, Policy, TargetError};
pub use serve::DialRefusal;
pub use server::{
    AuthRequest, ClientInfo, Events, Grant, Lagged, Server, ServerBuilder, ServerEvent,
    ServerLedger, TunnelConnector, UpgradeService,
};
pub use session::Buffers;
/// For code that splices byte streams beside the library, as the program's admin server does.
#[doc(hidden)]
pub use splice::{Side, Spliced, splice_sides};
pub use stream::{
    DialError, Incoming, ReadHalf, StreamControl, StreamError, TunnelStream, WriteHalf,
};
pub use target::{Host, InvalidTarget, Target};
pub use watertight_core as proto;
pub use watertight_core::registry::SessionKey;
pub use watertight_core::session::{InvalidState, OpenError};
pub use watertight_core::wire::{Dialect, ResetCode};
pub use watertight_core::{ConnectionEnd, ReconnectConfig, SessionConfig, SessionEnd};

/// Servers that dial through each other: see [`Server::add_peer`].
pub mod peering {
    pub use crate::server::{
        IncomingPeerInfo, Peer, PeerDirection, PeerDiscovery, PeerError, PeerIdentity, PeerInfo,
    };
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
