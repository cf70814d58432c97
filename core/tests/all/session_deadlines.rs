//! Rows C1, K2 and R18 of the list of broken tunnels: every wait has a deadline, and a deadline
//! that is over harms nothing.

use std::time::Duration;

use crate::support::{DIALECTS, Lone, Pair, TARGET, config, decode, id, millis, pattern, seconds};
use watertight_core::session::SessionConfig;
use watertight_core::testkit::Item;
use watertight_core::wire::{Body, Dialect, GoAwayCode, ResetCode};
use watertight_core::{Cause, Event, Instant, Role, SessionEnd, Timer};

fn names(lone: &Lone) -> Vec<Timer> {
    lone.end.session.timers().map(|(timer, _)| timer).collect()
}

/// P5.4.
#[test]
fn a_dial_without_an_answer_ends_at_its_deadline() {
    let mut lone = Lone::new(Role::Acceptor, Dialect::Extended, config(|_| {}));
    let dial = lone.end.session.open(lone.now, TARGET, Some(millis(1234))).unwrap();
    assert!(names(&lone).contains(&Timer::Dial(dial)));
    assert_eq!(lone.end.session.ledger().outbound_dials, 1);
    lone.wait(millis(1233));
    assert_eq!(lone.end.cause(dial), None);
    lone.now = lone.now + millis(1);
    lone.end.session.handle_timeout(lone.now);
    lone.end.poll_events();
    assert_eq!(lone.end.cause(dial), Some(Cause::DialTimeout));
    let reset = Body::Reset { code: ResetCode::DIAL_TIMEOUT, text: "no answer in time".into() };
    assert!(lone.receives().contains(&(2, reset)));
    lone.assert_even_after_the_transport();
}

#[test]
fn k2_dials_toward_an_end_that_never_answers_are_bounded_and_all_end() {
    let config = config(|config| config.limits.max_dials = 100);
    let mut lone = Lone::new(Role::Acceptor, Dialect::Extended, config);
    let mut refused = 0;
    for _ in 0..1000 {
        refused += usize::from(lone.end.session.open(lone.now, TARGET, None).is_err());
        lone.wait(millis(10));
        // It keeps the session alive, and answers nothing.
        lone.sends(0, Body::Ping { opaque: [0; 8] });
    }
    assert!(refused > 0);
    assert!(lone.end.session.ledger().live <= 100);
    lone.wait(seconds(15));
    assert_eq!(lone.end.session.ledger().live, 0);
    lone.assert_even_after_the_transport();
}

#[test]
fn k2_dials_in_flight_end_with_the_session() {
    let mut lone = Lone::new(Role::Acceptor, Dialect::Extended, config(|_| {}));
    for _ in 0..100 {
        lone.end.session.open(lone.now, TARGET, None).unwrap();
    }
    lone.receives();
    lone.end.session.handle_transport_ended(lone.now, "reset");
    lone.end.poll_events();
    assert_eq!(lone.end.retired.len(), 100);
    lone.end.assert_even();
}

/// P5.4.
#[test]
fn an_application_that_does_not_answer_a_dial_is_answered_for() {
    for dialect in DIALECTS {
        let mut pair = Pair::new(dialect);
        let id = pair.open(Role::Acceptor);
        pair.wait(seconds(14));
        assert_eq!(pair.agent.cause(id), None);
        // Both deadlines are the same; the opener's message would cross with the acceptor's.
        pair.wait(seconds(1));
        assert_eq!(pair.agent.cause(id), Some(Cause::AcceptTimeout), "{dialect:?}");
        let reported = pair.server.cause(id).unwrap();
        let expected = match dialect {
            Dialect::Base => Cause::RemoteReset,
            Dialect::Extended => Cause::DialTimeout,
        };
        assert_eq!(reported, expected);
        assert!(pair.agent.session.accept(pair.now, id).is_err());
        pair.assert_quiet_then_close();
    }
}

