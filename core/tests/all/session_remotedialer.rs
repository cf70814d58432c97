//! A session with a model of a remotedialer end: every byte arrives, neither end holds more than
//! its bound, and no writer sleeps forever, in any order of calls.

use std::time::Duration;

use crate::support::remotedialer::{FULL, Remotedialer};
use crate::support::{End, TARGET, assert_same, config, millis, pattern, seconds};
use proptest::prelude::*;
use watertight_core::testkit::Item;
use watertight_core::wire::{Body, Dialect, GoAwayCode, Message, ResetCode};
use watertight_core::{ConnectionId, Instant, Role, SessionConfig};

const MIB: usize = 1 << 20;

/// The most that a remotedialer end holds of one connection: its own bound, the bytes that this end
/// had taken from the application when Pause arrived, and the bytes sent while it cannot send
/// Pause.
const MOST_THERE: usize = FULL + 256 * 1024 + 2 * MIB;

/// The session, the model, one connection that the session dialled, and two queues.
struct Link {
    now: Instant,
    ours: End,
    theirs: Remotedialer,
    /// In flight to the model.
    pipe: std::collections::VecDeque<bytes::Bytes>,
    id: ConnectionId,
    written: usize,
    read: Vec<u8>,
}

impl Link {
    fn new(role: Role) -> Self {
        Self::with(role, config(|_| {}))
    }

    fn with(role: Role, config: SessionConfig) -> Self {
        let now = Instant::from_epoch(seconds(1));
        let mut ours = End::new(now, role, Dialect::Base, config);
        let id = ours.session.open(now, TARGET, None).unwrap();
        ours.poll_events();
        let (theirs, pipe) = (Remotedialer::default(), std::collections::VecDeque::new());
        let mut link = Self { now, ours, theirs, pipe, id, written: 0, read: Vec::new() };
        link.carry();
        link
    }

    fn we_write(&mut self, most: usize) -> usize {
        let data = pattern(self.written, most);
        let written = self.ours.write(self.now, self.id, &data);
        self.written += written;
        written
    }

    fn we_read(&mut self) {
        let read = self.ours.read(self.now, self.id);
        self.read.extend_from_slice(&read);
    }

    fn they_write(&mut self, length: usize) {
        if self.theirs.may_write(self.id) {
            let from = self.theirs.connections[&self.id].written;
            self.theirs.write(self.id, pattern(from, length).into());
        }
    }

    fn they_read(&mut self, most: usize) {
        self.theirs.read(self.id, most);
    }

    /// Sends what the session has; it arrives later.
    fn send(&mut self) {
        while let Some(item) = self.ours.transmit(self.now) {
            match item {
                Item::Message(message) => self.pipe.push_back(message),
                // It answers pings without looking at anything else.
                Item::Ping(_) => self.ours.session.handle_transport_pong(self.now, b""),
                Item::Pong(_) | Item::End => {}
            }
        }
    }

    fn arrive_there(&mut self) {
        while let Some(message) = self.pipe.pop_front() {
            self.theirs.take(message);
        }
    }

    fn arrive_here(&mut self) {
        while let Some(message) = self.theirs.outbox.pop_front() {
            self.ours.take(self.now, Item::Message(message));
        }
    }

    /// Carries what there is to carry, without time passing.
    fn carry(&mut self) {
        loop {
            self.send();
            if self.pipe.is_empty() && self.theirs.outbox.is_empty() {
                return;
            }
            self.arrive_there();
            self.arrive_here();
        }
    }

