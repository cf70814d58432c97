//! Services that are not to be reached, and count who does.

use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::processes::get;

/// A service on both loopback addresses that counts its connections.
pub(crate) struct Canary {
    listeners: Vec<SocketAddr>,
    connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Canary {
    pub(crate) async fn start() -> Self {
        let v4 = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = v4.local_addr().unwrap().port();
        // A machine may have no IPv6.
        let v6 = TcpListener::bind(("::1", port)).await.ok();
        let connections = Arc::<AtomicUsize>::default();
        let (mut listeners, mut tasks) = (Vec::new(), JoinSet::new());
        for listener in [v4].into_iter().chain(v6) {
            listeners.push(listener.local_addr().unwrap());
            let connections = Arc::clone(&connections);
            tasks.spawn(async move {
                while let Ok((socket, _)) = listener.accept().await {
                    connections.fetch_add(1, Ordering::Relaxed);
                    // A connection without a request may end with or without an error.
                    answer_one(socket).await.ok();
                }
            });
        }
        Self { listeners, connections, _tasks: tasks }
    }

    pub(crate) fn port(&self) -> u16 {
        self.listeners[0].port()
    }

    /// How many connections it has had. Those of this question come after all others, and are not counted.
    pub(crate) async fn connections(&self) -> usize {
        for at in &self.listeners {
            assert_eq!(get(*at, "/").await.body, "canary");
        }
        let asked = self.listeners.len();
        self.connections.fetch_sub(asked, Ordering::Relaxed) - asked
    }
}

/// Answers one request.
async fn answer_one(mut socket: TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await?);
    }
    socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ncanary").await?;
    socket.shutdown().await
}

/// A Unix socket that is not to be reached.
pub(crate) struct UnixCanary(UnixListener);

impl UnixCanary {
    pub(crate) fn at(path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    /// How many connections there have been since the last time. Each is in the queue once its
    /// `connect` has returned.
    pub(crate) fn connections(&self) -> usize {
        std::iter::from_fn(|| self.0.accept().ok()).count()
    }
}