/// P5.4.
#[test]
fn an_opener_of_ours_says_how_long_it_waits() {
    // Zero is unknown, and the deadline of a Go end is no time to answer.
    let cases = [
        (Dialect::Extended, 500, millis(500)),
        (Dialect::Extended, 0, seconds(15)),
        (Dialect::Base, 500, seconds(15)),
    ];
    for (dialect, deadline, within) in cases {
        let mut lone = Lone::new(Role::Acceptor, dialect, config(|_| {}));
        lone.sends(1, Body::Connect { deadline, target: TARGET.into() });
        lone.wait(within - millis(1));
        assert_eq!(lone.end.cause(id(1)), None, "{dialect:?} {deadline}");
        lone.now = lone.now + millis(1);
        lone.end.session.handle_timeout(lone.now);
        lone.end.poll_events();
        assert_eq!(lone.end.cause(id(1)), Some(Cause::AcceptTimeout), "{dialect:?} {deadline}");
        let code = ResetCode::DIAL_TIMEOUT;
        let text = "the target did not answer in time".to_string();
        let reported = match dialect {
            Dialect::Extended => Body::Reset { code, text },
            Dialect::Base => Body::Error { text },
        };
        assert_eq!(lone.receives(), [(1, reported)], "{dialect:?} {deadline}");
    }
}

#[test]
fn an_accepted_dial_has_no_deadline_any_more() {
    for dialect in DIALECTS {
        let mut pair = Pair::new(dialect);
        let id = pair.connect();
        pair.wait(seconds(10_000));
        assert_eq!(pair.agent.cause(id), None, "{dialect:?}");
        assert_eq!(pair.stream(Role::Acceptor, id, &pattern(0, 100)), pattern(0, 100));
    }
}

#[test]
fn a_finished_connection_without_a_handle_waits_for_the_other_end_no_longer_than_linger() {
    let mut pair = Pair::new(Dialect::Extended);
    let id = pair.connect();
    pair.agent.finish(pair.now, id);
    pair.agent.release(pair.now, id);
    pair.wait(seconds(29));
    assert_eq!(pair.agent.cause(id), None);
    pair.wait(seconds(1));
    assert_eq!(pair.agent.cause(id), Some(Cause::LingerTimeout));
    let end = &pair.server.retired[&id];
    assert_eq!((end.cause, end.code), (Cause::RemoteReset, Some(ResetCode::STALLED)));
    pair.assert_quiet_then_close();
}

/// P4.5.
#[test]
fn a_half_closed_connection_toward_a_go_end_ends_after_linger_without_a_byte() {
    let mut pair = Pair::new(Dialect::Base);
    let id = pair.connect();
    pair.server.finish(pair.now, id);
    pair.wait(seconds(20));
    pair.agent.write(pair.now, id, b"still here");
    pair.wait(seconds(20));
    assert_eq!(pair.server.cause(id), None);
    assert_eq!(pair.server.read(pair.now, id), b"still here");
    pair.wait(seconds(29));
    assert_eq!(pair.server.cause(id), None);
    pair.wait(seconds(1));
    assert_eq!(pair.server.cause(id), Some(Cause::LingerTimeout));
    assert_eq!(pair.agent.cause(id), Some(Cause::RemoteClosed));
    pair.assert_quiet_then_close();
}

/// P4.13, P5.9.
#[test]
fn c1_a_peer_that_is_silent_is_given_up() {
    for dialect in DIALECTS {
        for role in [Role::Connector, Role::Acceptor] {
            let mut lone = Lone::new(role, dialect, config(|_| {}));
            lone.accepts(if role == Role::Connector { 2 } else { 1 });
            lone.wait(seconds(29));
            assert_eq!(lone.end.closed, None);
            lone.wait(seconds(1));
            assert_eq!(
                lone.end.closed,
                Some(SessionEnd::Silent(seconds(30))),
                "{dialect:?} {role:?}"
            );
            lone.end.assert_even();
        }
    }
}

#[test]
fn c1_a_peer_that_is_given_up_is_told_why() {
    let mut lone = Lone::new(Role::Acceptor, Dialect::Extended, config(|_| {}));
    lone.wait(seconds(29));
    lone.now = lone.now + seconds(1);
    lone.end.session.handle_timeout(lone.now);
    let reported = lone.receives();
    let timeout = |body: &Body| matches!(body, Body::GoAway { code: GoAwayCode::TIMEOUT, .. });
    assert!(reported.iter().any(|(_, body)| timeout(body)), "{reported:?}");
}

/// P4.13.
#[test]
fn toward_a_go_end_only_the_connector_asks_for_signs_of_life() {
    for (role, asks) in [(Role::Connector, true), (Role::Acceptor, false)] {
        let mut lone = Lone::new(role, Dialect::Base, config(|_| {}));
        let mut asked = false;
        while let Some(at) = lone.end.session.poll_timeout().filter(|_| lone.end.closed.is_none()) {
            lone.now = lone.now.max(at);
            lone.end.session.handle_timeout(lone.now);
            lone.end.poll_events();
            while let Some(item) = lone.end.transmit(lone.now) {
                asked |= matches!(item, Item::Ping(_));
            }
        }
        assert_eq!(asked, asks, "{role:?}");
    }
}

