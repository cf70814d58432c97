//! Connecting through a proxy: HTTP CONNECT or SOCKS version 5 (RFC 1928).

mod environment;

use std::future::{Ready, ready};
use std::io;
use std::task::{Context, Poll};

use http::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use http::uri::Authority;
use http::{Request, StatusCode, Uri};
use hyper_util::client::legacy::connect::proxy::SocksV5;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tower_service::Service;

use self::environment::Found;
use super::{SystemTls, reach, unbracketed};
use crate::handshake::{Answer, ConnectError, exchange};
use crate::io::BoxIo;
use crate::tls::ClientTls;

/// The proxy toward a `ws` or `wss` server.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyPolicy {
    /// `HTTPS_PROXY` (for `wss`), `HTTP_PROXY` (for `ws`) and `NO_PROXY`, by the rules of Go's
    /// programs; where the one for the scheme is not set, `ALL_PROXY`. A server at `localhost` or
    /// at a loopback address is reached without a proxy.
    #[default]
    FromEnvironment,
    /// None.
    None,
    /// This one, for every server: `http://[user:password@]host:port`, or `https://` where the
    /// proxy itself requires TLS; its certificate is then verified by the system's roots. Or
    /// `socks5://`, also written `socks5h://`, whose proxy resolves the server's name. Other
    /// schemes are an error when the agent connects.
    Url(String),
}

/// A proxy that a connection goes through.
#[derive(Debug)]
pub(super) struct Proxy {
    kind: Kind,
    host: String,
    port: u16,
}

#[derive(Debug)]
enum Kind {
    Http {
        /// Whether the connection to the proxy itself is over TLS.
        tls: bool,
        authorization: Option<HeaderValue>,
    },
    Socks5 {
        user: Option<(String, String)>,
    },
}

impl ProxyPolicy {
    /// The proxy toward a server, if there is one.
    pub(super) fn toward(
        &self,
        tls: bool,
        host: &str,
        port: u16,
    ) -> Result<Option<Proxy>, ConnectError> {
        match self {
            Self::None => Ok(None),
            // Bypassing a configured proxy would be unexpected.
            Self::Url(url) => Proxy::of_url(url).map(Some),
            Self::FromEnvironment => {
                let found = environment::find(tls, host, port, |name| std::env::var(name).ok());
                match found? {
                    None => Ok(None),
                    Some(Found { variable, url }) => {
                        Proxy::of_url(&url).map(Some).map_err(|error| failed(variable, error))
                    }
                }
            }
        }
    }
}

impl std::fmt::Debug for ProxyPolicy {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::FromEnvironment => f.write_str("FromEnvironment"),
            Self::None => f.write_str("None"),
            Self::Url(url) => f.debug_tuple("Url").field(&without_secret(url)).finish(),
        }
    }
}

impl Proxy {
    fn of_url(url: &str) -> Result<Self, ConnectError> {
        // The matcher accepts a URL only if it is complete; a host alone is an HTTP proxy.
        let matcher = Matcher::builder().all(url).build();
        let anything = Uri::from_static("https://server");
        match matcher.intercept(&anything) {
            Some(found) => Self::new(&found),
            None => Err(failed(without_secret(url), "it is not of the form http://HOST:PORT")),
        }
    }

    fn new(found: &Intercept) -> Result<Self, ConnectError> {
        let uri = found.uri();
        let http = |tls| Kind::Http { tls, authorization: found.basic_auth().cloned() };
        let user = || found.raw_auth().map(|(user, word)| (user.to_string(), word.to_string()));
        let (kind, port) = match uri.scheme_str() {
            Some("http") => (http(false), 80),
            Some("https") => (http(true), 443),
            Some("socks5" | "socks5h") => (Kind::Socks5 { user: user() }, 1080),
            _ => {
                let text = "only http://, https:// and socks5:// proxies are spoken to";
                return Err(failed(uri, text));
            }
        };
        let host = uri.host().unwrap_or_default().to_string();
        // `Authority` treats a port that is out of range as none.
        let authority = uri.authority().map_or("", Authority::as_str);
        let after_host = authority.rsplit_once('@').map_or(authority, |(_, rest)| rest);
        let after_host = after_host.strip_prefix(&*host).unwrap_or_default();
        let port = match after_host.strip_prefix(':') {
            None => port,
            Some(text) => match text.parse() {
                Ok(port) if port != 0 => port,
                _ => return Err(failed(&host, "its port is no number from 1 to 65535")),
            },
        };
        Ok(Self { kind, host, port })
    }

