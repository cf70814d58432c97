//! The client of the demo: plain HTTP over a local port.

use std::future::Future;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::output::StepError;
use super::services::Pattern;
use crate::tasks::{Tasks, Tied};

/// One HTTP connection, which ends when it is dropped.
pub(super) struct HttpClient {
    sender: SendRequest<Empty<Bytes>>,
    _connection: Tied,
}

impl HttpClient {
    pub(super) async fn connect(address: &str, tasks: &Tasks) -> Result<Self, StepError> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        Self::on(socket, tasks).await
    }

    pub(super) async fn on(socket: TcpStream, tasks: &Tasks) -> Result<Self, StepError> {
        let (sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
        // Its error is also the error of the request or the body.
        let connection = tasks.spawn_tied(async move { drop(connection.await) });
        Ok(Self { sender, _connection: connection })
    }

    /// The status of the answer, and its body.
    pub(super) async fn get(&mut self, path: &str) -> Result<(StatusCode, Incoming), StepError> {
        self.sender.ready().await?;
        let request = Request::get(path).header("host", "localhost").body(Empty::new())?;
        let (parts, body) = self.sender.send_request(request).await?.into_parts();
        Ok((parts.status, body))
    }

    /// Gets `length` bytes of the pattern `seed` from below `prefix`.
    pub(super) async fn get_pattern(
        &mut self,
        prefix: &str,
        seed: u64,
        length: u64,
    ) -> Result<Download, StepError> {
        let (status, body) = self.get(&format!("{prefix}/{seed}/{length}")).await?;
        if status != StatusCode::OK {
            return Err(StepError::new(format!("the answer is {status}")));
        }
        Ok(Download { body, pattern: Pattern::new(seed), length })
    }
}

/// A body that must be that of a pattern.
pub(super) struct Download {
    body: Incoming,
    pattern: Pattern,
    length: u64,
}

impl Download {
    /// Takes and checks the next piece. `false` at the end, if it is where it should be.
    pub(super) async fn piece(&mut self) -> Result<bool, StepError> {
        match self.body.frame().await {
            Some(frame) => {
                if let Ok(data) = frame?.into_data() {
                    self.pattern.check(&data)?;
                }
                Ok(true)
            }
            None if self.at() == self.length => Ok(false),
            None => Err(StepError::new(format!("it ended after {} of {}", self.at(), self.length))),
        }
    }

    /// Takes and checks all the rest.
    pub(super) async fn rest(&mut self, mut progress: impl FnMut(u64)) -> Result<(), StepError> {
        while self.piece().await? {
            progress(self.at());
        }
        Ok(())
    }

    /// How much has come.
    pub(super) fn at(&self) -> u64 {
        self.pattern.at()
    }
}

/// Waits for something that must happen, for `time` at most.
pub(super) async fn within<T>(
    time: Duration,
    what: &str,
    future: impl Future<Output = Result<T, StepError>>,
) -> Result<T, StepError> {
    let done = tokio::time::timeout(time, future).await;
    done.unwrap_or_else(|_| Err(StepError::new(format!("{what}: not done in {time:?}"))))
}

/// Waits until `condition` holds, for `time` at most.
pub(super) async fn until(
    time: Duration,
    what: &str,
    condition: impl Fn() -> bool,
) -> Result<(), StepError> {
    within(time, what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    })
    .await
}

impl From<io::Error> for StepError {
    fn from(error: io::Error) -> Self {
        Self::new(error)
    }
}

impl From<hyper::Error> for StepError {
    fn from(error: hyper::Error) -> Self {
        match std::error::Error::source(&error) {
            Some(cause) => Self::new(format_args!("{error}: {cause}")),
            None => Self::new(error),
        }
    }
}

impl From<http::Error> for StepError {
    fn from(error: http::Error) -> Self {
        Self::new(error)
    }
}
