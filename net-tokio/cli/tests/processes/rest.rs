//! Quiescence of a tunnel's processes: connections, tasks, descriptors and memory are as before.

use std::time::Duration;

use super::{PATIENCE, Tunnel, Watertight, eventually};

/// How long a process must hold the same for it to be at rest.
const STILL: Duration = Duration::from_millis(200);

/// Memory that a process may keep after it was needed. The allocator gives a page
/// back only when all of it is free, and each thread has pages of its own: up to 8 MB were seen
/// after rounds of 200 transfers, and no more after more of them.
const KEPT: u64 = 12 << 20;

/// The resources of both ends of an idle tunnel.
#[derive(Clone, Debug)]
pub(crate) struct Rest {
    live: u64,
    tasks: u64,
    server: Held,
    agent: Held,
}

/// The system's resources that a process holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    fds: usize,
    resident: u64,
}

impl Held {
    fn by(process: &Watertight) -> Self {
        Self { fds: process.fds(), resident: process.resident() }
    }

    /// A connection that has just been closed may be in one glance and not in the other.
    fn least(self, other: Self) -> Self {
        Self { fds: self.fds.min(other.fds), resident: self.resident.min(other.resident) }
    }

    fn is_more_than(&self, before: &Self) -> bool {
        self.fds > before.fds || self.resident > before.resident + KEPT
    }
}

impl Rest {
    /// Waits until nothing changes any more.
    pub(crate) async fn of(tunnel: &Tunnel) -> Self {
        eventually(PATIENCE, "rest", async || {
            let first = Self::now(tunnel).await?;
            tokio::time::sleep(STILL).await;
            let second = Self::now(tunnel).await?;
            if (first.live, first.tasks) != (second.live, second.tasks) {
                return Err(format!("{first:?}, then {second:?}"));
            }
            let (server, agent) =
                (first.server.least(second.server), first.agent.least(second.agent));
            Ok(Self { server, agent, ..second })
        })
        .await
    }

    /// Waits until both ends hold what they held before: connections, tasks and file descriptors
    /// exactly, memory but for what the allocator keeps.
    pub(crate) async fn returns(&self, tunnel: &Tunnel, limit: Duration) {
        eventually(limit, &format!("back to {self:?}"), async || {
            let now = Self::now(tunnel).await?;
            let more = now.live != self.live
                || now.tasks > self.tasks
                || now.server.is_more_than(&self.server)
                || now.agent.is_more_than(&self.agent);
            if more { Err(format!("{now:?}")) } else { Ok(()) }
        })
        .await;
    }

    /// Bytes by which the memory of both ends has grown since.
    pub(crate) fn growth(&self, tunnel: &Tunnel) -> [u64; 2] {
        let grown = |before: Held, now: &Watertight| now.resident().saturating_sub(before.resident);
        [grown(self.server, &tunnel.server), grown(self.agent, &tunnel.agent)]
    }

    async fn now(tunnel: &Tunnel) -> Result<Self, String> {
        let ledger = tunnel.server.ledger().await;
        if !ledger.is_quiet() {
            return Err(format!("{ledger:?}"));
        }
        Ok(Self {
            live: ledger.live(),
            tasks: ledger.tasks(),
            server: Held::by(&tunnel.server),
            agent: Held::by(&tunnel.agent),
        })
    }
}
