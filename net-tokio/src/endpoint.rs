//! Where an agent's server is, and the way there.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use http::Uri;
use http::uri::Scheme;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use thiserror::Error;
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tower_service::Service;

use crate::handshake::ConnectError;
use crate::policy::connect_any;
use crate::target::absolute;
use crate::tls::ClientTls;
use crate::transport::BoxIo;

/// Where a server is, and what is spoken there.
///
/// - `ws://host[:port][/path]` and `wss://…`: a WebSocket, the path being `/connect` unless given.
///   It goes through HTTP proxies and ingresses.
/// - `tcp://host:port` and `tls://host:port`: a byte stream, which needs less work on each byte.
/// - `unix:/path`: a byte stream on a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    WebSocket { tls: bool, host: String, port: u16, path: String },
    ByteStream { tls: bool, host: String, port: u16 },
    Unix(PathBuf),
}

/// A text that is no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text:?} is no endpoint: {reason}")]
pub struct InvalidEndpoint {
    text: String,
    reason: &'static str,
}

/// Which HTTP proxy leads to a `ws` or `wss` server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ProxyPolicy {
    /// What `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` say.
    #[default]
    FromEnvironment,
    /// None.
    None,
    /// This one: `http://[user:password@]host:port`.
    Url(String),
}

/// How to reach an endpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectOptions {
    /// The system's roots if it is `None`.
    pub(crate) tls: Option<ClientTls>,
    pub(crate) proxy: ProxyPolicy,
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        parse(text).map(Self).map_err(|reason| InvalidEndpoint { text: text.to_string(), reason })
    }
}

fn parse(text: &str) -> Result<Kind, &'static str> {
    if let Some(path) = text.strip_prefix("unix:") {
        let path = path.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(path);
        return absolute(path).map(Kind::Unix).ok_or("unix: takes an absolute path");
    }
    let uri: Uri = text.parse().map_err(|_| "it is not a URL")?;
    let authority = uri.authority().ok_or("write ws://, wss://, tcp://, tls:// or unix:/PATH")?;
    if authority.as_str().contains('@') {
        return Err("give the token as a token, not in the URL");
    }
    let host = Some(authority.host().to_string()).filter(|host| !host.is_empty());
    let host = host.ok_or("it has no host")?;
    let port = match authority.port() {
        // An authority's port may be out of range, which `port_u16` takes for none.
        Some(port) => Some(port.as_str().parse::<u16>().map_err(|_| "the port is out of range")?),
        None => None,
    };
    match uri.scheme_str() {
        Some(scheme @ ("ws" | "wss")) => {
            let tls = scheme == "wss";
            let path = uri.path_and_query().map_or("/", |path| path.as_str());
            let path = if path == "/" { "/connect" } else { path }.to_string();
            let port = port.unwrap_or(if tls { 443 } else { 80 });
            Ok(Kind::WebSocket { tls, host, port, path })
        }
        Some(scheme @ ("tcp" | "tls")) => {
            if !matches!(uri.path(), "" | "/") {
                return Err("a byte stream has no path");
            }
            let port = port.ok_or("tcp:// and tls:// take a port")?;
            Ok(Kind::ByteStream { tls: scheme == "tls", host, port })
        }
        _ => Err("the scheme is none of ws, wss, tcp, tls, unix"),
    }
}

impl Endpoint {
    /// Host header and path of the upgrade; `None` for a byte stream.
    pub(crate) fn web_socket(&self) -> Option<(String, String)> {
        let Kind::WebSocket { tls, host, port, path } = &self.0 else { return None };
        let default = if *tls { 443 } else { 80 };
        let authority = if *port == default { host.clone() } else { format!("{host}:{port}") };
        Some((authority, path.clone()))
    }

    /// A byte stream to the server, with TLS where the endpoint says so. The caller sets the
    /// deadline. Cancel safe.
    pub(crate) async fn connect(&self, options: &ConnectOptions) -> Result<BoxIo, ConnectError> {
        match &self.0 {
            Kind::Unix(path) => {
                let socket = UnixStream::connect(path).await;
                Ok(Box::new(socket.map_err(|error| self.unreachable(error))?))
            }
            Kind::ByteStream { tls, host, port } => {
                self.secure(*tls, host, self.reach(host, *port).await?, options).await
            }
            Kind::WebSocket { tls, host, port, .. } => {
                let socket = match self.proxy(*tls, host, *port, &options.proxy)? {
                    Some(proxy) => self.through(&proxy, host, *port).await?,
                    None => self.reach(host, *port).await?,
                };
                self.secure(*tls, host, socket, options).await
            }
        }
    }

