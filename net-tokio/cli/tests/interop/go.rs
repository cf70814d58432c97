//! Processes of the Go program around remotedialer, and their figures.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::processes::{Answer, PATIENCE, Process, exchange, in_time, quiet_command};

/// A version of remotedialer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V0_6_1,
    V0_6_2,
}

/// A process of the Go program in `remotedialer/`: its server or its client.
#[derive(Debug)]
pub(crate) struct GoEnd {
    version: Version,
    process: Process,
    /// Listening addresses by purpose.
    addresses: Vec<(String, SocketAddr)>,
    /// Where connections are accepted that are dialled through the tunnel, by target.
    forwards: BTreeMap<SocketAddr, SocketAddr>,
}

/// The counters of a Go end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GoFigures {
    /// Of the end.
    pub(crate) version: Version,
    /// `session_server_total_add_connections`
    pub(crate) added: u64,
    /// `session_server_total_remove_connections`
    pub(crate) removed: u64,
    /// Goroutines that work for the tunnel.
    pub(crate) goroutines: u64,
}

impl GoEnd {
    /// Starts it and waits until it is ready: a client, until it is connected.
    pub(crate) async fn start(version: Version, args: &[&str]) -> Self {
        let mut process = Process::spawn(quiet_command(program(version)).args(args));
        let mut addresses = Vec::new();
        loop {
            let line = in_time("an address or readiness", process.next_line()).await;
            let line = line.unwrap_or_else(|| panic!("it did not start: {}", process.errors()));
            match line.split_once(' ') {
                Some(("ready", _)) => break,
                Some((purpose, at)) => addresses.push((purpose.to_string(), at.parse().unwrap())),
                None => panic!("what is {line:?}?"),
            }
        }
        Self { version, process, addresses, forwards: BTreeMap::new() }
    }

    /// The address that it listens on for `purpose`.
    pub(crate) fn address(&self, purpose: &str) -> SocketAddr {
        let found = self.addresses.iter().find(|(of, _)| of == purpose);
        found.unwrap_or_else(|| panic!("no {purpose} in {:?}", self.addresses)).1
    }

    /// Opens a port whose connections are dialled at `key`, or at the server if this is a client.
    pub(crate) async fn open_forward(&mut self, key: &str, target: SocketAddr) {
        let answer = self.post(&format!("/forward?client={key}&target=tcp/{target}")).await;
        self.forwards.insert(target, answer.body.parse().unwrap());
    }

    /// The port of the forward to `target`.
    pub(crate) fn forward(&self, target: SocketAddr) -> SocketAddr {
        self.forwards[&target]
    }

    /// Whether a server has a session of this client, or a peer of it has.
    pub(crate) async fn reaches(&self, key: &str) -> bool {
        let path = format!("/reaches?client={key}");
        self.ask("GET", &path).await.body == "true"
    }

    pub(crate) async fn figures(&self) -> GoFigures {
        let metrics = self.ask("GET", "/metrics").await;
        let sum = |name: &str| sum_of(&metrics.body, name);
        GoFigures {
            version: self.version,
            added: sum("session_server_total_add_connections"),
            removed: sum("session_server_total_remove_connections"),
            goroutines: self.ask("GET", "/goroutines").await.body.parse().unwrap(),
        }
    }

    pub(crate) async fn post(&self, path: &str) -> Answer {
        self.ask("POST", path).await
    }

    /// Asks its control server. Over HTTP/1.0 an answer comes in one piece.
    async fn ask(&self, method: &str, path: &str) -> Answer {
        let at = self.address("control");
        let head = format!("{method} {path} HTTP/1.0\r\nHost: {at}\r\nContent-Length: 0\r\n\r\n");
        let answer = Answer::read(&exchange(at, head.as_bytes()).await.unwrap());
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer
    }

    /// Ends it without a word.
    pub(crate) async fn kill(mut self) {
        self.process.signal(rustix::process::Signal::KILL);
        self.process.exit(PATIENCE).await;
    }

    pub(crate) fn resident(&self) -> u64 {
        self.process.resident()
    }
}

/// The sum of a metric over all its labels, in Prometheus's text format. A counter that has counted
/// nothing is not there.
fn sum_of(metrics: &str, name: &str) -> u64 {
    let values = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let value = rest.rsplit_once(' ').map(|(_, value)| value)?;
        (rest.starts_with(['{', ' '])).then_some(value)
    });
    // Large ones are written as 1e+06.
    let sum: f64 = values.map(|value| value.parse::<f64>().unwrap()).sum();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and small")]
    let sum = sum as u64;
    sum
}

/// The program, built once for each version.
fn program(version: Version) -> &'static Path {
    static V0_6_1: OnceLock<PathBuf> = OnceLock::new();
    static V0_6_2: OnceLock<PathBuf> = OnceLock::new();
    match version {
        Version::V0_6_1 => V0_6_1.get_or_init(|| build("v0.6.1", &["-modfile=v0.6.1.mod"])),
        Version::V0_6_2 => V0_6_2.get_or_init(|| build("v0.6.2", &[])),
    }
}

/// The module names the Go that it needs, and Go fetches that.
fn build(version: &str, flags: &[&str]) -> PathBuf {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("remotedialer-{version}"));
    let mut go = Command::new("go");
    go.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/remotedialer"));
    go.env("GOTOOLCHAIN", "auto").env("GOFLAGS", "-mod=readonly -buildvcs=false");
    go.arg("build").args(flags).arg("-o").arg(&program).arg(".");
    let built = go.output();
    let built = built.unwrap_or_else(|error| panic!("go: {error}: apt-get install golang-go"));
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    program
}
