//! A session that faces a remote made by hand.

use std::time::Duration;

use bytes::Bytes;
use watertight_core::session::ProtocolViolation;
use watertight_core::testkit::Item;
use watertight_core::wire::{Body, Dialect, Message, Settings};
use watertight_core::{ConnectionId, Instant, Role, SessionConfig, SessionEnd};

use super::{End, TARGET, decode, id};

/// A session that faces a remote made by hand, which follows the rules, or breaks them, or is a
/// remotedialer end.
#[derive(Debug)]
pub(crate) struct Lone {
    pub(crate) now: Instant,
    pub(crate) end: End,
    /// Pings of the transport that the peer has not answered.
    pings: Vec<Bytes>,
}

impl Lone {
    /// A session that has heard the peer's Settings, where it must, and has sent its own.
    pub(crate) fn new(role: Role, dialect: Dialect, config: SessionConfig) -> Self {
        let mut lone = Self::silent(role, dialect, config);
        if dialect == Dialect::Extended {
            let settings = Settings {
                initial_window: 64 << 10,
                max_data: 16 << 10,
                max_connections: 1000,
                silence: 0,
            };
            lone.sends(0, Body::Settings(settings));
        }
        lone.receives();
        lone
    }

    /// A session that has heard nothing.
    pub(crate) fn silent(role: Role, dialect: Dialect, config: SessionConfig) -> Self {
        let now = Instant::from_epoch(Duration::from_secs(1));
        Self { now, end: End::new(now, role, dialect, config), pings: Vec::new() }
    }

    /// The peer sends a message.
    pub(crate) fn sends(&mut self, number: i64, body: Body) {
        let message = Message::new(id(number), body).encode().to_bytes();
        self.end.take(self.now, Item::Message(message));
    }

    pub(crate) fn sends_data(&mut self, number: i64, payload: &[u8]) {
        let payload = Bytes::copy_from_slice(payload);
        self.sends(number, Body::Data { deadline: 0, payload });
    }

    /// The peer dials.
    pub(crate) fn dials(&mut self, number: i64) -> ConnectionId {
        self.sends(number, Body::Connect { deadline: 0, target: TARGET.into() });
        id(number)
    }

    /// The remote dials and is accepted; the answers are received.
    pub(crate) fn accepts(&mut self, number: i64) -> ConnectionId {
        let id = self.dials(number);
        self.end.session.accept(self.now, id).unwrap();
        self.receives();
        id
    }

    /// The peer answers the pings of the transport that it has heard.
    pub(crate) fn answer_pings(&mut self) {
        for payload in std::mem::take(&mut self.pings) {
            self.end.take(self.now, Item::Pong(payload));
        }
    }

    /// Messages that the remote receives, as bytes, without pings of the transport.
    pub(crate) fn receives_raw(&mut self) -> Vec<Bytes> {
        let mut heard = Vec::new();
        while let Some(item) = self.end.transmit(self.now) {
            match item {
                Item::Message(message) => heard.push(message),
                Item::Ping(payload) => self.pings.push(payload),
                Item::Pong(_) | Item::End => {}
            }
        }
        heard
    }

    /// Messages that the remote receives, without pings.
    pub(crate) fn receives(&mut self) -> Vec<(i64, Body)> {
        let dialect = self.end.session.dialect();
        let messages = self.receives_raw().into_iter().map(|message| decode(message, dialect));
        let heard = messages.filter(|message| !matches!(message.body, Body::Ping { .. }));
        heard.map(|message| (message.connection.get(), message.body)).collect()
    }

    /// Lets time pass, stopping at every deadline; messages are dropped.
    pub(crate) fn wait(&mut self, duration: Duration) {
        let until = self.now + duration;
        if self.end.takes {
            self.receives();
        }
        while let Some(at) = self.end.session.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.end.session.handle_timeout(self.now);
            self.end.poll_events();
            if self.end.takes {
                self.receives();
            }
        }
        self.now = until;
    }

    /// The rule that the remote broke, if that has ended the session.
    pub(crate) fn fault(&self) -> Option<&ProtocolViolation> {
        match self.end.closed.as_ref()? {
            SessionEnd::ProtocolViolation(fault) => Some(fault),
            end => panic!("ended by {end}"),
        }
    }

    /// Ends the session from outside, after which nothing is held.
    pub(crate) fn assert_even_after_the_transport(&mut self) {
        self.end.session.handle_transport_ended(self.now, "gone");
        self.end.session.force_close(self.now);
        self.end.poll_events();
        self.end.assert_even();
    }
}
