//! The address of an agent's server, and connecting to it.

mod connect;
mod proxy;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use http::Uri;
use http::uri::{Authority, PathAndQuery};
use thiserror::Error;
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::OnceCell;

pub(crate) use connect::ConnectOptions;
pub use proxy::ProxyPolicy;

use crate::policy::connect_any;
use crate::splice::Side;
use crate::target::absolute;
use crate::tls::{ClientTls, TlsError};

/// The address of a server, and the protocol there.
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
        parse(text).map(Self).map_err(|reason| {
            // A secret in the URL must not reach a log.
            let text = match (text.split_once('?'), text.rsplit_once('@')) {
                // With `?` and `@` mixed, the ends of password and query are ambiguous.
                (Some((_, query)), Some(_)) if query.contains('@') => "…".to_string(),
                (Some((text, _)), None) => format!("{text}?…"),
                (_, Some((_, host))) => host.split('?').next().unwrap_or_default().to_string(),
                (None, None) => text.to_string(),
            };
            InvalidEndpoint { text, reason }
        })
    }
}

fn parse(text: &str) -> Result<Kind, &'static str> {
    if let Some(path) = text.strip_prefix("unix:") {
        if cfg!(not(unix)) {
            return Err("this system has no Unix sockets");
        }
        let path = path.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(path);
        return absolute(path).map(Kind::Unix).ok_or("unix: takes an absolute path");
    }
    let uri: Uri = text.parse().map_err(|_| "it is not a URL")?;
    let no_scheme = "it has no scheme: write ws://, wss://, tcp://, tls:// or unix:/PATH";
    let authority = uri.authority().ok_or(no_scheme)?;
    let (host, port) = host_port(authority)?;
    match uri.scheme_str() {
        Some("ws") => Ok(web_socket(false, host, port.unwrap_or(80), &uri)),
        Some("wss") => Ok(web_socket(true, host, port.unwrap_or(443), &uri)),
        Some("tcp") => byte_stream(false, host, port, &uri),
        Some("tls") => byte_stream(true, host, port, &uri),
        Some("http" | "https") => Err("the scheme is ws for http, and wss for https"),
        None => Err(no_scheme),
        Some(_) => Err("the scheme is none of ws, wss, tcp, tls, unix"),
    }
}

fn host_port(authority: &Authority) -> Result<(String, Option<u16>), &'static str> {
    if authority.as_str().contains('@') {
        return Err("give the token as a token, not in the URL");
    }
    if authority.host().is_empty() {
        return Err("it has no host");
    }
    // `Authority` treats a port that is out of range as none.
    let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
    let port = port.strip_prefix(':').map(str::parse::<u16>).transpose();
    match port.map_err(|_| "the port is no number from 1 to 65535")? {
        Some(0) => Err("nobody listens on port 0"),
        port => Ok((authority.host().to_string(), port)),
    }
}

fn web_socket(tls: bool, host: String, port: u16, uri: &Uri) -> Kind {
    let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let path = if path == "/" { "/connect" } else { path }.to_string();
    Kind::WebSocket { tls, host, port, path }
}

fn byte_stream(
    tls: bool,
    host: String,
    port: Option<u16>,
    uri: &Uri,
) -> Result<Kind, &'static str> {
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err("a byte stream has no path");
    }
    let port = port.ok_or("tcp:// and tls:// take a port")?;
    Ok(Kind::ByteStream { tls, host, port })
}

impl Endpoint {
    /// The same endpoint over TLS, if this one is without.
    pub(crate) fn over_tls(&self) -> Option<Self> {
        let mut kind = self.0.clone();
        match &mut kind {
            Kind::WebSocket { tls, .. } | Kind::ByteStream { tls, .. } if !*tls => *tls = true,
            _ => return None,
        }
        Some(Self(kind))
    }

    /// Whether TLS authenticates the server and encrypts the session.
    pub(crate) const fn is_over_tls(&self) -> bool {
        matches!(self.0, Kind::WebSocket { tls: true, .. } | Kind::ByteStream { tls: true, .. })
    }

