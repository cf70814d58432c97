//! Rows R1 to R8, K3, Y1 and Y2 of the list of broken tunnels: flow control.

use core::time::Duration;

use crate::support::{DIALECTS, Lone, Pair, assert_same, config, id, millis, pattern, seconds};
use watertight_core::session::{ReadError, WriteError};
use watertight_core::wire::{Body, Dialect};
use watertight_core::{Cause, Event, Role};

const MIB: usize = 1 << 20;

/// P4.8.
#[test]
fn r1_being_full_does_not_put_my_own_writer_to_sleep() {
    for dialect in DIALECTS {
        let mut pair = Pair::new(dialect);
        let id = pair.connect();
        // The target sends what the application does not read yet.
        let sent = pair.stuff(Role::Connector, id, 3 * MIB);
        let written = pair.stream(Role::Acceptor, id, &pattern(7, MIB));
        assert_same(&written, &pattern(7, MIB));
        assert_same(&pair.server.read(pair.now, id), &pattern(0, sent));
        pair.run();
        assert_same(&pair.stream(Role::Connector, id, &pattern(0, MIB)), &pattern(0, MIB));
    }
}

/// P4.8.
#[test]
fn r2_reading_does_not_resume_my_own_paused_writer() {
    let mut lone = Lone::new(Role::Acceptor, Dialect::Base, config(|_| {}));
    let id = lone.accepts(1);
    lone.sends(1, Body::Pause);
    lone.sends_data(1, &[1; 100]);
    assert_eq!(lone.end.read(lone.now, id).len(), 100);
    assert_eq!(lone.end.write(lone.now, id, b"x"), 0, "still paused");
    assert!(lone.receives().is_empty(), "nothing was paused here, so nothing is resumed");
    lone.sends(1, Body::Resume);
    assert_eq!(lone.end.count(&Event::Writable(id)), 1);
    assert_eq!(lone.end.write(lone.now, id, b"x"), 1);
    lone.assert_even_after_the_transport();
}

#[test]
fn r3_pause_and_resume_that_cross_leave_nobody_paused() {
    let mut pair = Pair::new(Dialect::Base);
    let id = pair.connect();
    pair.stuff(Role::Connector, id, 2 * MIB);
    // Paused; the reader drains while bytes that crossed with the Pause are still in flight.
    for _ in 0..20 {
        let now = pair.now;
        pair.agent.write(now, id, &pattern(0, 300_000));
        pair.send_only(Role::Connector);
        pair.server.read(now, id);
        pair.send_only(Role::Acceptor);
        pair.run();
    }
    pair.server.read(pair.now, id);
    pair.run();
    assert_same(&pair.stream(Role::Connector, id, &pattern(0, 3 * MIB)), &pattern(0, 3 * MIB));
}

/// P4.6.
#[test]
fn r3_a_pause_taken_back_before_it_was_sent_is_not_sent() {
    let mut lone = Lone::new(Role::Acceptor, Dialect::Base, config(|_| {}));
    let id = lone.accepts(1);
    lone.sends_data(1, &vec![1; 2 * MIB]);
    lone.end.read(lone.now, id);
    assert!(lone.receives().is_empty());
}

#[test]
fn r4_input_is_handled_while_no_output_is_taken() {
    for dialect in DIALECTS {
        let mut pair = Pair::new(dialect);
        let ids = [(); 4].map(|()| pair.connect());
        (pair.agent.takes, pair.server.takes) = (false, false);
        for id in ids {
            pair.stuff(Role::Connector, id, MIB);
            pair.stuff(Role::Acceptor, id, MIB);
        }
        (pair.agent.takes, pair.server.takes) = (true, true);
        pair.run();
        for id in ids {
            let now = pair.now;
            assert!(!pair.server.read(now, id).is_empty(), "{dialect:?}");
            assert!(!pair.agent.read(now, id).is_empty());
        }
        pair.run();
        for id in ids {
            assert_same(&pair.stream(Role::Acceptor, id, &pattern(0, MIB)), &pattern(0, MIB));
        }
    }
}

