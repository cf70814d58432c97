//! Rows R6 and R14 of the list of broken tunnels, drain, close and all ends of a session.

use crate::support::{DIALECTS, Lone, Pair, TARGET, assert_same, config, id, pattern, seconds};
use bytes::Bytes;
use watertight_core::session::{InvalidState, OpenError, ReadError, WriteError};
use watertight_core::wire::{Body, Dialect, GoAwayCode, ResetCode};
use watertight_core::{Cause, Event, ReadEnd, Role, SessionEnd};

#[test]
fn a_drain_lets_what_is_open_run_to_its_end() {
    for dialect in DIALECTS {
        let mut pair = Pair::new(dialect);
        let id = pair.connect();
        let now = pair.now;
        pair.server.session.drain(now, "maintenance", seconds(60));
        pair.run();
        assert!(pair.server.session.is_going_away());
        assert_eq!(pair.server.session.open(now, TARGET, None), Err(OpenError::GoingAway));
        assert_same(&pair.stream(Role::Connector, id, &pattern(0, 1 << 20)), &pattern(0, 1 << 20));
        assert_eq!(pair.server.closed, None, "{dialect:?}");
        if dialect == Dialect::Extended {
            let going = Event::GoingAway { code: GoAwayCode::DRAIN, text: "maintenance".into() };
            assert_eq!(pair.agent.count(&going), 1);
            assert_eq!(pair.agent.session.open(now, TARGET, None), Err(OpenError::GoingAway));
        }
        pair.agent.finish(now, id);
        pair.run();
        pair.server.finish(now, id);
        pair.server.release(now, id);
        pair.run();
        pair.agent.release(now, id);
        pair.run();
        assert_eq!(pair.server.closed, Some(SessionEnd::Drained), "{dialect:?}");
        if dialect == Dialect::Extended {
            let Some(SessionEnd::RemoteClosed { code, .. }) = &pair.agent.closed else { panic!() };
            assert_eq!(*code, GoAwayCode::SHUTDOWN);
        }
        pair.close();
    }
}

#[test]
fn a_drain_of_an_idle_session_ends_it_at_once() {
    for dialect in DIALECTS {
        let mut pair = Pair::new(dialect);
        pair.server.session.drain(pair.now, "", seconds(60));
        pair.run();
        assert_eq!(pair.server.closed, Some(SessionEnd::Drained), "{dialect:?}");
        pair.close();
    }
}

/// P5.4, P5.19.
#[test]
fn a_drain_refuses_the_dials_that_crossed_with_it_and_answers_the_earlier_ones() {
    for dialect in DIALECTS {
        let mut pair = Pair::new(dialect);
        let early = pair.open(Role::Connector);
        pair.run();
        let crossing = pair.open(Role::Connector);
        pair.server.session.drain(pair.now, "maintenance", seconds(60));
        pair.run();
        let end = &pair.agent.retired[&crossing];
        let expected = match dialect {
            Dialect::Base => (Cause::RemoteReset, None),
            // The GoAway named it before the Reset arrived.
            Dialect::Extended => (Cause::GoingAway, None),
        };
        assert_eq!((end.cause, end.code), expected, "{dialect:?}");
        assert_eq!(pair.server.session.ledger().added, 1);
        pair.server.session.accept(pair.now, early).unwrap();
        pair.server.poll_events();
        pair.run();
        assert_same(&pair.stream(Role::Connector, early, &pattern(0, 9000)), &pattern(0, 9000));
        for role in [Role::Connector, Role::Acceptor] {
            let now = pair.now;
            pair.end(role).release(now, early);
        }
        pair.run();
        assert_eq!(pair.server.closed, Some(SessionEnd::Drained));
        pair.close();
    }
}

#[test]
fn a_drain_with_dials_of_its_own_in_flight_waits_for_their_answers() {
    let mut pair = Pair::new(Dialect::Extended);
    let (answered, silent) = (pair.open(Role::Acceptor), pair.open(Role::Acceptor));
    pair.server.session.drain(pair.now, "", seconds(600));
    pair.run();
    pair.agent.session.accept(pair.now, answered).unwrap();
    pair.agent.poll_events();
    pair.run();
    assert_eq!(pair.server.count(&Event::Opened(answered)), 1);
    pair.server.release(pair.now, answered);
    pair.wait(seconds(20));
    pair.agent.release(pair.now, answered);
    assert!(pair.server.cause(silent).is_some(), "at its own deadline");
    pair.run();
    assert_eq!(pair.server.closed, Some(SessionEnd::Drained));
    pair.close();
}

