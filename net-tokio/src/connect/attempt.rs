//! One attempt to connect: from the settings to a transport.

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
use watertight_core::ReconnectConfig;

use crate::endpoint::{ConnectOptions, Endpoint};
use crate::handshake::{
    ClientHello, ConnectError, Connected, connect_byte_stream, connect_web_socket,
};
use crate::io::{BoxIo, Io};
use crate::tls::{explain_failure, is_tls_failure};
use crate::transport::WebSocketOptions;

type Connecting = Pin<Box<dyn Future<Output = io::Result<BoxIo>> + Send>>;

/// Byte streams to the server that the embedder makes. A panic fails the attempt.
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

    /// A panic of the embedder's code ends this attempt, not the agent.
    async fn connect(&self) -> Result<BoxIo, ConnectError> {
        let mut connecting = (self.0)();
        poll_fn(|cx| {
            // A future that panicked is not polled again.
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

/// The source of a token that may change.
pub(crate) struct TokenSource {
    call: Arc<dyn Fn() -> String + Send + Sync>,
    /// A call that outlived its attempt to connect. The next attempt waits for its result, so that
    /// a call that never returns blocks one thread only.
    running: Mutex<Option<JoinHandle<String>>>,
}

impl TokenSource {
    pub(crate) fn new(token: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self { call: Arc::new(token), running: Mutex::new(None) }
    }

    /// Cancel safe.
    async fn token(&self) -> Result<String, ConnectError> {
        let mut running = self.running.lock().await;
        let answer = running.get_or_insert_with(|| {
            let call = Arc::clone(&self.call);
            tokio::task::spawn_blocking(move || call())
        });
        let token = answer.await;
        *running = None;
        token.map_err(|_| ConnectError::Panicked)
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSource")
    }
}

/// The configuration of a connection to a server, of an agent or of a peer.
#[derive(Clone, Debug)]
pub(crate) struct ConnectSettings {
    pub(crate) endpoint: Endpoint,
    pub(crate) options: ConnectOptions,
    /// Replaces what the endpoint and the options describe.
    pub(crate) byte_streams: Option<ByteStreams>,
    pub(crate) reconnect: ReconnectConfig,
    /// The seed of the backoff's jitter; random otherwise.
    pub(crate) seed: Option<u64>,
    /// The timeout of one attempt, from the first packet to the session.
    pub(crate) timeout: Duration,
}

impl ConnectSettings {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            options: ConnectOptions::default(),
            byte_streams: None,
            reconnect: ReconnectConfig::default(),
            seed: None,
            timeout: Duration::from_secs(20),
        }
    }

    /// Whether both configure the same connection.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let same_streams = match (&self.byte_streams, &other.byte_streams) {
            (None, None) => true,
            (Some(streams), Some(other)) => streams.is(other),
            _ => false,
        };
        same_streams
            && self.options.is(&other.options)
            && (&self.endpoint, self.reconnect) == (&other.endpoint, other.reconnect)
            && (self.seed, self.timeout) == (other.seed, other.timeout)
    }
}

/// Makes attempts to connect to one server.
#[derive(Debug)]
pub(crate) struct Connector {
    settings: ConnectSettings,
    hello: ClientHello,
    /// Replaces the hello's token.
    token: Option<TokenSource>,
    web_socket: WebSocketOptions,
}

impl Connector {
    pub(crate) fn new(
        settings: ConnectSettings,
        hello: ClientHello,
        token: Option<TokenSource>,
        web_socket: WebSocketOptions,
    ) -> Self {
        Self { settings, hello, token, web_socket }
    }

    pub(crate) fn settings(&self) -> &ConnectSettings {
        &self.settings
    }

    /// What others on the path can read and change, if the path has no TLS.
    pub(crate) fn exposed(&self) -> Option<&'static str> {
        let ConnectSettings { endpoint, options, byte_streams, .. } = &self.settings;
        let exposed = byte_streams.is_none() && endpoint.is_exposed(options.address);
        exposed.then_some(if self.hello.sends_secret() {
            "the token and all connections"
        } else {
            "all connections"
        })
    }

    /// One attempt. The caller sets the deadline.
    pub(super) async fn connect(&self) -> Result<Connected<BoxIo>, ConnectError> {
        let mut hello = self.hello.clone();
        if let Some(source) = &self.token {
            hello.set_token(&source.token().await?);
        }
        let connected = match self.handshake(&hello).await {
            // TLS has proved the server's identity, and nobody else can read the token.
            Err(ConnectError::NoProof(_)) if self.settings.endpoint.is_over_tls() => {
                self.handshake(&hello.sending_token()).await
            }
            connected => connected,
        };
        connected.map_err(|error| self.explain(error))
    }

    async fn handshake(&self, hello: &ClientHello) -> Result<Connected<BoxIo>, ConnectError> {
        let io = match &self.settings.byte_streams {
            Some(byte_streams) => byte_streams.connect().await?,
            None => self.settings.endpoint.connect(&self.settings.options).await?,
        };
        match self.settings.endpoint.web_socket() {
            Some((authority, path)) => {
                connect_web_socket(io, &authority, &path, hello, self.web_socket).await
            }
            None => connect_byte_stream(io, hello, self.web_socket.max_extended).await,
        }
    }

    /// Adds the meaning that only the connector knows: a server refuses a client certificate after
    /// its own side of the TLS handshake is done, and a TLS port answers plain text with bytes.
    fn explain(&self, error: ConnectError) -> ConnectError {
        match error {
            ConnectError::Io(error) if is_tls_failure(&error) => ConnectError::Tls {
                to: self.settings.endpoint.to_string(),
                error: explain_failure(error),
            },
            ConnectError::NotATunnel(text) => match self.settings.endpoint.over_tls() {
                Some(other) => ConnectError::NotATunnel(format!(
                    "{text}; if the port is one for TLS, connect to {other}"
                )),
                None => ConnectError::NotATunnel(text),
            },
            error => error,
        }
    }
}
