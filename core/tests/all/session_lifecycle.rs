//! Rows R7, R10, R11, R13, R16 to R21, K1, K4, Y4, C2 and T1 of the list of broken tunnels: a
//! connection's life from its dial to its one end.

use crate::support::{
    DIALECTS, Lone, Pair, TARGET, assert_same, config, id, millis, pattern, seconds,
};
use bytes::Bytes;
use watertight_core::session::{InvalidState, OpenError, ReadError, WriteError};
use watertight_core::wire::{Body, ClientRoute, Dialect, GoAwayCode, ResetCode};
use watertight_core::{Cause, Event, Role, SessionConfig};

#[test]
fn r7_an_idle_connection_holds_no_bytes_after_a_burst() {
    for dialect in DIALECTS {
        let mut pair = Pair::new(dialect);
        let id = pair.connect();
        pair.stream(Role::Connector, id, &pattern(0, 3 << 20));
        for end in [&pair.agent, &pair.server] {
            let ledger = end.session.ledger();
            assert_eq!((ledger.bytes_to_send, ledger.bytes_received), (0, 0), "{dialect:?}");
        }
    }
}

/// P4.1, P5.2.
#[test]
fn r10_both_ends_dial_and_their_connections_never_meet() {
    for dialect in DIALECTS {
        let mut pair = Pair::new(dialect);
        let openers = [Role::Connector, Role::Acceptor];
        let dials: Vec<_> = (0..20)
            .map(|number| (openers[number % 2], pair.connect_from(openers[number % 2])))
            .collect();
        for (place, (opener, id)) in dials.iter().enumerate() {
            let bytes = pattern(1000 * place, 1000);
            assert_same(&pair.stream(*opener, *id, &bytes), &bytes);
        }
        for (_, id) in dials {
            let now = pair.now;
            pair.agent.release(now, id);
            pair.server.release(now, id);
        }
        pair.assert_quiet_then_close();
    }
}

/// P4.1.
#[test]
fn r10_a_go_end_may_dial_with_ids_of_either_parity_beside_ours() {
    for role in [Role::Connector, Role::Acceptor] {
        let mut lone = Lone::new(role, Dialect::Base, config(|_| {}));
        let ours = lone.end.session.open(lone.now, TARGET, None).unwrap();
        for mark in 1..6_u8 {
            let theirs = lone.accepts(mark.into());
            lone.sends_data(mark.into(), &[mark; 5]);
            assert_eq!(lone.end.read(lone.now, theirs), [mark; 5]);
        }
        assert!(ours.get() < 0);
        assert_eq!(lone.end.session.read(lone.now, ours, 1), Err(ReadError::Blocked));
        assert_eq!(lone.end.session.ledger().live, 6);
        lone.assert_even_after_the_transport();
    }
}

/// P5.7.
#[test]
fn r11_the_answer_after_a_finished_request_arrives() {
    let mut pair = Pair::new(Dialect::Extended);
    let id = pair.connect();
    let now = pair.now;
    assert_eq!(pair.server.write(now, id, b"request"), 7);
    pair.server.finish(now, id);
    pair.run();
    assert_eq!(pair.agent.read(now, id), b"request");
    assert!(pair.agent.at_end_of_file(now, id));
    pair.wait(seconds(600));
    assert_same(&pair.stream(Role::Connector, id, &pattern(0, 100_000)), &pattern(0, 100_000));
    pair.agent.finish(pair.now, id);
    pair.run();
    assert!(pair.server.at_end_of_file(pair.now, id));
    assert_eq!(pair.server.cause(id), Some(Cause::Finished));
    pair.assert_quiet_then_close();
}

/// P4.5.
#[test]
fn r11_toward_a_go_end_a_finished_request_stays_readable_while_the_answer_comes() {
    let mut lone = Lone::new(Role::Acceptor, Dialect::Base, config(|_| {}));
    let id = lone.end.session.open(lone.now, TARGET, None).unwrap();
    lone.end.write(lone.now, id, b"request");
    lone.end.finish(lone.now, id);
    let data = Body::Data { deadline: 0, payload: Bytes::from_static(b"request") };
    let connect = Body::Connect { deadline: 15_000, target: TARGET.into() };
    assert_eq!(lone.receives(), [(-2, connect), (-2, data)], "and no end of it");
    for _ in 0..5 {
        lone.wait(seconds(20));
        lone.sends_data(-2, b"answer");
        assert_eq!(lone.end.read(lone.now, id), b"answer");
    }
    lone.sends(-2, Body::Error { text: "EOF".into() });
    assert_eq!(lone.end.cause(id), Some(Cause::RemoteClosed));
    assert!(lone.end.retired[&id].complete);
    lone.assert_even_after_the_transport();
}