    /// A connection to the server through the proxy. The caller sets the deadline. Cancel safe.
    pub(super) async fn tunnel(
        &self,
        host: &str,
        port: u16,
        tls: &SystemTls,
    ) -> Result<BoxIo, ConnectError> {
        let name = format!("{}:{}", self.host, self.port);
        let request = self.request(host, port).map_err(|error| failed(&name, error))?;
        let io = self.reach(tls).await.map_err(|error| failed(&name, error))?;
        if let Kind::Socks5 { user } = &self.kind {
            let through = socks(io, user.as_ref(), host, port).await;
            return through.map_err(|error| failed(&name, error));
        }
        match exchange(io, request).await.map_err(|error| failed(&name, error))? {
            Answer::Switched { head, .. } if !head.status.is_success() => {
                Err(failed(name, refusal(head.status, "")))
            }
            Answer::Switched { io, leftover, .. } if leftover.is_empty() => Ok(io),
            Answer::Switched { .. } => Err(failed(name, "it speaks before the server is asked")),
            Answer::Refused { head, text } => Err(failed(name, refusal(head.status, &text))),
        }
    }

    /// A connection to the proxy.
    async fn reach(&self, tls: &SystemTls) -> io::Result<BoxIo> {
        let socket = reach(&self.host, self.port).await?;
        if !matches!(self.kind, Kind::Http { tls: true, .. }) {
            return Ok(Box::new(socket));
        }
        let tls = tls.get(ClientTls::system).await?;
        Ok(Box::new(tls.connect(unbracketed(&self.host), socket).await?))
    }

    fn request(&self, host: &str, port: u16) -> Result<Request<String>, http::Error> {
        let to: Authority = format!("{host}:{port}").parse()?;
        let mut request =
            Request::connect(to.as_str()).header(HOST, to.as_str()).body(String::new())?;
        if let Kind::Http { authorization: Some(authorization), .. } = &self.kind {
            request.headers_mut().insert(PROXY_AUTHORIZATION, authorization.clone());
        }
        Ok(request)
    }
}

fn refusal(status: StatusCode, text: &str) -> String {
    let hint = match status {
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            " (to authenticate, write http://USER:PASSWORD@HOST:PORT)"
        }
        _ => "",
    };
    let separator = if text.is_empty() { "" } else { ": " };
    format!("it refused to connect with {status}{hint}{separator}{text}")
}

fn failed(proxy: impl ToString, reason: impl ToString) -> ConnectError {
    ConnectError::Proxy { proxy: proxy.to_string(), reason: reason.to_string() }
}

/// The part of a proxy's URL that may be displayed: nothing up to the `@`.
fn without_secret(url: &str) -> &str {
    url.rsplit_once('@').map_or(url, |(_, host)| host)
}

/// Requests a connection to a server from the SOCKS proxy at the remote of `io`. A name is not
/// resolved before: the proxy may know it where this machine does not. The caller sets the
/// deadline. Cancel safe.
async fn socks(
    io: BoxIo,
    user: Option<&(String, String)>,
    host: &str,
    port: u16,
) -> io::Result<BoxIo> {
    let server =
        Uri::builder().scheme("tcp").authority(format!("{host}:{port}")).path_and_query("/");
    let server = server.build().map_err(|_| invalid(host))?;
    // `Connected` ignores the proxy's address.
    let mut socks =
        SocksV5::new(Uri::from_static("socks5://proxy"), Connected(Some(TokioIo::new(io))));
    if let Some((user, password)) = user {
        socks = socks.with_auth(user.clone(), password.clone());
    }
    let through = socks.call(server).await;
    through.map(TokioIo::into_inner).map_err(|error| io::Error::other(error.to_string()))
}

