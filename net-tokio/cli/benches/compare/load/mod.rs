//! The loads on every contender.

mod beside;
mod bulk;
mod half_close;
mod idle;
mod opens;
mod requests;
mod slow_reader;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::Result;
use crate::contender::Route;
use crate::service::Swallowed;

pub(crate) use idle::{most_connections, raise_limit};

/// One thing that is asked of a contender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Load {
    /// As many bytes as go through.
    Bulk {
        #[serde(rename = "way")]
        direction: Direction,
        connections: usize,
    },
    /// Messages there and back, one at a time on each connection.
    Requests { length: usize, connections: usize },
    /// Connections that carry one byte in each direction, 64 at a time.
    Opens,
    /// Small requests beside other traffic.
    Beside(Neighbour),
    /// A download whose reader takes 6 MiB a second.
    SlowReader,
    /// Connections that have carried something and do nothing, and then are closed.
    Idle { connections: usize },
    /// An answer after the client's end of file.
    HalfClose,
}

/// Where the bytes go, seen from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Direction {
    Up,
    Down,
    /// Both at once; the figure is that of one of them.
    Both,
}

/// The traffic beside the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Neighbour {
    /// A download as fast as it goes.
    Full,
    /// A download held to 0.2 GiB/s by its reader.
    Held,
    /// A download whose reader has stopped.
    Stopped,
}

/// The measurements under a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Metric {
    /// GiB/s
    Rate,
    /// CPU seconds a GiB that the near end uses.
    CpuNear,
    /// The same of the far end.
    CpuFar,
    /// Of both ends.
    Cpu,
    /// How often in a second.
    PerSecond,
    /// Microseconds.
    P50,
    P99,
    P999,
    /// KiB a connection, while it is open.
    OpenNear,
    OpenFar,
    /// KiB a connection that stay after it has been closed.
    ClosedNear,
    ClosedFar,
    /// MiB that both ends grew by at most.
    Growth,
    /// 1 if it works.
    Works,
}

/// The results of a contender under a load.
pub(crate) type Measured = Vec<(Metric, f64)>;

/// Why a load has shown nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Trouble {
    /// Nothing moved any more.
    Stuck,
    /// In the words of what failed.
    Failed(String),
}

impl<E: fmt::Display> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Failed(error.to_string())
    }
}

/// The inputs of a load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bench<'a> {
    pub(crate) route: &'a Route,
    pub(crate) swallowed: &'a Swallowed,
    /// How long is measured.
    pub(crate) window: Duration,
}

impl Bench<'_> {
    /// How long a load runs before it is measured, so that windows have opened and buffers filled.
    fn warm_up(&self) -> Duration {
        self.window / 3
    }
}

/// How much longer than its window a load may take.
const PATIENCE: Duration = Duration::from_secs(15);

impl Load {
    /// All of them, in the order of the table.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for direction in [Direction::Up, Direction::Down] {
            all.extend([1, 16, 256].map(|connections| Self::Bulk { direction, connections }));
        }
        all.extend(
            [1, 8].map(|connections| Self::Bulk { direction: Direction::Both, connections }),
        );
        for length in [64, (8 << 10) + 1, 16 << 10] {
            all.extend([1, 64].map(|connections| Self::Requests { length, connections }));
        }
        all.push(Self::Opens);
        all.extend([Neighbour::Full, Neighbour::Held, Neighbour::Stopped].map(Self::Beside));
        all.push(Self::SlowReader);
        all.extend([1000, most_connections()].map(|connections| Self::Idle { connections }));
        all.push(Self::HalfClose);
        all
    }

    /// Whether it shows what memory is for, which does not vary and takes long to fill.
    pub(crate) fn is_about_memory(self) -> bool {
        matches!(self, Self::SlowReader | Self::Idle { .. })
    }

    /// Runs it to its end, or to that of the patience with it.
    pub(crate) async fn run(self, bench: Bench<'_>) -> std::result::Result<Measured, Trouble> {
        let run = async {
            match self {
                Self::Bulk { direction, connections } => {
                    bulk::run(bench, direction, connections).await
                }
                Self::Requests { length, connections } => {
                    requests::run(bench, length, connections).await
                }
                Self::Opens => opens::run(bench).await,
                Self::Beside(neighbour) => beside::run(bench, neighbour).await,
                Self::SlowReader => slow_reader::run(bench).await,
                Self::Idle { connections } => idle::run(bench, connections).await,
                Self::HalfClose => half_close::run(bench).await,
            }
        };
        let patience = match self {
            // A thousand a second.
            Self::Idle { connections } => PATIENCE + Duration::from_millis(connections as u64),
            _ => 2 * bench.window + PATIENCE,
        };
        timeout(patience, run).await.unwrap_or(Err(Trouble::Stuck))
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bulk { direction, connections } => match direction {
                Direction::Up => write!(f, "bulk up × {connections}"),
                Direction::Down => write!(f, "bulk down × {connections}"),
                Direction::Both => write!(f, "both directions at once × {connections}"),
            },
            Self::Requests { length, connections } => {
                write!(f, "{length} B there and back × {connections}")
            }
            Self::Opens => f.write_str("open, a byte to and fro, close × 64"),
            Self::Beside(Neighbour::Full) => f.write_str("64 B beside a full-speed download"),
            Self::Beside(Neighbour::Held) => {
                f.write_str("64 B beside a download held to 0.2 GiB/s")
            }
            Self::Beside(Neighbour::Stopped) => f.write_str("64 B beside a reader that stopped"),
            Self::SlowReader => f.write_str("a slow reader"),
            Self::Idle { connections } => write!(f, "{connections} idle connections"),
            Self::HalfClose => f.write_str("an answer after end of file"),
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rate => "GiB/s",
            Self::CpuNear => "CPU near, s a GiB",
            Self::CpuFar => "CPU far, s a GiB",
            Self::Cpu => "CPU of both ends, s a GiB",
            Self::PerSecond => "a second",
            Self::P50 => "p50, µs",
            Self::P99 => "p99, µs",
            Self::P999 => "p99.9, µs",
            Self::OpenNear => "KiB each, near",
            Self::OpenFar => "KiB each, far",
            Self::ClosedNear => "KiB each after closing, near",
            Self::ClosedFar => "KiB each after closing, far",
            Self::Growth => "growth of both ends, MiB",
            Self::Works => "works",
        })
    }
}

/// Tasks that run until they are dropped. An error if one of them has ended.
fn all_go_on<T: 'static>(tasks: &mut JoinSet<std::io::Result<T>>) -> Result<()> {
    match tasks.try_join_next() {
        None => Ok(()),
        Some(ended) => {
            ended??;
            Err("a connection ended before its time".into())
        }
    }
}