#[test]
fn a_drain_that_ends_by_a_read_has_something_to_transmit() {
    let mut pair = Pair::new(Dialect::Extended);
    let id = pair.connect();
    pair.agent.write(pair.now, id, b"last words");
    pair.agent.finish(pair.now, id);
    pair.server.finish(pair.now, id);
    pair.server.session.drain(pair.now, "", seconds(60));
    pair.run();
    assert!(!pair.server.session.has_transmit(), "it waits for the reader");
    assert_eq!(pair.server.session.read(pair.now, id, 100).unwrap(), "last words");
    assert!(pair.server.session.has_transmit());
    pair.run();
    assert_eq!(pair.server.closed, Some(SessionEnd::Drained));
    pair.close();
}

#[test]
fn what_was_cut_off_cannot_be_finished() {
    let mut pair = Pair::new(Dialect::Extended);
    let id = pair.connect();
    pair.agent.write(pair.now, id, b"unread");
    pair.run();
    pair.server.write(pair.now, id, b"not sent before the reset comes");
    pair.agent.session.reset(pair.now, id, ResetCode::CANCELLED, "").unwrap();
    pair.run();
    assert_eq!(pair.server.session.finish(pair.now, id), Err(InvalidState(id)));
    assert_eq!(pair.server.read(pair.now, id), b"unread");
    pair.close();
}

#[test]
fn a_drain_has_a_deadline() {
    for dialect in DIALECTS {
        let mut pair = Pair::new(dialect);
        let id = pair.connect();
        pair.server.session.drain(pair.now, "", seconds(60));
        pair.wait(seconds(59));
        assert_eq!(pair.server.closed, None);
        pair.server.session.drain(pair.now, "again", seconds(600));
        pair.wait(seconds(1));
        assert_eq!(pair.server.closed, Some(SessionEnd::Drained), "{dialect:?}");
        assert_eq!(pair.server.cause(id), Some(Cause::SessionEnded));
        pair.server.assert_even();
        pair.close();
    }
}

#[test]
fn going_away_is_reported_once() {
    let mut lone = Lone::new(Role::Acceptor, Dialect::Extended, config(|_| {}));
    let open = lone.end.session.open(lone.now, TARGET, None).unwrap();
    lone.receives();
    let away = |last| Body::GoAway { last: id(last), code: GoAwayCode::DRAIN, text: "soon".into() };
    lone.sends(0, away(i64::MAX));
    assert_eq!(lone.end.cause(open), None);
    for _ in 0..100 {
        lone.sends(0, away(0));
    }
    assert_eq!(lone.end.cause(open), Some(Cause::GoingAway));
    let going = Event::GoingAway { code: GoAwayCode::DRAIN, text: "soon".into() };
    assert_eq!(lone.end.count(&going), 1);
    lone.assert_even_after_the_transport();
}

/// P5.20.
#[test]
fn a_session_that_is_closed_ends_both_ends_and_all_they_hold() {
    for dialect in DIALECTS {
        let mut pair = Pair::new(dialect);
        let (open, busy) = (pair.connect(), pair.connect());
        pair.stuff(Role::Connector, busy, 1 << 20);
        pair.agent.takes = false;
        pair.agent.write(pair.now, open, &pattern(0, 10_000));
        pair.agent.takes = true;
        let lingering = pair.connect();
        pair.agent.finish(pair.now, lingering);
        pair.agent.release(pair.now, lingering);
        pair.open(Role::Acceptor);
        pair.run();
        pair.open(Role::Connector);
        pair.open(Role::Acceptor);
        let id = pair.open(Role::Acceptor);
        let now = pair.now;
        pair.server.session.close(now, GoAwayCode::REPLACED, "a newer session");
        pair.server.session.close(now, GoAwayCode::SHUTDOWN, "again");
        pair.server.poll_events();
        let closed =
            SessionEnd::Closed { code: GoAwayCode::REPLACED, text: "a newer session".into() };
        assert_eq!(pair.server.closed, Some(closed));
        assert_eq!(pair.server.cause(id), Some(Cause::SessionEnded));
        pair.run();
        if dialect == Dialect::Extended {
            let code = GoAwayCode::REPLACED;
            let text = "a newer session".into();
            assert_eq!(pair.agent.closed, Some(SessionEnd::RemoteClosed { code, text }));
        }
        pair.close();
    }
}