fn invalid(host: &str) -> io::Error {
    let host = unbracketed(host);
    io::Error::new(io::ErrorKind::InvalidInput, format!("{host:?} is no host"))
}

/// A connector that returns an existing connection to the proxy.
struct Connected(Option<TokioIo<BoxIo>>);

impl Service<Uri> for Connected {
    type Response = TokioIo<BoxIo>;
    type Error = io::Error;
    type Future = Ready<io::Result<TokioIo<BoxIo>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(self.0.take().ok_or_else(|| io::ErrorKind::NotConnected.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toward(url: &str) -> Result<Option<Proxy>, ConnectError> {
        ProxyPolicy::Url(url.into()).toward(true, "host", 443)
    }

    #[test]
    fn a_proxy_url_is_taken_apart() {
        let proxy = toward("http://user:secret@proxy:3128").unwrap().unwrap();
        assert_eq!((&*proxy.host, proxy.port), ("proxy", 3128));
        let request = proxy.request("host", 443).unwrap();
        assert_eq!(request.uri(), "host:443");
        assert_eq!(request.headers()[HOST], "host:443");
        assert_eq!(request.headers()[PROXY_AUTHORIZATION], "Basic dXNlcjpzZWNyZXQ=");
        let proxy = toward("https://proxy").unwrap().unwrap();
        assert!(matches!(proxy.kind, Kind::Http { tls: true, authorization: None }));
        assert_eq!((&*proxy.host, proxy.port), ("proxy", 443));
        let proxy = toward("proxy").unwrap().unwrap();
        assert_eq!((&*proxy.host, proxy.port), ("proxy", 80));
        assert!(matches!(proxy.kind, Kind::Http { tls: false, authorization: None }));
        assert!(proxy.request("[::1]", 443).is_ok());
        for url in ["socks5://us%20er:p%3Aw@proxy", "socks5h://us%20er:p%3Aw@proxy:1080"] {
            let proxy = toward(url).unwrap().unwrap();
            assert_eq!((&*proxy.host, proxy.port), ("proxy", 1080));
            let Kind::Socks5 { user } = proxy.kind else { panic!("{url}") };
            assert_eq!(user, Some(("us er".to_string(), "p:w".to_string())));
        }
        let proxy = toward("socks5://proxy:1").unwrap().unwrap();
        assert!(matches!(proxy.kind, Kind::Socks5 { user: None }));
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_not_bypassed() {
        for url in ["", "ftp://proxy:1", "http://", "a b", "socks4://proxy:1"] {
            let error = toward(url).err().unwrap().to_string();
            assert!(error.contains("http://"), "{url}: {error}");
        }
        let error = toward("ftp://user:secret@proxy:1").err().unwrap().to_string();
        assert!(error.contains("proxy:1") && !error.contains("secret"), "{error}");
        let shown = format!("{:?}", ProxyPolicy::Url("http://user:secret@proxy:1".into()));
        assert_eq!(shown, "Url(\"proxy:1\")");
    }

    #[test]
    fn no_proxy_is_no_proxy() {
        assert!(ProxyPolicy::None.toward(true, "host", 443).unwrap().is_none());
    }

    #[test]
    fn a_refusal_has_status_and_text() {
        let text = refusal(StatusCode::FORBIDDEN, "blocked");
        assert_eq!(text, "it refused to connect with 403 Forbidden: blocked");
        let text = refusal(StatusCode::PROXY_AUTHENTICATION_REQUIRED, "");
        assert!(text.contains("407") && text.contains("USER:PASSWORD"), "{text}");
    }
}
