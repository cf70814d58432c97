//! Row Y5 of the list of broken tunnels, and every rule of the protocol: a peer that breaks it ends
//! its own session with the right reason, and makes nothing grow.

use crate::support::{DIALECTS, Lone, TARGET, config, id};
use bytes::Bytes;
use watertight_core::session::ProtocolViolation;
use watertight_core::testkit::Item;
use watertight_core::wire::{
    Body, ClientRoute, Dialect, GoAwayCode, InvalidMessage, ResetCode, Settings,
};
use watertight_core::{Cause, Event, LifecycleViolation, Role, SessionConfig, SessionEnd};

const SETTINGS: Settings =
    Settings { initial_window: 1024, max_data: 1024, max_connections: 100, silence: 0 };

fn extended() -> Lone {
    Lone::new(Role::Acceptor, Dialect::Extended, config(|_| {}))
}

fn base() -> Lone {
    Lone::new(Role::Acceptor, Dialect::Base, config(|_| {}))
}

/// The session has ended by this fault, the remote was sent it, and nothing is held.
#[track_caller]
fn assert_fault(mut lone: Lone, fault: &ProtocolViolation) {
    assert_eq!(lone.fault(), Some(fault));
    let heard = lone.receives();
    if lone.end.session.dialect() == Dialect::Extended {
        let Some((0, Body::GoAway { code, .. })) = heard.last() else { panic!("{heard:?}") };
        let limit = matches!(fault, ProtocolViolation::AnswersUnread(_));
        let expected = if limit { GoAwayCode::LIMIT } else { GoAwayCode::PROTOCOL_ERROR };
        assert_eq!(*code, expected);
    }
    // Later messages have no effect.
    lone.sends(1, Body::Opened);
    lone.sends(0, Body::Settings(SETTINGS));
    assert!(lone.receives().is_empty());
    assert!(lone.end.session.poll_timeout().is_none());
    lone.assert_even_after_the_transport();
}

/// P5.1.
#[test]
fn the_first_message_must_be_settings() {
    let mut lone = Lone::silent(Role::Acceptor, Dialect::Extended, config(|_| {}));
    lone.dials(1);
    assert_fault(lone, &ProtocolViolation::SettingsMissing);
}

/// P5.1.
#[test]
fn the_first_message_may_be_a_farewell() {
    let mut lone = Lone::silent(Role::Acceptor, Dialect::Extended, config(|_| {}));
    let (code, text) = (GoAwayCode::REPLACED, String::from("a newer session"));
    lone.sends(0, Body::GoAway { last: id(0), code, text: text.clone() });
    assert_eq!(lone.end.closed, Some(SessionEnd::RemoteClosed { code, text }));
    lone.assert_even_after_the_transport();

    let mut lone = Lone::silent(Role::Acceptor, Dialect::Extended, config(|_| {}));
    let (code, text) = (GoAwayCode::DRAIN, String::new());
    lone.sends(0, Body::GoAway { last: id(0), code, text });
    assert_fault(lone, &ProtocolViolation::SettingsMissing);
}

/// P5.1.
#[test]
fn settings_come_once() {
    let mut lone = extended();
    lone.sends(0, Body::Settings(SETTINGS));
    assert_fault(lone, &ProtocolViolation::SettingsTwice);
}

/// P5.6.
#[test]
fn settings_grant_dials_that_were_sent_before_them() {
    let mut lone = Lone::silent(Role::Acceptor, Dialect::Extended, config(|_| {}));
    let id = lone.end.session.open(lone.now, TARGET, None).unwrap();
    lone.sends(0, Body::Settings(SETTINGS));
    lone.receives();
    lone.sends(2, Body::Opened);
    assert_eq!(lone.end.write(lone.now, id, &[0; 5000]), 1024);
    let sizes: Vec<_> = lone.receives().iter().map(|(_, body)| format!("{body:?}").len()).collect();
    assert_eq!(sizes.len(), 1);
}

