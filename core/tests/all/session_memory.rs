//! Row S10: sessions of an end that is short of memory.

use crate::support::{DIALECTS, Lone, Pair, assert_same, config, pattern};
use watertight_core::session::WriteError;
use watertight_core::wire::{Body, Dialect, ResetCode};
use watertight_core::{Cause, Event, Limits, Role};

const MIB: usize = 1 << 20;

/// What an end lets the other one send before anything is read.
fn taken_unread(pair: &mut Pair) -> usize {
    let id = pair.connect();
    let sent = pair.stuff(Role::Connector, id, 4 * MIB);
    assert_same(&pair.server.read(pair.now, id), &pattern(0, sent));
    pair.run();
    sent
}

#[test]
fn s10_windows_go_back_and_grow_again() {
    let first = usize::try_from(Limits::default().initial_window).unwrap();
    let room = Limits::default().send_buffer;
    let mut pair = Pair::new(Dialect::Extended);
    let id = pair.connect();
    pair.stream(Role::Connector, id, &pattern(0, 16 * MIB));
    let grown = pair.stuff(Role::Connector, id, 4 * MIB);
    assert!(grown > MIB / 2, "the window has grown: {grown}");
    pair.server.session.set_short_of_memory(pair.now, true);
    assert_same(&pair.server.read(pair.now, id), &pattern(0, grown));
    pair.run();
    // What waited at the sender comes first.
    pair.server.read(pair.now, id);
    pair.run();
    pair.stuff(Role::Connector, id, 4 * MIB);
    assert!(pair.server.session.ledger().bytes_received <= first as u64);
    // A connection that begins now has as much, and all continue.
    assert!(taken_unread(&mut pair) <= first + room);
    let other = pair.connect();
    assert_same(&pair.stream(Role::Connector, other, &pattern(0, MIB)), &pattern(0, MIB));
    pair.server.session.set_short_of_memory(pair.now, false);
    pair.stream(Role::Connector, other, &pattern(0, 16 * MIB));
    assert!(pair.stuff(Role::Connector, other, 4 * MIB) > MIB / 2);
}

#[test]
fn s10_applications_have_room_for_one_message_in_each_connection() {
    for dialect in DIALECTS {
        let mut pair = Pair::new(dialect);
        let ids = [(); 8].map(|()| pair.connect());
        pair.agent.takes = false;
        pair.agent.session.set_short_of_memory(pair.now, true);
        for id in ids {
            let written = pair.agent.write(pair.now, id, &pattern(0, MIB));
            assert_eq!(written, Limits::default().max_data, "{dialect:?}");
            let mut more = bytes::Bytes::from_static(b"more");
            let blocked = pair.agent.session.write(pair.now, id, &mut more);
            assert_eq!(blocked, Err(WriteError::Blocked));
        }
        // Nobody reads the first one, and the others continue.
        pair.agent.takes = true;
        pair.run();
        for id in &ids[1..] {
            assert_eq!(pair.agent.count(&Event::Writable(*id)), 1, "{dialect:?} {id}");
            pair.server.read(pair.now, *id);
            assert_same(&pair.stream(Role::Connector, *id, &pattern(0, MIB)), &pattern(0, MIB));
        }
        pair.agent.session.set_short_of_memory(pair.now, false);
        assert!(pair.agent.write(pair.now, ids[0], &pattern(0, MIB)) > 0);
    }
}

#[test]
fn s10_a_remotedialer_end_is_paused_sooner() {
    let mut lone = Lone::new(Role::Acceptor, Dialect::Base, config(|_| {}));
    let id = lone.accepts(1);
    lone.sends_data(1, &vec![1; MIB / 2]);
    assert!(lone.receives().is_empty());
    lone.end.session.set_short_of_memory(lone.now, true);
    lone.sends_data(1, &[1]);
    assert_eq!(lone.receives(), [(1, Body::Pause)]);
    lone.end.session.set_short_of_memory(lone.now, false);
    lone.end.read(lone.now, id);
    assert_eq!(lone.receives(), [(1, Body::Resume)]);
}

#[test]
fn s10_the_connection_that_holds_the_most_can_go() {
    for dialect in DIALECTS {
        let mut pair = Pair::new(dialect);
        let [little, much, nothing] = [(); 3].map(|()| pair.connect());
        assert_eq!(pair.server.session.most_unread(), None);
        pair.stuff(Role::Connector, little, 1000);
        pair.stuff(Role::Connector, much, 20_000);
        assert_eq!(pair.server.session.most_unread(), Some((much, 20_000)), "{dialect:?}");
        // It is gone also where the remote has finished, and nobody takes it for a whole one.
        pair.agent.finish(pair.now, much);
        pair.run();
        pair.server.session.reset(pair.now, much, ResetCode::LIMIT, "too much").unwrap();
        pair.run();
        assert_eq!(pair.server.session.most_unread(), Some((little, 1000)), "{dialect:?}");
        assert_eq!(pair.server.session.ledger().bytes_received, 1000);
        assert_eq!(pair.server.cause(much), Some(Cause::Aborted));
        assert!(!pair.server.retired[&much].complete);
        let mut more = bytes::Bytes::from_static(b"x");
        assert_eq!(pair.agent.session.write(pair.now, nothing, &mut more), Ok(1));
        assert_ne!(pair.agent.session.write(pair.now, little, &mut more), Err(WriteError::Unknown));
    }
}