/// P4.2, P5.4.
#[test]
fn r13_a_refused_dial_ends_nothing_else() {
    for dialect in DIALECTS {
        let mut pair = Pair::new(dialect);
        let other = pair.connect();
        let id = pair.open(Role::Acceptor);
        pair.run();
        let now = pair.now;
        pair.agent.session.refuse(now, id, ResetCode::DIAL_REFUSED, "not on the list").unwrap();
        pair.agent.poll_events();
        pair.run();
        let end = &pair.server.retired[&id];
        assert_eq!(end.text, "not on the list", "{dialect:?}");
        assert_eq!(pair.agent.cause(id), Some(Cause::Refused));
        if dialect == Dialect::Extended {
            assert_eq!((end.cause, end.code), (Cause::Refused, Some(ResetCode::DIAL_REFUSED)));
        }
        assert_eq!(pair.stream(Role::Connector, other, b"goes on"), b"goes on");
        pair.server.release(now, other);
        pair.run();
        pair.agent.release(now, other);
        pair.assert_quiet_then_close();
    }
}

#[test]
fn r16_what_a_blocked_write_did_not_take_is_never_sent() {
    let mut pair = Pair::new(Dialect::Extended);
    let id = pair.connect();
    let taken = pair.stuff(Role::Connector, id, 1 << 20);
    assert_eq!(pair.agent.write(pair.now, id, b"too late"), 0);
    pair.agent.finish(pair.now, id);
    pair.run();
    assert_same(&pair.server.read(pair.now, id), &pattern(0, taken));
    assert!(pair.server.at_end_of_file(pair.now, id));
}

#[test]
fn r18_the_end_of_a_connection_is_told_however_long_ago_it_was_opened() {
    for dialect in DIALECTS {
        let mut pair = Pair::new(dialect);
        let id = pair.connect();
        pair.wait(seconds(3600));
        pair.server.release(pair.now, id);
        pair.run();
        assert_eq!(pair.agent.cause(id), Some(Cause::RemoteReset), "{dialect:?}");
        pair.assert_quiet_then_close();
    }
}

/// P4.4, P5.7.
#[test]
fn r19_the_bytes_ahead_of_an_end_of_file_are_read() {
    for dialect in DIALECTS {
        let mut pair = Pair::new(dialect);
        let id = pair.connect();
        let written = pair.stuff(Role::Connector, id, 20 << 20);
        pair.agent.finish(pair.now, id);
        pair.agent.release(pair.now, id);
        pair.run();
        assert_same(&pair.server.read(pair.now, id), &pattern(0, written));
        assert!(pair.server.at_end_of_file(pair.now, id));
        pair.server.release(pair.now, id);
        pair.assert_quiet_then_close();
    }
}

/// P5.7.
#[test]
fn r19_the_bytes_ahead_of_a_reset_are_read_and_it_is_no_end_of_file() {
    for dialect in DIALECTS {
        let mut pair = Pair::new(dialect);
        let id = pair.connect();
        pair.agent.write(pair.now, id, b"tail");
        pair.run();
        pair.agent.session.reset(pair.now, id, ResetCode::DIAL_FAILED, "broken pipe").unwrap();
        pair.agent.poll_events();
        pair.run();
        assert_eq!(pair.server.count(&Event::Ended(id)), 1);
        let mut data = Bytes::from_static(b"x");
        let Err(WriteError::Ended(end)) = pair.server.session.write(pair.now, id, &mut data) else {
            panic!("a write after the end");
        };
        assert_eq!((end.cause, end.text.as_str()), (Cause::RemoteReset, "broken pipe"));
        assert_eq!(pair.server.session.read(pair.now, id, 2).unwrap(), "ta");
        assert_eq!(pair.server.session.ledger().live, 1);
        assert_eq!(pair.server.session.read(pair.now, id, 20).unwrap(), "il");
        pair.server.poll_events();
        assert_eq!(pair.server.session.read(pair.now, id, 20), Err(ReadError::Unknown));
        assert!(!pair.server.retired[&id].complete, "{dialect:?}");
        assert_eq!(pair.server.retired[&id], end);
        pair.assert_quiet_then_close();
    }
}