#[test]
fn r14_a_session_that_fails_tells_the_other_end() {
    let mut lone = Lone::new(Role::Acceptor, Dialect::Extended, config(|_| {}));
    lone.accepts(1);
    lone.end.session.handle_invalid_transport(lone.now, "a text message");
    lone.end.poll_events();
    assert_eq!(lone.end.session.ledger().queued_control, 1, "the farewell");
    assert!(lone.end.session.has_transmit());
    let heard = lone.receives();
    assert!(matches!(heard.as_slice(), [(0, Body::GoAway { .. })]), "{heard:?}");
    assert!(!lone.end.session.has_transmit());
    lone.end.assert_even();
}

#[test]
fn no_farewell_follows_a_farewell() {
    let mut pair = Pair::new(Dialect::Extended);
    pair.server.session.close(pair.now, GoAwayCode::SHUTDOWN, "");
    pair.send_only(Role::Acceptor);
    pair.deliver(Role::Connector);
    assert!(!pair.agent.session.has_transmit());
    pair.agent.assert_even();
    pair.close();
}

#[test]
fn a_probe_of_an_ended_session_adds_nothing_to_its_last_messages() {
    for dialect in DIALECTS {
        let mut pair = Pair::new(dialect);
        pair.server.session.close(pair.now, GoAwayCode::SHUTDOWN, "");
        let sent = |session: &mut watertight_core::Session| {
            std::iter::from_fn(|| session.poll_transmit(pair.now)).count()
        };
        let mut probed = pair.server.session.clone();
        let probe = probed.probe(pair.now);
        assert_eq!(sent(&mut probed), sent(&mut pair.server.session.clone()), "{dialect:?}");
        assert!(!probed.has_answered(probe));
        pair.run();
        pair.close();
    }
}

#[test]
fn an_end_is_never_told_as_a_drain() {
    let mut pair = Pair::new(Dialect::Extended);
    pair.connect();
    pair.server.session.close(pair.now, GoAwayCode::DRAIN, "maintenance");
    pair.run();
    let (code, text) = (GoAwayCode::SHUTDOWN, String::from("maintenance"));
    assert_eq!(pair.agent.closed, Some(SessionEnd::RemoteClosed { code, text }));
    pair.close();
}

/// P5.8.
#[test]
fn n1_what_has_arrived_is_read_after_the_end_of_the_session() {
    for dialect in DIALECTS {
        let mut pair = Pair::new(dialect);
        let (complete, cut) = (pair.connect(), pair.connect());
        for id in [complete, cut] {
            let now = pair.now;
            pair.agent.write(now, id, &pattern(0, 10_000));
        }
        pair.agent.finish(pair.now, complete);
        pair.agent.release(pair.now, complete);
        pair.run();
        pair.server.session.handle_transport_ended(pair.now, "cut");
        pair.server.poll_events();
        assert_eq!(pair.server.session.ledger().live, 2);
        for (id, is_complete) in [(complete, true), (cut, false)] {
            assert_eq!(pair.server.count(&Event::Ended(id)), 1, "{dialect:?}");
            let end = if is_complete { ReadEnd::EndOfFile } else { ReadEnd::CutOff };
            assert_eq!(pair.server.session.read_end(id), Some(end));
            let write = pair.server.session.write(pair.now, id, &mut Bytes::from_static(b"x"));
            assert!(matches!(write, Err(WriteError::Ended(end)) if end.complete == is_complete));
            assert_same(&pair.server.read(pair.now, id), &pattern(0, 10_000));
            assert_eq!(pair.server.session.read(pair.now, id, 1), Err(ReadError::Unknown));
            let end = &pair.server.retired[&id];
            // In the base dialect the connection itself was over before.
            let base_end = is_complete && dialect == Dialect::Base;
            let cause = if base_end { Cause::RemoteClosed } else { Cause::SessionEnded };
            assert_eq!((end.cause, end.complete), (cause, is_complete));
        }
        pair.server.assert_even();
    }
}

#[test]
fn what_nobody_reads_after_the_end_goes_with_the_handle_or_is_abandoned() {
    for abandon in [false, true] {
        let mut pair = Pair::new(Dialect::Extended);
        let id = pair.connect();
        pair.agent.write(pair.now, id, b"unread");
        pair.agent.finish(pair.now, id);
        pair.run();
        pair.server.session.close(pair.now, GoAwayCode::SHUTDOWN, "");
        pair.server.poll_events();
        assert_eq!(pair.server.session.ledger().bytes_received, 6);
        if abandon {
            pair.server.session.force_close(pair.now);
            pair.server.poll_events();
        } else {
            pair.server.release(pair.now, id);
            pair.server.session.handle_transport_ended(pair.now, "");
        }
        pair.server.assert_even();
        assert_eq!(pair.server.cause(id), Some(Cause::SessionEnded));
    }
}