    async fn reach(&self, host: &str, port: u16) -> Result<TcpStream, ConnectError> {
        let reached = async {
            let addresses: Vec<_> = lookup_host((unbracketed(host), port)).await?.collect();
            connect_any(&addresses).await
        };
        reached.await.map_err(|error| self.unreachable(error))
    }

    async fn secure(
        &self,
        tls: bool,
        host: &str,
        socket: TcpStream,
        options: &ConnectOptions,
    ) -> Result<BoxIo, ConnectError> {
        if !tls {
            return Ok(Box::new(socket));
        }
        let failed = |error| ConnectError::Tls { to: self.to_string(), error };
        let tls = match &options.tls {
            Some(tls) => tls.clone(),
            None => ClientTls::system().map_err(|error| failed(io::Error::other(error)))?,
        };
        let stream = tls.connect(unbracketed(host), socket).await;
        Ok(Box::new(stream.map_err(failed)?))
    }

    /// The proxy to go through, if there is one.
    fn proxy(
        &self,
        tls: bool,
        host: &str,
        port: u16,
        policy: &ProxyPolicy,
    ) -> Result<Option<Intercept>, ConnectError> {
        let matcher = match policy {
            ProxyPolicy::None => return Ok(None),
            ProxyPolicy::FromEnvironment => Matcher::from_env(),
            ProxyPolicy::Url(url) => Matcher::builder().all(url.as_str()).build(),
        };
        let scheme = if tls { Scheme::HTTPS } else { Scheme::HTTP };
        let uri = Uri::builder().scheme(scheme).authority(format!("{host}:{port}"));
        let uri = uri.path_and_query("/").build();
        let uri = uri.map_err(|error| self.unreachable(io::Error::other(error)))?;
        Ok(matcher.intercept(&uri))
    }

    async fn through(
        &self,
        proxy: &Intercept,
        host: &str,
        port: u16,
    ) -> Result<TcpStream, ConnectError> {
        let shown = proxy.uri().authority().map_or_else(String::new, ToString::to_string);
        let failed = |reason: String| ConnectError::Proxy { proxy: shown.clone(), reason };
        if proxy.uri().scheme() != Some(&Scheme::HTTP) {
            return Err(failed("only http:// proxies are spoken to".to_string()));
        }
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let mut tunnel = Tunnel::new(proxy.uri().clone(), connector);
        if let Some(authorization) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(authorization.clone());
        }
        let to = format!("https://{host}:{port}").parse();
        let to: Uri = to.map_err(|_| failed(format!("{host}:{port} is no authority")))?;
        let connected = tunnel.call(to).await;
        connected.map(hyper_util::rt::TokioIo::into_inner).map_err(|error| failed(all(&error)))
    }

    fn unreachable(&self, error: io::Error) -> ConnectError {
        ConnectError::Unreachable { to: self.to_string(), error }
    }
}

/// An error with all its causes.
fn all(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Resolvers take IPv6 addresses without the brackets that URLs have around them.
fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::WebSocket { tls, host, port, path } => {
                write!(f, "{}://{host}:{port}{path}", if *tls { "wss" } else { "ws" })
            }
            Kind::ByteStream { tls, host, port } => {
                write!(f, "{}://{host}:{port}", if *tls { "tls" } else { "tcp" })
            }
            Kind::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_completed() {
        for (text, shown) in [
            ("ws://host", "ws://host:80/connect"),
            ("wss://host/", "wss://host:443/connect"),
            ("wss://host:8443/v3/connect?x=1", "wss://host:8443/v3/connect?x=1"),
            ("ws://[::1]:1", "ws://[::1]:1/connect"),
            ("tcp://host:1", "tcp://host:1"),
            ("tls://10.0.0.1:1/", "tls://10.0.0.1:1"),
            ("unix:/run/watertight.sock", "unix:/run/watertight.sock"),
            ("unix:///run/watertight.sock", "unix:/run/watertight.sock"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn the_host_header_leaves_out_the_default_port() {
        let host = |text: &str| text.parse::<Endpoint>().unwrap().web_socket().unwrap().0;
        assert_eq!(host("ws://host"), "host");
        assert_eq!(host("wss://host:443"), "host");
        assert_eq!(host("ws://host:443"), "host:443");
    }

    #[test]
    fn what_is_no_endpoint_says_why() {
        for (text, why) in [
            ("host:80", "scheme"),
            ("host", "write ws://"),
            ("http://host", "scheme"),
            ("tcp://host", "take a port"),
            ("tcp://host:1/path", "no path"),
            ("tcp://host:70000", "out of range"),
            ("ws://user:secret@host", "token"),
            ("unix:relative", "absolute"),
            ("ws://", "not a URL"),
        ] {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
