//! TCP services inside the test, from an echo to a reader that never reads, with connection counts.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// A TCP service in this process, for as long as it is held.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) at: SocketAddr,
    counts: Arc<Counts>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    open: AtomicU64,
    sent: AtomicU64,
}

/// Counts a connection for as long as it is served.
struct Open(Arc<Counts>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Target {
    pub(crate) async fn start<F, A>(serve: F) -> Self
    where
        F: Fn(TcpStream, Arc<Counts>) -> A + Send + Sync + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let counts = Arc::<Counts>::default();
        let of_all = Arc::clone(&counts);
        let task = tokio::spawn(async move {
            // Dropped with this task, which ends all of them.
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                of_all.open.fetch_add(1, Ordering::Relaxed);
                let open = Open(Arc::clone(&of_all));
                let serving = serve(socket, Arc::clone(&of_all));
                connections.spawn(async move {
                    serving.await;
                    drop(open);
                });
            }
        });
        Self { at, counts, task }
    }

    /// Gives back what it gets.
    pub(crate) async fn echo() -> Self {
        Self::start(|mut socket, _| async move {
            let (mut read, mut write) = socket.split();
            // An end of the connection before that of the bytes is the client's business.
            copy(&mut read, &mut write).await.ok();
            write.shutdown().await.ok();
        })
        .await
    }

    /// Sends `total` bytes of the [`pattern`], as fast as they are taken.
    pub(crate) async fn pour(total: u64) -> Self {
        Self::start(move |mut socket, counts| async move {
            let chunk = pattern(0, CHUNK);
            for _ in 0..total / CHUNK as u64 {
                if socket.write_all(&chunk).await.is_err() {
                    return;
                }
                counts.sent.fetch_add(CHUNK as u64, Ordering::Relaxed);
            }
            socket.shutdown().await.ok();
        })
        .await
    }

    /// Sends forever, at a pace that a reader keeps up with even beside hundreds of others.
    pub(crate) async fn drip() -> Self {
        Self::start(|mut socket, counts| async move {
            let chunk = pattern(0, CHUNK);
            while socket.write_all(&chunk).await.is_ok() {
                counts.sent.fetch_add(CHUNK as u64, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        })
        .await
    }

    /// Answers only once it has seen the end of what it gets: with its length.
    pub(crate) async fn count() -> Self {
        Self::start(|mut socket, _| async move {
            let mut chunk = vec![0; CHUNK];
            let mut total = 0;
            loop {
                match socket.read(&mut chunk).await {
                    Ok(0) => break,
                    Ok(read) => total += read,
                    Err(_) => return,
                }
            }
            socket.write_all(format!("{total} bytes\n").as_bytes()).await.ok();
            socket.shutdown().await.ok();
        })
        .await
    }

    /// Sends nothing, and closes when the remote has.
    pub(crate) async fn silent() -> Self {
        Self::start(|mut socket, _| async move {
            let mut chunk = [0; 1024];
            while let Ok(1..) = socket.read(&mut chunk).await {}
        })
        .await
    }

    /// Never reads, never writes, and closes only on an error of the connection.
    pub(crate) async fn deaf() -> Self {
        Self::start(|socket, _| async move {
            socket.ready(tokio::io::Interest::ERROR).await.ok();
        })
        .await
    }

    /// Connections that are being served.
    pub(crate) fn open(&self) -> u64 {
        self.counts.open.load(Ordering::Relaxed)
    }

    /// Bytes that it has got rid of, on all connections.
    pub(crate) fn sent(&self) -> u64 {
        self.counts.sent.load(Ordering::Relaxed)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How much a service writes at once. The [`pattern`] repeats after as much.
const CHUNK: usize = 64 << 10;

/// The bytes from `offset` on of a stream in which no two neighbourhoods are alike.
pub(crate) fn pattern(offset: usize, length: usize) -> Vec<u8> {
    let byte = |at: usize| {
        let word = u32::try_from(at % CHUNK / 4).unwrap_or(0);
        word.wrapping_mul(0x9e37_79b1).to_le_bytes()[at % 4]
    };
    (offset..offset + length).map(byte).collect()
}