/// P4.1, P5.2.
#[test]
fn an_id_of_ours_is_not_the_peers_to_dial() {
    for number in [0, 2, 4, -1, -2, i64::MIN, i64::MAX - 1] {
        let mut lone = extended();
        lone.dials(number);
        assert_fault(lone, &ProtocolViolation::ForeignId(id(number)));
    }
    for number in [0, -2, -4, i64::MIN] {
        let mut lone = base();
        lone.dials(number);
        assert_fault(lone, &ProtocolViolation::ForeignId(id(number)));
    }
}

/// P4.1, P5.2.
#[test]
fn an_id_is_dialled_once() {
    let mut lone = extended();
    let accepted = lone.accepts(5);
    lone.end.session.reset(lone.now, accepted, ResetCode::CANCELLED, "").unwrap();
    lone.end.poll_events();
    lone.dials(5);
    assert_fault(lone, &ProtocolViolation::ReusedId(id(5)));

    let mut lone = extended();
    lone.dials(5);
    lone.dials(3);
    assert_fault(lone, &ProtocolViolation::ReusedId(id(3)));

    for gone in [false, true] {
        let mut lone = base();
        let accepted = lone.accepts(5);
        lone.dials(3);
        if gone {
            // The application may still hold its handle: it must not find another connection.
            lone.sends(5, Body::Error { text: "EOF".into() });
            assert!(lone.end.retired.contains_key(&accepted));
        }
        lone.dials(5);
        assert_fault(lone, &ProtocolViolation::ReusedId(id(5)));
    }
}

/// P5.2.
#[test]
fn the_last_id_of_all_can_be_dialled() {
    for dialect in DIALECTS {
        let mut lone = Lone::new(Role::Acceptor, dialect, config(|_| {}));
        let last = lone.accepts(i64::MAX);
        lone.sends_data(i64::MAX, b"x");
        assert_eq!(lone.end.read(lone.now, last), b"x", "{dialect:?}");
        lone.wait(crate::support::seconds(25));
        lone.assert_even_after_the_transport();
    }
}

/// One of each message of a connection.
fn bodies() -> [Body; 5] {
    [
        Body::Opened,
        Body::Finish,
        Body::Credit { bytes: 1 },
        Body::Reset { code: ResetCode::CANCELLED, text: String::new() },
        Body::Data { deadline: 0, payload: Bytes::from_static(b"x") },
    ]
}

/// P5.3.
#[test]
fn answers_to_a_dial_that_has_not_left_are_a_fault() {
    for body in bodies() {
        let mut lone = extended();
        let id = lone.end.session.open(lone.now, TARGET, None).unwrap();
        lone.sends(id.get(), body);
        assert_fault(lone, &ProtocolViolation::NeverOpened(id));
    }
}

/// P5.3.
#[test]
fn messages_for_connections_that_never_were_are_a_fault() {
    for body in bodies() {
        for number in [0, 1, 2, 7, -1, i64::MAX, i64::MIN] {
            let mut lone = extended();
            lone.sends(number, body.clone());
            assert_fault(lone, &ProtocolViolation::NeverOpened(id(number)));
        }
    }
}

/// P5.3.
#[test]
fn messages_that_crossed_with_the_end_are_dropped_silently() {
    let mut lone = extended();
    let accepted = lone.accepts(1);
    lone.end.session.reset(lone.now, accepted, ResetCode::CANCELLED, "").unwrap();
    lone.receives();
    lone.sends_data(1, b"late");
    lone.sends(1, Body::Credit { bytes: 5 });
    lone.sends(1, Body::Finish);
    lone.sends(1, Body::Reset { code: ResetCode::CANCELLED, text: String::new() });
    assert!(lone.fault().is_none());
    assert!(lone.receives().is_empty());
    lone.assert_even_after_the_transport();
}

/// P5.6.
#[test]
fn data_keeps_to_the_credit() {
    let mut lone = Lone::new(
        Role::Acceptor,
        Dialect::Extended,
        config(|config| config.limits.initial_window = 2048),
    );
    lone.accepts(1);
    lone.sends_data(1, &[0; 2048]);
    assert!(lone.fault().is_none());
    lone.sends_data(1, &[0; 1]);
    assert_eq!(lone.end.read(lone.now, id(1)), [0; 2048], "what was within it is kept");
    assert_eq!(lone.end.cause(id(1)), Some(Cause::SessionEnded));
    assert_fault(lone, &ProtocolViolation::CreditExceeded(id(1)));
}