/// P4.13, P5.9.
#[test]
fn c1_any_message_is_a_sign_of_life() {
    for dialect in DIALECTS {
        let mut lone = Lone::new(Role::Acceptor, dialect, config(|_| {}));
        lone.accepts(1);
        for _ in 0..20 {
            lone.wait(seconds(20));
            lone.sends_data(1, b"x");
        }
        for _ in 0..20 {
            lone.wait(seconds(20));
            lone.end.session.handle_transport_ping(lone.now);
        }
        assert_eq!(lone.end.closed, None, "{dialect:?}");
    }
}

/// P4.13, P5.9.
#[test]
fn c1_idle_ends_keep_each_other_alive() {
    for dialect in DIALECTS {
        let mut pair = Pair::new(dialect);
        pair.wait(seconds(3600));
        assert_eq!((&pair.agent.closed, &pair.server.closed), (&None, &None), "{dialect:?}");
        pair.assert_quiet_then_close();
    }
}

/// P5.10.
#[test]
fn a_transport_that_takes_nothing_is_given_up() {
    for dialect in DIALECTS {
        let mut lone = Lone::new(Role::Acceptor, dialect, config(|_| {}));
        let id = lone.accepts(1);
        lone.end.takes = false;
        lone.wait(seconds(2));
        lone.end.write(lone.now, id, b"x");
        // Up to here nothing but the ping may have waited.
        lone.end.takes = true;
        lone.receives();
        lone.end.takes = false;
        lone.end.write(lone.now, id, b"x");
        for _ in 0..29 {
            lone.wait(seconds(1));
            lone.sends_data(1, b"the other direction works");
        }
        assert_eq!(lone.end.closed, None);
        lone.wait(seconds(1));
        assert_eq!(lone.end.closed, Some(SessionEnd::Stalled(seconds(30))), "{dialect:?}");
        lone.assert_even_after_the_transport();
    }
}

/// P5.10.
#[test]
fn a_slow_transport_is_not_given_up() {
    let mut lone = Lone::new(Role::Acceptor, Dialect::Extended, config(|_| {}));
    let id = lone.accepts(1);
    for _ in 0..20 {
        lone.end.write(lone.now, id, &[0; 1000]);
        lone.end.takes = false;
        lone.wait(seconds(25));
        lone.sends(0, Body::Ping { opaque: [0; 8] });
        lone.end.takes = true;
        lone.end.transmit(lone.now).unwrap();
    }
    assert_eq!(lone.end.closed, None);
}

#[test]
fn a_transport_that_has_nothing_to_take_is_not_stalled() {
    let config = config(|config| {
        config.timing.ping_interval = seconds(1000);
        config.timing.silence = seconds(1000);
        config.timing.reconcile = seconds(1000);
    });
    let mut lone = Lone::new(Role::Acceptor, Dialect::Extended, config);
    lone.wait(seconds(1));
    lone.end.takes = false;
    let dial = lone.end.session.open(lone.now, TARGET, None).unwrap();
    // Taken back before the transport took it.
    lone.end.release(lone.now, dial);
    lone.wait(seconds(100));
    assert_eq!(lone.end.closed, None);
    lone.end.session.open(lone.now, TARGET, Some(seconds(100))).unwrap();
    lone.wait(seconds(29));
    assert_eq!(lone.end.closed, None, "the time counts from what waits now");
    lone.wait(seconds(1));
    assert_eq!(lone.end.closed, Some(SessionEnd::Stalled(seconds(30))));
    lone.assert_even_after_the_transport();
}

#[test]
fn a_stuck_session_tells_what_it_waits_for() {
    let mut lone = Lone::new(Role::Acceptor, Dialect::Extended, config(|_| {}));
    lone.end.takes = false;
    let dial = lone.end.session.open(lone.now, TARGET, None).unwrap();
    let accept = lone.dials(1);
    for timer in [Timer::Stall, Timer::Dial(dial), Timer::Accept(accept), Timer::Silence] {
        assert!(names(&lone).contains(&timer), "{timer:?}");
    }
    let times: Vec<_> = lone.end.session.timers().map(|(_, at)| at).collect();
    assert!(times.is_sorted(), "soonest first");
    assert_eq!(lone.end.session.ledger().armed_timers, times.len() as u64);
    assert_eq!(lone.end.session.poll_timeout(), times.first().copied());
}

