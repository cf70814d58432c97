//! One session, and a peer that says anything: messages in the wrong place, with the wrong ids
//! and sizes, or bytes that are no message. It never panics, holds no more than it may, and comes
//! to an end that leaves nothing. More cases than in a plain `cargo test`: set `PROPTEST_CASES`.

use crate::support::{End, Item, Lone, TARGET, config, id, millis};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use watertight_core::session::PeerMisbehaved;
use watertight_core::wire::{Body, ClientRoute, Dialect, Message, ResetCode, Settings};
use watertight_core::{ConnectionId, Event, Role, SessionConfig, SessionEnd};

#[derive(Clone, Debug)]
enum Step {
    /// The peer says something that it may say, by the rules that are easily kept.
    Keeps(u8, Body),
    /// The peer says something, whether or not it may.
    Says(Whom, Body),
    Dials(Whom),
    /// The peer dials so many times, whatever becomes of it.
    Floods(u8),
    Raw(Vec<u8>),
    /// A message with some bytes changed.
    Mangled(Whom, Body, u8, u8),
    TransportPing,
    TransportPong(Vec<u8>),
    App(u8, Command),
    /// The transport takes so many messages.
    Takes(u8),
    Time(u16),
}

#[derive(Clone, Copy, Debug)]
enum Whom {
    Session,
    /// One of the connections there have been.
    Known(u8),
    /// The id that the peer would take next.
    Next,
    Any(i64),
}

#[derive(Clone, Copy, Debug)]
enum Command {
    Open,
    Accept,
    Refuse,
    Write(u16),
    Read(u16),
    Finish,
    Reset,
    Release,
    Announce,
    Drain,
}

fn whom() -> impl Strategy<Value = Whom> {
    let extreme = prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(0), Just(i64::MAX - 1)];
    prop_oneof![
        3 => any::<u8>().prop_map(Whom::Known),
        1 => Just(Whom::Next),
        1 => Just(Whom::Session),
        1 => (-6..12_i64).prop_map(Whom::Any),
        1 => extreme.prop_map(Whom::Any),
    ]
}

fn dialled() -> impl Strategy<Value = Whom> {
    prop_oneof![40 => Just(Whom::Next), 1 => whom()]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![2 => Just("EOF".to_string()), 1 => "[a-zü]{0,20}", 1 => "[a-z]{2000}"]
}

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![-3..20_i64, any::<i64>()]
}

fn ids() -> impl Strategy<Value = Vec<ConnectionId>> {
    vec(number().prop_map(id), 0..20)
}

fn bytes(most: usize) -> impl Strategy<Value = Bytes> {
    (0..most).prop_map(|length| Bytes::from(vec![7; length]))
}