/// P5.6.
#[test]
fn data_keeps_to_the_largest_message() {
    let mut lone = extended();
    lone.accepts(1);
    let max = SessionConfig::default().limits.max_data;
    lone.sends_data(1, &vec![0; max]);
    assert!(lone.fault().is_none());
    lone.sends_data(1, &vec![0; max + 1]);
    assert_fault(lone, &ProtocolViolation::DataTooLong(id(1)));
}

/// P5.6.
#[test]
fn credit_does_not_overflow() {
    let mut lone = extended();
    lone.accepts(1);
    let most = u64::try_from(i64::MAX).unwrap();
    lone.sends(1, Body::Credit { bytes: most });
    assert_eq!(lone.end.write(lone.now, id(1), &[0; 100]), 100);
    lone.sends(1, Body::Credit { bytes: most });
    assert_fault(lone, &ProtocolViolation::CreditOverflow(id(1)));
}

/// P5.5.
#[test]
fn nothing_follows_a_finish() {
    for body in [Body::Finish, Body::Data { deadline: 0, payload: Bytes::from_static(b"x") }] {
        for accept_first in [false, true] {
            let mut lone = extended();
            lone.dials(1);
            if accept_first {
                lone.end.session.accept(lone.now, id(1)).unwrap();
            }
            lone.sends(1, Body::Finish);
            lone.sends(1, body.clone());
            let violation = LifecycleViolation::AfterFinish;
            assert_fault(lone, &ProtocolViolation::Lifecycle { id: id(1), violation });
        }
    }
}

/// P5.5.
#[test]
fn nothing_precedes_an_opened() {
    for body in [Body::Finish, Body::Data { deadline: 0, payload: Bytes::from_static(b"x") }] {
        let mut lone = extended();
        lone.end.session.open(lone.now, TARGET, None).unwrap();
        lone.receives();
        lone.sends(2, body);
        let violation = LifecycleViolation::BeforeOpened;
        assert_fault(lone, &ProtocolViolation::Lifecycle { id: id(2), violation });
    }
}

/// P5.5.
#[test]
fn an_end_does_not_open_what_it_dialled_itself() {
    let mut lone = extended();
    lone.dials(1);
    lone.sends(1, Body::Opened);
    let violation = LifecycleViolation::UnexpectedOpened;
    assert_fault(lone, &ProtocolViolation::Lifecycle { id: id(1), violation });
}

/// P5.17.
#[test]
fn messages_of_the_base_dialect_are_a_fault_between_ends_of_ours() {
    let bodies = [
        (Body::Error { text: "EOF".into() }, "Error"),
        (Body::Pause, "Pause and Resume"),
        (Body::Resume, "Pause and Resume"),
        (Body::SyncConnections { ids: Vec::new() }, "SyncConnections"),
    ];
    for (body, name) in bodies {
        let mut lone = extended();
        lone.accepts(1);
        lone.sends(1, body);
        assert_fault(lone, &ProtocolViolation::NotAllowed(name));
    }
}

/// P2.2.
#[test]
fn what_a_go_end_does_not_know_it_ignores() {
    let mut lone = base();
    lone.accepts(1);
    for body in [Body::Opened, Body::Finish, Body::Credit { bytes: 1 }, Body::Settings(SETTINGS)] {
        lone.sends(1, body);
    }
    lone.sends(1, Body::Unknown { kind: 1000 });
    assert!(lone.fault().is_none());
    assert!(lone.receives().is_empty());
}

/// P2.1.
#[test]
fn bytes_that_are_no_message_end_the_session() {
    for dialect in DIALECTS {
        let mut lone = Lone::new(Role::Acceptor, dialect, config(|_| {}));
        lone.end.take(lone.now, Item::Message(Bytes::from_static(&[0x80])));
        let Some(ProtocolViolation::InvalidMessage(_)) = lone.fault() else { panic!() };
        lone.assert_even_after_the_transport();
    }
    let mut lone = extended();
    lone.end.session.handle_invalid_transport(lone.now, "a text message");
    lone.end.poll_events();
    assert_fault(lone, &ProtocolViolation::InvalidTransport("a text message".into()));
}

