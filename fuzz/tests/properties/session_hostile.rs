//! One session, and a remote that sends anything: messages at the wrong time, with the wrong ids and sizes,
//! or bytes that are no message. It never panics, holds no more than it may, and ends with nothing left.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use watertight_core::session::ProtocolViolation;
use watertight_core::wire::Dialect;
use watertight_core::wire::ResetCode;
use watertight_core::{Cause, Role, SessionEnd};
use watertight_fuzz::session_hostile::{
    Command, List, Pace, RemoteMessage, Scenario, Size, Step, Text, Whom, play, run,
};

fn whom() -> impl Strategy<Value = Whom> {
    let extreme = prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(0), Just(i64::MAX - 1)];
    prop_oneof![
        3 => any::<u8>().prop_map(Whom::Known),
        1 => Just(Whom::Next),
        1 => Just(Whom::Session),
        1 => (-6..12_i64).prop_map(Whom::Any),
        1 => extreme.prop_map(Whom::Any),
        1 => any::<u8>().prop_map(Whom::Later),
    ]
}

fn text() -> impl Strategy<Value = Text> {
    prop_oneof![2 => Just(Text::EOF), 3 => any::<u8>().prop_map(Text)]
}

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![-3..20_i64, any::<i64>()]
}

fn list() -> impl Strategy<Value = List> {
    (any::<u8>(), vec(number(), 0..20)).prop_map(|(known, others)| List { known, others })
}

fn dial() -> impl Strategy<Value = RemoteMessage> {
    Just(RemoteMessage::Connect { deadline: 0, target: Text::TARGET })
}

fn of_connections() -> impl Strategy<Value = RemoteMessage> {
    let length = prop_oneof![40 => 0..1025_u16, 1 => 0..20_000_u16];
    let bytes = prop_oneof![3 => 1..5000_u64, 1 => Just(i64::MAX.cast_unsigned())];
    prop_oneof![
        30 => length.prop_map(|length| RemoteMessage::Data { length }),
        3 => text().prop_map(|text| RemoteMessage::Error { text }),
        4 => Just(RemoteMessage::Pause),
        4 => Just(RemoteMessage::Resume),
        4 => Just(RemoteMessage::Opened),
        2 => Just(RemoteMessage::Finish),
        2 => (any::<u16>(), text()).prop_map(|(code, text)| RemoteMessage::Reset { code: code.into(), text }),
        8 => bytes.prop_map(|bytes| RemoteMessage::Credit { bytes }),
    ]
}

fn of_sessions() -> impl Strategy<Value = RemoteMessage> {
    let route = ((0..50_u8).prop_map(Text), any::<i64>());
    let settings = (1024..9000_u16, 1024..9000_u16, 1..20_u8, any::<u8>()).prop_map(
        |(initial_window, max_data, max_connections, silence)| RemoteMessage::Settings {
            initial_window,
            max_data,
            max_connections,
            silence,
        },
    );
    let go_away = (whom(), 0..3_u64, text()).prop_map(|(last, code, text)| RemoteMessage::GoAway {
        last,
        code,
        text,
    });
    prop_oneof![
        1 => route.clone().prop_map(|(key, session_key)| RemoteMessage::AddClient { key, session_key }),
        1 => route.prop_map(|(key, session_key)| RemoteMessage::RemoveClient { key, session_key }),
        2 => list().prop_map(RemoteMessage::SyncConnections),
        1 => settings,
        1 => go_away,
        1 => any::<u8>().prop_map(|opaque| RemoteMessage::Ping { opaque }),
        1 => (0..9_u8).prop_map(|opaque| RemoteMessage::Pong { opaque }),
        2 => (whom(), list()).prop_map(|(newest, list)| RemoteMessage::Sync { newest, list }),
        1 => (9..100_i64).prop_map(|kind| RemoteMessage::Unknown { kind }),
    ]
}

fn message() -> impl Strategy<Value = RemoteMessage> {
    prop_oneof![8 => of_connections(), 1 => of_sessions()]
}