    fn wait(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(at) = self.ours.session.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.ours.session.handle_transport_ping(self.now);
            self.ours.session.handle_timeout(self.now);
            self.ours.poll_events();
            self.carry();
        }
        self.now = until;
    }

    /// Both applications read on until everything that either has written is there.
    fn settle(&mut self) {
        for _ in 0..100 {
            self.carry();
            self.we_read();
            self.they_read(usize::MAX);
            self.carry();
            self.we_read();
            self.they_read(usize::MAX);
            let conn = &self.theirs.connections[&self.id];
            if conn.read.len() == self.written && self.read.len() == conn.written {
                return;
            }
            self.wait(millis(100));
        }
        let conn = &self.theirs.connections[&self.id];
        let (there, here) = ((conn.read.len(), self.written), (self.read.len(), conn.written));
        panic!("not all arrived: {there:?} there, {here:?} here");
    }

    fn assert_whole(&self) {
        let conn = &self.theirs.connections[&self.id];
        assert_same(&conn.read, &pattern(0, self.written));
        assert_same(&self.read, &pattern(0, conn.written));
        assert!(conn.most_unread <= MOST_THERE, "made them hold {}", conn.most_unread);
        assert!(self.ours.retired.is_empty() && self.ours.closed.is_none());
    }

    /// Either direction continues at full speed, the other one idle.
    fn assert_goes_on(&mut self) {
        let (goal, until) = (self.written + 4 * MIB, self.now + seconds(3));
        while self.written < goal {
            if self.we_write(64 * 1024) <= 1 {
                // Stopped, and nothing is unread there: the next probe finds that out.
                self.wait(millis(10));
            }
            self.carry();
            self.they_read(usize::MAX);
            self.carry();
            assert!(self.now < until, "our writer is stuck");
        }
        for _ in 0..64 {
            self.they_write(64 * 1024);
            self.carry();
            self.we_read();
            self.carry();
        }
        self.settle();
        self.assert_whole();
    }
}

/// P4.7.
#[test]
fn r1_a_target_that_writes_before_it_reads_is_not_stopped_by_its_own_fullness() {
    for role in [Role::Connector, Role::Acceptor] {
        let mut link = Link::new(role);
        while link.we_write(64 * 1024) > 0 {
            link.carry();
        }
        assert!(link.written > FULL, "they are full");
        // They write, and read only what is left when all of it is taken.
        for _ in 0..100 {
            link.they_write(32 * 1024);
            link.carry();
            link.we_read();
            link.wait(millis(10));
        }
        let conn = &link.theirs.connections[&link.id];
        assert!(conn.written >= 50 * 32 * 1024, "their writer got through {}", conn.written);
        link.settle();
        link.assert_whole();
        link.assert_goes_on();
    }
}

/// P4.7.
#[test]
fn r1_a_writer_that_fell_asleep_is_woken_when_its_reader_has_drained() {
    let mut link = Link::new(Role::Acceptor);
    while link.we_write(64 * 1024) > 0 {
        link.carry();
    }
    link.they_write(1000);
    link.they_read(usize::MAX);
    link.carry();
    link.we_read();
    assert_eq!(link.read.len(), 1000, "without any time having passed");
    link.assert_goes_on();
}

/// P4.7.
#[test]
fn r2_an_end_that_forgets_our_pause_is_told_again() {
    let mut link = Link::new(Role::Acceptor);
    // We read nothing, and they read what we send, which makes them forget the Pause.
    for _ in 0..2000 {
        link.they_write(32 * 1024);
        link.we_write(16 * 1024);
        link.carry();
        link.they_read(usize::MAX);
        link.carry();
        let unread = link.ours.session.ledger().bytes_received;
        assert!(unread < 8 * MIB as u64, "made us hold {unread}");
    }
    assert!(link.ours.retired.is_empty(), "an end that obeys is not reset");
    link.settle();
    link.assert_whole();
    link.assert_goes_on();
}

/// P4.7.
#[test]
fn r3_a_pause_that_our_resume_crossed_is_asked_about() {
    let mut link = Link::new(Role::Acceptor);
    // They are paused, and about to be resumed when they get full.
    for _ in 0..40 {
        link.they_write(32 * 1024);
        link.carry();
    }
    while link.pipe.is_empty() {
        link.we_write(64 * 1024);
        link.we_read();
        link.send();
    }
    while link.theirs.connections[&link.id].most_unread <= FULL {
        link.we_write(64 * 1024);
        link.send();
        link.arrive_there();
    }
    link.settle();
    link.assert_goes_on();
}

/// P4.7.
#[test]
fn probes_wait_for_a_reader_without_filling_it() {
    let mut link = Link::new(Role::Acceptor);
    while link.we_write(64 * 1024) > 0 {
        link.carry();
    }
    let before = link.written;
    for _ in 0..600 {
        link.wait(seconds(1));
        link.we_write(64 * 1024);
        link.carry();
    }
    let probes = link.written - before;
    assert!((100..600).contains(&probes), "{probes} in ten minutes");
    link.settle();
    link.assert_whole();
}

