//! One run of a scenario, from a new session to its balanced ledger.

use watertight_core::wire::Dialect;
use watertight_core::{Ledger, SessionEnd};

use super::host::Host;
use super::{Say, Scenario, Step, Whom};

/// How a session came to its end.
#[derive(Clone, Debug)]
pub struct End {
    /// Why it ended.
    pub why: SessionEnd,
    /// Its books, once everything was given back.
    pub books: Ledger,
}

/// Plays a scenario to its end, whatever the session does meanwhile.
///
/// # Panics
/// Something does not hold.
pub fn play(scenario: &Scenario) -> End {
    let mut case = Case::new(scenario);
    for step in &scenario.steps {
        case.perform(step);
        case.host.check();
    }
    case.end()
}

/// A session and a peer that says anything.
pub(super) struct Case {
    pub(super) host: Host,
    /// The id that the peer takes next.
    pub(super) next: i64,
}

impl Case {
    fn new(scenario: &Scenario) -> Self {
        let host = Host::new(scenario);
        let next = if host.is_connector() { 2 } else { 1 };
        let mut case = Self { host, next };
        if scenario.settled && scenario.dialect == Dialect::Extended {
            let settings = Say::Settings {
                initial_window: 2000,
                max_data: 1500,
                max_connections: 5,
                silence: 0,
            };
            case.say(Whom::Session, &settings);
        }
        case
    }

    fn perform(&mut self, step: &Step) {
        match step {
            Step::Keeps(which, say) => self.keep(*which, say),
            Step::Says(whom, say) => self.say(*whom, say),
            Step::Floods(count, whom, say) => self.flood(*count, *whom, say),
            Step::Raw(bytes) => self.host.take(bytes),
            Step::Mangled(whom, say, place, bits) => self.mangle(*whom, say, *place, *bits),
            Step::TransportPing => {
                self.host.call(|session, now| session.handle_transport_ping(now))
            }
            Step::TransportMoves => self.host.call(|session, now| {
                session.handle_transport_received(now);
                session.handle_transport_sent(now);
            }),
            Step::TransportPong(payload) => {
                self.host.call(|session, now| session.handle_transport_pong(now, payload));
            }
            Step::TransportInvalid(text) => {
                let text = text.words();
                self.host.call(|session, now| session.handle_invalid_transport(now, &text));
            }
            Step::TransportEnds(text) => {
                let text = text.words();
                self.host.call(|session, now| session.handle_transport_ended(now, &text));
            }
            Step::App(which, command) => self.command(*which, *command),
            Step::Streams(which, times) => self.stream(*which, *times),
            Step::Fetches(which, times) => self.fetch(*which, *times),
            Step::Takes(count) => {
                let _ = (0..*count).all(|_| self.host.transmit());
            }
            Step::Passes(millis, pace) => self.pass((*millis).into(), *pace),
            Step::Due => self.due(),
            Step::Back(millis) => self.go_back((*millis).into()),
        }
    }

    /// However it went: without its transport and its handles, nothing is left.
    fn end(mut self) -> End {
        if self.host.closed {
            self.host.transmit_all();
            self.release_all();
            self.assert_even();
        }
        self.host.call(|session, now| session.handle_transport_ended(now, "gone"));
        self.release_all();
        self.assert_even();
        let Host { session, mut heap, .. } = self.host;
        let books = session.ledger();
        let Some(why) = session.ended().cloned() else {
            unreachable!("a session ends with its transport")
        };
        heap.count(|| drop(session));
        assert_eq!(heap.held(), 0, "bytes that a dropped session holds");
        End { why, books }
    }

    fn release_all(&mut self) {
        for place in 0..self.host.known.len() {
            let Some(known) = self.host.known.get(place).copied() else { continue };
            if !known.retired {
                self.host.call(|session, now| session.release(now, known.id));
            }
        }
    }

    fn assert_even(&mut self) {
        self.host.check();
        let ledger = self.host.session.ledger();
        assert!(ledger.is_settled(), "{ledger}");
    }
}
