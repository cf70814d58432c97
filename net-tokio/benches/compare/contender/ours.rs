use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::Route;
use crate::Result;
use crate::part::Part;

/// The program as its operators run it, with its defaults.
pub(super) fn start(program: &Path, scheme: &str, service: SocketAddr) -> Result<Route> {
    let files = tempfile::tempdir()?;
    let token = private_file(files.path(), "token", "a-token-for-the-comparison\n")?;
    let near = server(program, scheme, service, &files, &token)?;
    let at = near.line(&format!("forward edge=tcp/{service} listening on "))?;
    let agents = near.line("agents listening on ")?;
    let far = agent(program, scheme, &agents, &files, &token)?;
    far.line("ready")?;
    Route::new(&at, near, far, Some(files))
}

fn server(
    program: &Path,
    scheme: &str,
    service: SocketAddr,
    files: &TempDir,
    token: &Path,
) -> Result<Part> {
    let mut args = vec!["server", "--log", "warn", "--listen", "127.0.0.1:0", "--token-file"];
    let token = token.display().to_string();
    let forward = format!("127.0.0.1:0=edge=tcp/{service}");
    args.extend([&*token, "--forward", &forward]);
    let identity = if scheme == "tls" { Some(certificate(files)?) } else { None };
    if let Some([certificate, key]) = &identity {
        args.extend(["--tls-cert", certificate, "--tls-key", key]);
    }
    Part::start(program, args)
}

fn agent(
    program: &Path,
    scheme: &str,
    server: &str,
    files: &TempDir,
    token: &Path,
) -> Result<Part> {
    let path = if scheme == "ws" { "/connect" } else { "" };
    let url = format!("{scheme}://{server}{path}");
    let token = token.display().to_string();
    let mut args = vec!["agent", "--log", "warn", "--connect", &url, "--key", "edge"];
    args.extend(["--token-file", &token, "--allow", "127.0.0.1:*"]);
    let authority = files.path().join("certificate.pem").display().to_string();
    if scheme == "tls" {
        args.extend(["--ca", &authority]);
    }
    Part::start(program, args)
}

fn certificate(files: &TempDir) -> Result<[String; 2]> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(["127.0.0.1".to_string()])?.self_signed(&key)?;
    let write = |name, content: &str| {
        private_file(files.path(), name, content).map(|path| path.display().to_string())
    };
    Ok([write("certificate.pem", &certificate.pem())?, write("key.pem", &key.serialize_pem())?])
}

fn private_file(folder: &Path, name: &str, content: &str) -> Result<PathBuf> {
    use std::io::Write;
    let path = folder.join(name);
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    file.write_all(content.as_bytes())?;
    Ok(path)
}