/// P5.8.
#[test]
fn n1_a_reset_follows_what_was_written_before_it() {
    for dialect in DIALECTS {
        for drops in [false, true] {
            let mut pair = Pair::new(dialect);
            let id = pair.connect();
            let now = pair.now;
            pair.agent.write(now, id, &pattern(0, 20_000));
            if drops {
                pair.agent.release(now, id);
            } else {
                let code = ResetCode::DIAL_FAILED;
                pair.agent.session.reset(now, id, code, "broken pipe").unwrap();
                pair.agent.poll_events();
            }
            // For the application it is over at once.
            assert_eq!(pair.agent.count(&Event::Ended(id)), 1, "{dialect:?}");
            assert_eq!(pair.agent.session.read_end(id), Some(watertight_core::ReadEnd::CutOff));
            let read = pair.agent.session.read(now, id, 1);
            assert!(matches!(read, Err(ReadError::Ended(_))), "{read:?}");
            let write = pair.agent.session.writable(now, id);
            assert!(matches!(write, Err(WriteError::Ended(_))), "{write:?}");
            pair.run();
            assert_same(&pair.server.read(now, id), &pattern(0, 20_000));
            let (near, far) = (&pair.agent.retired[&id], &pair.server.retired[&id]);
            assert_eq!(near.cause, if drops { Cause::Dropped } else { Cause::Aborted });
            assert_eq!((far.cause, far.complete), (Cause::RemoteReset, false));
            if !drops {
                assert_eq!(far.text, "broken pipe");
            }
            pair.assert_quiet_then_close();
        }
    }
}

/// P5.8.
#[test]
fn n1_a_reset_follows_the_end_of_file_before_it() {
    let mut pair = Pair::new(Dialect::Extended);
    for data in [&b""[..], b"all of it"] {
        let id = pair.connect();
        let now = pair.now;
        pair.agent.write(now, id, data);
        pair.agent.finish(now, id);
        pair.agent.session.reset(now, id, ResetCode::CANCELLED, "gone").unwrap();
        pair.agent.poll_events();
        pair.run();
        assert_eq!(pair.server.read(now, id), data);
        let end = &pair.server.retired[&id];
        assert_eq!((end.cause, end.complete), (Cause::RemoteReset, true));
    }
    pair.assert_quiet_then_close();
}

/// P5.8.
#[test]
fn n1_a_reset_does_not_wait_for_ever_behind_what_the_transport_does_not_take() {
    for dialect in DIALECTS {
        let config = config(|config| {
            (config.timing.stall, config.timing.silence) = (seconds(600), seconds(600));
        });
        let linger = config.timing.linger;
        let mut pair = Pair::with(dialect, config);
        let id = pair.connect();
        let now = pair.now;
        pair.agent.write(now, id, &pattern(0, 20_000));
        pair.agent.session.reset(now, id, ResetCode::CANCELLED, "enough").unwrap();
        pair.agent.session.handle_timeout(now + (linger - millis(1)));
        pair.agent.poll_events();
        assert_eq!(pair.agent.cause(id), None, "{dialect:?}");
        pair.agent.session.handle_timeout(now + linger);
        pair.agent.poll_events();
        assert_eq!(pair.agent.cause(id), Some(Cause::LingerTimeout));
        assert_eq!(pair.agent.session.ledger().bytes_to_send, 0);
    }
}

#[test]
fn the_unread_bytes_of_an_ended_connection_go_with_its_handle() {
    for dialect in DIALECTS {
        let mut pair = Pair::new(dialect);
        let id = pair.connect();
        pair.agent.write(pair.now, id, b"tail");
        pair.run();
        pair.agent.release(pair.now, id);
        pair.run();
        assert_eq!(pair.server.session.ledger().bytes_received, 4);
        pair.server.release(pair.now, id);
        pair.assert_quiet_then_close();
    }
}

/// P5.4.
#[test]
fn r20_a_dial_dropped_at_any_moment_is_over_at_both_ends() {
    for dialect in DIALECTS {
        // Before its Connect is sent, while it is in flight, while the remote dials, while the
        // answer is in flight.
        for moment in 0..4 {
            let mut pair = Pair::new(dialect);
            let id = pair.open(Role::Acceptor);
            if moment > 0 {
                pair.send_only(Role::Acceptor);
            }
            if moment > 1 {
                pair.deliver(Role::Connector);
            }
            if moment > 2 {
                pair.agent.session.accept(pair.now, id).unwrap();
                pair.send_only(Role::Connector);
            }
            pair.server.release(pair.now, id);
            pair.run();
            assert_eq!(pair.server.cause(id), Some(Cause::Dropped), "{dialect:?} {moment}");
            let expected = (moment > 0).then_some(Cause::RemoteReset);
            assert_eq!(pair.agent.cause(id), expected, "{dialect:?} {moment}");
            let accepted = pair.agent.session.accept(pair.now, id);
            assert_eq!(accepted, Err(InvalidState(id)));
            pair.assert_quiet_then_close();
        }
    }
}

