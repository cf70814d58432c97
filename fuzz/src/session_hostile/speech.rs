//! A peer speaks: by the rules or not.

use watertight_core::wire::Dialect;

use super::case::Case;
use super::{Say, Whom, peer};

impl Case {
    /// The number of an id.
    pub(super) fn number(&mut self, whom: Whom) -> i64 {
        match whom {
            Whom::Session => 0,
            Whom::Known(which) => self.host.pick(which).map_or(0, |known| known.id.get()),
            Whom::Any(number) => number,
            Whom::Next => self.take_number(0),
            Whom::Later(by) => self.take_number(by.into()),
        }
    }

    fn take_number(&mut self, later: i64) -> i64 {
        let number = self.next.saturating_add(2 * later);
        self.next = number.saturating_add(2);
        number
    }

    pub(super) fn say(&mut self, whom: Whom, say: &Say) {
        let message = self.message(whom, say);
        self.host.take(&message);
    }

    fn message(&mut self, whom: Whom, say: &Say) -> Vec<u8> {
        let body = self.body(say);
        peer::message(self.number(whom), body)
    }

    pub(super) fn flood(&mut self, count: u8, whom: Whom, say: &Say) {
        for _ in 0..count {
            if self.host.closed {
                break;
            }
            self.say(whom, say);
        }
    }

    pub(super) fn mangle(&mut self, whom: Whom, say: &Say, place: u8, bits: u8) {
        let mut message = self.message(whom, say);
        let place = usize::from(place) % message.len();
        if let Some(byte) = message.get_mut(place) {
            *byte ^= bits;
        }
        self.host.take(&message);
    }

    /// Says it about a connection that it can be said about.
    pub(super) fn keep(&mut self, which: u8, say: &Say) {
        let extended = self.host.session.dialect() == Dialect::Extended;
        match say {
            Say::Settings { .. } => {}
            Say::Error { .. } | Say::Pause | Say::Resume | Say::SyncConnections(_) if extended => {}
            Say::Connect { .. } => self.say(Whom::Next, say),
            Say::GoAway { .. } | Say::Ping { .. } | Say::Pong { .. } | Say::Sync { .. } => {
                self.say(Whom::Session, say);
            }
            _ => self.keep_of(which, say),
        }
    }

    fn keep_of(&mut self, which: u8, say: &Say) {
        let Some(known) = self.host.pick(which) else { return };
        let whom = Whom::Known(which);
        match say {
            Say::Opened if known.opened => {}
            Say::Data { .. } | Say::Finish if !known.opened => self.say(whom, &Say::Opened),
            say => self.say(whom, say),
        }
    }
}