fn body() -> impl Strategy<Value = Body> {
    let opaque = any::<[u8; 8]>();
    let count = prop_oneof![3 => 1..5000_u64, 1 => Just(i64::MAX.cast_unsigned())];
    let route = ("[a-z/]{0,20}", any::<i64>())
        .prop_map(|(client_key, session_key)| ClientRoute { client_key, session_key });
    let settings = (1024..9000_u64, 1024..9000_u64, 1..20_u64);
    let settings = settings.prop_map(|(initial_window, max_data, max_connections)| {
        Body::Settings(Settings { initial_window, max_data, max_connections })
    });
    let reset = (any::<u16>(), text())
        .prop_map(|(code, text)| Body::Reset { code: u64::from(code).into(), text });
    let go_away = (number(), 0..3_u64, text()).prop_map(|(last, code, text)| Body::GoAway {
        last: id(last),
        code: code.into(),
        text,
    });
    let data = prop_oneof![40 => bytes(1025), 1 => bytes(20_000)]
        .prop_map(|payload| Body::Data { deadline: 0, payload });
    let of_connections = prop_oneof![
        30 => data,
        3 => text().prop_map(|text| Body::Error { text }),
        4 => Just(Body::Pause),
        4 => Just(Body::Resume),
        4 => Just(Body::Opened),
        2 => Just(Body::Finish),
        2 => reset,
        8 => count.prop_map(|bytes| Body::Credit { bytes }),
    ];
    let of_sessions = prop_oneof![
        1 => route.clone().prop_map(Body::AddClient),
        1 => route.prop_map(Body::RemoveClient),
        2 => ids().prop_map(|ids| Body::SyncConnections { ids }),
        1 => settings,
        1 => go_away,
        1 => opaque.prop_map(|opaque| Body::Ping { opaque }),
        1 => opaque.prop_map(|opaque| Body::Pong { opaque }),
        2 => (number(), ids()).prop_map(|(newest, ids)| Body::Sync { newest: id(newest), ids }),
        1 => (9..100_i64).prop_map(|kind| Body::Unknown { kind }),
    ];
    prop_oneof![8 => of_connections, 1 => of_sessions]
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        4 => Just(Command::Open),
        6 => Just(Command::Accept),
        1 => Just(Command::Refuse),
        6 => (0..9000_u16).prop_map(Command::Write),
        6 => (0..9000_u16).prop_map(Command::Read),
        3 => Just(Command::Finish),
        1 => Just(Command::Reset),
        3 => Just(Command::Release),
        1 => Just(Command::Announce),
        1 => Just(Command::Drain),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        60 => (any::<u8>(), body()).prop_map(|(which, body)| Step::Keeps(which, body)),
        1 => (whom(), body()).prop_map(|(whom, body)| Step::Says(whom, body)),
        20 => dialled().prop_map(Step::Dials),
        1 => (0..60_u8).prop_map(Step::Floods),
        1 => vec(any::<u8>(), 0..40).prop_map(Step::Raw),
        1 => (whom(), body(), any::<u8>(), any::<u8>())
            .prop_map(|(whom, body, place, bits)| Step::Mangled(whom, body, place, bits)),
        1 => Just(Step::TransportPing),
        1 => vec(any::<u8>(), 0..9).prop_map(Step::TransportPong),
        60 => (any::<u8>(), command()).prop_map(|(which, command)| Step::App(which, command)),
        8 => (0..20_u8).prop_map(Step::Takes),
        2 => Just(Step::Takes(255)),
        4 => prop_oneof![0..500_u16, 0..30_000_u16].prop_map(Step::Time),
    ]
}

fn small() -> SessionConfig {
    config(|config| {
        let limits = &mut config.limits;
        limits.max_message = 10_000;
        limits.max_data = 1024;
        limits.max_connections = 6;
        limits.max_dials = 4;
        limits.max_queued_control = 30;
        limits.initial_window = 2048;
        limits.max_window = 8192;
        limits.window_budget = 10_000;
        limits.send_buffer = 5000;
        limits.send_budget = 9000;
        limits.pause_above = 2000;
        limits.resume_below = 500;
        limits.unread_cap = 5000;
        limits.unread_budget = 12_000;
    })
}

struct Case {
    lone: Lone,
    next: i64,
    dialled: Vec<ConnectionId>,
}

impl Case {
    fn new(role: Role, dialect: Dialect, settled: bool) -> Self {
        let mut lone = Lone::silent(role, dialect, small());
        lone.end.session.trust_routes();
        if settled {
            let settings = Settings { initial_window: 2000, max_data: 1500, max_connections: 5 };
            lone.says(0, Body::Settings(settings));
        }
        Self { lone, next: if role == Role::Connector { 2 } else { 1 }, dialled: Vec::new() }
    }

    /// Every connection there has been, those that are gone included.
    fn known(&self) -> Vec<ConnectionId> {
        let of = |event: &Event| match event {
            Event::Incoming { id, .. } | Event::Opened(id) | Event::Retired { id, .. } => Some(*id),
            _ => None,
        };
        let mut known = self.dialled.clone();
        known.extend(self.lone.end.events.iter().filter_map(of));
        known.sort_unstable();
        known.dedup();
        known
    }

