//! The smallest tunnel of the `yamux` crate: the far end connects to the near one, which opens a
//! stream for every connection of a user.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::Poll;

use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio_util::compat::{FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt};
use yamux::{Config, Connection, Mode, Stream};

use crate::Result;

const BUFFER: usize = 64 << 10;

/// The default allows 512.
const MOST_STREAMS: usize = 30_000;

type Session = Connection<tokio_util::compat::Compat<TcpStream>>;

fn session(socket: TcpStream, mode: Mode) -> Result<Session> {
    socket.set_nodelay(true)?;
    let mut config = Config::default();
    // Each stream must be allowed the window of 256 KiB that it begins with.
    config.set_max_connection_receive_window(None);
    config.set_max_num_streams(MOST_STREAMS);
    Ok(Connection::new(socket.compat(), config, mode))
}

/// Takes the session of the far end, and users.
pub(crate) async fn near() -> Result<()> {
    let sessions = TcpListener::bind("127.0.0.1:0").await?;
    let users = TcpListener::bind("127.0.0.1:0").await?;
    println!("sessions {}", sessions.local_addr()?);
    println!("at {}", users.local_addr()?);
    let (socket, _) = sessions.accept().await?;
    println!("ready");
    let (open, wanted) = mpsc::channel(64);
    tokio::spawn(drive_near(session(socket, Mode::Server)?, wanted));
    loop {
        let (user, _) = users.accept().await?;
        user.set_nodelay(true)?;
        let open = open.clone();
        tokio::spawn(async move {
            let (answer, stream) = oneshot::channel();
            open.send(answer).await.ok();
            if let Ok(stream) = stream.await {
                copy(user, stream).await;
            }
        });
    }
}

/// A connection of this crate moves only while it is asked for streams.
async fn drive_near(mut session: Session, mut wanted: mpsc::Receiver<oneshot::Sender<Stream>>) {
    let mut waiting: VecDeque<oneshot::Sender<Stream>> = VecDeque::new();
    poll_fn(|cx| {
        while let Poll::Ready(Some(answer)) = wanted.poll_recv(cx) {
            waiting.push_back(answer);
        }
        while !waiting.is_empty() {
            match session.poll_new_outbound(cx) {
                Poll::Ready(Ok(stream)) => {
                    waiting.pop_front().map(|answer| answer.send(stream).ok());
                }
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        match session.poll_next_inbound(cx) {
            Poll::Ready(Some(Ok(_))) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
}

/// Connects to the near end, and forwards what it opens to `to`.
pub(crate) async fn far(at: SocketAddr, to: SocketAddr) -> Result<()> {
    let mut session = session(TcpStream::connect(at).await?, Mode::Client)?;
    println!("ready");
    while let Some(stream) = poll_fn(|cx| session.poll_next_inbound(cx)).await {
        let stream = stream?;
        tokio::spawn(async move {
            if let Ok(socket) = TcpStream::connect(to).await {
                socket.set_nodelay(true).ok();
                copy(socket, stream).await;
            }
        });
    }
    Ok(())
}

async fn copy(mut socket: TcpStream, stream: Stream) {
    copy_bidirectional_with_sizes(&mut socket, &mut stream.compat(), BUFFER, BUFFER).await.ok();
}
