//! The service behind every route, and how a client asks it for something.
//!
//! The first byte of a connection chooses what the service does with it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::yield_now;

use crate::Result;

/// Writes for as long as the client reads.
pub(crate) const POUR: u8 = b'd';
/// Reads all there is.
pub(crate) const SWALLOW: u8 = b'u';
/// Both at once.
pub(crate) const BOTH: u8 = b'b';
/// Sends back messages of the length that follows, in four bytes.
pub(crate) const ECHO: u8 = b'e';
/// Answers with one byte.
pub(crate) const ONE: u8 = b'o';
/// Answers with one byte after the client's end of file.
pub(crate) const AFTER_END: u8 = b'h';
/// Answers each byte with the number of bytes that all connections have swallowed.
const COUNT: u8 = b'c';

/// Bytes of one write or read of a bulk transfer, after which others have their turn: measured
/// traffic beside it must not wait for this process.
pub(crate) const CHUNK: usize = 64 << 10;

/// Runs the service.
pub(crate) async fn run() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("at {}", listener.local_addr()?);
    let swallowed = Arc::new(AtomicU64::new(0));
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        tokio::spawn(serve(socket, Arc::clone(&swallowed)));
    }
}

async fn serve(mut socket: TcpStream, swallowed: Arc<AtomicU64>) -> std::io::Result<()> {
    match socket.read_u8().await? {
        POUR => pour(&mut socket).await,
        SWALLOW => swallow(&mut socket, &swallowed).await,
        BOTH => {
            let (mut read, mut write) = socket.split();
            tokio::try_join!(swallow(&mut read, &swallowed), pour(&mut write)).map(drop)
        }
        ECHO => echo(&mut socket).await,
        ONE => socket.write_u8(1).await,
        AFTER_END => {
            while socket.read_u8().await.is_ok() {}
            socket.write_u8(1).await?;
            socket.shutdown().await
        }
        COUNT => loop {
            socket.read_u8().await?;
            socket.write_u64(swallowed.load(Ordering::Relaxed)).await?;
        },
        _ => Ok(()),
    }
}

async fn pour(socket: &mut (impl AsyncWriteExt + Unpin)) -> std::io::Result<()> {
    let chunk = vec![7; CHUNK];
    loop {
        socket.write_all(&chunk).await?;
        yield_now().await;
    }
}

async fn swallow(
    socket: &mut (impl AsyncReadExt + Unpin),
    swallowed: &AtomicU64,
) -> std::io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        match socket.read(&mut chunk).await? {
            0 => return Ok(()),
            read => swallowed.fetch_add(read as u64, Ordering::Relaxed),
        };
        yield_now().await;
    }
}

async fn echo(socket: &mut TcpStream) -> std::io::Result<()> {
    let length = socket.read_u32().await?;
    let mut message = vec![0; length as usize];
    loop {
        socket.read_exact(&mut message).await?;
        socket.write_all(&message).await?;
    }
}

/// Connects by a route and chooses what the service is to do.
pub(crate) async fn ask(route: SocketAddr, what: u8) -> std::io::Result<TcpStream> {
    let mut socket = TcpStream::connect(route).await?;
    socket.set_nodelay(true)?;
    socket.write_u8(what).await?;
    Ok(socket)
}

/// Connects by a route to have messages of a length sent back.
pub(crate) async fn ask_echo(route: SocketAddr, length: usize) -> std::io::Result<TcpStream> {
    let mut socket = ask(route, ECHO).await?;
    socket.write_u32(u32::try_from(length).unwrap_or(u32::MAX)).await?;
    Ok(socket)
}

/// One message there and back.
pub(crate) async fn exchange(socket: &mut TcpStream, message: &mut [u8]) -> std::io::Result<()> {
    socket.write_all(message).await?;
    socket.read_exact(message).await.map(drop)
}

/// Asks the service how much it has swallowed, past all routes.
#[derive(Debug)]
pub(crate) struct Swallowed(tokio::sync::Mutex<TcpStream>);

impl Swallowed {
    pub(crate) async fn of(service: SocketAddr) -> Result<Self> {
        Ok(Self(tokio::sync::Mutex::new(ask(service, COUNT).await?)))
    }

    pub(crate) async fn bytes(&self) -> Result<u64> {
        let mut socket = self.0.lock().await;
        socket.write_u8(0).await?;
        Ok(socket.read_u64().await?)
    }
}
