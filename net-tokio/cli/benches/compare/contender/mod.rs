//! The contenders: each leads connections of a user to the service.

pub(crate) mod ours;
mod peers;
pub(crate) mod programs;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

use crate::Result;
use crate::part::Part;
use crate::service::{ask_echo, exchange};
use programs::Programs;

/// How long it may take until the first byte comes through.
const PATIENCE: Duration = Duration::from_secs(20);

/// Who is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
pub(crate) enum Contender {
    /// No tunnel at all
    Direct,
    /// Two plain TCP forwarders with buffers of 64 KiB
    Hops,
    /// The `watertight` program over a byte stream
    OursTcp,
    /// The `watertight` program over a WebSocket
    OursWs,
    /// The `watertight` program over a byte stream in TLS
    OursTls,
    /// Another build of the program (--before), over a byte stream
    BeforeTcp,
    /// Another build of the program (--before), over a WebSocket
    BeforeWs,
    /// rancher/remotedialer, as a Go program
    Remotedialer,
    /// hashicorp/yamux, as a Go program
    YamuxGo,
    /// The `yamux` crate
    YamuxCrate,
    /// rathole, from crates.io
    Rathole,
    /// bore, from crates.io
    Bore,
}

impl Contender {
    pub(crate) const ALL: [Self; 12] = [
        Self::Direct,
        Self::Hops,
        Self::OursTcp,
        Self::OursWs,
        Self::OursTls,
        Self::BeforeTcp,
        Self::BeforeWs,
        Self::Remotedialer,
        Self::YamuxGo,
        Self::YamuxCrate,
        Self::Rathole,
        Self::Bore,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Hops => "hops",
            Self::OursTcp => "watertight tcp",
            Self::OursWs => "watertight ws",
            Self::OursTls => "watertight tls",
            Self::BeforeTcp => "before, tcp",
            Self::BeforeWs => "before, ws",
            Self::Remotedialer => "remotedialer",
            Self::YamuxGo => "yamux (Go)",
            Self::YamuxCrate => "yamux (crate)",
            Self::Rathole => "rathole",
            Self::Bore => "bore",
        }
    }

    /// Whether it is an earlier build of watertight, which only a developer has.
    pub(crate) fn is_before(self) -> bool {
        matches!(self, Self::BeforeTcp | Self::BeforeWs)
    }

    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::OursTcp | Self::OursWs | Self::OursTls)
    }

    /// Starts its processes and waits until a byte comes through.
    pub(crate) async fn start(self, service: SocketAddr, programs: &Programs) -> Result<Route> {
        let route = match self {
            Self::Direct => Route { at: service, ends: None, _files: None },
            Self::Hops => peers::hops(service)?,
            Self::OursTcp => ours::start(programs.ours(), "tcp", service)?,
            Self::OursWs => ours::start(programs.ours(), "ws", service)?,
            Self::OursTls => ours::start(programs.ours(), "tls", service)?,
            Self::BeforeTcp => ours::start(programs.before()?, "tcp", service)?,
            Self::BeforeWs => ours::start(programs.before()?, "ws", service)?,
            Self::Remotedialer => peers::remotedialer(service, programs).await?,
            Self::YamuxGo => peers::yamux_go(service, programs)?,
            Self::YamuxCrate => peers::yamux_crate(service)?,
            Self::Rathole => peers::rathole(service, programs)?,
            Self::Bore => peers::bore(service, programs).await?,
        };
        route.carries().await.map_err(|error| format!("{self}: {error}"))?;
        Ok(route)
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A route from a user to the service.
#[derive(Debug)]
pub(crate) struct Route {
    /// Where users connect.
    pub(crate) at: SocketAddr,
    /// None on the direct route.
    pub(crate) ends: Option<Ends>,
    _files: Option<TempDir>,
}

/// The two processes of a tunnel.
#[derive(Debug)]
pub(crate) struct Ends {
    /// The one that users connect to.
    pub(crate) near: Part,
    /// The one that connects to the service.
    pub(crate) far: Part,
}

/// The measurements of each end, near and far.
pub(crate) type Pair = [f64; 2];

impl Route {
    fn new(at: &str, near: Part, far: Part, files: Option<TempDir>) -> Result<Self> {
        Ok(Self { at: at.parse()?, ends: Some(Ends { near, far }), _files: files })
    }

    /// CPU seconds used so far; zero without a tunnel.
    pub(crate) fn cpu(&self) -> Result<Pair> {
        self.of_each(Part::cpu)
    }

    /// Resident KiB of their own; zero without a tunnel.
    pub(crate) fn resident(&self) -> Result<Pair> {
        self.of_each(Part::resident)
    }

    fn of_each(&self, read: impl Fn(&Part) -> Result<f64>) -> Result<Pair> {
        match &self.ends {
            Some(Ends { near, far }) => Ok([read(near)?, read(far)?]),
            None => Ok([0.0; 2]),
        }
    }

    async fn carries(&self) -> Result<()> {
        let carries = async {
            loop {
                if self.echoes().await.is_ok() {
                    return;
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, carries).await.map_err(|_| "nothing came through".into())
    }

    async fn echoes(&self) -> std::io::Result<()> {
        let mut socket = ask_echo(self.at, 1).await?;
        // Some accept a user before they have anybody to forward to.
        timeout(Duration::from_secs(2), exchange(&mut socket, &mut [1])).await?
    }

    /// Waits until the ends have nothing more to do. An error if they always do.
    pub(crate) async fn settle(&self) -> Result<()> {
        let until = Instant::now() + Duration::from_secs(10);
        let mut used = self.cpu()?;
        while Instant::now() < until {
            sleep(Duration::from_millis(100)).await;
            let now = self.cpu()?;
            // A timer may go off.
            if now.iter().zip(used).all(|(now, used)| now - used <= 0.011) {
                return Ok(());
            }
            used = now;
        }
        Err("it does not come to rest".into())
    }
}
