//! What holds of an end at every moment, beside the invariants of the test kit.

use watertight_core::session::{Fault, ReadError, WriteError};
use watertight_core::testkit::{Endpoint, Item};
use watertight_core::wire::{GoAwayCode, ResetCode};
use watertight_core::{Cause, ConnectionId, Instant};

use super::bounds::DRAIN;

/// The most control messages that can wait at an end with two connections: the session's Settings, GoAway,
/// sign of life, answer to one, and list; each connection's Connect or Opened, and its end with a Resume
/// ahead.
const CONTROL: u64 = 5 + 2 * 3;

/// # Panics
/// Something does not hold at this end.
pub(super) fn check_end(end: &Endpoint) {
    end.check_ledger();
    let control = end.session.ledger().queued_control;
    assert!(control <= CONTROL, "{control} control messages");
    check_fault(end);
    check_retired(end);
    check_ended(end);
    check_lost(end);
    check_closed_by_force(end);
}

/// Two correct ends never break a rule, and reconciliation never closes one of their connections.
fn check_fault(end: &Endpoint) {
    let not_listed = end.session.ledger().removed.by(Cause::NotListed);
    assert_eq!(not_listed, 0, "reconciliation closed a connection");
    if let Some(end) = end.session.ended() {
        assert_ne!(end.fault(), Fault::Remote, "{end}");
    }
}

/// Commands on a retired connection are refused and change nothing.
fn check_retired(end: &Endpoint) {
    let retired = end.app.iter().filter(|(_, handle)| handle.retired.is_some());
    retired.for_each(|(id, _)| check_commands(end, id));
}

fn check_commands(end: &Endpoint, id: ConnectionId) {
    let (mut session, now) = (end.session.clone(), Instant::EPOCH);
    assert!(session.accept(now, id).is_err(), "{id} accepted");
    assert!(session.refuse(now, id, ResetCode::CANCELLED, "").is_err(), "{id} refused");
    assert_eq!(session.write(now, id, &mut "x".into()), Err(WriteError::Unknown), "{id}");
    assert_eq!(session.read(now, id, 1), Err(ReadError::Unknown), "{id}");
    assert!(session.finish(now, id).is_err(), "{id} finished");
    assert!(session.reset(now, id, ResetCode::CANCELLED, "").is_err(), "{id} reset");
    session.release(now, id);
    assert!(session == end.session, "{id} is retired, and a command on it changes something");
}

/// Input after the end of a session changes nothing, and handles do not change its last messages.
fn check_ended(end: &Endpoint) {
    if end.session.ended().is_some() {
        let (mut session, now) = (end.session.clone(), Instant::EPOCH);
        session.handle_message(now, "no message".into());
        session.handle_timeout(now);
        session.drain(now, "", DRAIN);
        session.close(now, GoAwayCode::SHUTDOWN, "");
        assert!(session == end.session, "an ended session changes");
        let same = last_messages(end.clone()) == last_messages(released(end.clone()));
        assert!(same, "released handles change the last messages");
    }
}

/// The messages that an ended session still sends.
fn last_messages(mut end: Endpoint) -> Vec<Item> {
    std::iter::from_fn(|| end.transmit(Instant::EPOCH)).collect()
}

fn released(mut end: Endpoint) -> Endpoint {
    let held: Vec<_> = end.app.held().map(|(id, _)| id).collect();
    held.into_iter().for_each(|id| end.release(Instant::EPOCH, id));
    end
}

/// Once the transport has ended and the handles are given back, nothing is held.
fn check_lost(end: &Endpoint) {
    let mut end = end.clone();
    end.lose(Instant::EPOCH);
    released(end).check_settled("at rest");
}

/// Once the session is closed by force, nothing is held.
fn check_closed_by_force(end: &Endpoint) {
    let mut end = end.clone();
    end.force_close(Instant::EPOCH);
    end.check_settled("after a close by force");
}