#[test]
fn r20_a_base_dial_closed_before_its_connect_left_still_delivers() {
    let mut pair = Pair::new(Dialect::Base);
    let id = pair.open(Role::Acceptor);
    let now = pair.now;
    pair.server.write(now, id, b"fire and forget");
    pair.server.finish(now, id);
    pair.server.release(now, id);
    pair.run();
    pair.agent.session.accept(now, id).unwrap();
    pair.agent.poll_events();
    assert_eq!(pair.agent.count(&Event::Ended(id)), 1);
    assert_eq!(pair.agent.read(now, id), b"fire and forget");
    assert!(pair.agent.retired[&id].complete);
    pair.assert_quiet_then_close();
}

#[test]
fn r21_closing_from_both_ends_at_once_counts_once_at_each() {
    for dialect in DIALECTS {
        for gently in [false, true] {
            let mut pair = Pair::new(dialect);
            let id = pair.connect();
            let now = pair.now;
            for end in [&mut pair.agent, &mut pair.server] {
                if gently {
                    end.finish(now, id);
                }
                end.release(now, id);
                end.release(now, id);
            }
            pair.run();
            for end in [&pair.agent, &pair.server] {
                assert_eq!(end.session.ledger().removed.total(), 1, "{dialect:?} {gently}");
            }
            pair.assert_quiet_then_close();
        }
    }
}

/// P5.3.
#[test]
fn k1_an_answer_that_comes_after_the_dial_was_given_up_leaves_nothing() {
    let mut pair = Pair::new(Dialect::Extended);
    let id = pair.server.session.open(pair.now, TARGET, Some(seconds(2))).unwrap();
    pair.send_only(Role::Acceptor);
    pair.deliver(Role::Connector);
    pair.agent.session.accept(pair.now, id).unwrap();
    pair.agent.write(pair.now, id, b"hello");
    pair.send_only(Role::Connector);
    pair.now = pair.now + seconds(2);
    pair.server.session.handle_timeout(pair.now);
    pair.server.poll_events();
    assert_eq!(pair.server.cause(id), Some(Cause::DialTimeout));
    pair.run();
    assert_eq!(pair.server.count(&Event::Opened(id)), 0);
    assert_eq!(pair.agent.cause(id), Some(Cause::RemoteReset));
    pair.assert_quiet_then_close();
}

#[test]
fn k4_a_finish_does_not_overtake_queued_bytes_of_several_connections() {
    for dialect in DIALECTS {
        let mut pair = Pair::new(dialect);
        let ids: Vec<_> = (0..5).map(|_| pair.connect()).collect();
        let now = pair.now;
        let mut written = Vec::new();
        for (place, id) in ids.iter().enumerate() {
            written.push(pair.agent.write(now, *id, &pattern(place, 30_000)));
            pair.agent.finish(now, *id);
            pair.agent.release(now, *id);
        }
        pair.run();
        for (place, id) in ids.into_iter().enumerate() {
            assert_eq!(written[place], 30_000);
            assert_same(&pair.server.read(now, id), &pattern(place, 30_000));
            assert!(pair.server.at_end_of_file(now, id));
            pair.server.release(now, id);
        }
        pair.assert_quiet_then_close();
    }
}

#[test]
fn k4_a_slow_transport_does_not_cut_what_was_written_before_the_handle_went() {
    for dialect in DIALECTS {
        // The bytes take four times the linger time to leave, a message now and then.
        let mut pair = Pair::with(dialect, config(|config| config.limits.max_data = 1024));
        let id = pair.connect();
        pair.agent.takes = false;
        assert_eq!(pair.agent.write(pair.now, id, &pattern(0, 24_000)), 24_000);
        pair.agent.finish(pair.now, id);
        pair.agent.release(pair.now, id);
        for _ in 0..24 {
            pair.wait(seconds(5));
            pair.agent.takes = true;
            // What keeps the session alive goes first.
            for _ in 0..4 {
                let now = pair.now;
                if let Some(item) = pair.agent.transmit(now) {
                    let answer = pair.server.take(now, item);
                    pair.agent.inbox.extend(answer);
                }
            }
            pair.agent.takes = false;
        }
        pair.agent.takes = true;
        pair.run();
        assert_same(&pair.server.read(pair.now, id), &pattern(0, 24_000));
        pair.server.release(pair.now, id);
        pair.assert_quiet_then_close();
    }
}

