//! Row R9 of the list of broken tunnels: reconciliation finds what leaked, and nothing else.

use crate::support::{DIALECTS, Lone, Pair, TARGET, assert_same, config, id, pattern, seconds};
use watertight_core::wire::{Body, Dialect, ResetCode};
use watertight_core::{Cause, ConnectionId, Role};

fn list_of(heard: &[(i64, Body)]) -> Option<Vec<i64>> {
    heard.iter().find_map(|(_, body)| match body {
        Body::SyncConnections { ids } | Body::Sync { ids, .. } => {
            Some(ids.iter().map(|id| id.get()).collect())
        }
        _ => None,
    })
}

/// Waits until the session has sent its list.
fn next_list(lone: &mut Lone) -> Vec<i64> {
    for _ in 0..70 {
        lone.now = lone.now + seconds(1);
        lone.end.session.handle_transport_ping(lone.now);
        lone.end.session.handle_timeout(lone.now);
        lone.end.poll_events();
        if let Some(list) = list_of(&lone.receives()) {
            return list;
        }
    }
    panic!("no list");
}

/// The connector sends its list every 20 seconds, and answers pings at once.
fn lists(lone: &mut Lone, numbers: &[i64], times: usize) {
    for _ in 0..times {
        late_lists(lone, numbers, 1);
        lone.answer_pings();
    }
}

/// The same of one whose answers stand behind minutes of data.
fn late_lists(lone: &mut Lone, numbers: &[i64], times: usize) {
    for _ in 0..times {
        lone.sends(0, Body::SyncConnections { ids: ids(numbers) });
        lone.wait(seconds(20));
    }
}

fn ids(numbers: &[i64]) -> Vec<ConnectionId> {
    numbers.iter().map(|number| id(*number)).collect()
}

/// P5.11.
#[test]
fn two_right_ends_never_lose_a_connection_to_reconciliation() {
    for dialect in DIALECTS {
        let config = config(|config| config.timing.reconcile = seconds(1));
        let mut pair = Pair::with(dialect, config);
        let open = pair.connect();
        let dialling = pair.open(Role::Connector);
        let halves = pair.connect();
        pair.agent.finish(pair.now, halves);
        pair.server.write(pair.now, halves, b"unread");
        pair.wait(seconds(10));
        let unread = pair.connect();
        pair.agent.write(pair.now, unread, b"unread");
        pair.run();
        pair.agent.finish(pair.now, unread);
        pair.agent.release(pair.now, unread);
        pair.wait(seconds(4));
        for end in [&pair.agent, &pair.server] {
            assert!(!end.retired.values().any(|end| end.cause == Cause::NotListed), "{dialect:?}");
        }
        pair.server.session.accept(pair.now, dialling).unwrap();
        pair.wait(seconds(5));
        assert_same(&pair.stream(Role::Acceptor, open, &pattern(0, 1000)), &pattern(0, 1000));
        assert_eq!(pair.agent.read(pair.now, halves), b"unread");
        assert_eq!(pair.server.read(pair.now, unread), b"unread");
    }
}

/// P4.12.
#[test]
fn r9_a_go_acceptor_is_told_to_keep_the_dials_that_are_on_their_way() {
    let mut lone = Lone::new(Role::Connector, Dialect::Base, config(|_| {}));
    lone.accepts(2);
    lone.accepts(3);
    let list = next_list(&mut lone);
    // Go takes its ids one after another: 4, 5, … may be in flight.
    for number in [2, 3, 4, 5, 100, 500] {
        assert!(list.contains(&number), "{number}");
    }
    assert!(list.is_sorted());
}

/// P4.12.
#[test]
fn r9_as_many_dials_are_kept_as_came_since_the_last_list() {
    let mut lone = Lone::new(Role::Connector, Dialect::Base, config(|_| {}));
    let mut newest = 1;
    for (dials, listed) in [(1, 512), (3000, 3000), (513, 513), (1, 512), (10_000, 4096)] {
        for _ in 0..dials {
            newest += 1;
            let accepted = lone.accepts(newest);
            lone.end.release(lone.now, accepted);
            lone.receives();
        }
        let list = next_list(&mut lone);
        let after: Vec<_> = (newest + 1..=newest + listed).collect();
        assert!(list.ends_with(&after), "{} after {newest}", list.len());
        assert!(list.len() <= after.len() + 1, "and the one that nobody used");
    }
    assert_eq!(next_list(&mut lone).len(), 512, "nothing came");
}

/// P4.12.
#[test]
fn r9_a_dial_that_a_later_one_has_overtaken_is_kept() {
    let mut lone = Lone::new(Role::Connector, Dialect::Base, config(|_| {}));
    for number in [1000, 1001, 1003] {
        let accepted = lone.accepts(number);
        if number == 1001 {
            lone.end.release(lone.now, accepted);
            lone.receives();
        }
    }
    let list = next_list(&mut lone);
    assert!(list.contains(&1002), "it is behind 1003 on its way");
    assert!(!list.contains(&1001), "it was here and is gone");
}

/// P4.12.
#[test]
fn r9_a_go_connector_must_leave_a_connection_out_for_longer_than_a_message_can_take() {
    let mut lone = Lone::new(Role::Acceptor, Dialect::Base, config(|_| {}));
    // The list was taken before these Connects, of either end, were heard.
    let theirs = lone.accepts(1);
    let ours = lone.end.session.open(lone.now, TARGET, None).unwrap();
    lone.receives();
    lists(&mut lone, &[], 4);
    assert!(lone.end.retired.is_empty());
    lists(&mut lone, &[1, -2], 1);
    lists(&mut lone, &[-2], 4);
    assert!(lone.end.retired.is_empty(), "the list before had it");
    lists(&mut lone, &[-2, 77], 1);
    assert_eq!(lone.end.cause(theirs), Some(Cause::NotListed));
    assert_eq!(lone.end.cause(ours), None);
    lone.assert_even_after_the_transport();
}

