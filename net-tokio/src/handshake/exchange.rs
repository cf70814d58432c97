//! One HTTP/1.1 request that asks for the connection itself: an upgrade, or CONNECT at a proxy.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::Bytes;
use http::response::Parts;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio_rustls::rustls;

use crate::io::Io;

/// Bytes of a refusal's body that are kept for the error's text.
const MAX_TEXT: usize = 1024;

/// The time limit of a refusal's body. The status is what matters; the text may be cut.
const TEXT_TIMEOUT: Duration = Duration::from_secs(2);

/// Bytes of the answer's head. A longer one is no answer to such a request.
const MAX_HEAD: usize = 64 * 1024;

/// The remote's answer.
pub(crate) enum Answer<I> {
    /// The server hands over the connection.
    Switched {
        /// The answer's head.
        head: Parts,
        /// The connection.
        io: I,
        /// Bytes that were read beyond the head.
        leftover: Bytes,
    },
    /// The server keeps speaking HTTP.
    Refused {
        /// The answer's head.
        head: Parts,
        /// The beginning of its body, safe for a log.
        text: String,
    },
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub(crate) enum HttpError {
    /// The transport failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The remote ended the connection.
    #[error("the remote ended the connection without an answer")]
    Ended,
    /// The remote does not speak HTTP/1.1.
    #[error("the peer's answer is not HTTP/1.1: {0}")]
    NotHttp(String),
}

/// Sends `request` and waits for its answer. Not cancel safe: the connection is lost. The caller
/// sets the deadline.
pub(crate) async fn exchange<I: Io>(
    io: I,
    request: Request<String>,
) -> Result<Answer<I>, HttpError> {
    let mut builder = http1::Builder::new();
    // Some servers compare header names case-sensitively.
    builder.title_case_headers(true).max_buf_size(MAX_HEAD);
    let (mut sender, connection) = builder.handshake(TokioIo::new(io)).await?;
    let answer = async move { read_answer(sender.send_request(request).await?).await };
    let (connection, mut answer) = (pin!(connection.with_upgrades()), pin!(answer));
    let mut connection = Some(connection);
    poll_fn(|cx| {
        // An error of the connection also reaches `answer`, which is polled after it.
        if connection.as_mut().is_some_and(|running| running.as_mut().poll(cx).is_ready()) {
            connection = None;
        }
        answer.as_mut().poll(cx)
    })
    .await
}

async fn read_answer<I: Io>(mut response: Response<Incoming>) -> Result<Answer<I>, HttpError> {
    let upgrade = hyper::upgrade::on(&mut response);
    let (head, body) = response.into_parts();
    // The request determines which statuses hand over the connection; hyper knows the rules.
    let Ok(upgraded) = upgrade.await else {
        return Ok(Answer::Refused { head, text: read_text(body).await });
    };
    match upgraded.downcast::<TokioIo<I>>() {
        Ok(parts) => {
            Ok(Answer::Switched { head, io: parts.io.into_inner(), leftover: parts.read_buf })
        }
        Err(_) => Err(io::Error::other("the connection changed its type").into()),
    }
}

async fn read_text(body: Incoming) -> String {
    let mut text = Vec::new();
    // A body that does not end in time is cut.
    tokio::time::timeout(TEXT_TIMEOUT, collect(body, &mut text)).await.ok();
    printable(text.get(..MAX_TEXT).unwrap_or(&text))
}

async fn collect(mut body: Incoming, text: &mut Vec<u8>) {
    while text.len() < MAX_TEXT
        && let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await
    {
        text.extend(frame.into_data().unwrap_or_default());
    }
}

/// The remote's text, on one line.
fn printable(text: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(text)
        .chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl From<hyper::Error> for HttpError {
    fn from(error: hyper::Error) -> Self {
        if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
            return Self::Ended;
        }
        let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref());
        match source {
            Some(source) => Self::Io(copy_of(source)),
            None => Self::NotHttp(error.to_string()),
        }
    }
}