/// P2.3.
#[test]
fn y5_an_oversized_first_message_ends_the_session() {
    let config = config(|config| config.limits.max_message = 100_000);
    let mut lone = Lone::silent(Role::Acceptor, Dialect::Extended, config);
    let too_long = Bytes::from(vec![0; 1 << 20]);
    lone.end.take(lone.now, Item::Message(too_long));
    let fault = InvalidMessage::TooLong { length: 1 << 20, limit: 100_000 };
    assert_fault(lone, &ProtocolViolation::InvalidMessage(fault));
}

/// P5.13.
#[test]
fn y5_answers_that_nobody_reads_are_bounded() {
    let config = config(|config| {
        config.limits.max_queued_control = 50;
        config.limits.max_connections = 10;
    });
    // Dials beyond the limit, each of which is refused.
    let mut lone = Lone::new(Role::Acceptor, Dialect::Extended, config.clone());
    lone.end.takes = false;
    let mut number = 1;
    while lone.fault().is_none() {
        lone.dials(number);
        number += 2;
        assert!(lone.end.session.ledger().queued_control <= 52);
    }
    lone.end.takes = true;
    assert_fault(lone, &ProtocolViolation::AnswersUnread(51));

    // Data for connections that are not there.
    let mut lone = Lone::new(Role::Acceptor, Dialect::Base, config);
    lone.end.takes = false;
    let mut number = 1;
    while lone.fault().is_none() {
        lone.sends_data(number, b"x");
        number += 1;
        assert!(lone.end.session.ledger().queued_control <= 52);
    }
    lone.end.takes = true;
    assert_fault(lone, &ProtocolViolation::AnswersUnread(51));
}

/// P5.9, P5.13.
#[test]
fn y5_pings_that_nobody_reads_the_answers_of_make_nothing_grow() {
    let mut lone = extended();
    lone.end.takes = false;
    for number in 0..10_000_u64 {
        lone.sends(0, Body::Ping { opaque: number.to_be_bytes() });
    }
    assert_eq!(lone.end.session.ledger().queued_control, 1);
    lone.end.takes = true;
    assert_eq!(lone.receives(), [(0, Body::Pong { opaque: 9999_u64.to_be_bytes() })]);
}

/// P5.13.
#[test]
fn announcements_of_our_own_are_not_held_against_the_peer() {
    for dialect in DIALECTS {
        let config = config(|config| {
            config.limits.max_queued_control = 50;
            config.limits.max_connections = 10;
        });
        let mut lone = Lone::new(Role::Connector, dialect, config);
        lone.end.takes = false;
        for number in 0..100 {
            let route = ClientRoute { client_key: format!("agent-{number}"), session_key: 1 };
            lone.end.session.announce(lone.now, route, true).unwrap();
        }
        lone.dials(2);
        assert!(lone.fault().is_none(), "{dialect:?}: {:?}", lone.fault());
        lone.end.takes = true;
        assert_eq!(lone.receives().len(), 100);
        lone.assert_even_after_the_transport();
    }
}

#[test]
fn announcements_of_the_same_client_do_not_pile_up() {
    let mut lone = Lone::new(Role::Connector, Dialect::Base, config(|_| {}));
    let route = ClientRoute { client_key: "agent".into(), session_key: 1 };
    lone.end.takes = false;
    for round in 0..1001 {
        lone.end.session.announce(lone.now, route.clone(), round % 2 == 0).unwrap();
    }
    lone.end.takes = true;
    assert_eq!(lone.receives(), [(0, Body::AddClient(route))]);
}

/// P4.11.
#[test]
fn data_for_the_same_missing_connection_is_answered_once() {
    let mut lone = base();
    lone.end.takes = false;
    for _ in 0..1000 {
        lone.sends_data(7, b"x");
        lone.sends_data(9, b"x");
    }
    assert_eq!(lone.end.session.ledger().queued_control, 2);
    lone.end.takes = true;
    let error = |number| (number, Body::Error { text: "connection not found".into() });
    assert_eq!(lone.receives(), [error(7), error(9)]);
}

