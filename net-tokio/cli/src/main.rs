//! The `watertight` program: server, agent and demo on the command line.

mod access;
mod admin;
mod agent;
mod bind;
mod cli;
mod config;
mod demo;
mod failure;
mod files;
mod ledger;
mod log;
mod process;
mod server;
mod specs;
mod stdio;
mod tasks;
mod tls;
mod tokens;
mod unix_socket;

use std::future::Future;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::CommandFactory;
use tokio::runtime::Runtime;

use crate::cli::{Cli, Command};
use crate::config::FileOptions;
use crate::failure::{Failure, exit_code};
use crate::files::{warn_if_exposed, warn_if_others_can_write};
use crate::ledger::{LedgerReport, Output};

/// While buffers of 64 KiB come and go, glibc's allocator gives memory back to the kernel and asks
/// for it again all the time: a quarter of the CPU time of a bulk transfer over a byte stream. This
/// one keeps up to some 10 MB more after a burst.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long blocking work of the runtime, such as resolving a name, is waited for at the end.
const RUNTIME_GRACE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let code = match run(cli::parse()) {
        Ok(code) => code,
        Err(failure) => {
            // With a closed standard error, the exit code remains.
            stdio::error(&format!("watertight: {failure}"));
            failure.exit_code()
        }
    };
    stdio::flush();
    ExitCode::from(code)
}

fn run(cli: Cli) -> Result<u8, Failure> {
    let Cli { command, common } = cli;
    if let Command::Completions { shell } = command {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "watertight", &mut script);
        let written = io::stdout().write_all(&script);
        return written.map(|()| exit_code::SETTLED).map_err(Failure::start);
    }
    let file = FileOptions::read(common.config.as_deref())?;
    let log = common.log.or(file.log.clone());
    let output = Output::new(log.log_format.unwrap_or_default());
    let default_filter = if matches!(command, Command::Demo(_)) { "off" } else { "info" };
    log::init(&log, default_filter)?;
    if let Some(config) = &common.config {
        match file.has_secrets() {
            true => warn_if_exposed(config, "the configuration, which has secrets in it"),
            false => warn_if_others_can_write(config, "the configuration"),
        }
    }
    process::raise_limit();
    match command {
        Command::Server(options) => finish(output, server::run(options.or(file.server), output)),
        Command::Agent(options) => finish(output, agent::run(options.or(file.agent), output)),
        Command::Demo(options) => in_runtime(demo::run(options)),
        Command::Completions { .. } => Ok(exit_code::SETTLED),
    }
}

/// Runs to the end and prints the ledger, after which nothing else is printed.
fn finish(
    output: Output,
    running: impl Future<Output = Result<LedgerReport, Failure>>,
) -> Result<u8, Failure> {
    let ledger = in_runtime(running)?;
    output.ledger(&ledger);
    Ok(if ledger.settled { exit_code::SETTLED } else { exit_code::NOT_SETTLED })
}

fn in_runtime<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = Runtime::new()
        .map_err(|error| Failure::start(format_args!("cannot start the runtime: {error}")))?;
    let result = runtime.block_on(future);
    runtime.shutdown_timeout(RUNTIME_GRACE);
    result
}