#[test]
fn y4_dropped_connections_never_reach_the_limit() {
    for dialect in DIALECTS {
        let mut pair = Pair::with(dialect, config(|config| config.limits.max_connections = 3));
        for round in 0..50 {
            let id = pair.connect_from([Role::Connector, Role::Acceptor][round % 2]);
            let now = pair.now;
            match round % 3 {
                0 => pair.agent.release(now, id),
                1 => pair.server.release(now, id),
                _ => {
                    pair.agent.finish(now, id);
                    pair.agent.release(now, id);
                    pair.run();
                    pair.server.release(now, id);
                }
            }
            pair.run();
            pair.agent.release(now, id);
            pair.server.release(now, id);
        }
        assert_eq!(pair.agent.session.ledger().added, 50, "{dialect:?}");
        pair.assert_quiet_then_close();
    }
}

/// P5.7.
#[test]
fn c2_the_first_end_of_file_leaves_the_other_direction_open() {
    let mut pair = Pair::new(Dialect::Extended);
    let id = pair.connect();
    pair.agent.finish(pair.now, id);
    pair.run();
    assert!(pair.server.at_end_of_file(pair.now, id));
    let bytes = pattern(0, 1 << 20);
    assert_same(&pair.stream(Role::Acceptor, id, &bytes), &bytes);
    pair.server.finish(pair.now, id);
    pair.run();
    assert!(pair.agent.at_end_of_file(pair.now, id));
    pair.assert_quiet_then_close();
}

/// P5.7.
#[test]
fn t1_both_directions_see_their_end_of_file_without_a_timer() {
    let mut pair = Pair::new(Dialect::Extended);
    for _ in 0..100 {
        let id = pair.connect();
        let now = pair.now;
        for end in [Role::Connector, Role::Acceptor] {
            pair.end(end).write(now, id, b"bye");
            pair.end(end).finish(now, id);
        }
        pair.run();
        for end in [Role::Connector, Role::Acceptor] {
            assert_eq!(pair.end(end).read(now, id), b"bye");
            assert!(pair.end(end).at_end_of_file(now, id));
            assert_eq!(pair.end(end).cause(id), Some(Cause::Finished));
        }
    }
    pair.assert_quiet_then_close();
}

#[test]
fn t1_handles_that_go_after_finishing_need_no_timer_either() {
    let mut pair = Pair::new(Dialect::Extended);
    let id = pair.connect();
    let now = pair.now;
    for end in [Role::Connector, Role::Acceptor] {
        pair.end(end).finish(now, id);
        pair.end(end).release(now, id);
        pair.run();
    }
    assert_eq!(pair.agent.cause(id), Some(Cause::Finished));
    assert_eq!(pair.server.cause(id), Some(Cause::Finished));
    pair.assert_quiet_then_close();
}

#[test]
fn a_clean_end_has_no_words_of_failure() {
    let mut pair = Pair::new(Dialect::Extended);
    let id = pair.connect();
    let now = pair.now;
    for end in [Role::Connector, Role::Acceptor] {
        pair.end(end).finish(now, id);
        pair.end(end).release(now, id);
    }
    pair.run();
    for end in [&pair.agent, &pair.server] {
        assert_eq!((end.retired[&id].text.as_str(), end.retired[&id].complete), ("", true));
    }
}

#[test]
fn the_words_of_an_end_are_kept_while_bytes_wait() {
    let mut pair = Pair::new(Dialect::Extended);
    let id = pair.connect();
    pair.agent.write(pair.now, id, b"unread");
    pair.run();
    // The agent loses its memory of it.
    let list = Body::Sync { newest: id, ids: Vec::new() };
    let message =
        watertight_core::wire::Message::new(crate::support::id(0), list).encode().to_bytes();
    pair.server.take(pair.now, watertight_core::testkit::Item::Message(message));
    pair.server.read(pair.now, id);
    assert_eq!(pair.server.cause(id), Some(Cause::NotListed));
    assert_eq!(pair.server.retired[&id].text, "the remote does not list it");
}

/// P4.4.
#[test]
fn a_graceful_close_before_the_accept_delivers_what_came() {
    for early_read in [false, true] {
        let mut lone = Lone::new(Role::Connector, Dialect::Base, config(|_| {}));
        let id = lone.dials(4);
        lone.sends_data(4, b"hello");
        lone.sends(4, Body::Error { text: "EOF".into() });
        // The Go end may report the end more than once.
        lone.sends(4, Body::Error { text: "EOF".into() });
        lone.sends(4, Body::Error { text: "closed".into() });
        if early_read {
            assert_eq!(lone.end.read(lone.now, id), b"hello");
        }
        lone.end.session.accept(lone.now, id).unwrap();
        lone.end.poll_events();
        if !early_read {
            assert_eq!(lone.end.read(lone.now, id), b"hello");
        }
        assert_eq!(lone.end.cause(id), Some(Cause::RemoteClosed), "early read {early_read}");
        assert!(lone.end.retired[&id].complete);
        lone.assert_even_after_the_transport();
    }
}