/// A session on a slow link lives for as long as its queue moves: its lists may be minutes old.
/// P4.12.
#[test]
fn n3_a_list_counts_once_it_must_be_newer_than_the_connect() {
    let mut lone = Lone::new(Role::Acceptor, Dialect::Base, config(|_| {}));
    let ours = lone.end.session.open(lone.now, TARGET, None).unwrap();
    lone.receives();
    late_lists(&mut lone, &[], 10);
    assert_eq!((lone.end.cause(ours), &lone.end.closed), (None, &None));
    lone.answer_pings();
    lists(&mut lone, &[], 3);
    assert_eq!(lone.end.cause(ours), None);
    lists(&mut lone, &[], 1);
    assert_eq!(lone.end.cause(ours), Some(Cause::NotListed));
}

/// P4.12.
#[test]
fn r9_a_dial_that_has_not_left_yet_is_not_missed() {
    let config = config(|config| config.timing.stall = seconds(1000));
    let mut lone = Lone::new(Role::Acceptor, Dialect::Base, config);
    lone.end.takes = false;
    let ours = lone.end.session.open(lone.now, TARGET, None).unwrap();
    lists(&mut lone, &[], 10);
    assert_eq!(lone.end.cause(ours), None);
    assert_eq!(lone.end.closed, None);
}

/// P4.12.
#[test]
fn an_order_of_the_list_is_not_relied_upon() {
    let mut lone = Lone::new(Role::Acceptor, Dialect::Base, config(|_| {}));
    for number in 1..=3 {
        lone.accepts(number);
    }
    // Written by hand: our own encoder sorts.
    let mut message = vec![0, 0, 16];
    for number in [3_i64, 1, 2] {
        message.extend_from_slice(&number.to_le_bytes());
    }
    for _ in 0..10 {
        lone.end.take(lone.now, watertight_core::testkit::Item::Message(message.clone().into()));
        lone.wait(seconds(20));
    }
    assert!(lone.end.retired.is_empty());
    assert_eq!(lone.end.closed, None);
}

/// P4.12, P5.11.
#[test]
fn a_connection_that_only_one_end_has_is_closed() {
    let mut lone = Lone::new(Role::Acceptor, Dialect::Extended, config(|_| {}));
    let theirs = lone.accepts(1);
    let ours = lone.end.session.open(lone.now, TARGET, None).unwrap();
    lone.receives();
    lone.sends(2, Body::Opened);
    lone.sends_data(1, b"unread");
    lone.sends(0, Body::Sync { newest: id(2), ids: Vec::new() });
    assert_eq!(lone.end.cause(ours), Some(Cause::NotListed));
    assert_eq!(lone.end.cause(theirs), None, "its bytes can be read");
    assert_eq!(lone.end.read(lone.now, theirs), b"unread");
    assert_eq!(lone.end.cause(theirs), Some(Cause::NotListed));
    lone.assert_even_after_the_transport();
}

/// P5.11.
#[test]
fn a_dial_that_the_other_end_has_not_heard_of_yet_is_not_missed() {
    let mut lone = Lone::new(Role::Acceptor, Dialect::Extended, config(|_| {}));
    let ours = lone.end.session.open(lone.now, TARGET, None).unwrap();
    lone.receives();
    lone.sends(0, Body::Sync { newest: id(0), ids: Vec::new() });
    assert_eq!(lone.end.cause(ours), None);
}

/// P5.11.
#[test]
fn a_connection_that_is_complete_waits_for_its_reader_whatever_the_list_says() {
    let mut lone = Lone::new(Role::Acceptor, Dialect::Extended, config(|_| {}));
    let theirs = lone.accepts(1);
    lone.sends_data(1, b"the end");
    lone.sends(1, Body::Finish);
    lone.end.finish(lone.now, theirs);
    lone.receives();
    lone.sends(0, Body::Sync { newest: id(0), ids: Vec::new() });
    assert_eq!(lone.end.read(lone.now, theirs), b"the end");
    assert_eq!(lone.end.cause(theirs), Some(Cause::Finished));
}

#[test]
fn lists_without_end_over_a_connection_that_nobody_reads_are_survived() {
    let mut lone = Lone::new(Role::Acceptor, Dialect::Base, config(|_| {}));
    let theirs = lone.accepts(1);
    lone.sends_data(1, b"unread");
    lone.sends(1, Body::Error { text: "EOF".into() });
    lists(&mut lone, &[], 1000);
    assert_eq!(lone.end.closed, None);
    assert_eq!(lone.end.read(lone.now, theirs), b"unread");
    lone.assert_even_after_the_transport();
}

#[test]
fn an_end_that_has_lost_everything_says_so() {
    for dialect in DIALECTS {
        let mut lone = Lone::new(Role::Connector, dialect, config(|_| {}));
        let gone = lone.accepts(2);
        lone.end.session.reset(lone.now, gone, ResetCode::CANCELLED, "").unwrap();
        lone.end.poll_events();
        lone.receives();
        // The remote may have leaked it all the same, and this is how it learns.
        let list = next_list(&mut lone);
        assert!(!list.contains(&2), "{dialect:?}");
    }
}

#[test]
fn an_end_that_never_had_a_connection_says_nothing() {
    for dialect in DIALECTS {
        let mut lone = Lone::new(Role::Connector, dialect, config(|_| {}));
        for _ in 0..100 {
            lone.now = lone.now + seconds(5);
            lone.end.session.handle_transport_ping(lone.now);
            lone.end.session.handle_timeout(lone.now);
            assert_eq!(list_of(&lone.receives()), None);
        }
    }
}
