//! How hosts reach each other.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use turmoil::net::{TcpListener, TcpStream};

use super::door::address_of;
use super::line::Side;
use super::socket::Socket;
use super::stage::Stage;
use crate::schedule::Host;

/// Where servers listen.
const PORT: u16 = 80;

/// Connects to a server, or to who is in its place.
pub(super) async fn connect(stage: Arc<Stage>, from: Host, server: u8) -> io::Result<Socket> {
    stage.count_attempt();
    let names = stage.at(from, |desk| desk.names.clone()).flatten();
    if let Some(names) = names {
        names.of_server().await.map_err(io::Error::other)?;
    }
    let to = stage.door().answers(stage.now(), from, server);
    let stream = TcpStream::connect((to.to_string(), PORT)).await?;
    let (local, remote) = (stream.local_addr()?, stream.peer_addr()?);
    let line = stage.lines().between(local, remote, || stage.line(from, to));
    Ok(Socket::new(stream, line, Side::Connector, portion(&stage)))
}

pub(super) async fn listen() -> io::Result<TcpListener> {
    TcpListener::bind(("0.0.0.0", PORT)).await
}

/// Waits for somebody to connect. With the address that is seen.
pub(super) async fn accept(
    stage: &Stage,
    at: Host,
    listener: &TcpListener,
) -> io::Result<(Socket, SocketAddr)> {
    let (stream, remote) = listener.accept().await?;
    let local = stream.local_addr()?;
    let by = stage.host_at(remote.ip()).unwrap_or(Host::Agent(u8::MAX));
    let line = stage.lines().between(remote, local, || stage.line(by, at));
    let socket = Socket::new(stream, line, Side::Acceptor, portion(stage));
    Ok((socket, address_of(stage, by, remote)))
}

/// Each portion is a segment of turmoil's, which costs more than its bytes.
fn portion(stage: &Stage) -> usize {
    stage.schedule.knobs.link.portion.max(1) as usize
}