/// P4.6.
#[test]
fn r5_a_peer_that_ignores_pause_is_stopped_at_the_cap() {
    let config = config(|config| config.limits.base.unread_cap = MIB);
    let mut lone = Lone::new(Role::Acceptor, Dialect::Base, config);
    let (flooded, other) = (lone.accepts(1), lone.accepts(2));
    for _ in 0..200 {
        lone.sends_data(1, &[7; 10_000]);
        assert!(lone.end.session.ledger().bytes_received <= MIB as u64);
    }
    assert_eq!(lone.end.cause(flooded), Some(Cause::Overrun));
    let heard = lone.receives();
    let errors = heard.iter().filter(|(id, body)| (*id == 1) && matches!(body, Body::Error { .. }));
    // The connection's own end, then one answer to all the Data that came for it afterwards.
    assert_eq!(errors.count(), 2);
    assert_eq!(lone.end.write(lone.now, other, b"fine"), 4, "the others go on");
    lone.assert_even_after_the_transport();
}

/// Unlike a remotedialer end, a watertight one continues to write after its own Pause, up to 1 MiB.
/// P4.8.
#[test]
fn two_of_our_ends_whose_readers_sleep_stop_each_other() {
    let config = config(|config| {
        let limits = &mut config.limits;
        (limits.base.unread_cap, limits.base.pause_above, limits.base.resume_below) =
            (800_000, 10_000, 1000);
    });
    let mut pair = Pair::with(Dialect::Base, config);
    let id = pair.connect();
    pair.stuff(Role::Connector, id, 4 * MIB);
    pair.stuff(Role::Acceptor, id, 4 * MIB);
    pair.wait(seconds(10));
    assert_eq!((pair.agent.cause(id), pair.server.cause(id)), (None, None));
    pair.close();
}

/// P4.6.
#[test]
fn r5_the_unread_bytes_of_all_connections_have_one_bound() {
    let config = config(|config| config.limits.base.unread_budget = MIB);
    let mut lone = Lone::new(Role::Acceptor, Dialect::Base, config);
    for number in 1..=20 {
        lone.accepts(number);
        lone.sends_data(number, &[7; 100_000]);
        assert!(lone.end.session.ledger().bytes_received <= MIB as u64);
    }
    assert!(lone.end.session.ended().is_none());
    lone.assert_even_after_the_transport();
}

#[test]
fn r5_connections_that_obey_pause_do_not_reach_the_common_bound() {
    let config = config(|config| config.limits.base.unread_budget = 4 * MIB);
    let mut pair = Pair::with(Dialect::Base, config);
    let ids: Vec<_> = (0..40).map(|_| pair.connect()).collect();
    for chunk in 0..100 {
        for id in &ids {
            let now = pair.now;
            if pair.agent.retired.is_empty() {
                pair.agent.write(now, *id, &pattern(10_000 * chunk, 10_000));
                pair.run();
            }
        }
    }
    assert!(pair.server.retired.is_empty(), "{:?}", pair.server.retired);
    for id in &ids {
        let now = pair.now;
        pair.server.read(now, *id);
        pair.run();
    }
    for id in ids {
        assert_same(&pair.stream(Role::Connector, id, &pattern(0, MIB)), &pattern(0, MIB));
    }
}

/// P2.3.
#[test]
fn r5_one_message_may_not_be_longer_than_the_limit() {
    for dialect in DIALECTS {
        let mut lone = Lone::new(Role::Acceptor, dialect, config(|_| {}));
        lone.accepts(1);
        lone.sends_data(1, &vec![0; 64 * MIB]);
        assert!(lone.fault().is_some());
        assert_eq!(lone.end.session.ledger().bytes_received, 0);
        lone.assert_even_after_the_transport();
    }
}

/// P4.9.
#[test]
fn r6_a_paused_writer_is_let_go_with_its_session() {
    for dialect in DIALECTS {
        let mut pair = Pair::new(dialect);
        let id = pair.connect();
        pair.stuff(Role::Connector, id, 20 * MIB);
        pair.cut("cut");
        assert_eq!(pair.agent.cause(id), Some(Cause::SessionEnded), "{dialect:?}");
    }
}

