//! How watertight is started: the program as its operators run it, with its defaults but for how many
//! connections it takes.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::Route;
use crate::Result;
use crate::part::Part;

/// Good for every key.
pub(crate) const TOKEN: &str = "a-token-for-the-comparison";

/// More than any load opens; the default is 8192.
const MAX_CONNECTIONS: usize = 1 << 16;

/// A server, which has no agent yet.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) near: Part,
    /// Where users connect.
    pub(crate) at: String,
    /// Where agents connect.
    pub(crate) agents: String,
    files: Files,
}

/// The files that both ends read.
#[derive(Debug)]
struct Files(TempDir);

pub(super) fn start(program: &Path, scheme: &str, service: SocketAddr) -> Result<Route> {
    let Server { near, at, agents, files } = server(program, scheme, "edge", service)?;
    let far = agent(program, scheme, &agents, &files)?;
    far.line("ready")?;
    Route::new(&at, near, far, Some(files.0))
}

/// A server whose users are led to the service by the agent with this key.
pub(crate) fn server(
    program: &Path,
    scheme: &str,
    key: &str,
    service: SocketAddr,
) -> Result<Server> {
    let files = Files::new()?;
    let token = files.path("token");
    let forward = format!("127.0.0.1:0={key}=tcp/{service}");
    let limit = MAX_CONNECTIONS.to_string();
    let mut args = vec!["server", "--log", "warn", "--listen", "127.0.0.1:0", "--forward"];
    args.extend([&*forward, "--token-file", &token, "--max-connections", &limit]);
    let (certificate, private_key) = (files.path("certificate"), files.path("key"));
    if scheme == "tls" {
        files.make_certificate()?;
        args.extend(["--tls-cert", &certificate, "--tls-key", &private_key]);
    }
    let near = Part::start(program, args)?;
    let at = near.line(&format!("forward {key}=tcp/{service} listening on "))?;
    let agents = near.line("agents listening on ")?;
    Ok(Server { near, at, agents, files })
}

fn agent(program: &Path, scheme: &str, server: &str, files: &Files) -> Result<Part> {
    let path = if scheme == "ws" { "/connect" } else { "" };
    let url = format!("{scheme}://{server}{path}");
    let (token, authority) = (files.path("token"), files.path("certificate"));
    let mut args = vec!["agent", "--log", "warn", "--connect", &url, "--key", "edge"];
    args.extend(["--token-file", &token, "--allow", "127.0.0.1:*"]);
    if scheme == "tls" {
        args.extend(["--ca", &authority]);
    }
    // Not an option: an earlier build may not know it.
    let limit = MAX_CONNECTIONS.to_string();
    Part::start_with(&[("WATERTIGHT_AGENT_MAX_CONNECTIONS", &limit)], program, args)
}

impl Files {
    fn new() -> Result<Self> {
        let files = Self(tempfile::tempdir()?);
        files.write("token", TOKEN)?;
        Ok(files)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn make_certificate(&self) -> Result<()> {
        let key = KeyPair::generate()?;
        let params = CertificateParams::new(["127.0.0.1".to_string()])?;
        self.write("certificate", &params.self_signed(&key)?.pem())?;
        self.write("key", &key.serialize_pem())
    }

    /// Nobody else can read it.
    fn write(&self, name: &str, content: &str) -> Result<()> {
        let path = self.path(name);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(file.write_all(content.as_bytes())?)
    }
}
