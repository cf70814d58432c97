//! A plain TCP forwarder: two of them are what a tunnel without a protocol costs.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};

use crate::Result;

const BUFFER: usize = 64 << 10;

/// Forwards every connection to `to`.
pub(crate) async fn run(to: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("at {}", listener.local_addr()?);
    loop {
        let (near, _) = listener.accept().await?;
        tokio::spawn(forward(near, to));
    }
}

async fn forward(mut near: TcpStream, to: SocketAddr) -> std::io::Result<()> {
    let mut far = TcpStream::connect(to).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    copy_bidirectional_with_sizes(&mut near, &mut far, BUFFER, BUFFER).await.map(drop)
}
