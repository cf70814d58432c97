//! Quiescence: the resources that a pair holds before and after a scenario.

use std::time::Duration;

use tokio::time::Instant;

use crate::end::End;
use crate::go::{GoFigures, Version};
use crate::pair::Pair;
use crate::processes::{PATIENCE, Watertight, eventually};

/// How long an end must hold the same for it to be at rest.
const STILL: Duration = Duration::from_millis(200);

/// Memory that a process may keep after it was needed: twice as much as in
/// `processes/rest.rs`, because an end holds more unread bytes in the base dialect.
pub(crate) const KEPT: u64 = 24 << 20;

/// How long cleaning up may take where nothing has to be waited for.
pub(crate) const PROMPTLY: Duration = Duration::from_secs(10);

/// The resources of the ends of an idle pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rest(pub(crate) Vec<Held>);

/// What an end holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    Ours {
        /// Of a server, whose ledger can be read while it runs: connections and tasks.
        ledger: Option<(u64, u64)>,
        fds: usize,
        resident: u64,
    },
    Go(GoFigures),
}

impl Rest {
    /// Waits until nothing changes any more.
    pub(crate) async fn of(pair: &Pair) -> Self {
        let ends: Vec<_> = pair.ends().into_iter().map(|(_, end)| end).collect();
        Self::of_all(&ends).await
    }

    /// The same of any ends, in their order.
    pub(crate) async fn of_all(ends: &[&End]) -> Self {
        eventually(PATIENCE, "rest", async || {
            let first = Self::now(ends).await?;
            tokio::time::sleep(STILL).await;
            let second = Self::now(ends).await?;
            // A connection may have been closed between the two.
            let still = first.is_within(&second) && second.is_within(&first);
            if still { Ok(second) } else { Err(format!("{first:?}, then {second:?}")) }
        })
        .await
    }

    async fn now(ends: &[&End]) -> Result<Self, String> {
        let mut all = Vec::new();
        for end in ends {
            all.push(Held::by(end).await?);
        }
        Ok(Self(all))
    }

    fn is_within(&self, before: &Self) -> bool {
        self.0.iter().zip(&before.0).all(|(now, before)| now.is_within(before))
    }

    /// Bytes by which the memory of a watertight end has grown, at most.
    pub(crate) fn growth(&self, pair: &Pair) -> u64 {
        let ends = pair.ends().into_iter().zip(&self.0);
        ends.map(|((_, end), before)| before.growth(end)).max().unwrap_or(0)
    }
}

impl Held {
    /// `Err` while the end is busy.
    pub(crate) async fn by(end: &End) -> Result<Self, String> {
        match end {
            End::Ours(end) => Self::by_ours(end).await,
            End::Go(end) => {
                let figures = end.figures().await;
                if figures.are_settled() {
                    Ok(Self::Go(figures))
                } else {
                    Err(format!("{figures:?}"))
                }
            }
        }
    }

    async fn by_ours(end: &Watertight) -> Result<Self, String> {
        // Ahead of the question about its ledger, which is a connection, too.
        let fds = end.fds();
        let ledger = if end.addresses("admin server").is_empty() {
            None
        } else {
            let ledger = end.ledger().await;
            if !ledger.is_quiet() {
                return Err(format!("{ledger:?}"));
            }
            Some((ledger.live(), ledger.tasks()))
        };
        Ok(Self::Ours { ledger, fds, resident: end.resident() })
    }

    /// Waits until an end holds no more than this. `Err` is what it holds after `limit`.
    pub(crate) async fn is_back(&self, end: &End, limit: Duration) -> Result<(), String> {
        let until = Instant::now() + limit;
        loop {
            let now = match Self::by(end).await {
                Ok(held) if held.is_within(self) => return Ok(()),
                Ok(held) => format!("{held:?}"),
                Err(busy) => busy,
            };
            if Instant::now() > until {
                return Err(now);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Whether no more is held than `before`: connections, tasks and file descriptors
    /// exactly, memory but for what the allocator may have kept.
    pub(crate) fn is_within(&self, before: &Self) -> bool {
        match (self, before) {
            (
                Self::Ours { ledger, fds, resident },
                Self::Ours { ledger: ledger_before, fds: fds_before, resident: resident_before },
            ) => {
                let within =
                    |now: &(u64, u64), then: &(u64, u64)| now.0 == then.0 && now.1 <= then.1;
                let ledger =
                    ledger.zip(*ledger_before).is_none_or(|(now, then)| within(&now, &then));
                ledger && fds <= fds_before && *resident <= resident_before + KEPT
            }
            (Self::Go(now), Self::Go(before)) => now.goroutines <= before.goroutines,
            _ => false,
        }
    }

    /// Bytes by which the memory of a watertight end has grown.
    pub(crate) fn growth(&self, now: &End) -> u64 {
        match self {
            Self::Ours { resident, .. } => now.resident().saturating_sub(*resident),
            Self::Go(_) => 0,
        }
    }
}

impl GoFigures {
    /// Whether every connection that was added has been removed. In v0.6.1, more removed than added are
    /// connections that two closers counted (bug R21), which may hide one that was not: goroutines show that.
    pub(crate) const fn are_settled(&self) -> bool {
        match self.version {
            Version::V0_6_1 => self.removed >= self.added,
            Version::V0_6_2 => self.removed == self.added,
        }
    }

    /// Connections that two closers counted.
    pub(crate) const fn counted_twice(&self) -> u64 {
        self.removed.saturating_sub(self.added)
    }
}

#[test]
fn a_connection_that_two_closers_counted_is_settled_where_the_version_does_that() {
    let settled = |version, added, removed| {
        let figures = GoFigures { version, added, removed, goroutines: 1 };
        (figures.are_settled(), figures.counted_twice())
    };
    for version in [Version::V0_6_1, Version::V0_6_2] {
        assert_eq!(settled(version, 3, 3), (true, 0));
        assert_eq!(settled(version, 4, 3), (false, 0));
        assert_eq!(settled(version, 3, 4), (version == Version::V0_6_1, 1));
    }
}
