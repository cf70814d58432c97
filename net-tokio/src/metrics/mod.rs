//! Metrics for operators, through the `metrics` facade: with the feature `metrics`. Without it
//! nothing is recorded.
//!
//! Counters carry remotedialer's names where it counts the same thing, without its labels: a client
//! key or an address as a label is a series that a remote can invent. Figures of one client are in
//! the server's list of clients instead. Sessions with peer servers are counted under
//! `peer="true"`, those with clients without the label.
//!
//! Round trips have three metrics. `watertight_round_trip_seconds` is the distribution of the
//! measurements over time. `watertight_sessions_round_trip_seconds` is the current sum: the round
//! trips of the sessions that are up, added up, which is the round trip itself where there is one
//! session, as on an agent; divided by `watertight_sessions_measured` it is their mean. The round
//! trip of one client is in the list of clients.
//!
//! remotedialer's `session_server_total_transmit_error_bytes` has no counterpart. Bytes handed to a
//! transport wait in its queue and in the kernel's, and when the transport fails, it is unknown how
//! many of either have arrived.

#[cfg(feature = "metrics")]
mod facade;

use std::time::Duration;

use watertight_core::{Cause, Ledger, Session};

#[cfg(feature = "metrics")]
pub use facade::describe;
#[cfg(feature = "metrics")]
use facade::{Text, add, count, count_labelled, observe};
#[cfg(not(feature = "metrics"))]
use nothing::{Text, add, count, count_labelled, observe};

const ADD_SESSION: &str = "session_server_total_add_websocket_session";
const REMOVE_SESSION: &str = "session_server_total_remove_websocket_session";
const ADD_CONNECTIONS: &str = "session_server_total_add_connections";
const REMOVE_CONNECTIONS: &str = "session_server_total_remove_connections";
const TRANSMIT_BYTES: &str = "session_server_total_transmit_bytes";
const RECEIVE_BYTES: &str = "session_server_total_receive_bytes";
const LIVE_SESSIONS: &str = "watertight_sessions";
const LIVE_CONNECTIONS: &str = "watertight_connections";
const BUFFERED_BYTES: &str = "watertight_buffered_bytes";
const PENDING_DIALS: &str = "watertight_pending_dials";
const ROUND_TRIP: &str = "watertight_round_trip_seconds";
const MEASURED_SESSIONS: &str = "watertight_sessions_measured";
const SUM_OF_ROUND_TRIPS: &str = "watertight_sessions_round_trip_seconds";
const PEER_ATTEMPT: &str = "session_server_total_peer_ws_attempt";
const PEER_CONNECTED: &str = "session_server_total_peer_ws_connected";
const PEER_DISCONNECTED: &str = "session_server_total_peer_ws_disconnected";
const LIVE_PEER_SESSIONS: &str = "watertight_peer_sessions";
const PEER_ROUTES: &str = "watertight_peer_routes";
const REPLACED: &str = "watertight_sessions_replaced";
const HANDSHAKES: &str = "watertight_handshakes";
const HANDSHAKES_REFUSED: &str = "watertight_handshakes_refused";

/// A handshake that did not become a session. The reasons are literals, so there are few.
pub(crate) fn handshake_refused(reason: &'static str) {
    count_labelled(HANDSHAKES_REFUSED, "reason", reason, 1);
}

/// A splice of a connection and a socket buffers another number of bytes than before.
pub(crate) fn buffered_changed(before: u64, now: u64) {
    change(BUFFERED_BYTES, before, now);
}

/// A client's session has taken over from another one of the same client.
pub(crate) fn session_replaced(from_elsewhere: bool) {
    let from = if from_elsewhere { "elsewhere" } else { "same address" };
    count_labelled(REPLACED, "from", from, 1);
}

/// A socket that is no session yet was added, became a session, or was closed.
pub(crate) fn handshakes_changed(by: f64) {
    add(HANDSHAKES, by);
}

/// Counts a session from its start until its driver has ended.
#[derive(Debug)]
pub(crate) struct LiveSession {
    peer: bool,
}

impl LiveSession {
    pub(crate) fn start(peer: bool) -> Self {
        count_session(ADD_SESSION, peer);
        add(LIVE_SESSIONS, 1.0);
        if peer {
            add(LIVE_PEER_SESSIONS, 1.0);
        }
        Self { peer }
    }
}

impl Drop for LiveSession {
    fn drop(&mut self) {
        count_session(REMOVE_SESSION, self.peer);
        add(LIVE_SESSIONS, -1.0);
        if self.peer {
            add(LIVE_PEER_SESSIONS, -1.0);
        }
    }
}

fn count_session(name: &'static str, peer: bool) {
    if peer {
        count_labelled(name, "peer", "true", 1);
    } else {
        count(name, 1);
    }
}

/// Counts attempts to connect to a peer, or to the addresses of a discovery, which are unbounded.
/// The operator chose the name: the peer's id, or the host that is resolved.
#[derive(Debug)]
pub(crate) struct PeerMeter {
    name: Text,
}

impl PeerMeter {
    pub(crate) fn new(name: String) -> Self {
        Self { name: name.into() }
    }

    pub(crate) fn attempt(&self) {
        count_labelled(PEER_ATTEMPT, "peer", self.name.clone(), 1);
    }

    pub(crate) fn connected(&self) {
        count_labelled(PEER_CONNECTED, "peer", self.name.clone(), 1);
    }

    pub(crate) fn disconnected(&self) {
        count_labelled(PEER_DISCONNECTED, "peer", self.name.clone(), 1);
    }
}

