//! The near end of an unauthenticated remote's socket.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, split};
use tokio::task::{JoinHandle, spawn};
use tokio::time::timeout;

/// How long a server may take nothing of the bytes sent.
const PATIENCE: Duration = Duration::from_millis(1);

/// A socket whose remote reads all the time.
pub(super) struct Socket {
    writer: WriteHalf<DuplexStream>,
    reader: JoinHandle<()>,
    answer: Arc<Mutex<Vec<u8>>>,
    sent: Vec<u8>,
}

impl Socket {
    pub(super) fn new(near: DuplexStream) -> Self {
        let (input, writer) = split(near);
        let answer = Arc::<Mutex<Vec<u8>>>::default();
        let reader = spawn(read(input, Arc::clone(&answer)));
        Self { writer, reader, answer, sent: Vec::new() }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.sent.extend_from_slice(bytes);
        // The server may read nothing before it is this one's turn, or may have had enough.
        timeout(PATIENCE, self.writer.write_all(bytes)).await.ok();
    }

    pub(super) async fn finish(&mut self) {
        self.writer.shutdown().await.ok();
    }

    /// Whether the server has closed it.
    pub(super) fn is_closed(&self) -> bool {
        self.reader.is_finished()
    }

    pub(super) fn answer(&self) -> Vec<u8> {
        lock(&self.answer).clone()
    }

    pub(super) fn sent(&self) -> &[u8] {
        &self.sent
    }

    /// Drops both halves.
    pub(super) async fn close(self) {
        let Self { writer, mut reader, .. } = self;
        drop(writer);
        reader.abort();
        // It has been cancelled.
        (&mut reader).await.ok();
    }
}

async fn read(mut input: ReadHalf<DuplexStream>, answer: Arc<Mutex<Vec<u8>>>) {
    let mut heard = [0; 1024];
    while let Ok(read @ 1..) = input.read(&mut heard).await {
        lock(&answer).extend_from_slice(heard.get(..read).unwrap_or_default());
    }
}

fn lock(answer: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    answer.lock().unwrap_or_else(PoisonError::into_inner)
}