/// P4.11.
#[test]
fn data_for_a_connection_of_ours_that_is_gone_is_not_answered() {
    let mut lone = base();
    let ours = lone.end.session.open(lone.now, TARGET, None).unwrap();
    lone.receives();
    lone.end.release(lone.now, ours);
    lone.receives();
    lone.sends_data(ours.get(), b"late");
    assert!(lone.receives().is_empty(), "it has the answer already");
}

/// P4.4.
#[test]
fn an_error_is_answered_once_and_its_echo_not_at_all() {
    let mut lone = base();
    lone.accepts(1);
    let error = Body::Error { text: "connection reset".into() };
    lone.sends(1, error.clone());
    assert_eq!(lone.receives(), [(1, error.clone())]);
    lone.sends(1, error);
    lone.sends(1, Body::Error { text: "EOF".into() });
    assert!(lone.receives().is_empty());
    assert_eq!(lone.end.retired[&id(1)].text, "connection reset");
    assert!(!lone.end.retired[&id(1)].complete);
    lone.assert_even_after_the_transport();
}

/// P6.2.
#[test]
fn routes_are_taken_from_trusted_ends_only() {
    let route = ClientRoute { client_key: "a/b".into(), session_key: 7 };
    for trusted in [false, true] {
        let mut lone = base();
        if trusted {
            lone.end.session.trust_routes();
        }
        lone.sends(0, Body::AddClient(route.clone()));
        lone.sends(0, Body::RemoveClient(route.clone()));
        let expected = usize::from(trusted);
        assert_eq!(lone.end.count(&Event::ClientAdded(route.clone())), expected);
        assert_eq!(lone.end.count(&Event::ClientRemoved(route.clone())), expected);
    }
}

/// P5.1.
#[test]
fn settings_out_of_range_in_the_configuration_do_not_reach_the_peer() {
    let config = config(|config| {
        config.limits.initial_window = 10;
        config.limits.max_data = 10 << 20;
        config.limits.max_connections = 0;
        config.limits.max_message = 1;
        config.limits.send_buffer = 0;
        config.limits.send_budget = 0;
    });
    let mut lone = Lone::silent(Role::Connector, Dialect::Extended, config);
    let heard = lone.receives();
    let [(0, Body::Settings(settings))] = heard.as_slice() else { panic!("{heard:?}") };
    settings.check().unwrap();
    // The announced limits hold.
    lone.sends(0, Body::Settings(SETTINGS));
    let accepted = lone.accepts(2);
    let granted = usize::try_from(settings.initial_window).unwrap();
    lone.sends_data(2, &vec![0; granted]);
    assert!(lone.fault().is_none(), "{:?}", lone.fault());
    assert_eq!(lone.end.read(lone.now, accepted).len(), granted);
    // And the own messages have capacity.
    assert_eq!(lone.end.write(lone.now, accepted, b"xy"), 1);
}

/// The server passes on what its users ask for: one of them must not end the session of all.
/// P4.3, P5.14.
#[test]
fn a_target_that_cannot_be_read_is_one_refused_dial() {
    let long = [b"tcp/".as_slice(), &[b'a'; 1100]].concat();
    let raw = |number: i64, target: &[u8]| {
        let connect = Body::Connect { deadline: 0, target: String::new() };
        let head = watertight_core::wire::Message::new(id(number), connect).encode().to_bytes();
        Item::Message([&head, target].concat().into())
    };
    for dialect in DIALECTS {
        for target in [long.as_slice(), b"tcp/\xff:80"] {
            let mut lone = Lone::new(Role::Acceptor, dialect, config(|_| {}));
            let open = lone.accepts(1);
            lone.end.take(lone.now, raw(3, target));
            assert_eq!(lone.fault(), None);
            let heard = lone.receives();
            let [(3, Body::Reset { text, .. } | Body::Error { text })] = heard.as_slice() else {
                panic!("{heard:?}")
            };
            assert!(text.starts_with("the target"), "{text}");
            lone.sends_data(1, b"x");
            assert_eq!(lone.end.read(lone.now, open), b"x");
            // The number is used up, and only the peer's own numbers are answered.
            lone.end.take(lone.now, raw(3, target));
            assert_fault(lone, &ProtocolViolation::ReusedId(id(3)));
        }
    }
    let mut lone = Lone::silent(Role::Acceptor, Dialect::Extended, config(|_| {}));
    lone.end.take(lone.now, raw(1, &long));
    assert_fault(lone, &ProtocolViolation::SettingsMissing);
}

