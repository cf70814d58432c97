//! The way through a proxy: HTTP CONNECT or SOCKS version 5.

mod environment;
mod no_proxy;
mod socks;

use std::io;

use http::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use http::uri::Authority;
use http::{Request, StatusCode, Uri};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

use self::environment::Found;
use super::connect::{ConnectOptions, reach, unbracketed};
use crate::handshake::{Answer, ConnectError, exchange};
use crate::transport::BoxIo;

/// Which proxy leads to a `ws` or `wss` server.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum ProxyPolicy {
    /// What `HTTPS_PROXY` (for `wss`), `HTTP_PROXY` (for `ws`) and `NO_PROXY` say, by the rules of
    /// Go's programs; where the one for the scheme is not set, `ALL_PROXY`. A server at `localhost`
    /// or at a loopback address is reached without.
    #[default]
    FromEnvironment,
    /// None.
    None,
    /// This one, for every server: `http://[user:password@]host:port`, or `https://` where the proxy
    /// wants TLS with itself; its certificate is then checked by the system's roots. Or `socks5://`,
    /// also written `socks5h://`, whose proxy is given the server's name and not its address. Other
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
        /// Whether the proxy itself is spoken to over TLS.
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
            // To go past a proxy that somebody asked for would be a surprise.
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
        // Only a complete URL is taken for what it is; a host alone is that of an HTTP proxy.
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
        // The library takes a port that is out of range for none.
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
        options: &ConnectOptions,
    ) -> Result<BoxIo, ConnectError> {
        let name = format!("{}:{}", self.host, self.port);
        let request = self.request(host, port).map_err(|error| failed(&name, error))?;
        let io = self.reach(options).await.map_err(|error| failed(&name, error))?;
        if let Kind::Socks5 { user } = &self.kind {
            let through = socks::connect(io, user.as_ref(), host, port).await;
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
    async fn reach(&self, options: &ConnectOptions) -> io::Result<BoxIo> {
        let socket = reach(&self.host, self.port).await?;
        if !matches!(self.kind, Kind::Http { tls: true, .. }) {
            return Ok(Box::new(socket));
        }
        let tls = options.system_tls().await?;
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

/// What may be shown of a proxy's URL: nothing up to the `@`.
fn without_secret(url: &str) -> &str {
    url.rsplit_once('@').map_or(url, |(_, host)| host)
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
    fn a_proxy_that_cannot_be_used_is_not_gone_past() {
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
    fn a_refusal_has_status_and_words() {
        let text = refusal(StatusCode::FORBIDDEN, "blocked");
        assert_eq!(text, "it refused to connect with 403 Forbidden: blocked");
        let text = refusal(StatusCode::PROXY_AUTHENTICATION_REQUIRED, "");
        assert!(text.contains("407") && text.contains("USER:PASSWORD"), "{text}");
    }
}
