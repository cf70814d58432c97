//! The record of unauthenticated remotes: of their sockets at servers, and of an impostor, which answers for
//! a server.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::schedule::{Host, Opening};

/// The record of unauthenticated remotes.
#[derive(Debug, Default)]
pub(super) struct Remotes {
    /// The deadline of each socket without a session.
    visits: BTreeMap<u64, Duration>,
    /// Admissions of remotes that have no right to a session.
    intrusions: Vec<String>,
    impersonation: Option<Impersonation>,
    /// Until when they connect or answer.
    last: Option<Duration>,
}

#[derive(Debug)]
struct Impersonation {
    server: u8,
    opening: Opening,
    until: Duration,
}

impl Remotes {
    pub(super) fn intrude(&mut self, what: String) {
        self.intrusions.push(what);
    }

    /// A socket without a session is open, and must be closed by `due`.
    pub(super) fn visit_begins(&mut self, number: u64, due: Duration) {
        self.visits.insert(number, due);
    }

    pub(super) fn visit_ends(&mut self, number: u64) {
        self.visits.remove(&number);
    }

    /// They connect until then.
    pub(super) fn connects(&mut self, until: Duration) {
        self.last = self.last.max(Some(until));
    }

    /// An impostor answers for a server for a while.
    pub(super) fn impersonate(&mut self, server: u8, opening: Opening, until: Duration) {
        self.last = self.last.max(Some(until));
        self.impersonation = Some(Impersonation { server, opening, until });
    }

    /// The impostor leaves.
    pub(super) fn heal(&mut self) {
        self.impersonation = None;
    }

    /// The answer of the impostor now, and how long it stays.
    pub(super) fn impersonation(&self, now: Duration) -> Option<(Opening, Duration)> {
        let Impersonation { opening, until, .. } = self.impersonation.as_ref()?;
        let left = until.checked_sub(now).filter(|left| !left.is_zero())?;
        Some((opening.clone(), left))
    }

    /// The host that answers a connection to a server now.
    pub(super) fn answers(&self, now: Duration, from: Host, server: u8) -> Host {
        let current = self.impersonation.as_ref().filter(|current| now < current.until);
        let is_there = current.is_some_and(|current| current.server == server);
        if is_there && from != Host::Unauthenticated {
            Host::Unauthenticated
        } else {
            Host::Server(server)
        }
    }

    /// Until when they do something new.
    pub(super) const fn last(&self) -> Option<Duration> {
        self.last
    }

    /// An excess of what a server may allow them.
    pub(super) fn allowed_too_much(&self, now: Duration) -> Option<String> {
        let stays = |due: &&Duration| **due < now;
        let stays = self.visits.values().find(stays).map(|due| {
            format!(
                "the socket of an unauthenticated remote is open that was to be closed by {due:?}"
            )
        });
        self.intrusions.first().cloned().or(stays)
    }
}