#[test]
fn r8_and_k3_a_slow_reader_slows_nothing_else() {
    for dialect in DIALECTS {
        let mut pair = Pair::new(dialect);
        let (slow, fast) = (pair.connect(), pair.connect());
        let unread = pair.stuff(Role::Connector, slow, 20 * MIB);
        assert!(unread < 4 * MIB, "{dialect:?}: {unread}");
        assert_same(
            &pair.stream(Role::Connector, fast, &pattern(0, 2 * MIB)),
            &pattern(0, 2 * MIB),
        );
        pair.wait(seconds(120));
        assert!(pair.server.closed.is_none(), "alive: {:?}", pair.server.closed);
        assert_same(&pair.server.read(pair.now, slow), &pattern(0, unread));
        for id in [slow, fast] {
            let now = pair.now;
            pair.server.release(now, id);
            pair.agent.release(now, id);
        }
        pair.assert_quiet_then_close();
    }
}

#[test]
fn k3_connections_take_turns() {
    let mut pair = Pair::new(Dialect::Extended);
    let (bulk, small) = (pair.connect(), pair.connect());
    let now = pair.now;
    pair.agent.write(now, bulk, &pattern(0, 32 << 10));
    pair.agent.write(now, small, b"ping");
    pair.agent.transmit(now).unwrap();
    let second = pair.agent.transmit(now).unwrap();
    pair.server.take(now, second);
    assert_eq!(pair.server.read(now, small), b"ping", "after one message of the other");
}

#[test]
fn a_short_rest_goes_with_the_message_before_it() {
    let mut pair = Pair::new(Dialect::Extended);
    let (first, second) = (pair.connect(), pair.connect());
    let now = pair.now;
    for id in [first, second] {
        assert_eq!(pair.agent.write(now, id, &pattern(0, 16 << 10)), 16 << 10);
    }
    for _ in 0..2 {
        let message = pair.agent.transmit(now).unwrap();
        pair.server.take(now, message);
    }
    assert_eq!(pair.server.read(now, first).len(), 16 << 10);
    assert_eq!(pair.server.read(now, second).len(), 0);
}

#[test]
fn y1_a_write_that_gave_up_leaves_the_reader_able_to_go_on() {
    for dialect in DIALECTS {
        let mut pair = Pair::new(dialect);
        let id = pair.connect();
        let written = pair.stuff(Role::Connector, id, 20 * MIB);
        let mut more = bytes::Bytes::from_static(b"more");
        let blocked = pair.agent.session.write(pair.now, id, &mut more);
        assert_eq!(blocked, Err(WriteError::Blocked), "{dialect:?}");
        assert_eq!(more, "more", "what was not taken is not sent later");
        pair.wait(seconds(60));
        assert_same(&pair.server.read(pair.now, id), &pattern(0, written));
        assert_eq!(pair.server.session.read(pair.now, id, 1), Err(ReadError::Blocked));
        pair.run();
        pair.agent.finish(pair.now, id);
        pair.agent.release(pair.now, id);
        pair.run();
        if dialect == Dialect::Extended {
            assert!(pair.server.at_end_of_file(pair.now, id));
        } else {
            assert!(pair.server.retired[&id].complete);
        }
    }
}

/// P5.7.
#[test]
fn y2_a_writer_toward_a_reader_that_stopped_is_told_and_does_not_wait() {
    let mut pair = Pair::new(Dialect::Extended);
    let id = pair.connect();
    pair.server.finish(pair.now, id);
    pair.stuff(Role::Connector, id, MIB);
    assert_eq!(pair.agent.session.writable(pair.now, id), Err(WriteError::Blocked));
    pair.server.release(pair.now, id);
    pair.run();
    assert_eq!(pair.server.cause(id), Some(Cause::Stopped));
    assert_eq!(pair.agent.cause(id), Some(Cause::RemoteReset));
    pair.assert_quiet_then_close();
}

#[test]
fn y2_a_writer_whose_reader_read_everything_and_stopped_is_told_by_its_next_bytes() {
    let mut pair = Pair::new(Dialect::Extended);
    let id = pair.connect();
    pair.server.finish(pair.now, id);
    pair.run();
    // All credit is used, everything is read, and the reader goes before its Credit leaves.
    let mut written = 0;
    loop {
        let now = pair.now;
        let more = pair.agent.write(now, id, &pattern(written, MIB));
        pair.send_only(Role::Connector);
        written += more;
        if more == 0 {
            break;
        }
    }
    pair.deliver(Role::Acceptor);
    assert_eq!(pair.server.read(pair.now, id).len(), written);
    pair.server.release(pair.now, id);
    pair.run();
    assert_eq!(pair.agent.count(&Event::Writable(id)), 1);
    assert!(pair.agent.write(pair.now, id, b"anybody there?") > 0);
    pair.run();
    assert_eq!(pair.agent.cause(id), Some(Cause::RemoteReset));
    pair.assert_quiet_then_close();
}

