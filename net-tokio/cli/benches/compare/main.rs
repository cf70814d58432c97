//! The tunnel beside its peers, end to end: every part a process of its own on loopback.
//!
//! `cargo bench -p watertight-cli --bench compare -- --help` lists its commands.

#![allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "its input is its own, and its figures are small"
)]

mod comparison;
mod contender;
mod hop;
mod load;
mod many_agents;
mod part;
mod report;
mod results;
mod service;
mod silence;
mod soak;
mod yamux_crate;

use std::error::Error;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Parser, Subcommand};
use tokio::runtime::Builder;

use contender::Contender;
use load::Load;
use results::Results;

/// The one of the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Compares watertight with other tunnels on this machine
#[derive(Debug, Parser)]
#[command(name = "compare", bin_name = "cargo bench -p watertight-cli --bench compare --")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunOptions,
    /// The option that cargo passes to every benchmark
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes table and picture anew from what an earlier run has found
    Report,
    /// Runs watertight at full load, with connections that come and go; fails if it grows
    Soak {
        /// For how long
        #[arg(default_value = "1m", value_parser = humantime::parse_duration)]
        length: Duration,
        /// The contender of watertight
        #[arg(long, default_value = "ours-ws")]
        contender: Contender,
    },
    /// One server with so many agents that do nothing
    ManyAgents {
        #[arg(default_values_t = [1, 500, 1000, 2000])]
        agents: Vec<usize>,
    },
    /// How long an agent takes to connect beside so many silent sockets
    Silence {
        #[arg(default_value_t = 10_000)]
        sockets: usize,
    },
    /// What this program starts itself as
    #[command(hide = true, subcommand)]
    Part(Part),
}

#[derive(Debug, clap::Args)]
struct RunOptions {
    /// How often everything is measured
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each measurement takes, after a third of it to warm up
    #[arg(long, default_value = "1s", value_parser = humantime::parse_duration)]
    window: Duration,
    /// Only these
    #[arg(long, value_delimiter = ',')]
    contenders: Vec<Contender>,
    /// Only loads whose name contains one of these, such as "bulk down" or "idle"
    #[arg(long, value_delimiter = ',')]
    loads: Vec<String>,
    /// Another build of the `watertight` program, to see what a change does
    #[arg(long)]
    before: Option<PathBuf>,
    /// Where results, table and picture go
    #[arg(long, default_value = concat!(env!("CARGO_TARGET_TMPDIR"), "/compare/results"), global = true)]
    out: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// A program that ends with this one
    Child {
        program: OsString,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    Service,
    Hop {
        to: SocketAddr,
    },
    ManyAgents {
        server: String,
        agents: usize,
    },
    Silence {
        at: SocketAddr,
        sockets: usize,
        sources: usize,
    },
    YamuxNear,
    YamuxFar {
        near: SocketAddr,
        to: SocketAddr,
    },
}

fn main() -> Result<()> {
    let Cli { command, run, .. } = Cli::parse();
    if let Some(Command::Part(Part::Child { program, args })) = &command {
        return part::become_child(program, args);
    }
    load::raise_limit()?;
    let runtime = match &command {
        Some(Command::Part(part)) if part.is_contender() => Builder::new_multi_thread(),
        _ => Builder::new_current_thread(),
    }
    .enable_all()
    .build()?;
    match command {
        Some(Command::Part(part)) => runtime.block_on(part.play()),
        Some(Command::Soak { length, contender }) => runtime.block_on(soak::run(contender, length)),
        Some(Command::ManyAgents { agents }) => runtime.block_on(many_agents::run(&agents)),
        Some(Command::Silence { sockets }) => runtime.block_on(silence::run(sockets)),
        Some(Command::Report) => report::write(&Results::read(&results_in(&run.out))?, &run.out),
        None => runtime.block_on(compare(run)),
    }
}

fn results_in(folder: &Path) -> PathBuf {
    folder.join("results.json")
}

async fn compare(options: RunOptions) -> Result<()> {
    comparison::run(&options.plan()?, |results| {
        report::write(results, &options.out)?;
        results.write(&results_in(&options.out))
    })
    .await?;
    print!("{}", std::fs::read_to_string(options.out.join("comparison.md"))?);
    println!("\nresults, table and picture are in {}", options.out.display());
    Ok(())
}

impl RunOptions {
    fn plan(&self) -> Result<comparison::Plan> {
        let wanted = |load: &Load| {
            let name = load.to_string();
            self.loads.is_empty() || self.loads.iter().any(|part| name.contains(part.as_str()))
        };
        let loads: Vec<Load> = Load::all().into_iter().filter(wanted).collect();
        if loads.is_empty() {
            let names: Vec<String> = Load::all().iter().map(Load::to_string).collect();
            return Err(format!("no load is called so; there are:\n{}", names.join("\n")).into());
        }
        let contenders = match self.contenders.as_slice() {
            [] => Contender::ALL.to_vec(),
            some => some.to_vec(),
        };
        let has = |who: &Contender| self.before.is_some() || !who.is_before();
        Ok(comparison::Plan {
            contenders: contenders.into_iter().filter(has).collect(),
            loads,
            rounds: self.rounds,
            window: self.window,
            before: self.before.clone(),
        })
    }
}

impl Part {
    /// Whether it is compared, on the same runtime as the others.
    fn is_contender(&self) -> bool {
        matches!(self, Self::Hop { .. } | Self::YamuxNear | Self::YamuxFar { .. })
    }

    async fn play(self) -> Result<()> {
        match self {
            Self::Child { .. } => Ok(()),
            Self::Service => service::run().await,
            Self::Hop { to } => hop::run(to).await,
            Self::ManyAgents { server, agents } => many_agents::agents(&server, agents).await,
            Self::Silence { at, sockets, sources } => silence::hold(at, sockets, sources).await,
            Self::YamuxNear => yamux_crate::near().await,
            Self::YamuxFar { near, to } => yamux_crate::far(near, to).await,
        }
    }
}
