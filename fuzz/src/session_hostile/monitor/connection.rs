//! The monitor's state of one connection, from the wire alone.

use watertight_core::wire::Body;

/// What both ends have said about a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Connection {
    /// This end has dialled it.
    pub(super) is_own: bool,
    /// The remote has dialled it.
    pub(super) is_peers: bool,
    /// Either end has said Opened.
    pub(super) opened: bool,
    /// This end has said Finish.
    pub(super) finished: bool,
    /// This end has said that it is over: how often.
    pub(super) ended: u64,
    /// The remote has said so.
    pub(super) heard_end: bool,
    /// The remote has said Finish.
    pub(super) heard_finish: bool,
    /// The remote has said that it does not have it, or will not: this end may let it go without a word.
    pub(super) may_be_gone: bool,
    /// This end has woken its writer on leaving (base dialect).
    pub(super) woken: bool,
    /// Data messages of the remote.
    pub(super) heard_data: u64,
    /// Some of them came before anybody had dialled it.
    pub(super) heard_early: bool,
    /// Bytes that the remote has granted, beyond those that every connection has.
    pub(super) granted: u64,
    /// Bytes that this end has sent.
    pub(super) sent: u64,
}

impl Connection {
    pub(super) fn heard(&mut self, body: &Body) {
        match body {
            Body::Data { .. } => {
                self.heard_data += 1;
                self.heard_early |= !self.is_dialled();
            }
            Body::Opened if self.is_own => self.opened = true,
            // An answer to what was never dialled is nobody's.
            Body::Reset { .. } | Body::Error { .. } => self.heard_end |= self.is_dialled(),
            Body::Finish => self.heard_finish = true,
            Body::Credit { bytes } => self.granted = self.granted.saturating_add(*bytes),
            _ => {}
        }
    }

    pub(super) const fn is_dialled(&self) -> bool {
        self.is_own || self.is_peers
    }

    /// Whether neither end has said that it is over.
    pub(super) const fn goes_on(&self) -> bool {
        self.ended == 0 && !self.heard_end
    }

    /// Whether the remote may rely on it.
    pub(super) const fn must_be_listed(&self) -> bool {
        self.is_dialled() && self.goes_on() && !self.may_be_gone
    }
}