#[test]
fn a_graceful_close_before_the_accept_is_an_end_of_file_for_who_read_all() {
    let mut lone = Lone::new(Role::Connector, Dialect::Base, config(|_| {}));
    let id = lone.dials(4);
    lone.sends_data(4, b"hello");
    assert_eq!(lone.end.read(lone.now, id), b"hello");
    lone.sends(4, Body::Error { text: "EOF".into() });
    assert!(lone.end.retired[&id].complete);
    assert_eq!(lone.receives(), [(4, Body::Error { text: "EOF".into() })]);
    lone.assert_even_after_the_transport();
}

/// P5.5.
#[test]
fn opened_is_reported_once() {
    // A second Opened breaks the protocol, also when the connection is over.
    for over in [false, true] {
        let mut lone = Lone::new(Role::Acceptor, Dialect::Extended, config(|_| {}));
        let id = lone.end.session.open(lone.now, TARGET, None).unwrap();
        lone.receives();
        lone.sends(2, Body::Opened);
        lone.sends_data(2, b"unread");
        if over {
            lone.sends(2, Body::Reset { code: ResetCode::CANCELLED, text: String::new() });
        }
        lone.sends(2, Body::Opened);
        assert_eq!(lone.end.count(&Event::Opened(id)), 1, "over: {over}");
        assert!(lone.fault().is_some());
        lone.assert_even_after_the_transport();
    }
}

/// P4.3, P5.14.
#[test]
fn targets_that_the_other_end_would_cut_are_not_sent() {
    let long = "tcp/".to_string() + &"x".repeat(263);
    let mut pair = Pair::new(Dialect::Base);
    let error = pair.server.session.open(pair.now, &long, None);
    assert_eq!(error, Err(OpenError::TargetTooLong { length: 267, limit: 266 }));
    assert!(pair.server.session.open(pair.now, &long[..266], None).is_ok());
    let mut pair = Pair::new(Dialect::Extended);
    assert!(pair.server.session.open(pair.now, &long, None).is_ok());
}

/// P4.10.
#[test]
fn what_would_end_a_remotedialer_ends_session_is_not_sent() {
    let mut lone = Lone::new(Role::Connector, Dialect::Base, SessionConfig::default());
    let now = lone.now;
    assert_eq!(lone.end.session.open(now, "no-address", None), Err(OpenError::NoAddress));
    let route = |client_key: &str| ClientRoute { client_key: client_key.into(), session_key: 1 };
    // Neither can be read as a key and a number.
    for key in ["a/b", ""] {
        lone.end.session.announce(now, route(key), true).unwrap_err();
    }
    lone.end.session.announce(now, route(&"k".repeat(99)), true).unwrap_err();
    assert!(lone.receives().is_empty());
    lone.end.session.announce(now, route(&"k".repeat(98)), true).unwrap();
    assert_eq!(lone.receives().len(), 1);
    lone.assert_even_after_the_transport();
}

/// P4.5.
#[test]
fn half_closed_connections_toward_a_remotedialer_end_make_room_for_others() {
    let few = config(|config| config.limits.max_connections = 2);
    let mut lone = Lone::new(Role::Acceptor, Dialect::Base, few);
    let ids = [(); 2].map(|()| {
        let id = lone.end.session.open(lone.now, TARGET, None).unwrap();
        lone.receives();
        id
    });
    assert_eq!(
        lone.end.session.open(lone.now, TARGET, None),
        Err(OpenError::TooManyConnections(2))
    );
    // The second one finishes first.
    for id in ids.into_iter().rev() {
        lone.end.session.finish(lone.now, id).unwrap();
        lone.wait(millis(10));
    }
    lone.end.session.open(lone.now, TARGET, None).unwrap();
    lone.end.poll_events();
    assert_eq!(lone.end.cause(ids[1]), Some(Cause::LingerTimeout));
    assert_eq!(lone.end.cause(ids[0]), None);
    // The remote's dials find capacity as well.
    lone.receives();
    lone.dials(1);
    assert_eq!(lone.end.cause(ids[0]), Some(Cause::LingerTimeout));
    let heard = lone.receives();
    assert_eq!(heard, [(ids[0].get(), Body::Error { text: "EOF".into() })]);
    lone.assert_even_after_the_transport();
}

