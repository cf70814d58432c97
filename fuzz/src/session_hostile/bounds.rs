//! What holds at any time, whatever went in. The bounds come from the configuration alone.

use std::time::Duration;

use watertight_core::wire::Dialect;
use watertight_core::{Ledger, Limits, Session};

use super::host::Host;

/// Bytes of a text that is logged: what is kept of the remote's words at most, and ours around them.
pub(super) const WORDS: usize = 1500;

/// Routes that the application announces.
pub(super) const ROUTES: u64 = 32;

/// Bytes of heap that one connection takes by itself: its row, its timer, its places in queues.
const ROW: u64 = 2048;

/// Bytes of heap that a session takes by itself: the queues that it does not give back.
const SESSION: u64 = 16 << 10;

/// Bytes of heap that a message's place in a queue takes until the queue is empty.
const QUEUED: u64 = 256;

/// What grows by doubling has up to twice the bytes that are needed, and what is read or sent in parts
/// keeps the whole of its first piece.
const SLACK: u64 = 4;

/// Everything that holds at any time.
pub(super) fn check(host: &Host, ledger: &Ledger) {
    let session = &host.session;
    assert_eq!(ledger.added, ledger.removed.total() + ledger.live, "{ledger}");
    assert_eq!(ledger.removed.total(), host.retired, "one Retired for each row");
    assert_eq!(session.ended().is_some(), host.closed, "one Closed for the session");
    let goes_on = !session.is_going_away() || !is_over(ledger);
    assert!(!host.closed || !goes_on, "an ended session goes on: {ledger}");
    within_limits(ledger, session.dialect(), host.limits());
    in_memory(host, ledger);
    let passed = host.newest.since_epoch();
    assert!(session.rtt().is_none_or(|rtt| rtt < passed), "a round trip longer than the session");
    host.check_traffic();
}

/// Nothing is left but what the application may read, and the last words to the remote.
const fn is_over(ledger: &Ledger) -> bool {
    ledger.armed_timers + ledger.opening + ledger.dialing + ledger.bytes_to_send == 0
}

/// The books are right, and the timers that are shown are those that are waited for.
pub(super) fn count(session: &Session, ledger: &Ledger) {
    session.check();
    let mut timers = session.timers().map(|(_, at)| at);
    assert_eq!(timers.next(), session.poll_timeout(), "the soonest timer");
    assert_eq!(1 + timers.count() as u64, ledger.armed_timers.max(1), "{ledger}");
}

fn within_limits(ledger: &Ledger, dialect: Dialect, limits: &Limits) {
    assert!(ledger.live <= limits.max_connections as u64, "{ledger}");
    assert!(ledger.opening <= limits.max_dials as u64, "{ledger}");
    assert!(ledger.dialing <= limits.max_dials as u64, "{ledger}");
    assert!(ledger.bytes_to_send <= limits.send_budget as u64, "{ledger}");
    let received = match dialect {
        Dialect::Base => limits.base.unread_budget as u64,
        Dialect::Extended => granted(ledger.live, limits),
    };
    assert!(ledger.bytes_received <= received, "{ledger}");
    assert!(ledger.queued_control <= queued(limits) + ROUTES, "{ledger}");
}

/// No more is granted than may be held (extended dialect).
pub(super) fn windows(host: &Host, ledger: &Ledger) {
    if host.session.dialect() == Dialect::Extended {
        let (windows, most) = (host.windows(), granted(ledger.live, host.limits()));
        assert!(windows <= most, "{windows} bytes granted, more than {most}: {ledger}");
    }
}

/// Bytes that may be granted to so many connections.
fn granted(live: u64, limits: &Limits) -> u64 {
    live * limits.initial_window + limits.window_budget
}

/// Messages that may wait: what the remote may make us queue, and then two for each connection that the
/// application ends, and one of each kind that the session has by itself.
fn queued(limits: &Limits) -> u64 {
    let rows = limits.max_connections as u64;
    (limits.max_queued_control as u64).max(4 * rows) + 2 * rows + 6
}

/// The most that the configuration allows, and no more of it than what is there explains.
fn in_memory(host: &Host, ledger: &Ledger) {
    let (limits, dialect) = (host.limits(), host.session.dialect());
    let held = u64::try_from(host.heap.held()).unwrap_or(0);
    let explained = explained(ledger, limits, dialect) + QUEUED * host.queued;
    assert!(held <= explained, "{held} bytes of heap, of which {explained} explained by {ledger}");
    let bound = heap(limits, dialect);
    assert!(held <= bound, "{held} bytes of heap, more than {bound}");
    // A message is taken apart before it is judged.
    let bound = bound + 64 * host.limits().max_message as u64 + (64 << 10);
    let most = u64::try_from(host.heap.most()).unwrap_or(0);
    assert!(most <= bound, "{most} bytes of heap for a moment, more than {bound}");
}

/// Bytes of heap that a session may hold.
fn heap(limits: &Limits, dialect: Dialect) -> u64 {
    let rows = limits.max_connections as u64;
    let received = match dialect {
        Dialect::Base => rows * limits.base.unread_cap as u64,
        Dialect::Extended => granted(rows, limits),
    };
    let to_send = (rows * limits.send_buffer as u64).min(limits.send_budget as u64);
    let most = rows * row(limits) + SLACK * (received + to_send);
    SESSION + most + (queued(limits) + ROUTES) * message(limits)
}

/// Bytes of heap for what the books say that there is.
fn explained(ledger: &Ledger, limits: &Limits, dialect: Dialect) -> u64 {
    let piece = match dialect {
        Dialect::Base => limits.base.unread_cap as u64,
        Dialect::Extended => limits.max_window.max(limits.initial_window),
    };
    let rows = ledger.live * (row(limits) + 2 * piece);
    let bytes = SLACK * (ledger.bytes_received + ledger.bytes_to_send);
    SESSION + rows + bytes + ledger.queued_control * message(limits)
}

/// A row, with the words with which the connection ends, and what it gathers to send.
fn row(limits: &Limits) -> u64 {
    ROW + 6 * (limits.max_text as u64 + 100) + SLACK * (limits.max_data as u64 + 2048)
}

/// A message that waits: its place in a queue, and its text, target or route.
fn message(limits: &Limits) -> u64 {
    256 + limits.max_text.max(limits.max_target).max(limits.max_client_key) as u64
}

/// Events of one input: it may end every connection, whose reader and writer both wait.
pub(super) fn events(limits: &Limits) -> usize {
    4 * limits.max_connections + 4
}

/// How often the remote may ask to be pinged.
const PING_INTERVAL: Duration = Duration::from_millis(100);

/// Calls of `handle_timeout` in a time in which nothing else happens. A connection that is held looks
/// whether it may go on, ever more seldom, and a session that hears nothing ends.
pub(super) fn timeouts(host: &Host, millis: u64) -> u64 {
    let (live, timing) = (host.session.ledger().live, &host.config.timing);
    let every = |interval: Duration| u128::from(millis) / interval.as_millis().max(1);
    let regular = every(timing.ping_interval.min(PING_INTERVAL)) + every(timing.reconcile);
    let regular = u64::try_from(regular).unwrap_or(u64::MAX);
    live * (millis / 5 + 4).min(128) + regular + 8
}
