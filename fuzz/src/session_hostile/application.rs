//! The application acts.

use std::fmt::Display;
use std::time::Duration;

use bytes::Bytes;
use watertight_core::session::ReadError;
use watertight_core::wire::ClientRoute;
use watertight_core::{ConnectionId, Instant, Session};

use super::case::Case;
use super::draw::Text;
use super::host::outcome;
use super::message::RemoteMessage;
use super::scenario::Command;

/// Bytes that the application writes: they take no heap.
static WRITTEN: [u8; 1 << 16] = [7; 1 << 16];

impl Case {
    pub(super) fn command(&mut self, which: u8, command: Command) {
        let id = self.host.pick(which).map_or(ConnectionId::SESSION, |known| known.id);
        let text = command.text();
        self.host.traffic.commanded(text.len());
        let host = &mut self.host;
        match command {
            Command::Open { within, .. } => host.open(&text, within.map(millis)),
            Command::Accept => self.act(which, |session, now| session.accept(now, id)),
            Command::Refuse { code, .. } => {
                self.act(which, |session, now| session.refuse(now, id, code.into(), &text));
            }
            Command::Write { length } => self.write(which, length),
            Command::Writable => {
                let room = host.call(|session, now| outcome(session.writable(now, id)));
                assert_ne!(room, Some(0), "a room of nothing");
                assert!(room.is_none() || self.is_there(which), "{id} is gone, and has room");
            }
            Command::Read { most } => self.read(which, most.max(1).into()),
            Command::Finish => self.act(which, |session, now| session.finish(now, id)),
            Command::Reset { code, .. } => {
                self.act(which, |session, now| session.reset(now, id, code.into(), &text));
            }
            Command::Release => host.call(|session, now| session.release(now, id)),
            Command::Announce { key, reachable } => self.announce(key, reachable),
            Command::TrustRoutes => host.call(|session, _| session.trust_routes()),
            Command::Drain { within, .. } => {
                host.call(|session, now| session.drain(now, &text, millis(within)));
            }
            Command::Close { code, .. } => {
                host.call(|session, now| session.close(now, code.into(), &text));
            }
            Command::ForceClose => host.call(|session, now| session.force_close(now)),
        }
    }

    /// Whether there is a connection that a command may change.
    fn is_there(&self, which: u8) -> bool {
        self.host.pick(which).is_some_and(|known| !known.retired)
    }

    /// Calls a command on a connection, which fails if there is none.
    fn act<E: Display>(
        &mut self,
        which: u8,
        command: impl FnOnce(&mut Session, Instant) -> Result<(), E>,
    ) {
        let is_there = self.is_there(which);
        let done = self.host.attempt(command);
        assert!(is_there || !done, "a connection that is gone does as it is told");
    }

    /// The application writes as much as the session takes, again and again, and the transport takes it.
    pub(super) fn stream(&mut self, which: u8, times: u8) {
        for _ in 0..times {
            self.host.traffic.commanded(0);
            self.write(which, u16::MAX);
            self.host.transmit_all();
        }
    }

    /// The application reads the remote's Data, and the transport takes the updates.
    pub(super) fn fetch(&mut self, which: u8, times: u8) {
        for _ in 0..times {
            self.keep(which, &RemoteMessage::Data { length: 1024 });
            self.host.traffic.commanded(0);
            self.read(which, usize::MAX);
            self.host.transmit_all();
        }
    }

    fn write(&mut self, which: u8, length: u16) {
        let Some(known) = self.host.pick(which) else { return };
        let mut data = Bytes::from_static(&WRITTEN).slice(..usize::from(length));
        let taken = self.host.call(|session, now| outcome(session.write(now, known.id, &mut data)));
        assert!(taken.is_none() || !known.retired, "{} is gone, and is written to", known.id);
        let left = usize::from(length) - taken.unwrap_or(0);
        assert_eq!(data.len(), left, "bytes that were neither taken nor left");
        self.host.traffic.wrote(taken.unwrap_or(0));
    }

    fn read(&mut self, which: u8, most: usize) {
        let Some(known) = self.host.pick(which) else { return };
        let is_over = self.host.session.read_end(known.id).is_some();
        let mut resets = false;
        let read = self.host.call(|session, now| {
            let read = session.read(now, known.id, most);
            resets = matches!(read, Err(ReadError::Ended(_)));
            outcome(read).map(|data| data.len())
        });
        self.host.has_read(known.id, read.unwrap_or(0));
        assert!(read.is_none_or(|read| read <= most), "{read:?} bytes of {most}");
        assert!(read.is_none() || !known.retired, "{} is gone, and is read from", known.id);
        assert!(
            !is_over || resets || read > Some(0),
            "{} is over, and there is nothing to read",
            known.id
        );
    }

    /// There are at most [`bounds::ROUTES`] routes.
    fn announce(&mut self, key: u8, reachable: bool) {
        let client_key = Text(key % 16).string();
        self.host.traffic.commanded(client_key.len());
        let route = ClientRoute { client_key, session_key: i64::from(key / 16 % 2) };
        self.host.attempt(|session, now| session.announce(now, route.clone(), reachable));
    }
}

fn millis(millis: u32) -> Duration {
    Duration::from_millis(millis.into())
}
