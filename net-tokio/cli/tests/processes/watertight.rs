//! A running `watertight` process: its addresses, its ledger, its orderly end.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::program::quiet_command;
use super::{Finished, Ledger, PATIENCE, Process, get, in_time};

/// How long the orderly end of a process may take: its sessions announce the end, and wait for an
/// answer for a few seconds.
const END: Duration = Duration::from_secs(20);

/// A running `watertight server` or `watertight agent`.
#[derive(Debug)]
pub(crate) struct Watertight {
    process: Process,
    /// Listening addresses by purpose.
    addresses: Vec<(String, String)>,
}

/// How a process ended that was asked to.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) ledger: Ledger,
}

impl Watertight {
    /// Starts the program and waits until it is ready: an agent, until it is connected.
    pub(crate) async fn start<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Self {
        let mut process = Process::spawn(command().args(args).args(["--log-format", "json"]));
        let mut addresses = Vec::new();
        loop {
            let line = in_time("an address or readiness", process.next_line()).await;
            let line = line.unwrap_or_else(|| panic!("it did not start: {}", process.errors()));
            let said: Value = serde_json::from_str(&line).unwrap();
            if said["ready"] == true {
                return Self { process, addresses };
            }
            let word = |name: &str| said[name].as_str().unwrap().to_string();
            addresses.push((word("listening"), word("address")));
        }
    }

    /// Starts an agent that will not be connected, and so never be ready.
    pub(crate) fn start_refused<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Self {
        let process = Process::spawn(command().args(args).args(["--log-format", "json"]));
        Self { process, addresses: Vec::new() }
    }

    /// Runs the program with arguments that it does not start with.
    pub(crate) async fn fails<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Finished {
        let finished = Process::spawn(command().args(args)).finish(PATIENCE).await;
        assert!(!finished.status.success(), "{finished:?}");
        finished
    }

    /// The addresses that are listened on for `purpose`, in the order of the arguments.
    pub(crate) fn addresses(&self, purpose: &str) -> Vec<&str> {
        let of_purpose = self.addresses.iter().filter(|(for_, _)| for_.starts_with(purpose));
        of_purpose.map(|(_, address)| address.as_str()).collect()
    }

    /// The first TCP address for `purpose`.
    pub(crate) fn address(&self, purpose: &str) -> SocketAddr {
        let found = self.addresses(purpose).into_iter().find_map(|address| address.parse().ok());
        found.unwrap_or_else(|| panic!("no {purpose} in {:?}", self.addresses))
    }

    pub(crate) fn admin(&self) -> SocketAddr {
        self.address("admin server")
    }

    /// The admin server's list of clients, with the server's ledger.
    async fn overview(&self) -> Value {
        let answer = get(self.admin(), "/clients").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        serde_json::from_str(&answer.body).unwrap()
    }

    /// The keys of the connected clients.
    pub(crate) async fn clients(&self) -> Vec<String> {
        let overview = self.overview().await;
        let clients = overview["clients"].as_array().unwrap();
        clients.iter().map(|client| client["key"].as_str().unwrap().to_string()).collect()
    }

    /// The admin server's list of peers.
    async fn peers(&self) -> Vec<Value> {
        let answer = get(self.admin(), "/peers").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let mut listed: Value = serde_json::from_str(&answer.body).unwrap();
        serde_json::from_value(listed["peers"].take()).unwrap()
    }

    /// How many clients of its peers a server knows.
    pub(crate) async fn routes(&self) -> u64 {
        self.peers().await.iter().map(|peer| peer["routes"].as_u64().unwrap()).sum()
    }

    /// Whether a server has a session with each of its peers in both directions.
    pub(crate) async fn is_peered(&self) -> bool {
        let is_up =
            |peer: &Value| peer["outgoing"]["state"] == "connected" && !peer["incoming"].is_null();
        self.peers().await.iter().all(is_up)
    }

    /// A server's ledger while it runs.
    pub(crate) async fn ledger(&self) -> Ledger {
        Ledger::new(self.overview().await["server"].take())
    }

    /// Asks it to end in good order, and demands that it does.
    pub(crate) async fn terminate(self) -> Ended {
        self.process.signal(Signal::TERM);
        let finished = self.process.finish(END).await;
        let last = finished.out.lines().last().unwrap_or_else(|| panic!("no ledger: {finished:?}"));
        let ledger = Ledger::new(serde_json::from_str(last).unwrap());
        Ended { code: finished.status.code(), ledger }
    }

    /// Ends it without a word.
    pub(crate) async fn kill(mut self) {
        self.process.signal(Signal::KILL);
        self.process.exit(PATIENCE).await;
    }

    /// Has it read its files again.
    pub(crate) fn hang_up(&self) {
        self.process.signal(Signal::HUP);
    }

    /// Its log so far.
    pub(crate) fn log(&self) -> String {
        self.process.errors()
    }

    /// Stops it in its tracks, as a laptop that is closed.
    pub(crate) async fn stop(&self) {
        self.process.stop().await;
    }

    /// Lets it continue.
    pub(crate) fn cont(&self) {
        self.process.signal(Signal::CONT);
    }

    pub(crate) fn resident(&self) -> u64 {
        self.process.resident()
    }

    pub(crate) fn peak(&self) -> u64 {
        self.process.peak()
    }

    pub(crate) fn fds(&self) -> usize {
        self.process.fds()
    }

    /// Waits until it has logged `text`.
    pub(crate) async fn logs(&self, text: &str) {
        self.process.wait_for_log(text).await;
    }
}

impl Ended {
    /// Demands that everything that was opened was closed.
    #[track_caller]
    pub(crate) fn is_settled(&self) {
        let ledger = &self.ledger;
        assert!(ledger.is_settled() && ledger.is_quiet() && ledger.tasks() == 0, "{ledger:?}");
        assert_eq!((self.code, ledger.live()), (Some(0), 0), "{ledger:?}");
    }
}

fn command() -> Command {
    let mut command = quiet_command(env!("CARGO_BIN_EXE_watertight"));
    let settings = std::env::vars_os().map(|(name, _)| name);
    for name in settings.filter(|name| name.to_string_lossy().starts_with("WATERTIGHT_")) {
        command.env_remove(name);
    }
    // The allocator gives memory back when it is used again some time later; a process at rest
    // would hold what it no longer needs.
    command.env("MIMALLOC_PURGE_DELAY", "0");
    command
}