/// P4.6.
#[test]
fn pause_and_resume_keep_to_their_thresholds() {
    let config = config(|config| {
        config.limits.base.pause_above = 1000;
        config.limits.base.resume_below = 100;
    });
    let mut lone = Lone::new(Role::Acceptor, Dialect::Base, config);
    let id = lone.accepts(1);
    lone.sends_data(1, &[0; 1000]);
    assert!(lone.receives().is_empty());
    lone.sends_data(1, &[0; 1]);
    assert_eq!(lone.receives(), [(1, Body::Pause)]);
    lone.sends_data(1, &[0; 500]);
    assert!(lone.receives().is_empty(), "once is enough");
    let read = |lone: &mut Lone, size| lone.end.session.read(lone.now, id, size).unwrap().len();
    let mut unread = 1501;
    while unread > 101 {
        unread -= read(&mut lone, 100.min(unread - 101));
        assert!(lone.receives().is_empty());
    }
    read(&mut lone, 1);
    assert_eq!(lone.receives(), [(1, Body::Resume)]);
    read(&mut lone, 100);
    assert!(lone.receives().is_empty(), "once is enough");
    lone.sends_data(1, &[0; 1001]);
    assert_eq!(lone.receives(), [(1, Body::Pause)], "and again");
    assert_eq!(lone.end.read(lone.now, id).len(), 1001);
    assert_eq!(lone.receives(), [(1, Body::Resume)]);
}

/// P4.6.
#[test]
fn bytes_that_an_obedient_peer_had_queued_when_paused_still_come() {
    let mut lone = Lone::new(Role::Acceptor, Dialect::Base, config(|_| {}));
    let connection = lone.accepts(1);
    assert_eq!(lone.end.write(lone.now, connection, &[3; 1000]), 1000);
    lone.sends(1, Body::Pause);
    let bytes: usize = lone
        .receives()
        .into_iter()
        .map(|(_, body)| match body {
            Body::Data { payload, .. } => payload.len(),
            _ => 0,
        })
        .sum();
    assert_eq!(bytes, 1000, "what was accepted is sent");
}

#[test]
fn flow_messages_for_a_connection_that_is_over_are_not_sent() {
    let config = config(|config| {
        config.limits.base.pause_above = 1000;
        config.limits.base.resume_below = 100;
    });
    let mut lone = Lone::new(Role::Acceptor, Dialect::Base, config);
    let id = lone.accepts(1);
    lone.sends_data(1, &[0; 2000]);
    assert_eq!(lone.receives(), [(1, Body::Pause)]);
    lone.sends(1, Body::Error { text: "EOF".into() });
    lone.receives();
    lone.end.session.read(lone.now, id, 1950).unwrap();
    assert!(lone.receives().is_empty(), "the remote knows no such connection");
    lone.end.session.close(lone.now, watertight_core::wire::GoAwayCode::SHUTDOWN, "");
    lone.end.session.read(lone.now, id, 10).unwrap();
    assert!(lone.receives().is_empty());
    lone.assert_even_after_the_transport();
}

#[test]
fn a_window_grows_with_a_quick_reader_up_to_its_cap() {
    let config = config(|config| {
        config.limits.initial_window = 4096;
        config.limits.max_window = 16_384;
    });
    let mut pair = Pair::with(Dialect::Extended, config);
    let id = pair.connect();
    assert_eq!(pair.stuff(Role::Connector, id, MIB), 4096);
    pair.server.read(pair.now, id);
    pair.run();
    pair.stream(Role::Connector, id, &pattern(0, MIB));
    assert_eq!(pair.stuff(Role::Connector, id, MIB), 16_384, "grown to the cap");
    assert_eq!(pair.server.session.ledger().bytes_received, 16_384);
}