#[test]
fn an_early_call_of_handle_timeout_does_nothing() {
    let mut pair = Pair::new(Dialect::Extended);
    let id = pair.open(Role::Acceptor);
    let before = pair.server.session.timers().count();
    for _ in 0..10 {
        pair.server.session.handle_timeout(pair.now);
        pair.server.poll_events();
    }
    assert_eq!(pair.server.cause(id), None);
    assert!(pair.server.session.timers().count() <= before);
}

#[test]
fn time_that_goes_backwards_counts_as_standing_still() {
    let mut lone = Lone::new(Role::Acceptor, Dialect::Extended, config(|_| {}));
    lone.wait(seconds(5));
    let late = lone.now;
    lone.end.session.open(late, TARGET, Some(seconds(10))).unwrap();
    let dial = lone.end.session.open(Instant::EPOCH, TARGET, Some(seconds(10))).unwrap();
    lone.end.session.handle_timeout(Instant::EPOCH);
    lone.end.poll_events();
    assert_eq!(lone.end.cause(dial), None);
    lone.wait(seconds(10));
    assert_eq!(lone.end.cause(dial), Some(Cause::DialTimeout));
}

#[test]
fn the_end_of_time_and_intervals_of_zero_are_survived() {
    let zero = |config: &mut SessionConfig| {
        config.timing.ping_interval = Duration::ZERO;
        config.timing.reconcile = Duration::ZERO;
    };
    let huge = |config: &mut SessionConfig| {
        config.timing.ping_interval = Duration::MAX;
        config.timing.silence = Duration::MAX;
        config.timing.stall = Duration::MAX;
        config.timing.linger = Duration::MAX;
    };
    let changes: [fn(&mut SessionConfig); 2] = [zero, huge];
    for change in changes {
        let mut lone = Lone::new(Role::Acceptor, Dialect::Extended, config(change));
        lone.end.session.open(lone.now, TARGET, Some(Duration::MAX)).unwrap();
        lone.accepts(1);
        lone.end.session.handle_timeout(lone.now);
        lone.end.poll_events();
        lone.now = Instant::from_epoch(Duration::MAX);
        lone.end.session.handle_timeout(lone.now);
        lone.end.poll_events();
        lone.assert_even_after_the_transport();
    }
}

/// P4.2.
#[test]
fn a_dial_in_the_base_dialect_counts_as_opened_at_once_and_its_failure_ends_it() {
    let mut lone = Lone::new(Role::Acceptor, Dialect::Base, config(|_| {}));
    let dial = lone.end.session.open(lone.now, TARGET, Some(millis(1))).unwrap();
    lone.end.poll_events();
    assert_eq!(lone.end.count(&Event::Opened(dial)), 1);
    lone.sends(-2, Body::Error { text: "dial tcp: connection refused".into() });
    assert_eq!(lone.end.retired[&id(-2)].text, "dial tcp: connection refused");
    lone.assert_even_after_the_transport();
}

/// An end whose transport takes nothing new, while its queue moves every ten seconds.
/// P5.10.
#[test]
fn n3_a_transport_whose_queue_moves_is_not_stalled() {
    for dialect in DIALECTS {
        let mut pair = Pair::new(dialect);
        let id = pair.connect();
        pair.agent.takes = false;
        pair.agent.write(pair.now, id, &pattern(0, 20_000));
        for _ in 0..30 {
            pair.wait(seconds(10));
            pair.agent.session.handle_transport_sent(pair.now);
            pair.server.session.handle_transport_received(pair.now);
        }
        assert_eq!(pair.agent.session.ended(), None, "{dialect:?}");
        pair.wait(seconds(31));
        let ended = pair.agent.session.ended();
        assert!(matches!(ended, Some(SessionEnd::Stalled(_) | SessionEnd::Silent(_))), "{ended:?}");
    }
}

/// A slow link, or many other connections, may keep a connection from its turn for longer than it
/// may linger. Its queued bytes are not lost. P5.8.
#[test]
fn n3_a_connection_that_waits_for_the_transport_lingers_on() {
    for (dialect, resets) in DIALECTS.into_iter().flat_map(|of| [(of, false), (of, true)]) {
        let mut pair = Pair::new(dialect);
        let id = pair.connect();
        pair.agent.takes = false;
        pair.agent.write(pair.now, id, &pattern(0, 20_000));
        if resets {
            let reset = pair.agent.session.reset(pair.now, id, ResetCode::CANCELLED, "enough");
            reset.unwrap();
        } else {
            pair.agent.finish(pair.now, id);
            pair.agent.release(pair.now, id);
        }
        for _ in 0..30 {
            pair.wait(seconds(10));
            pair.agent.session.handle_transport_sent(pair.now);
            pair.server.session.handle_transport_received(pair.now);
        }
        pair.agent.takes = true;
        pair.run();
        assert_eq!(pair.server.read(pair.now, id), pattern(0, 20_000), "{dialect:?} {resets}");
    }
}

