//! Services behind a tunnel, beside those of `processes`, and their clients.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::processes::{Target, eventually, in_time, pattern, within};

const CHUNK: usize = 64 << 10;

/// A stream of bytes whose every part is different from all others.
#[derive(Debug)]
struct Source {
    chunk: Vec<u8>,
    number: u64,
}

impl Source {
    /// `seed` makes the streams of different connections different.
    fn new(seed: u64) -> Self {
        Self { chunk: pattern(0, CHUNK), number: seed << 32 }
    }

    fn next(&mut self, most: u64) -> &[u8] {
        self.chunk[..8].copy_from_slice(&self.number.to_be_bytes());
        self.number += 1;
        &self.chunk[..usize::try_from(most).unwrap_or(CHUNK).min(CHUNK)]
    }
}

pub(crate) async fn send(
    to: &mut (impl AsyncWrite + Unpin),
    seed: u64,
    total: u64,
) -> io::Result<[u8; 32]> {
    let (mut source, mut hasher, mut left) = (Source::new(seed), Sha256::new(), total);
    while left > 0 {
        let chunk = source.next(left);
        hasher.update(chunk);
        to.write_all(chunk).await?;
        left -= chunk.len() as u64;
    }
    Ok(hasher.finalize().into())
}

pub(crate) async fn receive(
    from: &mut (impl AsyncRead + Unpin),
    total: u64,
) -> io::Result<[u8; 32]> {
    let (mut chunk, mut hasher, mut left) = (vec![0; CHUNK], Sha256::new(), total);
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let read = from.read(&mut chunk[..most]).await?;
        if read == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{left} to come")));
        }
        hasher.update(&chunk[..read]);
        left -= read as u64;
    }
    Ok(hasher.finalize().into())
}

/// Bytes of each direction of an exchange.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange {
    pub(crate) seed: u64,
    pub(crate) up: u64,
    pub(crate) down: u64,
}

impl Exchange {
    /// Takes part in exchanges: sends and receives at once, then the hashes of both, and closes.
    /// The client sends the length: there is no half-close in the base dialect.
    pub(crate) async fn service() -> Target {
        Target::start(|mut socket, _| async move {
            // A client that leaves early is a test's business.
            Self::serve(&mut socket).await.ok();
        })
        .await
    }

    async fn serve(socket: &mut TcpStream) -> io::Result<()> {
        let seed = socket.read_u64().await?;
        let (up, down) = (socket.read_u64().await?, socket.read_u64().await?);
        let (mut read, mut write) = socket.split();
        let (got, sent) =
            tokio::try_join!(receive(&mut read, up), send(&mut write, !seed >> 32, down))?;
        write.write_all(&[got, sent].concat()).await?;
        write.shutdown().await?;
        // Until the client has gone, too.
        read.read(&mut [0]).await.map(drop)
    }

    /// A client's part. Demands that what arrives is what was sent, in both directions.
    pub(crate) async fn with(self, at: SocketAddr) {
        self.try_with(at).await.unwrap_or_else(|error| panic!("{self:?}: {error}"));
    }

    async fn try_with(self, at: SocketAddr) -> io::Result<()> {
        let mut socket = connect(at).await;
        socket.write_all(&[self.seed, self.up, self.down].map(u64::to_be_bytes).concat()).await?;
        let (mut read, mut write) = socket.split();
        let (sent, got) =
            tokio::try_join!(send(&mut write, self.seed, self.up), receive(&mut read, self.down))?;
        let mut hashes = Vec::new();
        read.read_to_end(&mut hashes).await?;
        assert!(hashes == [sent, got].concat(), "{self:?}: the bytes are others");
        Ok(())
    }
}

/// Gives back what it gets, after its own name of a byte.
pub(crate) async fn named(name: u8) -> Target {
    Target::start(move |mut socket, _| async move {
        let (mut read, mut write) = socket.split();
        if write.write_u8(name).await.is_ok() {
            tokio::io::copy(&mut read, &mut write).await.ok();
        }
    })
    .await
}

/// Sends `total` bytes after the first byte from the client, and closes.
pub(crate) async fn answers_and_closes(total: usize) -> Target {
    Target::start(move |mut socket, _| async move {
        if socket.read_u8().await.is_ok() {
            socket.write_all(&pattern(0, total)).await.ok();
            socket.shutdown().await.ok();
            // Until the client has gone: unread bytes would make a reset of the close.
            socket.read_u8().await.ok();
        }
    })
    .await
}

/// Resets the connection after the first byte from the client.
pub(crate) async fn resets() -> Target {
    Target::start(|mut socket, _| async move {
        socket.read_u8().await.ok();
        socket.set_zero_linger().unwrap();
    })
    .await
}

/// Waits until a service has no connections left.
pub(crate) async fn is_left(target: &Target, limit: Duration) {
    eventually(limit, "the end of the target's connections", async || match target.open() {
        0 => Ok(()),
        open => Err(format!("{open} are open")),
    })
    .await;
}

/// Connects to a forward. When this is dropped, it is with a reset: an orderly end of it may be a
/// half-close, and our ends wait for an answer then.
pub(crate) async fn connect(at: SocketAddr) -> TcpStream {
    try_connect(at).await.unwrap()
}

/// The same where the connection may be reset as soon as it is there.
pub(crate) async fn try_connect(at: SocketAddr) -> io::Result<TcpStream> {
    let socket = in_time("a local connection", TcpStream::connect(at)).await?;
    socket.set_zero_linger().map(|()| socket)
}

/// Demands that a connection of its own is cut off.
pub(crate) async fn is_refused(at: SocketAddr, limit: Duration) {
    match try_connect(at).await {
        Ok(mut socket) => is_reset(&mut socket, limit).await,
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
    }
}

/// Sends a byte on a connection to a service that echoes, and gets it back.
pub(crate) async fn echoes(socket: &mut TcpStream) {
    socket.write_u8(7).await.unwrap();
    assert_eq!(in_time("an echo", socket.read_u8()).await.unwrap(), 7);
}

/// A byte there and back on a connection of its own.
pub(crate) async fn is_served(at: SocketAddr) {
    echoes(&mut connect(at).await).await;
}

/// Waits until somebody has cut the connection off.
pub(crate) async fn is_reset(socket: &mut TcpStream, limit: Duration) {
    let read = within(limit, "the end of a connection", async {
        let mut chunk = vec![0; CHUNK];
        loop {
            match socket.read(&mut chunk).await {
                Ok(1..) => {}
                ended => break ended,
            }
        }
    });
    let error = read.await.expect_err("a truncated stream looks like a whole one");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}