#[test]
fn a_window_grows_between_busy_ends_that_were_near_while_idle() {
    let config = config(|config| config.limits.initial_window = 4096);
    let mut pair = Pair::with(Dialect::Extended, config);
    pair.wait(seconds(60));
    assert_eq!(pair.server.session.rtt(), Some(Duration::ZERO));
    let id = pair.connect();
    for _ in 0..10 {
        pair.stuff(Role::Connector, id, MIB);
        pair.wait(Duration::from_micros(500));
        pair.server.read(pair.now, id);
        pair.run();
    }
    assert!(pair.stuff(Role::Connector, id, MIB) >= 65_536, "held back by its window");
}

#[test]
fn a_window_does_not_grow_for_a_leisurely_reader() {
    let config = config(|config| config.limits.initial_window = 4096);
    let mut pair = Pair::with(Dialect::Extended, config);
    let id = pair.connect();
    for _ in 0..50 {
        pair.wait(seconds(1));
        assert!(pair.stuff(Role::Connector, id, MIB) <= 8192);
        pair.server.read(pair.now, id);
    }
}

#[test]
fn all_windows_together_keep_to_their_budget() {
    let config = config(|config| {
        config.limits.initial_window = 4096;
        config.limits.window_budget = 32_768;
    });
    let mut pair = Pair::with(Dialect::Extended, config);
    let ids: Vec<_> = (0..8).map(|_| pair.connect()).collect();
    for id in &ids {
        pair.stream(Role::Connector, *id, &pattern(0, MIB));
    }
    let unread: usize = ids.iter().map(|id| pair.stuff(Role::Connector, *id, MIB)).sum();
    assert!(unread <= 8 * 4096 + 32_768, "{unread}");
    assert!(unread > 8 * 4096, "the budget is used: {unread}");
    // A connection that goes gives its part back.
    for id in &ids[1..] {
        pair.server.session.reset(pair.now, *id, 0.into(), "").unwrap();
        pair.server.poll_events();
    }
    pair.run();
    pair.server.read(pair.now, ids[0]);
    pair.run();
    pair.stream(Role::Connector, ids[0], &pattern(0, MIB));
    assert_eq!(pair.stuff(Role::Connector, ids[0], MIB), 16_384);
}

/// Connections that once ran in bulk and stay open keep their windows: granted credit cannot be
/// taken back.
#[test]
fn those_that_come_later_find_some_of_the_budget_left() {
    let config = config(|config| {
        config.limits.initial_window = 4096;
        config.limits.max_window = 65_536;
        config.limits.window_budget = 4 * 65_536;
    });
    let mut pair = Pair::with(Dialect::Extended, config);
    let windows: Vec<_> = (0..8)
        .map(|_| {
            let id = pair.connect();
            pair.stream(Role::Connector, id, &pattern(0, MIB));
            pair.stuff(Role::Connector, id, MIB)
        })
        .collect();
    assert!(windows.iter().sum::<usize>() <= 8 * 4096 + 4 * 65_536, "{windows:?}");
    assert!(windows[5] > 2 * 4096, "{windows:?}");
}

#[test]
fn writers_that_wait_for_the_send_budget_are_woken() {
    for dialect in DIALECTS {
        let config = config(|config| {
            config.limits.send_budget = 20_000;
            config.limits.send_buffer = 15_000;
        });
        let mut pair = Pair::with(dialect, config);
        let ids: Vec<_> = (0..4).map(|_| pair.connect()).collect();
        pair.agent.takes = false;
        for id in &ids {
            let now = pair.now;
            while pair.agent.write(now, *id, &[1; 6000]) > 0 {}
        }
        assert_eq!(pair.agent.session.ledger().bytes_to_send, 20_000);
        pair.agent.takes = true;
        pair.run();
        for id in &ids {
            assert_eq!(pair.agent.count(&Event::Writable(*id)), 1, "{dialect:?} {id}");
        }
    }
}

#[test]
fn a_connection_that_ends_with_unread_bytes_gives_its_send_budget_back() {
    let config = config(|config| {
        config.limits.send_budget = 10_000;
        config.limits.send_buffer = 10_000;
    });
    for dialect in DIALECTS {
        let mut lone = Lone::new(Role::Acceptor, dialect, config.clone());
        let (greedy, waiting) = (lone.accepts(1), lone.accepts(3));
        lone.end.takes = false;
        assert_eq!(lone.end.write(lone.now, greedy, &[1; 10_000]), 10_000);
        assert_eq!(lone.end.write(lone.now, waiting, b"x"), 0);
        lone.sends_data(1, b"unread");
        match dialect {
            Dialect::Base => lone.sends(1, Body::Error { text: "broken".into() }),
            Dialect::Extended => lone.sends(1, Body::Reset { code: 0.into(), text: String::new() }),
        }
        assert_eq!(lone.end.count(&Event::Writable(waiting)), 1, "{dialect:?}");
        assert_eq!(lone.end.write(lone.now, waiting, b"x"), 1);
        lone.assert_even_after_the_transport();
    }
}