/// The number of routes that one server remembers has changed.
pub(crate) fn peer_routes(before: u64, now: u64) {
    change(PEER_ROUTES, before, now);
}

/// Reports the changes of one session's ledger.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    reported: Ledger,
    rtt: Option<Duration>,
    sent: u64,
    received: u64,
}

impl Meter {
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    pub(crate) fn received(&mut self, bytes: usize) {
        self.received += bytes as u64;
    }

    /// Reports the changes since the last call. Returns the session's ledger.
    pub(crate) fn observe(&mut self, core: &Session) -> &Ledger {
        self.observe_bytes();
        self.observe_ledger(core.ledger());
        self.observe_round_trip(if core.ended().is_none() { core.rtt() } else { None });
        &self.reported
    }

    fn observe_round_trip(&mut self, now: Option<Duration>) {
        if now == self.rtt {
            return;
        }
        let before = std::mem::replace(&mut self.rtt, now);
        if let Some(rtt) = now {
            observe(ROUND_TRIP, rtt);
        }
        let known = |rtt: Option<Duration>| u64::from(rtt.is_some());
        change(MEASURED_SESSIONS, known(before), known(now));
        add(SUM_OF_ROUND_TRIPS, exact_seconds(now) - exact_seconds(before));
    }

    fn observe_bytes(&mut self) {
        for (name, bytes) in [(TRANSMIT_BYTES, &mut self.sent), (RECEIVE_BYTES, &mut self.received)]
        {
            if *bytes > 0 {
                count(name, std::mem::take(bytes));
            }
        }
    }

    fn observe_ledger(&mut self, now: Ledger) {
        if now == self.reported {
            return;
        }
        let before = std::mem::replace(&mut self.reported, now);
        debug_assert!(now.added >= before.added, "the connections of a session only increase");
        if now.added > before.added {
            count(ADD_CONNECTIONS, now.added - before.added);
        }
        if now.removed != before.removed {
            for cause in Cause::ALL {
                count_removed(cause, now.removed.by(cause) - before.removed.by(cause));
            }
        }
        change(LIVE_CONNECTIONS, before.live, now.live);
        let buffered = |ledger: &Ledger| ledger.bytes_to_send + ledger.bytes_received;
        change(BUFFERED_BYTES, buffered(&before), buffered(&now));
        let pending = |ledger: &Ledger| ledger.outbound_dials + ledger.inbound_dials;
        change(PENDING_DIALS, pending(&before), pending(&now));
    }
}

/// A round trip in whole parts of 2⁻²⁰ s, of which sums and differences are exact: the gauge
/// returns to zero.
#[allow(clippy::cast_precision_loss, reason = "round trips are short")]
fn exact_seconds(rtt: Option<Duration>) -> f64 {
    const PARTS: u128 = 1 << 20;
    let parts = rtt.unwrap_or_default().as_nanos() * PARTS / 1_000_000_000;
    debug_assert!(parts < 1 << 53, "a round trip in parts is exact");
    parts as f64 / PARTS as f64
}

fn count_removed(cause: Cause, removed: u64) {
    if removed > 0 {
        count_labelled(REMOVE_CONNECTIONS, "cause", cause.name(), removed);
    }
}

fn change(name: &'static str, before: u64, now: u64) {
    debug_assert!(before.max(now) < 1 << 53, "a gauge, which is floating point, is exact to 2^53");
    #[allow(clippy::cast_precision_loss)]
    match now.cmp(&before) {
        std::cmp::Ordering::Greater => add(name, (now - before) as f64),
        std::cmp::Ordering::Less => add(name, -((before - now) as f64)),
        std::cmp::Ordering::Equal => {}
    }
}

/// Records nothing, with the interface of `facade`.
#[cfg(not(feature = "metrics"))]
mod nothing {
    use std::time::Duration;

    #[derive(Clone, Debug)]
    pub(super) struct Text;

    impl From<&'static str> for Text {
        fn from(_: &'static str) -> Self {
            Self
        }
    }

    impl From<String> for Text {
        fn from(_: String) -> Self {
            Self
        }
    }

    pub(super) const fn count(_name: &'static str, _by: u64) {}

    pub(super) fn count_labelled(
        _name: &'static str,
        _label: &'static str,
        _value: impl Into<Text>,
        _by: u64,
    ) {
    }

    pub(super) const fn add(_name: &'static str, _by: f64) {}

    pub(super) const fn observe(_name: &'static str, _time: Duration) {}
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn the_round_trips_of_sessions_that_are_up_are_added_up() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let (mut one, mut other) = (Meter::default(), Meter::default());
        let shows = |sessions: u64, seconds: &str| {
            let shown = recorder.handle().render();
            for (name, value) in
                [(MEASURED_SESSIONS, &*sessions.to_string()), (SUM_OF_ROUND_TRIPS, seconds)]
            {
                assert!(shown.contains(&format!("\n{name} {value}\n")), "{name} {value}: {shown}");
            }
        };
        metrics::with_local_recorder(&recorder, || {
            one.observe_round_trip(Some(Duration::from_millis(250)));
            shows(1, "0.25");
            other.observe_round_trip(Some(Duration::from_millis(500)));
            one.observe_round_trip(Some(Duration::from_millis(1000)));
            shows(2, "1.5");
            one.observe_round_trip(None);
            shows(1, "0.5");
            other.observe_round_trip(None);
            shows(0, "0");
        });
    }
}