#[test]
fn no_room_is_made_for_a_dial_that_is_refused_anyway() {
    let few = config(|config| {
        config.limits.max_connections = 2;
        config.limits.max_dials = 1;
    });
    let mut lone = Lone::new(Role::Acceptor, Dialect::Base, few);
    let half_closed = lone.end.session.open(lone.now, TARGET, None).unwrap();
    lone.receives();
    lone.end.session.finish(lone.now, half_closed).unwrap();
    lone.dials(1);
    lone.receives();
    let refused = |lone: &mut Lone, target: &str| {
        let refused = lone.end.session.open(lone.now, target, None).unwrap_err();
        lone.end.poll_events();
        assert_eq!(lone.end.cause(half_closed), None, "{refused}");
    };
    refused(&mut lone, "tcp");
    refused(&mut lone, &format!("tcp/{}", "h".repeat(1000)));
    let dialled = |lone: &mut Lone, number, why: &str| {
        lone.dials(number);
        assert_eq!(lone.end.cause(half_closed), None, "{why}");
        assert_eq!(lone.receives(), [(number, Body::Error { text: why.into() })]);
    };
    dialled(&mut lone, 2, "too many dials in flight");
    lone.end.session.drain(lone.now, "", seconds(60));
    refused(&mut lone, TARGET);
    dialled(&mut lone, 3, "this end takes no new connections");
    lone.assert_even_after_the_transport();
}

#[test]
fn dials_and_connections_have_their_limits_at_both_ends() {
    let few = config(|config| {
        config.limits.max_dials = 2;
        config.limits.max_connections = 3;
    });
    let mut pair = Pair::with(Dialect::Extended, few.clone());
    pair.open(Role::Acceptor);
    pair.open(Role::Acceptor);
    assert_eq!(pair.server.session.open(pair.now, TARGET, None), Err(OpenError::TooManyDials(2)));

    // An opener that does not keep to the limit is refused by the one that has it.
    for dialect in DIALECTS {
        let mut pair = Pair::with_each(dialect, few.clone(), config(|_| {}));
        let dials = [(); 3].map(|()| pair.open(Role::Acceptor));
        pair.run();
        assert_eq!(pair.agent.session.ledger().inbound_dials, 2, "{dialect:?}");
        assert_eq!(pair.server.retired[&dials[2]].text, "too many dials in flight");
        for id in &dials[..2] {
            let now = pair.now;
            pair.agent.session.accept(now, *id).unwrap();
        }
        pair.connect();
        if dialect == Dialect::Extended {
            let refused = pair.server.session.open(pair.now, TARGET, None);
            assert_eq!(refused, Err(OpenError::TooManyConnections(3)), "as Settings say");
        } else {
            let refused = pair.open(Role::Acceptor);
            pair.run();
            assert_eq!(pair.server.retired[&refused].text, "too many connections");
        }
        pair.close();
    }
}

#[test]
fn a_dial_is_not_sent_into_a_transport_that_does_not_keep_up() {
    let config = config(|config| config.limits.max_queued_control = 20);
    let mut pair = Pair::with(Dialect::Extended, config);
    pair.server.takes = false;
    for _ in 0..10 {
        pair.open(Role::Acceptor);
    }
    assert_eq!(pair.server.session.open(pair.now, TARGET, None), Err(OpenError::Congested));
    pair.server.takes = true;
    pair.run();
    pair.open(Role::Acceptor);
}

/// P5.4.
#[test]
fn an_opener_says_how_long_it_waits() {
    let mut pair = Pair::new(Dialect::Extended);
    pair.server.session.open(pair.now, TARGET, Some(millis(1500))).unwrap();
    pair.run();
    let Some(Event::Incoming { within, .. }) = pair.agent.events.last() else { panic!() };
    assert_eq!(*within, millis(1500));
}

#[test]
fn calls_on_a_connection_that_is_gone_say_so() {
    let mut pair = Pair::new(Dialect::Extended);
    let gone = id(1000);
    let now = pair.now;
    let session = &mut pair.server.session;
    assert_eq!(session.read(now, gone, 1), Err(ReadError::Unknown));
    assert_eq!(session.write(now, gone, &mut Bytes::from_static(b"x")), Err(WriteError::Unknown));
    assert_eq!(session.writable(now, gone), Err(WriteError::Unknown));
    assert_eq!(session.finish(now, gone), Err(InvalidState(gone)));
    assert_eq!(session.accept(now, gone), Err(InvalidState(gone)));
    assert_eq!(session.reset(now, gone, ResetCode::CANCELLED, ""), Err(InvalidState(gone)));
    session.release(now, gone);
    assert!(session.ended().is_none());
}

