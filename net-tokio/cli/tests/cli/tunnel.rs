//! A server and an agent, each a process.

use std::path::Path;

use tempfile::TempDir;

use crate::http::get;
use crate::process::{Finished, Process, eventually};

pub(crate) const KEY: &str = "edge 7";
pub(crate) const TOKEN: &str = "a-token-of-the-tests";

/// Server and agent. The server has an admin server.
pub(crate) struct Tunnel {
    _folder: TempDir,
    pub(crate) server: Process,
    pub(crate) agent: Process,
}

/// A folder with the file `tokens`.
pub(crate) fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    write(&folder.path().join("tokens"), &format!("{TOKEN}\n"));
    folder
}

pub(crate) fn write(path: &Path, content: &str) {
    std::fs::write(path, content).unwrap();
}

pub(crate) fn path(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).to_str().unwrap().to_string()
}

/// The arguments of a server on a port of the system's choice.
pub(crate) fn server_arguments(folder: &TempDir) -> Vec<String> {
    let tokens = path(folder, "tokens");
    let arguments = ["server", "--listen", "127.0.0.1:0", "--token-file", &tokens];
    owned(&arguments)
}

pub(crate) fn agent_arguments(folder: &TempDir, server: &Process) -> Vec<String> {
    let url = format!("ws://{}/connect", server.address("agents"));
    let tokens = path(folder, "tokens");
    let arguments = ["agent", "--connect", &url, "--key", KEY, "--token-file", &tokens];
    owned(&arguments)
}

pub(crate) fn owned(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|argument| (*argument).to_string()).collect()
}

impl Tunnel {
    /// Starts both with more arguments, and waits until the agent is connected.
    pub(crate) fn start(server: &[&str], agent: &[&str]) -> Self {
        let folder = folder();
        let arguments = [owned(&["--admin", "0"]), owned(server)].concat();
        let server = Process::ready(&[server_arguments(&folder), arguments].concat());
        let arguments = agent_arguments(&folder, &server);
        let agent = Process::ready(&[arguments, owned(agent)].concat());
        let tunnel = Self { _folder: folder, server, agent };
        tunnel.connected();
        tunnel
    }

    pub(crate) fn admin(&self) -> String {
        self.server.address("admin")
    }

    pub(crate) fn clients(&self) -> serde_json::Value {
        get(&self.admin(), "/clients").json()
    }

    fn connected(&self) {
        eventually("the agent's session", || {
            self.clients()["clients"].as_array().filter(|clients| !clients.is_empty()).map(|_| ())
        });
    }

    /// Stops both, the agent first, and demands even ledgers.
    pub(crate) fn stop(self) -> (Finished, Finished) {
        let (agent, server) = (self.agent.stop(), self.server.stop());
        for ended in [&agent, &server] {
            assert_eq!(ended.code, 0, "{}\n{}", ended.stdout, ended.stderr);
            assert!(ended.last_line().contains(" ledger even: "), "{}", ended.stdout);
        }
        (server, agent)
    }
}
