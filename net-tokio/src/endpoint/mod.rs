//! Where an agent's server is, and the way there.

mod connect;
mod proxy;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use http::Uri;
use thiserror::Error;

pub(crate) use connect::ConnectOptions;
pub use proxy::ProxyPolicy;

use crate::target::absolute;

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