/// Each end pings by the silence of the remote, though its own one is long. P5.9.
#[test]
fn n4_an_end_with_a_shorter_silence_is_pinged_in_time() {
    let (patient, impatient) = (SessionConfig::default(), {
        config(|config| {
            (config.timing.silence, config.timing.ping_interval) = (seconds(3), seconds(60))
        })
    });
    let mut pair = Pair::with_each(Dialect::Extended, impatient, patient);
    pair.wait(seconds(600));
    assert_eq!((pair.agent.session.ended(), pair.server.session.ended()), (None, None));
    // The interval that it asks for has a bound.
    let greedy = config(|config| config.timing.silence = millis(0));
    let mut server = SessionConfig::default();
    server.timing.silence = seconds(3600);
    let mut pair = Pair::with_each(Dialect::Extended, greedy, server);
    pair.server.session.handle_timeout(pair.now);
    let next = pair.server.session.poll_timeout();
    assert_eq!(next, Some(pair.now + millis(100)), "no more than ten a second");
}

/// A ping that waits behind the end's own bytes cannot have been answered.
/// P5.9.
#[test]
fn n4_silence_begins_when_the_other_end_could_have_answered() {
    let mut lone = Lone::new(Role::Connector, Dialect::Base, config(|_| {}));
    for _ in 0..30 {
        lone.wait(seconds(10));
        lone.end.session.handle_transport_sent(lone.now);
    }
    assert_eq!(lone.end.session.ended(), None);
    lone.wait(seconds(31));
    assert!(matches!(lone.end.session.ended(), Some(SessionEnd::Silent(_))));
}

/// Nobody looks before a timer is due, and what is found then may be old.
#[test]
fn n4_what_arrived_long_ago_is_no_sign_of_life_of_now() {
    let mut lone = Lone::new(Role::Acceptor, Dialect::Base, config(|_| {}));
    let arrived = lone.now + seconds(1);
    lone.now = lone.now + seconds(30);
    lone.end.session.handle_transport_received(arrived);
    lone.end.session.handle_timeout(lone.now);
    assert_eq!(lone.end.session.ended(), None);
    lone.wait(seconds(1));
    assert!(matches!(lone.end.session.ended(), Some(SessionEnd::Silent(_))));
}

/// P4.13, P5.9.
#[test]
fn n4_a_part_of_a_message_is_a_sign_of_life() {
    let mut lone = Lone::new(Role::Connector, Dialect::Base, config(|_| {}));
    for _ in 0..30 {
        lone.wait(seconds(10));
        lone.end.session.handle_transport_received(lone.now);
    }
    assert_eq!(lone.end.session.ended(), None);
    lone.wait(seconds(31));
    assert!(matches!(lone.end.session.ended(), Some(SessionEnd::Silent(_))));
}

/// The answer of an end of the extended dialect to the pings that it has heard.
fn pong(lone: &mut Lone) {
    let dialect = lone.end.session.dialect();
    for message in lone.receives_raw() {
        if let Body::Ping { opaque } = decode(message, dialect).body {
            lone.sends(0, Body::Pong { opaque });
        }
    }
}

#[test]
fn a_sign_of_life_is_one_that_comes_after_the_question() {
    for dialect in DIALECTS {
        for role in [Role::Acceptor, Role::Connector] {
            let mut lone = Lone::new(role, dialect, config(|_| {}));
            // Heard at the same instant, but before.
            lone.end.session.handle_transport_received(lone.now);
            let probe = lone.end.session.probe(lone.now);
            assert!(!lone.end.session.has_answered(probe), "{role:?} {dialect:?}");
            pong(&mut lone);
            lone.answer_pings();
            assert!(lone.end.session.has_answered(probe), "{role:?} {dialect:?}");

            let probe = lone.end.session.probe(lone.now);
            lone.receives();
            lone.wait(millis(1));
            assert!(!lone.end.session.has_answered(probe), "{role:?} {dialect:?}");
            // A pong may wait behind a long queue.
            lone.end.session.handle_transport_received(lone.now);
            assert!(lone.end.session.has_answered(probe), "{role:?} {dialect:?}");
        }
    }
}
