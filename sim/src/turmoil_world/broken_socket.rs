//! Sockets as broken servers treat them.

use std::io::{self, Cursor};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, join, split};
use watertight::Io;

use super::socket::Socket;
use super::stage::Stage;

/// Waits for the first byte, and gives it back with the socket.
pub(super) async fn await_first_byte(mut socket: Socket) -> io::Result<impl Io> {
    let first = socket.read_u8().await?;
    let (read, write) = split(socket);
    Ok(join(Cursor::new([first]).chain(read), write))
}

/// A socket that somebody else holds, too.
pub(super) struct Held(Arc<Mutex<Socket>>);

impl Held {
    pub(super) fn new(stage: &Stage, socket: Socket) -> Self {
        let socket = Arc::new(Mutex::new(socket));
        stage.hold_on(Arc::clone(&socket));
        Self(socket)
    }

    fn lock(&self) -> MutexGuard<'_, Socket> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncRead for Held {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_read(cx, buf)
    }
}

impl AsyncWrite for Held {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.lock()).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
