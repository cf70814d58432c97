//! A reverse tunnel whose connections, tasks and buffers cannot leak.
//!
//! An [`Agent`] behind a NAT keeps a session open to a [`Server`]; whoever holds the server dials
//! through it: [`Server::dial`] gives a [`TunnelStream`], as if the agent's machine had connected.
//! Where the server allows it, [`Agent::dial`] goes the other way.
//!
//! - **Who may connect** is decided by the hook that [`Server::builder`] is given; **what may be
//!   dialled** by the agent's [`Policy`], which allows nothing unless told, or by the embedder's own
//!   [`dialer`](AgentBuilder::dialer) or [`handler`](AgentBuilder::handler).
//! - **Transports**: a WebSocket over HTTP(S), which goes through proxies and ingresses, or a plain
//!   byte stream (TCP, TLS, Unix socket), which costs less. See [`Endpoint`]. One listener serves both;
//!   [`Server::upgrade_service`] mounts the WebSocket in axum, hyper or tower, and any [`Io`] can carry a
//!   session ([`Server::serve_io`], [`AgentBuilder::connect_with`]).
//! - **HTTP through the tunnel**: [`Server::connector`] is a connector for hyper and its kin.
//! - **Several servers**: [`Server::add_peer`] makes two servers dial through each other, so that a
//!   client is reached from all of them; [`Server::discover_peers`] finds the others by name.
//! - **The books**: [`Server::ledger`] and [`Agent::ledger`] say at any time what was added, removed
//!   and is held, tasks included. [`Server::shutdown`] and [`Agent::shutdown`] drain, wait until
//!   every task is gone and return them; [`ServerLedger::is_settled`] is worth an assertion in your tests.
//! - **Metrics** go through the `metrics` facade with the feature `metrics` (see [`metrics`](mod@metrics)),
//!   spans and events through `tracing`.
//! - **The runtime** is tokio, with time and IO. What starts tasks panics outside of one, and says so.
//!   Unix sockets are served and dialled on Unix; elsewhere such an endpoint or target is an error.
//! - **The allocator** is the embedder's. Buffers of 64 KiB come and go with the traffic; glibc's
//!   allocator gives them back to the kernel each time, which is a quarter of the CPU time of a bulk
//!   transfer. The binary (`watertight-cli`) uses mimalloc.
//!
//! Two watertight ends speak the extended dialect: dials are answered, half-close works, flow control
//! is by credit. Toward a remotedialer end everything falls back to its protocol; both are described in
//! [`core::protocol`].
//!
//! # Features
//!
//! | feature | by default | what it is |
//! | --- | --- | --- |
//! | `ring` | yes | ring below TLS |
//! | `aws-lc-rs` | no | aws-lc-rs below TLS, also where `ring` is on |
//! | `metrics` | no | records by the `metrics` facade: [`metrics`](mod@metrics) |
//! | `simulation` | no | for simulations and fuzzers; it may change in any version |
//!
//! A provider that the process has installed as rustls's default goes before both. Where there is none at
//! all, what makes certificates and keys into an identity or a trust returns [`TlsError::NoProvider`];
//! [`ServerTls::from_config`] and [`ClientTls::from_config`] need none.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod agent;
mod copy;
mod endpoint;
mod forward;
mod handshake;
mod kernel;
#[doc = include_str!("../INTEROP.md")]
pub mod interop {}
mod listener;
mod log_limit;
pub mod metrics;
mod policy;
mod redial;
mod serve;
mod server;
mod session;
#[cfg(feature = "simulation")]
pub mod simulation;
mod stream;
mod sync;
mod target;
mod tasks;
mod tls;
mod transport;

pub use agent::{Agent, AgentBuilder, AgentLedger, AgentStatus, AgentStopped, WaitReason};
pub use endpoint::{Endpoint, InvalidEndpoint, ProxyPolicy};
pub use forward::Forward;
pub use handshake::{ConnectError, Refusal};
pub use kernel::Keepalive;
/// For what reads and writes sockets beside the library, as the program's admin server does.
#[doc(hidden)]
pub use kernel::{TcpState, acknowledged};
pub use listener::{Accepted, Listener};
pub use policy::{InvalidPattern, Pattern, Policy, TargetError};
pub use serve::DialRefusal;
pub use server::{
    AuthRequest, ClientInfo, Grant, IncomingPeerInfo, Peer, PeerDirection, PeerDiscovery,
    PeerError, PeerIdentity, PeerInfo, Server, ServerBuilder, ServerEvent, ServerLedger,
    TunnelConnector, UpgradeService,
};
pub use session::Buffers;
pub use stream::{DialError, Incoming, ReadHalf, StreamControl, TunnelStream, WriteHalf};
pub use target::{Host, InvalidTarget, Target};
pub use tls::{ClientAuthorities, ClientTls, ServerTls, TlsError};
/// For [`ServerTls::from_config`] and [`ClientTls::from_config`].
pub use tokio_rustls::rustls;
pub use transport::{BoxIo, Io};
pub use watertight_core as core;
pub use watertight_core::registry::SessionKey;
pub use watertight_core::session::{InvalidState, OpenError};
pub use watertight_core::wire::{Dialect, ResetCode};
pub use watertight_core::{ConnectionEnd, ReconnectConfig, SessionConfig, SessionEnd};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