#[test]
fn calls_that_a_connection_is_not_ready_for_change_nothing() {
    let mut pair = Pair::new(Dialect::Extended);
    let id = pair.open(Role::Acceptor);
    pair.run();
    let now = pair.now;
    assert_eq!(pair.server.session.finish(now, id), Err(InvalidState(id)), "not answered yet");
    assert_eq!(pair.server.session.accept(now, id), Err(InvalidState(id)), "its own dial");
    pair.agent.session.accept(now, id).unwrap();
    assert_eq!(pair.agent.session.accept(now, id), Err(InvalidState(id)), "twice");
    let refused = pair.agent.session.refuse(now, id, ResetCode::LIMIT, "");
    assert_eq!(refused, Err(InvalidState(id)), "accepted already");
    pair.run();
    pair.agent.finish(now, id);
    pair.agent.finish(now, id);
    let written = pair.agent.session.write(now, id, &mut Bytes::from_static(b"x"));
    assert_eq!(written, Err(WriteError::Finished));
    pair.run();
    assert_eq!(pair.server.count(&Event::Opened(id)), 1);
}

/// P1.4.
#[test]
fn long_words_are_shortened_for_the_other_end() {
    let words = "ü".repeat(1 << 20);
    for dialect in DIALECTS {
        let mut lone = Lone::new(Role::Connector, dialect, config(|_| {}));
        let (now, accepted, dialled) = (lone.now, lone.accepts(2), lone.dials(4));
        // Without it, the drain would be over at once.
        lone.accepts(6);
        let session = &mut lone.end.session;
        session.reset(now, accepted, ResetCode::DIAL_FAILED, &words).unwrap();
        session.refuse(now, dialled, ResetCode::DIAL_FAILED, &words).unwrap();
        session.drain(now, &words, seconds(1));
        lone.end.poll_events();
        let mut said = lone.receives_raw();
        assert!(said.len() >= 2, "{dialect:?}");
        lone.end.session.close(now, GoAwayCode::SHUTDOWN, &words);
        said.extend(lone.receives_raw());
        for message in said {
            assert!(message.len() < 1100, "{dialect:?}: {}", message.len());
            assert!(message.ends_with("ü".as_bytes()), "whole characters");
        }
        lone.assert_even_after_the_transport();
    }
}

/// P4.4.
#[test]
fn a_reset_is_not_taken_for_a_graceful_end_whatever_its_words() {
    for dialect in DIALECTS {
        for words in ["EOF", ""] {
            let mut pair = Pair::new(dialect);
            let id = pair.connect();
            pair.agent.session.reset(pair.now, id, ResetCode::DIAL_FAILED, words).unwrap();
            pair.agent.poll_events();
            pair.run();
            let end = &pair.server.retired[&id];
            assert_eq!((end.cause, end.complete), (Cause::RemoteReset, false), "{dialect:?}");
            assert!(end.to_string().contains(if end.text == "EOF" {
                "EOF"
            } else {
                "dial failed"
            }));
        }
    }
}

#[test]
fn bytes_that_nobody_will_read_are_not_kept() {
    for dialect in DIALECTS {
        let mut pair = Pair::new(dialect);
        let id = pair.connect();
        pair.agent.write(pair.now, id, b"unread");
        pair.run();
        pair.server.takes = false;
        pair.server.write(pair.now, id, b"still to be sent");
        pair.server.finish(pair.now, id);
        pair.server.release(pair.now, id);
        let ledger = pair.server.session.ledger();
        assert_eq!((ledger.live, ledger.bytes_received, ledger.bytes_to_send), (1, 0, 16));
        pair.server.takes = true;
        pair.run();
        assert_eq!(pair.agent.read(pair.now, id), b"still to be sent", "{dialect:?}");
        pair.agent.release(pair.now, id);
        pair.assert_quiet_then_close();
    }
}

/// A dial whose opener has closed is retired by the accept, which wakes nobody afterwards.
#[test]
fn no_event_follows_the_last_one() {
    let mut pair = Pair::new(Dialect::Base);
    let id = pair.open(Role::Acceptor);
    pair.server.write(pair.now, id, b"x");
    pair.server.finish(pair.now, id);
    pair.run();
    assert_eq!(pair.agent.write(pair.now, id, b"x"), 0);
    pair.server.release(pair.now, id);
    pair.run();
    assert_eq!(pair.agent.read(pair.now, id), b"x");
    pair.agent.session.accept(pair.now, id).unwrap();
    pair.agent.poll_events();
    assert_eq!(pair.agent.cause(id), Some(Cause::RemoteClosed));
    pair.assert_quiet_then_close();
}