    fn pick(&self, which: u8) -> Option<ConnectionId> {
        let known = self.known();
        // The newest ones more often: they are more likely to be alive.
        let place = usize::from(which % 8).checked_rem(known.len())?;
        known.get(known.len() - 1 - place).copied()
    }

    fn number(&mut self, whom: Whom) -> i64 {
        match whom {
            Whom::Session => 0,
            Whom::Known(which) => self.pick(which).map_or(0, ConnectionId::get),
            Whom::Any(number) => number,
            Whom::Next => {
                let next = self.next;
                self.next += 2;
                next
            }
        }
    }

    fn perform(&mut self, step: Step) {
        let now = self.lone.now;
        match step {
            Step::Keeps(which, body) => self.keep(which, body),
            Step::Says(whom, body) => {
                let number = self.number(whom);
                self.lone.says(number, body);
            }
            Step::Dials(whom) => {
                let number = self.number(whom);
                self.lone.dials(number);
            }
            Step::Floods(count) => {
                for _ in 0..count {
                    let number = self.number(Whom::Next);
                    self.lone.dials(number);
                }
            }
            Step::Raw(bytes) => self.take(Item::Message(bytes.into())),
            Step::Mangled(whom, body, place, bits) => {
                let number = self.number(whom);
                let mut message = Message::new(id(number), body).encode().to_bytes().to_vec();
                let place = usize::from(place) % message.len();
                message[place] ^= bits;
                self.take(Item::Message(message.into()));
            }
            Step::TransportPing => self.take(Item::Ping(Bytes::new())),
            Step::TransportPong(payload) => self.take(Item::Pong(payload.into())),
            Step::App(which, command) => self.command(which, command),
            Step::Takes(count) => {
                for _ in 0..count {
                    self.lone.end.transmit(now);
                }
            }
            Step::Time(time) => {
                self.lone.end.takes = false;
                self.lone.wait(millis(time.into()));
                self.lone.end.takes = true;
            }
        }
    }

    /// Says it about a connection that it can be said about.
    fn keep(&mut self, which: u8, body: Body) {
        let base = self.lone.end.session.dialect() == Dialect::Base;
        match body {
            Body::Settings(_) => {}
            Body::Error { .. } | Body::Pause | Body::Resume | Body::SyncConnections { .. }
                if !base => {}
            Body::GoAway { .. } | Body::Ping { .. } | Body::Pong { .. } | Body::Sync { .. } => {
                self.lone.says(0, body);
            }
            body => {
                let Some(id) = self.pick(which) else { return };
                match (&body, self.is_opening(which)) {
                    (Body::Opened, false) if !which.is_multiple_of(16) => {}
                    (Body::Data { .. } | Body::Finish, true) => {
                        self.lone.says(id.get(), Body::Opened)
                    }
                    _ => self.lone.says(id.get(), body),
                }
            }
        }
    }

    fn is_opening(&self, which: u8) -> bool {
        let opened = |id| self.lone.end.events.contains(&Event::Opened(id));
        let is_own = |id: ConnectionId| (id.get() % 2 == 0) == (self.next % 2 == 1);
        self.pick(which).is_some_and(|id| is_own(id) && !opened(id))
    }

    fn take(&mut self, item: Item) {
        self.lone.end.take(self.lone.now, item);
    }

    fn command(&mut self, which: u8, command: Command) {
        let now = self.lone.now;
        let id = self.pick(which).unwrap_or(ConnectionId::SESSION);
        let session = &mut self.lone.end.session;
        match command {
            Command::Open => {
                let within = millis(20 * u64::from(which));
                self.dialled.extend(session.open(now, TARGET, Some(within)));
            }
            Command::Accept => drop(session.accept(now, id)),
            Command::Refuse => drop(session.refuse(now, id, ResetCode::LIMIT, "no")),
            Command::Write(length) => {
                let length = usize::from(length);
                drop(session.write(now, id, &mut Bytes::from(vec![7; length])));
            }
            Command::Read(most) => drop(session.read(now, id, most.into())),
            Command::Finish => drop(session.finish(now, id)),
            Command::Reset => drop(session.reset(now, id, ResetCode::CANCELLED, "stop")),
            Command::Release => session.release(now, id),
            Command::Announce => {
                let route = ClientRoute { client_key: "k".repeat(which.into()), session_key: 1 };
                session.announce(now, route, which.is_multiple_of(2)).ok();
            }
            Command::Drain => session.drain(now, "", millis(100 * u64::from(which))),
        }
        self.lone.end.poll_events();
    }

