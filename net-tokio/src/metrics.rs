//! What operators see, through the `metrics` facade.
//!
//! Counters carry remotedialer's names where it counts the same thing, without its labels: a
//! client key or an address as a label is a series that somebody else can invent. What belongs to
//! one client is in the server's list of clients instead. Sessions with peer servers are counted
//! under `peer="true"`, those with clients without the label.
//!
//! Round trips are there three times. `watertight_round_trip_seconds` is the distribution of what was
//! measured over time. `watertight_sessions_round_trip_seconds` is how things stand: the round trips
//! of the sessions that are up, added up, which is the round trip itself where there is one session,
//! as on an agent; divided by `watertight_sessions_measured` it is their mean. Which client is slow
//! is in the list of clients.
//!
//! remotedialer's `session_server_total_transmit_error_bytes` has no counterpart. What is handed to
//! a transport waits in its queue and in the kernel's, and when the transport fails nobody knows how
//! much of either has arrived: any figure would be made up.

use std::time::Duration;

use metrics::{
    SharedString, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};
use watertight_core::{Cause, Ledger, Session};

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

/// Gives every metric its description. Call it once after the recorder is installed.
pub fn describe() {
    describe_counter!(ADD_SESSION, "Sessions added");
    describe_counter!(REMOVE_SESSION, "Sessions removed");
    describe_counter!(ADD_CONNECTIONS, "Connections added, dialled by either end");
    describe_counter!(REMOVE_CONNECTIONS, "Connections removed, by cause");
    describe_counter!(TRANSMIT_BYTES, Unit::Bytes, "Bytes of messages handed to transports");
    describe_counter!(RECEIVE_BYTES, Unit::Bytes, "Bytes of messages taken from transports");
    describe_gauge!(LIVE_SESSIONS, "Sessions that are up");
    describe_gauge!(LIVE_CONNECTIONS, "Connections in the sessions' tables");
    describe_gauge!(BUFFERED_BYTES, Unit::Bytes, "Connection bytes held, in both directions");
    describe_gauge!(PENDING_DIALS, "Dials that wait for an answer");
    describe_histogram!(ROUND_TRIP, Unit::Seconds, "Round trips to the other end, smoothed");
    describe_gauge!(MEASURED_SESSIONS, "Sessions that are up whose round trip is known");
    describe_gauge!(SUM_OF_ROUND_TRIPS, Unit::Seconds, "Their round trips, smoothed, added up");
    describe_counter!(PEER_ATTEMPT, "Attempts to connect to a peer server");
    describe_counter!(PEER_CONNECTED, "Sessions with a peer server that this one connected to");
    describe_counter!(PEER_DISCONNECTED, "Those of them that have ended");
    describe_gauge!(LIVE_PEER_SESSIONS, "Sessions with peer servers that are up, both directions");
    describe_gauge!(PEER_ROUTES, "Clients that peer servers have announced");
    describe_counter!(
        REPLACED,
        "Sessions that a newer one of their client replaced, by from where"
    );
    describe_gauge!(HANDSHAKES, "Sockets that are no sessions yet");
    describe_counter!(HANDSHAKES_REFUSED, "Handshakes refused, by reason");
}

/// A handshake that did not become a session. The reasons are ours, so there are few.
pub(crate) fn handshake_refused(reason: &'static str) {
    counter!(HANDSHAKES_REFUSED, "reason" => reason).increment(1);
}

/// A copy between a connection and a socket holds other bytes than before.
pub(crate) fn buffered_changed(before: u64, now: u64) {
    change(BUFFERED_BYTES, before, now);
}

/// A client's session has taken over from another one of the same client.
pub(crate) fn session_replaced(from_elsewhere: bool) {
    let from = if from_elsewhere { "elsewhere" } else { "same address" };
    counter!(REPLACED, "from" => from).increment(1);
}

/// A socket has come that is no session yet, or one of these has become one or gone.
pub(crate) fn handshakes_changed(by: f64) {
    gauge!(HANDSHAKES).increment(by);
}

/// Counts a session from its start until its driver has ended.
#[derive(Debug)]
pub(crate) struct LiveSession {
    peer: bool,
}

impl LiveSession {
    pub(crate) fn start(peer: bool) -> Self {
        count_session(ADD_SESSION, peer);
        gauge!(LIVE_SESSIONS).increment(1.0);
        if peer {
            gauge!(LIVE_PEER_SESSIONS).increment(1.0);
        }
        Self { peer }
    }
}

