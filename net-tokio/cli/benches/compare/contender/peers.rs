//! How the others are started.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::Route;
use super::programs::Programs;
use crate::Result;
use crate::part::Part;

pub(super) fn hops(service: SocketAddr) -> Result<Route> {
    let far = Part::own(&["hop", &service.to_string()])?;
    let near = Part::own(&["hop", &far.line("at ")?])?;
    let at = near.line("at ")?;
    Route::new(&at, near, far, None)
}

pub(super) fn yamux_crate(service: SocketAddr) -> Result<Route> {
    let near = Part::own(&["yamux-near"])?;
    let sessions = near.line("sessions ")?;
    let at = near.line("at ")?;
    let far = Part::own(&["yamux-far", &sessions, &service.to_string()])?;
    near.line("ready")?;
    Route::new(&at, near, far, None)
}

pub(super) fn yamux_go(service: SocketAddr, programs: &Programs) -> Result<Route> {
    let program = programs.yamux_go()?;
    let near = Part::start(program, ["near"])?;
    let sessions = near.line("sessions ")?;
    let at = near.line("at ")?;
    let far = Part::start(program, ["far", &sessions, &service.to_string()])?;
    near.line("ready")?;
    Route::new(&at, near, far, None)
}

pub(super) async fn remotedialer(service: SocketAddr, programs: &Programs) -> Result<Route> {
    let program = programs.remotedialer()?;
    let service = service.to_string();
    let near = Part::start(program, ["server", "-token", "a-token"])?;
    let control = near.line("control ")?;
    let agents = near.line("agents ")?;
    let url = format!("ws://{agents}/connect");
    let args =
        ["client", "-connect", &url, "-key", "edge", "-token", "a-token", "-allow", &service];
    let far = Part::start(program, args)?;
    far.line("ready")?;
    let at = post(&control, &format!("/forward?client=edge&target=tcp/{service}")).await?;
    Route::new(&at, near, far, None)
}

/// The body of the answer.
async fn post(server: &str, path: &str) -> Result<String> {
    let mut socket = TcpStream::connect(server).await?;
    let request = format!("POST {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
    if head.starts_with("HTTP/1.1 200") { Ok(body.to_string()) } else { Err(answer.into()) }
}

pub(super) fn rathole(service: SocketAddr, programs: &Programs) -> Result<Route> {
    let program = programs.rathole()?;
    let files = tempfile::tempdir()?;
    let (control, at) = (free_address()?, free_address()?);
    let write = |name: &str, content: String| -> Result<_> {
        let path = files.path().join(name);
        std::fs::write(&path, content)?;
        Ok(path)
    };
    let server = format!(
        "[server]\nbind_addr = \"{control}\"\ndefault_token = \"a-token\"\n\
         [server.services.bench]\nbind_addr = \"{at}\"\n"
    );
    let client = format!(
        "[client]\nremote_addr = \"{control}\"\ndefault_token = \"a-token\"\nretry_interval = 1\n\
         [client.services.bench]\nlocal_addr = \"{service}\"\n"
    );
    let near =
        Part::start(program, ["--server".as_ref(), write("server.toml", server)?.as_os_str()])?;
    let far =
        Part::start(program, ["--client".as_ref(), write("client.toml", client)?.as_os_str()])?;
    Route::new(&at.to_string(), near, far, Some(files))
}

/// Where its server takes its clients, always.
const BORE_CONTROL: &str = "127.0.0.1:7835";

/// It logs each connection, which no other contender does here, unless an option disables it.
const QUIET: &[(&str, &str)] = &[("RUST_LOG", "warn")];

pub(super) async fn bore(service: SocketAddr, programs: &Programs) -> Result<Route> {
    let program = programs.bore()?;
    let at = free_address()?;
    let port = at.port().to_string();
    let service_port = service.port().to_string();
    let server = ["server", "--bind-addr", "127.0.0.1", "--min-port", &port, "--max-port", &port];
    let near = Part::start_with(QUIET, program, server)?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(BORE_CONTROL).await.is_err() {
        if Instant::now() > deadline {
            return Err("bore does not listen".into());
        }
        sleep(Duration::from_millis(10)).await;
    }
    let local = ["local", &service_port, "--local-host", "127.0.0.1", "--to", "127.0.0.1"];
    let far = Part::start_with(QUIET, program, local.iter().chain(&["--port", &port]))?;
    Route::new(&at.to_string(), near, far, None)
}

/// An address that nothing listens on now.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
