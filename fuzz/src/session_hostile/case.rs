//! One run of a scenario, from a new session to its balanced ledger.

use std::time::Duration;

use watertight_core::wire::Dialect;
use watertight_core::{Instant, Ledger, SessionEnd};

use super::bounds;
use super::host::Host;
use super::message::{RemoteMessage, Whom};
use super::scenario::{Pace, Scenario, Step};

/// How a session came to its end.
#[derive(Clone, Debug)]
pub struct End {
    /// Why it ended.
    pub why: SessionEnd,
    /// Its ledger, once everything was given back.
    pub ledger: Ledger,
}

/// Plays a scenario to its end, even if the session ends before.
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

/// A session and a remote that sends anything.
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
            let settings = RemoteMessage::Settings {
                initial_window: 2000,
                max_data: 1500,
                max_connections: 5,
                silence: 0,
            };
            case.send(Whom::Session, &settings);
        }
        case
    }

    fn perform(&mut self, step: &Step) {
        match step {
            Step::Keeps(which, message) => self.keep(*which, message),
            Step::Sends(whom, message) => self.send(*whom, message),
            Step::Floods(count, whom, message) => self.flood(*count, *whom, message),
            Step::Raw(bytes) => self.host.take(bytes),
            Step::Mangled(whom, message, place, bits) => self.mangle(*whom, message, *place, *bits),
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
            self.assert_settled();
        }
        self.host.call(|session, now| session.handle_transport_ended(now, "gone"));
        self.release_all();
        self.assert_settled();
        let Host { session, mut heap, .. } = self.host;
        let ledger = session.ledger();
        let Some(why) = session.ended().cloned() else {
            unreachable!("a session ends with its transport")
        };
        heap.count(|| drop(session));
        assert_eq!(heap.held(), 0, "bytes that a dropped session holds");
        End { why, ledger }
    }

    fn release_all(&mut self) {
        for place in 0..self.host.known.len() {
            let Some(known) = self.host.known.get(place).copied() else { continue };
            if !known.retired {
                self.host.call(|session, now| session.release(now, known.id));
            }
        }
    }

    fn assert_settled(&mut self) {
        self.host.check();
        let ledger = self.host.session.ledger();
        assert!(ledger.is_settled(), "{ledger}");
    }
}

/// Time passes.
impl Case {
    pub(super) fn pass(&mut self, for_millis: u64, pace: Pace) {
        let until = self.host.now + Duration::from_millis(for_millis);
        let most = bounds::timeouts(&self.host, for_millis);
        let before = self.host.traffic.timeouts;
        while pace != Pace::Asleep && self.next_timeout_by(until) {
            let count = self.host.traffic.timeouts - before;
            assert!(count <= most, "more than {most} timeouts in {for_millis} ms");
            if pace == Pace::Taking {
                self.host.transmit_all();
            }
        }
        self.host.now = until;
        self.host.timeout();
    }

    /// Handles the next timeout, if it is due by then.
    fn next_timeout_by(&mut self, until: Instant) -> bool {
        let Some(at) = self.host.session.poll_timeout().filter(|at| *at <= until) else {
            return false;
        };
        self.host.now = self.host.now.max(at);
        self.host.timeout();
        true
    }

    pub(super) fn due(&mut self) {
        if let Some(at) = self.host.session.poll_timeout() {
            self.next_timeout_by(at);
        }
    }

    pub(super) fn go_back(&mut self, millis: u64) {
        let since = self.host.now.since_epoch().saturating_sub(Duration::from_millis(millis));
        self.host.now = Instant::from_epoch(since);
    }
}
