//! Two sessions joined by an ordered link without loss.

use std::time::Duration;

use watertight_core::wire::{Dialect, GoAwayCode};
use watertight_core::{ConnectionId, Event, Instant, Role, SessionConfig};

use super::{End, TARGET};

/// Two sessions joined by an ordered pipe without loss.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) now: Instant,
    /// The connector.
    pub(crate) agent: End,
    /// The acceptor.
    pub(crate) server: End,
}

impl Pair {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self::with(dialect, SessionConfig::default())
    }

    /// Both ends with the same configuration.
    pub(crate) fn with(dialect: Dialect, config: SessionConfig) -> Self {
        Self::with_each(dialect, config.clone(), config)
    }

    pub(crate) fn with_each(dialect: Dialect, agent: SessionConfig, server: SessionConfig) -> Self {
        let now = Instant::from_epoch(Duration::from_secs(1));
        let mut pair = Self {
            now,
            agent: End::new(now, Role::Connector, dialect, agent),
            server: End::new(now, Role::Acceptor, dialect, server),
        };
        pair.run();
        pair
    }

    pub(crate) fn end(&mut self, role: Role) -> &mut End {
        match role {
            Role::Connector => &mut self.agent,
            Role::Acceptor => &mut self.server,
        }
    }

    /// Carries what is there to carry, until there is nothing, without time passing.
    pub(crate) fn run(&mut self) {
        while self.carry(Role::Connector) | self.carry(Role::Acceptor) {}
    }

    fn carry(&mut self, from: Role) -> bool {
        let now = self.now;
        let mut moved = false;
        while let Some(item) = self.end(from).transmit(now) {
            self.end(from.other()).inbox.push_back(item);
            moved = true;
        }
        self.deliver(from.other()) || moved
    }

    /// Delivers the items in flight to an end.
    pub(crate) fn deliver(&mut self, to: Role) -> bool {
        let now = self.now;
        let mut moved = false;
        while let Some(item) = self.end(to).inbox.pop_front() {
            moved = true;
            if let Some(answer) = self.end(to).take(now, item) {
                self.end(to.other()).inbox.push_back(answer);
            }
        }
        moved
    }

    /// The transport takes the messages of an end, and they stay in flight.
    pub(crate) fn send_only(&mut self, from: Role) {
        let now = self.now;
        while let Some(item) = self.end(from).transmit(now) {
            self.end(from.other()).inbox.push_back(item);
        }
    }

    /// Lets time pass, stopping at every deadline, with the pipe running.
    pub(crate) fn wait(&mut self, duration: Duration) {
        let until = self.now + duration;
        self.run();
        while let Some(at) = self.next_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.expire();
            self.run();
        }
        self.now = until;
    }

    fn next_timeout(&self) -> Option<Instant> {
        let ends = [&self.agent, &self.server];
        ends.into_iter().filter_map(|end| end.session.poll_timeout()).min()
    }

    fn expire(&mut self) {
        let now = self.now;
        for end in [&mut self.agent, &mut self.server] {
            end.session.handle_timeout(now);
            end.poll_events();
        }
    }

    /// An accepted connection that the server dialled.
    pub(crate) fn connect(&mut self) -> ConnectionId {
        self.connect_from(Role::Acceptor)
    }

    pub(crate) fn connect_from(&mut self, opener: Role) -> ConnectionId {
        let id = self.open(opener);
        self.run();
        let now = self.now;
        self.end(opener.other()).session.accept(now, id).unwrap();
        self.run();
        assert_eq!(self.end(opener).count(&Event::Opened(id)), 1);
        id
    }

    /// A dial, not carried anywhere yet.
    pub(crate) fn open(&mut self, opener: Role) -> ConnectionId {
        let now = self.now;
        let id = self.end(opener).session.open(now, TARGET, None).unwrap();
        self.end(opener).poll_events();
        id
    }

    /// Writes all of `data`; the other application reads as it comes. Returns the bytes read.
    pub(crate) fn stream(&mut self, from: Role, id: ConnectionId, data: &[u8]) -> Vec<u8> {
        let (mut written, mut read) = (0, Vec::new());
        while read.len() < data.len() {
            let now = self.now;
            written += self.end(from).write(now, id, &data[written..]);
            self.run();
            let more = self.end(from.other()).read(now, id);
            assert!(!more.is_empty(), "stuck: {written} written, {} read", read.len());
            read.extend_from_slice(&more);
            self.run();
        }
        read
    }

    /// Writes as much as passes without a reader; how many bytes that was.
    pub(crate) fn stuff(&mut self, from: Role, id: ConnectionId, most: usize) -> usize {
        let data = super::pattern(0, most);
        let mut written = 0;
        loop {
            let now = self.now;
            let more = self.end(from).write(now, id, &data[written..]);
            self.run();
            if more == 0 || written + more == most {
                return written + more;
            }
            written += more;
        }
    }

    /// Nothing is held by either end but what keeps the sessions alive; then both are closed,
    /// and nothing is held at all.
    pub(crate) fn assert_quiet_then_close(&mut self) {
        self.run();
        self.agent.assert_quiet();
        self.server.assert_quiet();
        self.close();
    }

    pub(crate) fn close(&mut self) {
        let now = self.now;
        self.server.session.close(now, GoAwayCode::SHUTDOWN, "the test is over");
        self.run();
        self.cut("closed");
    }

    /// The transport ends. Received bytes may wait for the applications, and nothing else is left.
    pub(crate) fn cut(&mut self, reason: &str) {
        let now = self.now;
        for end in [&mut self.agent, &mut self.server] {
            end.session.handle_transport_ended(now, reason);
            end.session.check();
            end.session.force_close(now);
            end.poll_events();
            end.assert_even();
        }
    }
}