#[test]
fn an_application_with_nothing_to_say_does_not_probe() {
    let mut link = Link::new(Role::Acceptor);
    // Exactly the free capacity, so that nobody waits.
    while let Ok(room) = link.ours.session.writable(link.now, link.id) {
        link.we_write(room.min(64 * 1024));
        link.carry();
        if link.theirs.connections[&link.id].most_unread > FULL {
            break;
        }
    }
    link.wait(seconds(5));
    let mut messages = 0;
    for _ in 0..60 {
        link.now = link.now + seconds(1);
        link.ours.session.handle_transport_ping(link.now);
        link.ours.session.handle_timeout(link.now);
        link.send();
        messages += link.pipe.len();
        link.arrive_there();
        link.arrive_here();
    }
    assert_eq!(messages, 0);
    link.assert_goes_on();
}

/// P4.7.
#[test]
fn r2_an_end_that_reads_and_writes_on_is_put_to_sleep_although_the_way_here_is_long() {
    let mut link = Link::new(Role::Acceptor);
    for _ in 0..40 {
        link.they_write(32 * 1024);
    }
    link.arrive_here();
    let before = link.theirs.connections[&link.id].written;
    for round in 0..400 {
        link.we_write(16 * 1024);
        link.send();
        link.arrive_there();
        // Seldom does their writer look at the flag before their reader has cleared it.
        if round % 7 == 3 {
            link.they_write(8 * 1024);
        }
        link.they_read(usize::MAX);
        link.they_write(8 * 1024);
        // Messages of the model arrive long after they were sent.
        if link.theirs.outbox.len() > 20
            && let Some(message) = link.theirs.outbox.pop_front()
        {
            link.ours.take(link.now, Item::Message(message));
        }
    }
    let written = link.theirs.connections[&link.id].written - before;
    assert!(written < MIB / 2, "their writer got through {written}");
    link.settle();
    link.assert_whole();
}

/// P4.7.
#[test]
fn an_end_that_cannot_say_that_it_is_full_is_sent_little_between_two_signs() {
    let mut link = Link::new(Role::Acceptor);
    for _ in 0..3 {
        // It is paused, so that it would not send Pause.
        for _ in 0..40 {
            link.they_write(32 * 1024);
            link.carry();
        }
        for _ in 0..2 {
            let before = link.written;
            while link.we_write(64 * 1024) > 1 {
                link.carry();
            }
            assert_eq!(link.written - before, MIB);
            link.they_read(usize::MAX);
            link.carry();
        }
        link.we_read();
        link.carry();
    }
    link.settle();
    link.assert_whole();
}

#[test]
fn an_end_that_gets_full_of_the_last_bytes_can_answer_all_the_same() {
    let mut link = Link::new(Role::Acceptor);
    // They hold nearly as much as they want to, and we have a full queue.
    while link.written < FULL - 64 * 1024 {
        link.we_write(64 * 1024);
        link.carry();
    }
    while link.we_write(64 * 1024) > 0 {}
    // One message after the other, until they are full.
    while link.theirs.outbox.is_empty() {
        let Some(Item::Message(message)) = link.ours.transmit(link.now) else { panic!() };
        link.theirs.take(message);
    }
    link.arrive_here();
    link.ours.session.finish(link.now, link.id).unwrap();
    link.carry();
    // They answer before they have read everything, as many do; then they read all of it.
    link.they_write(1000);
    link.carry();
    link.they_read(usize::MAX);
    link.carry();
    link.we_read();
    assert_eq!(link.read.len(), 1000);
}

#[test]
fn an_application_that_was_idle_while_it_was_held_does_not_wait_long() {
    let mut link = Link::new(Role::Acceptor);
    while link.theirs.connections[&link.id].most_unread <= FULL {
        let room = link.ours.session.writable(link.now, link.id).unwrap();
        link.we_write(room.min(64 * 1024));
        link.carry();
    }
    link.wait(seconds(100));
    link.they_read(usize::MAX);
    link.wait(millis(500));
    assert_eq!(link.we_write(1000), 0, "they have not said that they read");
    for _ in 0..10 {
        link.wait(millis(10));
        link.we_write(1000);
        link.carry();
        link.they_read(usize::MAX);
        link.carry();
    }
    assert!(link.we_write(1000) > 1, "after 100 ms");
    link.settle();
    link.assert_whole();
}

#[test]
fn an_end_that_holds_one_that_has_finished_is_freed_at_once_and_once() {
    let mut link = asleep(1);
    link.arrive_here();
    link.ours.session.finish(link.now, link.id).unwrap();
    link.carry();
    link.we_read();
    assert_eq!(link.read.len(), 1000, "the answer of a target that has not read everything yet");
    // A repeated one, as two watertight ends send that resume each other, is not answered again.
    let pause = Message::new(link.id, Body::Pause).encode().to_bytes();
    link.ours.take(link.now, Item::Message(pause));
    link.send();
    assert!(link.pipe.is_empty());
}

