//! A minimal HTTP client that shows the raw answer.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::in_time;

/// An answer over HTTP.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Asks for `path`.
pub(crate) async fn get(at: SocketAddr, path: &str) -> Answer {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    let answer = exchange(at, request.as_bytes()).await;
    Answer::read(&answer.unwrap_or_else(|error| panic!("GET {at}{path}: {error}")))
}

/// Sends `request` and reads until the remote closes.
pub(crate) async fn exchange(at: SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    in_time("an answer over HTTP", async {
        let mut socket = TcpStream::connect(at).await?;
        // It may have been answered before it was read to its end.
        let sent = socket.write_all(request).await;
        let mut answer = Vec::new();
        let read = socket.read_to_end(&mut answer).await;
        if answer.is_empty() {
            sent.and(read)?;
        }
        Ok(answer)
    })
    .await
}

impl Answer {
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("not an answer over HTTP: {text:?}"));
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        Self { status, body: body.to_string() }
    }
}
