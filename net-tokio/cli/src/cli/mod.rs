//! The command line. What an option means stands in its help and nowhere else.

mod agent;
mod environment;
mod help;
mod server;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use serde::Deserialize;

pub(crate) use agent::AgentOptions;
pub(crate) use environment::parse;
pub(crate) use server::ServerOptions;

/// A reverse tunnel whose connections, tasks and buffers cannot leak.
///
/// An agent, behind a NAT or a firewall, keeps one session open to a server. The server dials
/// through that session as if from the agent's machine.
#[derive(Debug, Parser)]
#[command(name = "watertight", version, max_term_width = 100, after_long_help = help::PROGRAM)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) common: CommonOptions,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Take sessions of agents and dial through them
    ///
    /// Agents connect to the listening address. What runs on this machine reaches their networks
    /// through forwards, which are local ports, and through the admin server's HTTP proxy.
    #[command(after_long_help = help::SERVER)]
    Server(Box<ServerOptions>),
    /// Keep a session to a server and dial on its behalf
    ///
    /// The agent needs no open port: it connects to the server, and connects again whenever the
    /// session ends. It dials what --allow permits and nothing else.
    #[command(after_long_help = help::AGENT)]
    Agent(Box<AgentOptions>),
    /// See it at work: server, agent and services on this machine's loopback, in one process
    ///
    /// Downloads, sends a burst of requests, half-closes, reads slowly, kills the agent in the
    /// middle of a transfer, checks every byte, and ends with the ledger of both ends:
    /// opened and closed connections, and that nothing is left. Exits with 1 if anything is.
    Demo(DemoOptions),
    /// Print a completion script for a shell
    #[command(after_long_help = help::COMPLETIONS)]
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Options of every command.
#[derive(Args, Debug)]
pub(crate) struct CommonOptions {
    /// A TOML file with options: those of a command under its name, as in `[server]`
    ///
    /// The names are those of the command line without the dashes in front. An option given on
    /// the command line wins over the environment, and that over the file. An empty environment
    /// variable counts as none; an unknown one that begins with WATERTIGHT_ is an error.
    #[arg(long, global = true, value_name = "FILE", env = "WATERTIGHT_CONFIG")]
    #[arg(hide_env_values = true, help_heading = "Common options")]
    pub(crate) config: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) log: LogOptions,
}

/// The options of `watertight demo`.
#[derive(Args, Debug)]
pub(crate) struct DemoOptions {
    /// How much the download transfers, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub(crate) size: u32,
}

/// How the program logs. The one part of the configuration that is not a command's.
#[derive(Args, Clone, Debug, Default, Deserialize)]
pub(crate) struct LogOptions {
    /// What to log to standard error: a level (error, warn, info, debug, trace, off), or levels by
    /// module such as `info,watertight::session=debug` [default: info; of the demo: off]
    #[arg(long, global = true, value_name = "FILTER", env = "WATERTIGHT_LOG")]
    #[arg(hide_env_values = true, help_heading = "Common options")]
    pub(crate) log: Option<String>,

    /// How to print log lines, addresses and the ledger [default: text]
    #[arg(long, global = true, value_name = "FORMAT", env = "WATERTIGHT_LOG_FORMAT")]
    #[arg(hide_env_values = true, help_heading = "Common options")]
    #[serde(rename = "log-format")]
    pub(crate) log_format: Option<LogFormat>,
}

impl LogOptions {
    /// These, and `others` where these are not set.
    pub(crate) fn or(self, others: Self) -> Self {
        Self { log: self.log.or(others.log), log_format: self.log_format.or(others.log_format) }
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogFormat {
    /// For people
    #[default]
    Text,
    /// For programs: one JSON object a line
    Json,
}

/// Where a client certificate names the client keys that it is for.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum KeySource {
    /// Among the subject alternative names, DNS names and URIs
    San,
    /// As the common name of the subject
    Cn,
}

/// The origin of a request as a target of the admin server's proxy gets it, in the headers
/// Forwarded and X-Forwarded-*.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ForwardedRule {
    /// A part behind that of the client: for a client that is itself a proxy
    #[default]
    Append,
    /// The part of this server alone, without the client's claims
    Replace,
    /// The client's part as it is
    Keep,
}

/// `own` unless it is empty: a list from a stronger source replaces one from a weaker whole.
fn first<T>(own: Vec<T>, others: Vec<T>) -> Vec<T> {
    if own.is_empty() { others } else { own }
}
