use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use watertight_core::registry::SessionKey;
use watertight_core::wire::Dialect;

use crate::agent::AgentStatus;
use crate::endpoint::Endpoint;

/// A peer of a server, and how things stand with it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PeerInfo {
    /// Its id.
    pub id: String,
    /// Where it is.
    pub endpoint: Endpoint,
    /// The address in place of the endpoint's host, where the peer was given with one.
    pub address: Option<IpAddr>,
    /// How this server stands with it as one that connects: through this session the peer dials the
    /// clients here.
    pub outgoing: AgentStatus,
    /// The session in which the peer connected to this server, if it is up: through this one its
    /// clients are dialled.
    pub incoming: Option<IncomingPeerInfo>,
    /// How many routes to clients it has announced that are remembered.
    pub routes: usize,
}

/// A session in which a peer connected to a server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IncomingPeerInfo {
    /// The session.
    pub session: SessionKey,
    /// How long it has been up.
    pub connected_for: Duration,
    /// The address that the peer connected from, where it has one.
    pub remote: Option<SocketAddr>,
    /// What it speaks.
    pub dialect: Dialect,
    /// The round trip to it, once measured.
    pub rtt: Option<Duration>,
    /// Whether it takes no new dials, because one of the ends drains it.
    pub going_away: bool,
}

/// Which of two peers connected to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerDirection {
    /// The other one to this one: its clients are dialled through the session.
    Incoming,
    /// This one to the other one, which dials this one's clients through the session.
    Outgoing,
}