    fn check(&self) {
        let ledger = self.lone.end.session.ledger();
        let limits = small().limits;
        assert_eq!(ledger.added, ledger.removed.total() + ledger.live);
        assert!(ledger.live <= limits.max_connections as u64);
        assert!(ledger.opening <= limits.max_dials as u64);
        assert!(ledger.dialing <= limits.max_dials as u64);
        assert!(ledger.bytes_to_send <= limits.send_budget as u64);
        let windows = ledger.live * limits.initial_window + limits.window_budget;
        let received = match self.lone.end.session.dialect() {
            Dialect::Base => limits.unread_budget as u64,
            Dialect::Extended => windows,
        };
        assert!(ledger.bytes_received <= received, "{}", ledger.bytes_received);
        // The bound, what a connection's own end adds, and the announcements of the application.
        assert!(ledger.queued_control <= 30 + 10 + 256, "{}", ledger.queued_control);
    }

    /// However it went: without its transport and its handles, nothing is left.
    fn end(mut self) -> End {
        let now = self.lone.now;
        self.lone.end.session.handle_transport_ended(now, "gone");
        self.lone.end.poll_events();
        for id in self.known() {
            self.lone.end.release(now, id);
        }
        self.lone.end.assert_even();
        assert!(self.lone.end.closed.is_some());
        self.lone.end
    }
}

fn run(role: Role, dialect: Dialect, settled: bool, steps: Vec<Step>) -> End {
    let mut case = Case::new(role, dialect, settled);
    for step in steps {
        case.perform(step);
        case.check();
    }
    case.end()
}

fn roles() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Connector), Just(Role::Acceptor)]
}

fn dialects() -> impl Strategy<Value = Dialect> {
    prop_oneof![Just(Dialect::Base), Just(Dialect::Extended)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_input_is_survived(
        role in roles(),
        dialect in dialects(),
        settled in proptest::bool::weighted(0.95),
        steps in vec(step(), 1..150),
    ) {
        run(role, dialect, settled, steps);
    }
}

/// An input that is refused at the door proves little: these faults lie deeper.
#[test]
fn the_inputs_reach_every_fault() {
    use proptest::strategy::ValueTree;

    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = (roles(), dialects(), vec(step(), 1..150));
    let mut faults = std::collections::BTreeMap::<String, usize>::new();
    for _ in 0..1000 {
        let (role, dialect, steps) = strategy.new_tree(&mut runner).unwrap().current();
        let end = run(role, dialect, true, steps);
        if let Some(SessionEnd::PeerMisbehaved(fault)) = end.closed {
            *faults.entry(name(&fault)).or_default() += 1;
        }
    }
    let expected = [
        "AfterFinish",
        "AnswersUnread",
        "BeforeOpened",
        "CreditExceeded",
        "CreditOverflow",
        "DataTooLong",
        "ForeignId",
        "InvalidMessage",
        "NeverOpened",
        "NotAllowed",
        "ReusedId",
        "SettingsTwice",
        "UnexpectedOpened",
    ];
    for fault in expected {
        assert!(faults.contains_key(fault), "{fault} was not reached: {faults:?}");
    }
}

fn name(fault: &PeerMisbehaved) -> String {
    match fault {
        PeerMisbehaved::Lifecycle { violation, .. } => format!("{violation:?}"),
        fault => format!("{fault:?}").split(['(', ' ']).next().unwrap_or_default().to_string(),
    }
}