    /// Whether the path is readable and writable for others: without TLS, to another machine.
    pub(crate) fn is_exposed(&self, address: Option<IpAddr>) -> bool {
        let (Kind::WebSocket { tls, host, .. } | Kind::ByteStream { tls, host, .. }) = &self.0
        else {
            return false;
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let is_here = match address.or_else(|| bare.parse().ok()) {
            Some(address) => address.to_canonical().is_loopback(),
            None => {
                let name = host.trim_end_matches('.').to_ascii_lowercase();
                name == "localhost" || name.ends_with(".localhost")
            }
        };
        !tls && !is_here
    }

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
                // A query may contain a secret.
                let (path, query) =
                    path.split_once('?').map_or((&**path, ""), |(path, _)| (path, "?…"));
                write!(f, "{}://{host}:{port}{path}{query}", if *tls { "wss" } else { "ws" })
            }
            Kind::ByteStream { tls, host, port } => {
                write!(f, "{}://{host}:{port}", if *tls { "tls" } else { "tcp" })
            }
            Kind::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Trust in the system's roots, loaded when first needed. All attempts share it, so that TLS
/// sessions are resumed.
#[derive(Clone, Debug, Default)]
struct SystemTls(OnceCell<ClientTls>);

impl SystemTls {
    /// `make` reads files, on a thread that may block. A failure is not cached. Cancel safe.
    async fn get(&self, make: fn() -> Result<ClientTls, TlsError>) -> io::Result<ClientTls> {
        let making = async || tokio::task::spawn_blocking(make).await?.map_err(io::Error::other);
        self.0.get_or_try_init(making).await.cloned()
    }
}

/// A socket to a host as it stands in a URL.
async fn reach(host: &str, port: u16) -> io::Result<TcpStream> {
    debug_assert!(port != 0, "a URL with port 0 is refused when it is parsed");
    let addresses: Vec<_> = lookup_host((unbracketed(host), port)).await?.collect();
    let socket = connect_any(&addresses).await?;
    socket.keep();
    Ok(socket)
}

/// Resolvers expect IPv6 addresses without the brackets of a URL.
fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    static MADE: AtomicUsize = AtomicUsize::new(0);

    fn make() -> Result<ClientTls, TlsError> {
        let certified = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
        match MADE.fetch_add(1, Ordering::Relaxed) {
            0 => Err(TlsError::SystemRoots("not yet".to_string())),
            _ => ClientTls::from_pem(Some(certified.cert.pem().as_bytes()), None),
        }
    }

    #[tokio::test]
    async fn the_systems_roots_are_read_once_when_they_can_be() {
        let system = SystemTls::default();
        let error = system.get(make).await.unwrap_err();
        assert_eq!(error.to_string(), "the system's trusted roots: not yet");
        for _ in 0..3 {
            system.get(make).await.unwrap();
        }
        assert_eq!(MADE.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn clear_text_beyond_this_machine_is_exposed() {
        for (text, exposed) in [
            ("ws://localhost:1", false),
            ("ws://LOCALHOST.:1", false),
            ("ws://a.localhost:1", false),
            ("tcp://127.0.0.9:1", false),
            ("ws://[::1]:1", false),
            ("ws://[::ffff:127.0.0.1]:1", false),
            ("unix:/run/a", false),
            ("wss://a.example", false),
            ("tls://10.0.0.1:1", false),
            ("ws://a.example", true),
            ("ws://notlocalhost", true),
            ("tcp://10.0.0.1:1", true),
            ("ws://[2001:db8::1]:1", true),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.is_exposed(None), exposed, "{text}");
        }
        let endpoint: Endpoint = "ws://peers.example".parse().unwrap();
        assert!(!endpoint.is_exposed(Some([127, 0, 0, 1].into())));
        assert!(endpoint.is_exposed(Some([10, 0, 0, 1].into())));
    }

    #[test]
    fn endpoints_are_completed() {
        for (text, shown) in [
            ("ws://host", "ws://host:80/connect"),
            ("wss://host/", "wss://host:443/connect"),
            ("wss://host:8443/v3/connect?x=1", "wss://host:8443/v3/connect?…"),
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
    fn an_invalid_endpoint_has_a_reason() {
        for (text, why) in [
            ("host:80", "scheme"),
            ("host", "write ws://"),
            ("http://host", "scheme"),
            ("tcp://host", "take a port"),
            ("https://host", "wss for https"),
            ("tcp://host:1/path", "no path"),
            ("tcp://host:1?x", "no path"),
            ("tcp://host:0", "port 0"),
            ("tcp://host:70000", "65535"),
            ("ws://host:", "65535"),
            ("ws://user:secret@host", "token"),
            ("unix:relative", "absolute"),
            ("ws://", "not a URL"),
        ] {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