/// hyper only lends its errors.
fn copy_of(error: &io::Error) -> io::Error {
    let of_tls = error.get_ref().and_then(|source| source.downcast_ref::<rustls::Error>());
    match (error.raw_os_error(), of_tls) {
        (Some(code), _) => io::Error::from_raw_os_error(code),
        (None, Some(of_tls)) => io::Error::new(error.kind(), of_tls.clone()),
        (None, None) => io::Error::new(error.kind(), error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    fn get() -> Request<String> {
        Request::get("/").body(String::new()).unwrap()
    }

    fn connect() -> Request<String> {
        Request::connect("host:443").body(String::new()).unwrap()
    }

    /// The answer to `request` of a server that sends `bytes`, and the server's end.
    async fn ask(
        request: Request<String>,
        bytes: &[&str],
    ) -> (Result<Answer<DuplexStream>, HttpError>, DuplexStream) {
        let (a, mut b) = duplex(64);
        let server = async {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(b.read_u8().await.unwrap());
            }
            for bytes in bytes {
                // The client reads no further than it needs.
                b.write_all(bytes.as_bytes()).await.ok();
                tokio::task::yield_now().await;
            }
            b
        };
        tokio::join!(exchange(a, request), server)
    }

    async fn refusal(bytes: &[&str]) -> (u16, String) {
        match ask(get(), bytes).await.0 {
            Ok(Answer::Refused { head, text }) => (head.status.as_u16(), text),
            Ok(Answer::Switched { .. }) => panic!("not refused"),
            Err(error) => panic!("{error}"),
        }
    }

    #[tokio::test]
    async fn a_switch_hands_over_the_connection_and_what_follows() {
        let switching = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nleft";
        let (answer, mut server) = ask(get(), &[switching]).await;
        let Ok(Answer::Switched { mut io, leftover, .. }) = answer else { panic!() };
        assert_eq!(leftover, "left");
        io.write_all(b"over").await.unwrap();
        let mut read = [0; 4];
        server.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"over");
    }

    #[tokio::test]
    async fn old_proxies_and_new_ones_connect() {
        for version in ["1.0", "1.1"] {
            let head = format!("HTTP/{version} 200 Connection established\r\n\r\n");
            let (answer, _server) = ask(connect(), &[&head]).await;
            assert!(matches!(answer, Ok(Answer::Switched { .. })), "{version}");
        }
    }

    #[tokio::test]
    async fn a_refusal_keeps_its_text_in_any_framing() {
        let pieces =
            ["HTTP/1.1 401 Unauthorized\r\n", "Content-Length: 13\r\n\r\nunknown", " token"];
        assert_eq!(refusal(&pieces).await, (401, "unknown token".into()));
        let chunked =
            "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nnot\r\n3\r\n\x1b[m\r\n";
        assert_eq!(refusal(&[chunked, "3\r\n\nit\r\n0\r\n\r\n"]).await, (403, "not [m it".into()));
    }

    #[tokio::test]
    async fn a_long_refusal_is_cut() {
        let body = "a".repeat(10_000);
        let head = format!("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 10000\r\n\r\n{body}");
        assert_eq!(refusal(&[&head]).await, (502, "a".repeat(MAX_TEXT)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_does_not_wait_for_the_end_of_its_text() {
        let endless = "HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\ntry later";
        assert_eq!(refusal(&[endless]).await, (503, "try later".into()));
    }

    #[tokio::test]
    async fn an_invalid_answer_is_named_in_the_error() {
        let (answer, _server) = ask(get(), &["SSH-2.0-OpenSSH_9.9\r\n\r\n"]).await;
        assert!(matches!(answer.err(), Some(HttpError::NotHttp(_))));
        let (a, b) = duplex(64);
        drop(b);
        assert!(exchange(a, get()).await.is_err());
        let (a, mut b) = duplex(1024);
        b.write_all(b"HTTP/1.1 101 Sw").await.unwrap();
        b.shutdown().await.unwrap();
        assert!(matches!(exchange(a, get()).await.err(), Some(HttpError::Ended)));
    }
}