/// The model's writer asleep on the flag, in each possible state.
fn asleep(case: usize) -> Link {
    let mut link = Link::new(Role::Acceptor);
    if case == 0 {
        // We paused it.
        for _ in 0..100 {
            link.they_write(32 * 1024);
            link.carry();
        }
    } else {
        // It paused itself, and we have not heard of it.
        while link.theirs.connections[&link.id].most_unread <= FULL {
            link.we_write(64 * 1024);
            link.send();
            link.arrive_there();
        }
        link.they_write(1000);
    }
    link
}

/// P4.9.
#[test]
fn r6_no_writer_sleeps_on_when_its_connection_is_gone() {
    for case in 0..2 {
        for end in 0..6 {
            let mut link = asleep(case);
            let session = &mut link.ours.session;
            match end {
                0 => session.reset(link.now, link.id, ResetCode::CANCELLED, "").unwrap(),
                1 => session.release(link.now, link.id),
                2 => {
                    session.finish(link.now, link.id).unwrap();
                    session.release(link.now, link.id);
                }
                3 => session.close(link.now, GoAwayCode::SHUTDOWN, ""),
                4 => {
                    session.reset(link.now, link.id, ResetCode::CANCELLED, "").unwrap();
                    session.close(link.now, GoAwayCode::SHUTDOWN, "");
                }
                _ => {
                    session.release(link.now, link.id);
                    session.close(link.now, GoAwayCode::SHUTDOWN, "");
                }
            }
            link.ours.poll_events();
            link.send();
            link.arrive_there();
            if end >= 3 {
                link.theirs.session_ended();
            }
            assert!(link.theirs.connections[&link.id].removed, "case {case}, end {end}");
            assert_eq!(link.theirs.asleep_for_ever(), 0, "case {case}, end {end}");
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    WeWrite(usize),
    WeRead,
    TheyWrite(usize),
    TheyRead(usize),
    Send,
    ArriveThere,
    ArriveHere,
    Carry,
    Wait(u64),
    WeStuff,
    TheyStuff,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let size = prop_oneof![1..100usize, 1..300_000usize];
    let step = prop_oneof![
        3 => size.clone().prop_map(Step::WeWrite),
        2 => Just(Step::WeRead),
        3 => size.clone().prop_map(Step::TheyWrite),
        2 => prop_oneof![size, Just(usize::MAX)].prop_map(Step::TheyRead),
        2 => Just(Step::Send),
        2 => Just(Step::ArriveThere),
        2 => Just(Step::ArriveHere),
        3 => Just(Step::Carry),
        2 => (1..3000u64).prop_map(Step::Wait),
        1 => Just(Step::WeStuff),
        1 => Just(Step::TheyStuff),
    ];
    prop::collection::vec(step, 1..80)
}

fn run(link: &mut Link, step: &Step) {
    match step {
        Step::WeWrite(most) => drop(link.we_write(*most)),
        Step::WeRead => link.we_read(),
        Step::TheyWrite(length) => link.they_write(*length),
        Step::TheyRead(most) => link.they_read(*most),
        Step::Send => link.send(),
        Step::ArriveThere => link.arrive_there(),
        Step::ArriveHere => link.arrive_here(),
        Step::Carry => link.carry(),
        Step::Wait(time) => link.wait(millis(*time)),
        Step::WeStuff => {
            for _ in 0..50 {
                link.we_write(64 * 1024);
                link.carry();
            }
        }
        Step::TheyStuff => {
            for _ in 0..50 {
                link.they_write(64 * 1024);
                link.carry();
            }
        }
    }
}

/// A quarter of the usual number of cases: each moves megabytes.
fn proptest_config() -> ProptestConfig {
    let usual = ProptestConfig { failure_persistence: None, ..Default::default() };
    ProptestConfig { cases: usual.cases / 4, ..usual }
}

proptest! {
    #![proptest_config(proptest_config())]

    #[test]
    fn every_byte_arrives_whatever_the_applications_do(
        acceptor in any::<bool>(),
        steps in steps(),
    ) {
        let mut link = Link::new(if acceptor { Role::Acceptor } else { Role::Connector });
        for step in &steps {
            run(&mut link, step);
        }
        link.settle();
        link.assert_whole();
        link.assert_goes_on();
    }
}