impl Drop for LiveSession {
    fn drop(&mut self) {
        count_session(REMOVE_SESSION, self.peer);
        gauge!(LIVE_SESSIONS).decrement(1.0);
        if self.peer {
            gauge!(LIVE_PEER_SESSIONS).decrement(1.0);
        }
    }
}

fn count_session(name: &'static str, peer: bool) {
    if peer {
        counter!(name, "peer" => "true").increment(1);
    } else {
        counter!(name).increment(1);
    }
}

/// Counts what becomes of the attempts to connect to a peer, or to those that a search finds, whose
/// addresses come and go without a bound. The name is one that the operator gave: the peer's id, or
/// where it is searched for.
#[derive(Debug)]
pub(crate) struct PeerMeter {
    name: SharedString,
}

impl PeerMeter {
    pub(crate) fn new(name: String) -> Self {
        Self { name: name.into() }
    }

    pub(crate) fn attempt(&self) {
        counter!(PEER_ATTEMPT, "peer" => self.name.clone()).increment(1);
    }

    pub(crate) fn connected(&self) {
        counter!(PEER_CONNECTED, "peer" => self.name.clone()).increment(1);
    }

    pub(crate) fn disconnected(&self) {
        counter!(PEER_DISCONNECTED, "peer" => self.name.clone()).increment(1);
    }
}

/// The number of routes that one server remembers has changed.
pub(crate) fn peer_routes(before: u64, now: u64) {
    change(PEER_ROUTES, before, now);
}

/// Reports one session's books as they change.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    seen: Ledger,
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

    /// Reports what has changed since the last time. The books of the session.
    pub(crate) fn observe(&mut self, core: &Session) -> &Ledger {
        self.observe_bytes();
        self.observe_ledger(core.ledger());
        self.observe_round_trip(if core.ended().is_none() { core.rtt() } else { None });
        &self.seen
    }

    fn observe_round_trip(&mut self, now: Option<Duration>) {
        if now == self.rtt {
            return;
        }
        let before = std::mem::replace(&mut self.rtt, now);
        if let Some(rtt) = now {
            histogram!(ROUND_TRIP).record(rtt);
        }
        let known = |rtt: Option<Duration>| u64::from(rtt.is_some());
        change(MEASURED_SESSIONS, known(before), known(now));
        gauge!(SUM_OF_ROUND_TRIPS).increment(exact_seconds(now) - exact_seconds(before));
    }

    fn observe_bytes(&mut self) {
        for (name, bytes) in [(TRANSMIT_BYTES, &mut self.sent), (RECEIVE_BYTES, &mut self.received)]
        {
            if *bytes > 0 {
                counter!(name).increment(std::mem::take(bytes));
            }
        }
    }

    fn observe_ledger(&mut self, now: Ledger) {
        if now == self.seen {
            return;
        }
        let before = std::mem::replace(&mut self.seen, now);
        if now.added > before.added {
            counter!(ADD_CONNECTIONS).increment(now.added - before.added);
        }
        if now.removed != before.removed {
            for cause in Cause::ALL {
                count_removed(cause, now.removed.by(cause) - before.removed.by(cause));
            }
        }
        change(LIVE_CONNECTIONS, before.live, now.live);
        let buffered = |ledger: &Ledger| ledger.bytes_to_send + ledger.bytes_received;
        change(BUFFERED_BYTES, buffered(&before), buffered(&now));
        let pending = |ledger: &Ledger| ledger.opening + ledger.dialing;
        change(PENDING_DIALS, pending(&before), pending(&now));
    }
}

/// A round trip in whole parts of 2⁻²⁰ s, of which sums and differences are exact: the gauge comes
/// back to zero.
#[allow(clippy::cast_precision_loss, reason = "round trips are short")]
fn exact_seconds(rtt: Option<Duration>) -> f64 {
    const PARTS: u128 = 1 << 20;
    let parts = rtt.unwrap_or_default().as_nanos() * PARTS / 1_000_000_000;
    parts as f64 / PARTS as f64
}

fn count_removed(cause: Cause, count: u64) {
    if count > 0 {
        counter!(REMOVE_CONNECTIONS, "cause" => cause.name()).increment(count);
    }
}

fn change(name: &'static str, before: u64, now: u64) {
    // Gauges are floating point; exact to 2^53.
    #[allow(clippy::cast_precision_loss)]
    match now.cmp(&before) {
        std::cmp::Ordering::Greater => gauge!(name).increment((now - before) as f64),
        std::cmp::Ordering::Less => gauge!(name).decrement((before - now) as f64),
        std::cmp::Ordering::Equal => {}
    }
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
