//! A TCP relay between agent and server that can cut the path, redirect it and strip the extension's offer.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::frames::{Frames, Heard};

/// How much the path holds in each of its buffers: as much as many real ones, and less than sockets
/// on the loopback grow to.
const HOLDS: usize = 512 << 10;

/// The path between an agent and its server. The agent connects here.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) at: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    server: Mutex<SocketAddr>,
    offer: Offer,
    /// How often the path was cut.
    cuts: watch::Sender<u64>,
    connections: AtomicU64,
    heard: Heard,
}

/// Whether an offer of watertight's extension reaches the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    Passed,
    /// Then both ends use the base dialect.
    TakenOut,
}

impl Relay {
    pub(crate) async fn to(server: SocketAddr, offer: Offer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            server: Mutex::new(server),
            offer,
            cuts: watch::channel(0).0,
            connections: AtomicU64::new(0),
            heard: Heard::default(),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { at, shared, task }
    }

    /// Where later connections lead.
    pub(crate) fn redirect(&self, server: SocketAddr) {
        *self.shared.server.lock().unwrap() = server;
    }

    /// From now on no byte passes on the open connections, and neither end is notified. Later
    /// connections are not touched: so it is when a NAT forgets.
    pub(crate) fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// The messages of agents so far.
    pub(crate) fn heard(&self) -> &Heard {
        &self.shared.heard
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this task, which ends all of them.
    let mut connections = JoinSet::new();
    while let Ok((agent, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            // An end that gets no message from here gets the end of its socket.
            connect(agent, &shared).await.ok();
        });
    }
}

async fn connect(mut agent: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut cuts = shared.cuts.subscribe();
    let at = *shared.server.lock().unwrap();
    let mut server = TcpStream::connect(at).await?;
    for socket in [&agent, &server] {
        socket.set_nodelay(true)?;
        let socket = socket2::SockRef::from(socket);
        socket.set_recv_buffer_size(HOLDS)?;
        socket.set_send_buffer_size(HOLDS)?;
    }
    let request = read_head(&mut agent).await?;
    server.write_all(without_offer(request, shared.offer).as_bytes()).await?;
    shared.connections.fetch_add(1, Ordering::Relaxed);

    let ((from_agent, to_agent), (from_server, to_server)) =
        (agent.into_split(), server.into_split());
    let mut frames = Frames::default();
    let up = pump(from_agent, to_server, |bytes| frames.pass(bytes, &shared.heard));
    let down = pump(from_server, to_agent, |_| {});
    let both = async { tokio::try_join!(up, down) };
    let mut both = std::pin::pin!(both);
    tokio::select! {
        ended = &mut both => drop(ended?),
        // Neither pumped on nor dropped: the sockets stay open.
        _ = cuts.changed() => std::future::pending().await,
    }
    Ok(())
}

/// Reads the upgrade. Nothing follows it before it is answered.
async fn read_head(agent: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(agent.read_u8().await?);
    }
    String::from_utf8(head).map_err(io::Error::other)
}

fn without_offer(request: String, offer: Offer) -> String {
    let is_offer = |line: &&str| line.to_lowercase().starts_with("watertight-protocol:");
    match offer {
        Offer::Passed => request,
        Offer::TakenOut => request.split_inclusive("\r\n").filter(|line| !is_offer(line)).collect(),
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut observe: impl FnMut(&[u8]),
) -> io::Result<()> {
    let mut chunk = vec![0; 256 << 10];
    loop {
        let read = from.read(&mut chunk).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        observe(&chunk[..read]);
        to.write_all(&chunk[..read]).await?;
    }
}
