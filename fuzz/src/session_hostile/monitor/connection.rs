//! The monitor's state of one connection, from the wire alone.

use watertight_core::wire::Body;

/// The messages of both ends about a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Connection {
    /// This end has dialled it.
    pub(super) is_own: bool,
    /// The remote has dialled it.
    pub(super) is_peers: bool,
    /// Either end has sent Opened.
    pub(super) opened: bool,
    /// This end has sent Finish.
    pub(super) finished: bool,
    /// How many ends (Error or Reset) this end has sent.
    pub(super) ended: u64,
    /// The remote has sent one.
    pub(super) heard_end: bool,
    /// The remote has sent Finish.
    pub(super) heard_finish: bool,
    /// The remote has reported that it does not have it, or will not: this end may remove it without a
    /// message.
    pub(super) may_be_gone: bool,
    /// This end has woken its writer on leaving (base dialect).
    pub(super) woken: bool,
    /// Data messages of the remote.
    pub(super) heard_data: u64,
    /// Some of them came before anybody had dialled it.
    pub(super) heard_early: bool,
    /// Bytes that the remote has granted, beyond the initial window.
    pub(super) granted: u64,
    /// Bytes that this end has sent.
    pub(super) sent: u64,
}

impl Connection {
    pub(super) fn on_received(&mut self, body: &Body) {
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

    /// Whether neither end has sent an end.
    pub(super) const fn goes_on(&self) -> bool {
        self.ended == 0 && !self.heard_end
    }

    /// Whether the remote may rely on it.
    pub(super) const fn must_be_listed(&self) -> bool {
        self.is_dialled() && self.goes_on() && !self.may_be_gone
    }
}