#[test]
fn a_session_that_is_abandoned_alive_ends_and_holds_nothing() {
    for dialect in DIALECTS {
        let mut pair = Pair::new(dialect);
        let (open, lingering) = (pair.connect(), pair.connect());
        pair.agent.write(pair.now, open, b"unread");
        pair.run();
        pair.server.write(pair.now, lingering, b"unsent");
        pair.server.finish(pair.now, lingering);
        pair.server.release(pair.now, lingering);
        pair.server.session.force_close(pair.now);
        pair.server.poll_events();
        assert!(pair.server.closed.is_some(), "{dialect:?}");
        pair.server.assert_even();
    }
}

#[test]
fn after_the_end_commands_change_nothing() {
    for dialect in DIALECTS {
        let mut pair = Pair::new(dialect);
        let id = pair.connect();
        let dialled = pair.open(Role::Connector);
        pair.run();
        let now = pair.now;
        pair.server.session.handle_transport_ended(now, "cut");
        pair.server.poll_events();
        let session = &mut pair.server.session;
        assert_eq!(session.open(now, TARGET, None), Err(OpenError::Closed));
        assert!(session.accept(now, dialled).is_err());
        assert!(session.finish(now, id).is_err());
        assert!(session.reset(now, id, ResetCode::CANCELLED, "").is_err());
        session.release(now, id);
        session.drain(now, "", seconds(1));
        session.close(now, GoAwayCode::SHUTDOWN, "");
        session.handle_timeout(now + seconds(1000));
        let route = watertight_core::wire::ClientRoute { client_key: "k".into(), session_key: 1 };
        session.announce(now, route, true).unwrap();
        session.handle_transport_ping(now);
        session.handle_transport_pong(now, &[]);
        assert!(session.poll_transmit(now).is_none());
        assert_eq!(session.poll_timeout(), None);
        pair.server.poll_events();
        pair.server.assert_even();
    }
}

#[test]
fn ending_a_session_with_many_connections_is_quick() {
    let config = config(|config| {
        config.limits.max_connections = 20_000;
        config.limits.max_dials = 20_000;
        config.limits.max_queued_control = 200_000;
    });
    let mut pair = Pair::with(Dialect::Base, config);
    let now = pair.now;
    let session = &mut pair.server.session;
    let ids: Vec<_> = (0..10_000).map(|_| session.open(now, TARGET, None).unwrap()).collect();
    // Connects wait, and every connection has bytes to send: the queues are as long as they get.
    for id in &ids {
        pair.server.session.write(pair.now, *id, &mut Bytes::from_static(b"x")).unwrap();
    }
    pair.server.session.handle_transport_ended(pair.now, "cut");
    assert_eq!(pair.server.session.ledger().live, 0);
    pair.server.poll_events();
    pair.server.assert_even();
}

#[test]
fn bytes_that_go_unread_with_the_session_are_no_end_of_file() {
    // A dial that was not accepted yet, from an end that has finished.
    for dialect in DIALECTS {
        let mut lone = Lone::new(Role::Connector, dialect, config(|_| {}));
        let id = lone.dials(2);
        lone.sends_data(2, b"hello");
        match dialect {
            Dialect::Base => lone.sends(2, Body::Error { text: "EOF".into() }),
            Dialect::Extended => lone.sends(2, Body::Finish),
        }
        lone.end.session.handle_transport_ended(lone.now, "cut");
        lone.end.poll_events();
        assert_eq!(lone.end.cause(id), Some(Cause::SessionEnded), "{dialect:?}");
        assert!(!lone.end.retired[&id].complete);
        lone.end.assert_even();
    }
}

#[test]
fn a_drain_does_not_overtake_what_was_said_before() {
    for dialect in DIALECTS {
        let mut pair = Pair::new(dialect);
        let id = pair.connect();
        let now = pair.now;
        pair.server.session.reset(now, id, ResetCode::LIMIT, "enough").unwrap();
        pair.server.session.drain(now, "", seconds(1));
        pair.run();
        assert_eq!(pair.agent.retired[&id].text, "enough", "{dialect:?}");
        assert_eq!(pair.server.closed, Some(SessionEnd::Drained));
        pair.close();
    }
}