#[test]
fn a_write_before_the_dial_is_answered_is_woken_by_the_answer() {
    let mut pair = Pair::new(Dialect::Extended);
    let id = pair.open(Role::Acceptor);
    assert_eq!(pair.server.write(pair.now, id, b"early"), 0);
    pair.run();
    assert_eq!(pair.agent.write(pair.now, id, b"early"), 0);
    pair.agent.session.accept(pair.now, id).unwrap();
    pair.agent.poll_events();
    pair.run();
    assert_eq!(pair.server.count(&Event::Writable(id)), 1);
    assert_eq!(pair.agent.count(&Event::Writable(id)), 1);
}

#[test]
fn early_bytes_that_were_read_before_the_accept_are_granted_again() {
    let config = config(|config| config.limits.initial_window = 1024);
    let mut lone = Lone::new(Role::Connector, Dialect::Extended, config);
    let connection = lone.dials(2);
    lone.sends_data(2, &[0; 1024]);
    assert_eq!(lone.end.read(lone.now, connection).len(), 1024);
    lone.end.session.accept(lone.now, connection).unwrap();
    let heard = lone.receives();
    assert!(heard.iter().any(|(_, body)| matches!(body, Body::Credit { .. })), "{heard:?}");
    assert_eq!(lone.end.session.credit(id(2)).unwrap().2, 1024 + 2048);
}

/// P4.5.
#[test]
fn a_half_closed_connection_lives_for_as_long_as_it_is_read() {
    // Toward a remotedialer end, whose sender waits for a Resume while the reader is slow.
    let mut pair = Pair::new(Dialect::Base);
    let id = pair.connect();
    pair.server.finish(pair.now, id);
    let written = pair.stuff(Role::Connector, id, 20 * MIB);
    let mut read = Vec::new();
    while read.len() < written {
        pair.wait(seconds(20));
        let now = pair.now;
        read.extend_from_slice(&pair.server.session.read(now, id, 300_000).unwrap());
        pair.wait(seconds(20));
    }
    assert_same(&read, &pattern(0, written));
    assert_same(&pair.stream(Role::Connector, id, &pattern(0, MIB)), &pattern(0, MIB));
    pair.wait(seconds(31));
    assert_eq!(pair.server.cause(id), Some(Cause::LingerTimeout));
    pair.agent.release(pair.now, id);
    pair.assert_quiet_then_close();
}

/// P5.9.
#[test]
fn a_round_trip_is_measured() {
    for dialect in DIALECTS {
        let mut pair = Pair::new(dialect);
        pair.agent.session.handle_timeout(pair.now);
        pair.send_only(Role::Connector);
        pair.now = pair.now + millis(20);
        pair.deliver(Role::Acceptor);
        pair.send_only(Role::Acceptor);
        pair.now = pair.now + millis(20);
        pair.deliver(Role::Connector);
        assert_eq!(pair.agent.session.rtt(), Some(millis(40)), "{dialect:?}");
    }
}

#[test]
fn a_late_answer_to_an_earlier_ping_measures_nothing() {
    let mut lone = Lone::new(Role::Acceptor, Dialect::Extended, config(|_| {}));
    lone.wait(seconds(11));
    // The third ping, since the first one leaves at once.
    lone.sends(0, Body::Pong { opaque: 2_u64.to_be_bytes() });
    assert_eq!(lone.end.session.rtt(), None);
    lone.sends(0, Body::Pong { opaque: 3_u64.to_be_bytes() });
    assert_eq!(lone.end.session.rtt(), Some(seconds(1)));
    lone.wait(seconds(1));
    lone.sends(0, Body::Pong { opaque: 3_u64.to_be_bytes() });
    assert_eq!(lone.end.session.rtt(), Some(seconds(1)), "twice");
}