#[test]
fn texts_of_answers_that_nobody_reads_get_short() {
    for dialect in DIALECTS {
        let mut lone = Lone::new(Role::Acceptor, dialect, config(|_| {}));
        lone.end.takes = false;
        for number in (1..).step_by(2).take(3000) {
            let dialled = lone.dials(number);
            let text = "é".repeat(400);
            lone.end.session.refuse(lone.now, dialled, ResetCode::DIAL_FAILED, &text).unwrap();
        }
        lone.end.takes = true;
        let texts = lone.receives().into_iter().map(|(_, body)| match body {
            Body::Reset { text, .. } | Body::Error { text } => text.len(),
            other => panic!("{other:?}"),
        });
        let texts: Vec<_> = texts.collect();
        assert_eq!(texts.len(), 3000);
        let first = if dialect == Dialect::Extended { 800 } else { 100 };
        assert_eq!(texts[0], first, "{dialect:?}");
        assert!(texts.iter().sum::<usize>() < 1025 * 1024 + 2000 * 100);
        assert_eq!(texts[2999], 100, "cut, not dropped");
    }
}

#[test]
fn what_lags_far_behind_is_copied_out_of_the_read_buffers() {
    let mut lone = Lone::new(
        Role::Acceptor,
        Dialect::Extended,
        config(|config| config.limits.initial_window = 1 << 20),
    );
    let message = |number: i64| {
        let data = Body::Data { deadline: 0, payload: Bytes::new() };
        let head = watertight_core::wire::Message::new(id(number), data).encode().to_bytes();
        Bytes::from([&head[..], &[7; 8 << 10]].concat())
    };
    let mut pinned = 0;
    for number in (1..).step_by(2).take(10) {
        lone.accepts(number);
        for _ in 0..128 {
            let message = message(number);
            lone.end.take(lone.now, Item::Message(message.clone()));
            pinned += if message.is_unique() { 0 } else { message.len() };
        }
    }
    assert!(lone.fault().is_none());
    assert_eq!(lone.end.session.ledger().bytes_received, 10 << 20);
    assert!((1 << 20..2 << 20).contains(&pinned), "{pinned}");
}

/// P6.1.
#[test]
fn a_route_that_replaces_another_is_announced_first() {
    let route = |session_key: i64| ClientRoute { client_key: "agent".into(), session_key };
    let mut lone = Lone::new(Role::Connector, Dialect::Base, config(|_| {}));
    lone.end.session.announce(lone.now, route(1), true).unwrap();
    assert_eq!(lone.receives(), [(0, Body::AddClient(route(1)))]);
    lone.end.takes = false;
    for session_key in 1..10_000 {
        lone.end.session.announce(lone.now, route(session_key + 1), true).unwrap();
        lone.end.session.announce(lone.now, route(session_key), false).unwrap();
    }
    lone.end.takes = true;
    let heard = lone.receives();
    assert_eq!(heard, [(0, Body::AddClient(route(10_000))), (0, Body::RemoveClient(route(1)))]);
}

/// P2.3.
#[test]
fn the_longest_data_that_is_allowed_is_never_too_long_a_message() {
    let config = config(|config| {
        config.limits.max_data = 4096;
        config.limits.max_message = 1;
    });
    let mut lone = Lone::new(Role::Acceptor, Dialect::Extended, config);
    let id = lone.accepts(1);
    lone.sends_data(1, &[7; 4096]);
    assert_eq!(lone.end.closed, None);
    assert_eq!(lone.end.read(lone.now, id).len(), 4096);
}
