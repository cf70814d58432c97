//! Bounds that hold at any time, with any input. They follow from the configuration alone.

use std::time::Duration;

use watertight_core::wire::Dialect;
use watertight_core::{Ledger, Limits, Session};

use super::host::Host;

/// Routes that the application announces.
pub(super) const ROUTES: u64 = 32;

/// Bytes of heap that one connection takes by itself: its row, its timer, its queue entries.
const ROW: u64 = 2048;

/// Bytes of heap that a session takes by itself: the queues that it does not give back.
const SESSION: u64 = 16 << 10;

/// Bytes of heap that a message's queue entry takes until the queue is empty.
const QUEUED: u64 = 256;

/// What grows by doubling has up to twice the bytes that are needed, and what is read or sent in parts
/// keeps the whole of its first piece.
const SLACK: u64 = 4;

/// Bytes of a session that are many where there is little memory.
const FEW: u64 = 100;

impl Host {
    /// What holds at any time. To count everything takes as long as the table, so a long one is counted
    /// less often.
    pub(super) fn check(&mut self) {
        let ledger = self.session.ledger();
        self.queued = self.queued.max(ledger.queued_control);
        self.checks += 1;
        if self.checks.is_multiple_of(1 + ledger.live / 8) {
            count(&self.session, &ledger);
            windows(self, &ledger);
        }
        self.check_totals();
        check(self, &ledger);
        assert_eq!(self.session.most_unread().is_some(), ledger.bytes_received > 0);
        // An adapter finds its memory short by what its sessions hold.
        let is_short = ledger.bytes_received + ledger.bytes_to_send > FEW;
        self.session.set_short_of_memory(self.newest, is_short);
    }
}

/// Everything that holds at any time.
fn check(host: &Host, ledger: &Ledger) {
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

/// Nothing is left but unread bytes and the last messages to the remote.
const fn is_over(ledger: &Ledger) -> bool {
    ledger.armed_timers + ledger.outbound_dials + ledger.inbound_dials + ledger.bytes_to_send == 0
}

/// The ledger is right, and the timers shown are the armed ones.
fn count(session: &Session, ledger: &Ledger) {
    session.check();
    let mut timers = session.timers().map(|(_, at)| at);
    assert_eq!(timers.next(), session.poll_timeout(), "the soonest timer");
    assert_eq!(1 + timers.count() as u64, ledger.armed_timers.max(1), "{ledger}");
}

fn within_limits(ledger: &Ledger, dialect: Dialect, limits: &Limits) {
    assert!(ledger.live <= limits.max_connections as u64, "{ledger}");
    assert!(ledger.outbound_dials <= limits.max_dials as u64, "{ledger}");
    assert!(ledger.inbound_dials <= limits.max_dials as u64, "{ledger}");
    assert!(ledger.bytes_to_send <= limits.send_budget as u64, "{ledger}");
    let received = match dialect {
        Dialect::Base => limits.base.unread_budget as u64,
        Dialect::Extended => granted(ledger.live, limits),
    };
    assert!(ledger.bytes_received <= received, "{ledger}");
    assert!(ledger.queued_control <= queued(limits) + ROUTES, "{ledger}");
}

/// No more is granted than may be held (extended dialect).
fn windows(host: &Host, ledger: &Ledger) {
    if host.session.dialect() == Dialect::Extended {
        let (windows, most) = (host.windows(), granted(ledger.live, host.limits()));
        assert!(windows <= most, "{windows} bytes granted, more than {most}: {ledger}");
    }
}

/// Bytes that may be granted to so many connections.
fn granted(live: u64, limits: &Limits) -> u64 {
    live * limits.initial_window + limits.window_budget
}

/// Messages that may wait: the answers that the remote may cause, two for each connection that the
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

/// Bytes of heap that the ledger explains.
fn explained(ledger: &Ledger, limits: &Limits, dialect: Dialect) -> u64 {
    let piece = match dialect {
        Dialect::Base => limits.base.unread_cap as u64,
        Dialect::Extended => limits.max_window.max(limits.initial_window),
    };
    let rows = ledger.live * (row(limits) + 2 * piece);
    let bytes = SLACK * (ledger.bytes_received + ledger.bytes_to_send);
    SESSION + rows + bytes + ledger.queued_control * message(limits)
}

/// A row, with its close reason, and the bytes that it coalesces.
fn row(limits: &Limits) -> u64 {
    ROW + 6 * (limits.max_text as u64 + 100) + SLACK * (limits.max_data as u64 + 2048)
}

/// A message that waits: its queue entry, and its text, target or route.
fn message(limits: &Limits) -> u64 {
    256 + limits.max_text.max(limits.max_target).max(limits.max_client_key) as u64
}

/// How often the remote may ask to be pinged.
const PING_INTERVAL: Duration = Duration::from_millis(100);

/// Calls of `handle_timeout` in a time in which nothing else happens. A paused connection probes ever more
/// seldom, and a session that receives nothing ends.
pub(super) fn timeouts(host: &Host, millis: u64) -> u64 {
    let (live, timing) = (host.session.ledger().live, &host.config.timing);
    let every = |interval: Duration| u128::from(millis) / interval.as_millis().max(1);
    let regular = every(timing.ping_interval.min(PING_INTERVAL)) + every(timing.reconcile);
    let regular = u64::try_from(regular).unwrap_or(u64::MAX);
    live * (millis / 5 + 4).min(128) + regular + 8
}
