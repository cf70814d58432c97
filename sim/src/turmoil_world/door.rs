//! What is known of strangers: those who connect to servers, and those in the place of one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::plan::touches_no_session;
use super::quiet::agents;
use super::stage::Stage;
use crate::schedule::{Action, Host, Opening};

/// How long a socket may be silent before its first byte: the product's bound.
const FIRST_BYTE: Duration = Duration::from_secs(4);

/// So late the end of a socket may be heard of: a tick or two, and what is between two looks.
const LATE: Duration = Duration::from_millis(60);

/// Strangers have their addresses from here on: those of benchmarks, of which turmoil gives none out.
const NETWORK: u32 = 0xc612_0000;

/// What is known of strangers.
#[derive(Debug, Default)]
pub(super) struct Door {
    /// When each socket that is no session must be closed at the latest.
    visits: BTreeMap<u64, Duration>,
    /// Who is let in though nobody knows him.
    intrusions: Vec<String>,
    impersonation: Option<Impersonation>,
    /// When strangers were last told to connect or to answer.
    last: Option<Duration>,
}

#[derive(Debug)]
struct Impersonation {
    server: u8,
    opening: Opening,
    until: Duration,
}

impl Door {
    pub(super) fn intrude(&mut self, what: String) {
        self.intrusions.push(what);
    }

    /// Strangers connect until then.
    pub(super) fn connects(&mut self, until: Duration) {
        self.last = self.last.max(Some(until));
    }

    /// Somebody is in the place of a server for a while.
    pub(super) fn impersonate(&mut self, server: u8, opening: Opening, until: Duration) {
        self.last = self.last.max(Some(until));
        self.impersonation = Some(Impersonation { server, opening, until });
    }

    /// Nobody is in the place of a server any more.
    pub(super) fn heal(&mut self) {
        self.impersonation = None;
    }

    /// What one says who is in the place of a server now, and for how long he is.
    pub(super) fn impersonation(&self, now: Duration) -> Option<(Opening, Duration)> {
        let Impersonation { opening, until, .. } = self.impersonation.as_ref()?;
        let left = until.checked_sub(now).filter(|left| !left.is_zero())?;
        Some((opening.clone(), left))
    }

    /// Who answers one that connects to a server now.
    pub(super) fn answers(&self, now: Duration, from: Host, server: u8) -> Host {
        let current = self.impersonation.as_ref().filter(|current| now < current.until);
        let is_there = current.is_some_and(|current| current.server == server);
        if is_there && from != Host::Strangers { Host::Strangers } else { Host::Server(server) }
    }

    /// Until when strangers do something new.
    pub(super) const fn last(&self) -> Option<Duration> {
        self.last
    }

    /// What a server should not have allowed a stranger.
    pub(super) fn allowed_too_much(&self, now: Duration) -> Option<String> {
        let stays = |due: &&Duration| **due < now;
        let stays = self.visits.values().find(stays).map(|due| {
            format!("the socket of a stranger is open that was to be closed by {due:?}")
        });
        self.intrusions.first().cloned().or(stays)
    }
}

/// One socket of a stranger, as long as it is open.
pub(super) struct Visit<'a> {
    stage: &'a Stage,
    number: u64,
    since: Duration,
    /// How long it may stay without a session.
    allowed: Duration,
}

impl<'a> Visit<'a> {
    pub(super) fn begin(stage: &'a Stage, number: u64, opening: &Opening) -> Self {
        let (since, handshake) = (stage.now(), stage.handshake());
        let allowed = match opening {
            Opening::Silence => FIRST_BYTE.min(handshake),
            _ => handshake,
        };
        if !matches!(opening, Opening::Frames { .. }) {
            let due = since + allowed + LATE + stage.crossing();
            stage.door().visits.insert(number, due);
        }
        Self { stage, number, since, allowed }
    }

    /// Whether its time is over, about: the server counts from an earlier moment.
    pub(super) fn ran_out(&self) -> bool {
        2 * self.stage.now().saturating_sub(self.since) > self.allowed
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.stage.door().visits.remove(&self.number);
    }
}

/// The address that a server sees: strangers have many.
pub(super) fn address_of(stage: &Stage, by: Host, remote: SocketAddr) -> SocketAddr {
    if by != Host::Strangers {
        return remote;
    }
    let addresses = stage.schedule.knobs.hosts.stranger_addresses.max(1);
    // turmoil gives ports out one after the other.
    let number = u32::from(remote.port()) % addresses;
    SocketAddr::new(std::net::Ipv4Addr::from(NETWORK + number).into(), remote.port())
}

impl Stage {
    /// Whether a server has as many sockets without a session as it runs handshakes at once.
    pub(super) fn is_crowded(&self, server: u8) -> bool {
        let most = self.schedule.knobs.hosts.max_handshakes as usize;
        let handshakes = self.at(Host::Server(server), |desk| desk.handshakes()).unwrap_or(0);
        most > 0 && handshakes >= most
    }

    /// How long an agent may be without a session, and from when on: `None` where anything but strangers
    /// may keep it out.
    fn admission(&self) -> Option<(Duration, Duration)> {
        let knobs = &self.schedule.knobs;
        let strangers_only = |action: &Action| {
            touches_no_session(action)
                || matches!(
                    action,
                    Action::Disconnect { .. }
                        | Action::Cut { by: Host::Agent(_) }
                        | Action::Impersonate { .. }
                )
        };
        let steps = &self.schedule.steps;
        let connection = knobs.connection();
        if connection > self.handshake()
            || self.parts()
            || self.shuts_down()
            || !steps.iter().all(|step| strangers_only(&step.action))
        {
            return None;
        }
        let attempt = self.handshake() + self.reconnect().max;
        let last = self.door().last();
        if last.is_none() || !self.has_turns_for_all() {
            // What has begun comes to its end first, the agent's own attempt as well.
            return Some((3 * attempt + LATE, last.unwrap_or_default()));
        }
        // Nobody's time has to run out for it, however long a handshake may take.
        Some((self.reconnect().max + connection + LATE, Duration::ZERO))
    }

    /// Whether every source may run a handshake, and one of them two.
    fn has_turns_for_all(&self) -> bool {
        let hosts = &self.schedule.knobs.hosts;
        let others = self.schedule.cast.agents.len() + usize::from(self.schedule.cast.servers) - 1;
        let sources = others + hosts.stranger_addresses.max(1) as usize;
        let is_wide = hosts.max_handshakes == 0 || hosts.max_handshakes as usize > sources;
        is_wide && !self.has_impostors()
    }

    /// An agent that could have a session and has had none for too long.
    pub(super) fn kept_out(&self) -> Option<String> {
        let (allowed, from) = self.admission()?;
        let moment = self.now().checked_sub(allowed)?;
        agents(self).find_map(|agent| {
            let host = Host::Agent(agent);
            let since = self.at(host, |desk| desk.account.down_since())??;
            let late = since.max(from) < moment;
            late.then(|| format!("{host} has had no session since {since:?}"))
        })
    }
}