fn of_one_connection() -> impl Strategy<Value = Command> {
    let end = (any::<u64>(), text()).boxed();
    prop_oneof![
        6 => Just(Command::Accept),
        1 => end.clone().prop_map(|(code, text)| Command::Refuse { code, text }),
        6 => (0..9000_u16).prop_map(|length| Command::Write { length }),
        1 => Just(Command::Writable),
        6 => (1..9000_u16).prop_map(|most| Command::Read { most }),
        6 => Just(Command::Finish),
        1 => end.prop_map(|(code, text)| Command::Reset { code, text }),
        1 => any::<u8>().prop_map(|text| Command::Reset {
            code: ResetCode::VANISHED.get(),
            text: Text(text),
        }),
        3 => Just(Command::Release),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    let within = prop_oneof![Just(None), (0..6000_u32).prop_map(Some)];
    let target = prop_oneof![20 => Just(Text::TARGET), 1 => any::<u8>().prop_map(Text)];
    let announce = (any::<u8>(), any::<bool>());
    prop_oneof![
        4 => (within, target).prop_map(|(within, target)| Command::Open { within, target }),
        27 => of_one_connection(),
        1 => announce.prop_map(|(key, reachable)| Command::Announce { key, reachable }),
        1 => Just(Command::TrustRoutes),
        1 => (0..30_000_u32, text()).prop_map(|(within, text)| Command::Drain { within, text }),
    ]
}

/// Calls that end the session.
fn last_command() -> impl Strategy<Value = Command> {
    let close = (0..9_u64, text()).prop_map(|(code, text)| Command::Close { code, text });
    prop_oneof![close, Just(Command::ForceClose)]
}

fn pace() -> impl Strategy<Value = Pace> {
    prop_oneof![3 => Just(Pace::Stalled), 3 => Just(Pace::Taking), 1 => Just(Pace::Asleep)]
}

fn step() -> impl Strategy<Value = Step> {
    let dialled = prop_oneof![40 => Just(Whom::Next), 1 => whom()];
    let passes = prop_oneof![40 => 0..500_u32, 40 => 0..30_000_u32, 1 => any::<u32>()];
    prop_oneof![
        600 => (any::<u8>(), message()).prop_map(|(which, message)| Step::Keeps(which, message)),
        10 => (whom(), message()).prop_map(|(whom, message)| Step::Sends(whom, message)),
        10 => (any::<u8>(), message()).prop_map(|(which, message)| Step::Sends(Whom::Known(which), message)),
        200 => (dialled, dial()).prop_map(|(whom, dial)| Step::Sends(whom, dial)),
        3 => (0..60_u8, whom(), message())
            .prop_map(|(count, whom, message)| Step::Floods(count, whom, message)),
        4 => (0..60_u8, dial()).prop_map(|(count, dial)| Step::Floods(count, Whom::Next, dial)),
        10 => vec(any::<u8>(), 0..40).prop_map(Step::Raw),
        10 => (whom(), message(), any::<u8>(), any::<u8>())
            .prop_map(|(whom, message, place, bits)| Step::Mangled(whom, message, place, bits)),
        10 => Just(Step::TransportPing),
        10 => Just(Step::TransportMoves),
        10 => vec(any::<u8>(), 0..9).prop_map(Step::TransportPong),
        1 => any::<u8>().prop_map(|text| Step::TransportInvalid(Text(text))),
        1 => any::<u8>().prop_map(|text| Step::TransportEnds(Text(text))),
        600 => (any::<u8>(), command()).prop_map(|(which, command)| Step::App(which, command)),
        2 => last_command().prop_map(|command| Step::App(0, command)),
        5 => (any::<u8>(), 0..60_u8).prop_map(|(which, times)| Step::Streams(which, times)),
        20 => (any::<u8>(), 0..16_u8).prop_map(|(which, times)| Step::Fetches(which, times)),
        80 => (0..20_u8).prop_map(Step::Takes),
        80 => Just(Step::Takes(u8::MAX)),
        40 => (passes, pace()).prop_map(|(millis, pace)| Step::Passes(millis, pace)),
        20 => Just(Step::Due),
        5 => any::<u16>().prop_map(|millis| Step::Back(millis.into())),
    ]
}

fn scenario() -> impl Strategy<Value = Scenario> {
    let role = prop_oneof![Just(Role::Connector), Just(Role::Acceptor)];
    let dialect = prop_oneof![Just(Dialect::Base), Just(Dialect::Extended)];
    let size = prop_oneof![10 => Just(Size::Small), 1 => Just(Size::Least), 1 => Just(Size::Usual)];
    let settled = proptest::bool::weighted(0.95);
    (role, dialect, settled, size, vec(step(), 1..150)).prop_map(
        |(role, dialect, settled, size, steps)| Scenario { role, dialect, settled, size, steps },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_input_is_survived(scenario in scenario()) {
        play(&scenario);
    }

    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..500)) {
        run(&bytes);
    }
}

/// An input that is refused at the door proves little: these faults and ends lie deeper.
#[test]
fn the_inputs_reach_every_fault_and_every_end() {
    let mut runner = TestRunner::deterministic();
    let mut faults = BTreeMap::<String, usize>::new();
    let mut causes = BTreeMap::<Cause, u64>::new();
    for _ in 0..4000 {
        let end = play(&scenario().new_tree(&mut runner).unwrap().current());
        *faults.entry(name(&end.why)).or_default() += 1;
        for (cause, count) in end.ledger.removed.iter() {
            *causes.entry(cause).or_default() += count;
        }
    }
    for end in ENDS {
        assert!(faults.contains_key(end), "{end} was not reached: {faults:?}");
    }
    for cause in Cause::ALL {
        assert!(causes.get(&cause).is_some_and(|count| *count > 0), "no {cause}: {causes:?}");
    }
}

const ENDS: [&str; 21] = [
    "AfterFinish",
    "AnswersUnread",
    "BeforeOpened",
    "Closed",
    "CreditExceeded",
    "CreditOverflow",
    "DataTooLong",
    "Drained",
    "ForeignId",
    "InvalidMessage",
    "InvalidTransport",
    "NeverOpened",
    "NotAllowed",
    "RemoteClosed",
    "ReusedId",
    "SettingsMissing",
    "SettingsTwice",
    "Silent",
    "Stalled",
    "Transport",
    "UnexpectedOpened",
];

fn name(end: &SessionEnd) -> String {
    let debug = match end {
        SessionEnd::ProtocolViolation(ProtocolViolation::Lifecycle { violation, .. }) => {
            format!("{violation:?}")
        }
        SessionEnd::ProtocolViolation(fault) => format!("{fault:?}"),
        end => format!("{end:?}"),
    };
    debug.split(['(', ' ']).next().unwrap_or_default().to_string()
}
