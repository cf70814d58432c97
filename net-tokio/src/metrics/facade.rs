//! Records through the `metrics` facade.

use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use super::{
    ADD_CONNECTIONS, ADD_SESSION, BUFFERED_BYTES, HANDSHAKES, HANDSHAKES_REFUSED, LIVE_CONNECTIONS,
    LIVE_PEER_SESSIONS, LIVE_SESSIONS, MEASURED_SESSIONS, PEER_ATTEMPT, PEER_CONNECTED,
    PEER_DISCONNECTED, PEER_ROUTES, PENDING_DIALS, RECEIVE_BYTES, REMOVE_CONNECTIONS,
    REMOVE_SESSION, REPLACED, ROUND_TRIP, SUM_OF_ROUND_TRIPS, TRANSMIT_BYTES,
};

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
    describe_histogram!(ROUND_TRIP, Unit::Seconds, "Round trips to the remote, smoothed");
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

/// The value of a label.
pub(super) use metrics::SharedString as Text;

/// Adds to a counter.
pub(super) fn count(name: &'static str, by: u64) {
    counter!(name).increment(by);
}

/// Adds to the counter with this label.
pub(super) fn count_labelled(
    name: &'static str,
    label: &'static str,
    value: impl Into<Text>,
    by: u64,
) {
    counter!(name, label => value.into()).increment(by);
}

/// Adds to a gauge.
pub(super) fn add(name: &'static str, by: f64) {
    gauge!(name).increment(by);
}

/// Adds to a distribution of times.
pub(super) fn observe(name: &'static str, time: Duration) {
    histogram!(name).record(time);
}
