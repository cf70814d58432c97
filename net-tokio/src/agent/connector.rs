//! How an agent reaches its server.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::endpoint::{ConnectOptions, Endpoint};
use crate::handshake::{
    ClientHello, ConnectError, Connected, connect_byte_stream, connect_web_socket,
};
use crate::tls::{in_words, is_of_tls};
use crate::transport::{BoxIo, Io, WebSocketOptions};

type Connecting = Pin<Box<dyn Future<Output = io::Result<BoxIo>> + Send>>;

/// Byte streams to the server that the embedder makes. One that panics has failed.
#[derive(Clone)]
pub(crate) struct ByteStreams(Arc<dyn Fn() -> Connecting + Send + Sync>);

impl ByteStreams {
    pub(crate) fn new<F, A, I>(connect: F) -> Self
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = io::Result<I>> + Send + 'static,
        I: Io,
    {
        let connect = Arc::new(connect);
        Self(Arc::new(move || {
            let connect = Arc::clone(&connect);
            Box::pin(async move { connect().await.map(|io| Box::new(io) as BoxIo) })
        }))
    }

    /// Whether both were made of the same closure.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// A panic of the embedder's ends this attempt, not the agent.
    async fn connect(&self) -> Result<BoxIo, ConnectError> {
        let mut connecting = (self.0)();
        poll_fn(|cx| {
            // What panicked is not polled again.
            match catch_unwind(AssertUnwindSafe(|| connecting.as_mut().poll(cx))) {
                Ok(polled) => polled.map_err(ConnectError::Io),
                Err(_) => Poll::Ready(Err(ConnectError::Panicked)),
            }
        })
        .await
    }
}

impl fmt::Debug for ByteStreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByteStreams")
    }
}

/// Where the token comes from, if it may change.
pub(super) struct TokenSource {
    ask: Arc<dyn Fn() -> String + Send + Sync>,
    /// A question that outlived its attempt to connect: the next attempt waits for its answer, so
    /// that one that is never answered blocks one thread only.
    asked: Mutex<Option<JoinHandle<String>>>,
}

impl TokenSource {
    pub(super) fn new(token: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self { ask: Arc::new(token), asked: Mutex::new(None) }
    }

    /// Cancel safe.
    async fn token(&self) -> Result<String, ConnectError> {
        let mut asked = self.asked.lock().await;
        let answer = asked.get_or_insert_with(|| {
            let ask = Arc::clone(&self.ask);
            tokio::task::spawn_blocking(move || ask())
        });
        let token = answer.await;
        *asked = None;
        token.map_err(|_| ConnectError::Panicked)
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSource")
    }
}

#[derive(Debug)]
pub(super) struct Connector {
    pub(super) endpoint: Endpoint,
    pub(super) options: ConnectOptions,
    pub(super) hello: ClientHello,
    /// In place of the hello's.
    pub(super) token: Option<TokenSource>,
    pub(super) byte_streams: Option<ByteStreams>,
    pub(super) web_socket: WebSocketOptions,
    /// From the first packet to the session.
    pub(super) deadline: Duration,
}

impl Connector {
    /// One attempt. The caller sets the deadline.
    pub(super) async fn connect(&self) -> Result<Connected<BoxIo>, ConnectError> {
        let mut hello = self.hello.clone();
        if let Some(source) = &self.token {
            hello.set_token(&source.token().await?);
        }
        let connected = match self.greet(&hello).await {
            // TLS has proved who it is, and nobody else sees the token.
            Err(ConnectError::NoProof(_)) if self.endpoint.is_over_tls() => {
                self.greet(&hello.sending_token()).await
            }
            connected => connected,
        };
        connected.map_err(|error| self.explain(error))
    }

    async fn greet(&self, hello: &ClientHello) -> Result<Connected<BoxIo>, ConnectError> {
        let io = match &self.byte_streams {
            Some(byte_streams) => byte_streams.connect().await?,
            None => self.endpoint.connect(&self.options).await?,
        };
        match self.endpoint.web_socket() {
            Some((authority, path)) => {
                connect_web_socket(io, &authority, &path, hello, self.web_socket).await
            }
            None => connect_byte_stream(io, hello, self.web_socket.max_extended).await,
        }
    }

    /// What an error means that only this end can tell: a server refuses a client certificate after
    /// its own side of TLS is done, and a port for TLS answers plain text with bytes.
    fn explain(&self, error: ConnectError) -> ConnectError {
        match error {
            ConnectError::Io(error) if is_of_tls(&error) => {
                ConnectError::Tls { to: self.endpoint.to_string(), error: in_words(error) }
            }
            ConnectError::NotATunnel(text) => match self.endpoint.over_tls() {
                Some(other) => ConnectError::NotATunnel(format!(
                    "{text}; if the port is one for TLS, connect to {other}"
                )),
                None => ConnectError::NotATunnel(text),
            },
            error => error,
        }
    }
}
