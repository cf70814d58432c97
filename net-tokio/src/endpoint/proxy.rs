//! The way through an HTTP proxy.

use std::io;

use http::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use http::uri::{Authority, Scheme};
use http::{Request, StatusCode, Uri};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

use super::connect::{ConnectOptions, reach, unbracketed};
use crate::handshake::{Answer, ConnectError, exchange};
use crate::transport::BoxIo;

/// Which HTTP proxy leads to a `ws` or `wss` server.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum ProxyPolicy {
    /// What `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` say.
    #[default]
    FromEnvironment,
    /// None.
    None,
    /// This one: `http://[user:password@]host:port`, or `https://` where the proxy wants TLS with
    /// itself; its certificate is then checked by the system's roots. Other schemes are an error
    /// when the agent connects.
    Url(String),
}

/// A proxy that a connection goes through.
#[derive(Debug)]
pub(super) struct Proxy {
    /// Whether the proxy itself is spoken to over TLS.
    tls: bool,
    host: String,
    port: u16,
    authorization: Option<HeaderValue>,
}

impl ProxyPolicy {
    /// The proxy toward a server, if there is one.
    pub(super) fn toward(
        &self,
        tls: bool,
        host: &str,
        port: u16,
    ) -> Result<Option<Proxy>, ConnectError> {
        let matcher = match self {
            Self::None => return Ok(None),
            Self::FromEnvironment => Matcher::from_env(),
            Self::Url(url) => Matcher::builder().all(url.as_str()).build(),
        };
        let scheme = if tls { Scheme::HTTPS } else { Scheme::HTTP };
        let uri = Uri::builder().scheme(scheme).authority(format!("{host}:{port}"));
        let server = uri.path_and_query("/").build().ok();
        match (self, server.and_then(|server| matcher.intercept(&server))) {
            (_, Some(found)) => Proxy::new(&found).map(Some),
            // To go past a proxy that somebody asked for would be a surprise.
            (Self::Url(url), None) => {
                Err(failed(without_secret(url), "it is not of the form http://HOST:PORT"))
            }
            (_, None) => Ok(None),
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
    fn new(found: &Intercept) -> Result<Self, ConnectError> {
        let uri = found.uri();
        let (tls, port) = match uri.scheme_str() {
            Some("http") => (false, 80),
            Some("https") => (true, 443),
            _ => return Err(failed(uri, "only http:// and https:// proxies are spoken to")),
        };
        let host = uri.host().unwrap_or_default().to_string();
        let authorization = found.basic_auth().cloned();
        Ok(Self { tls, host, port: uri.port_u16().unwrap_or(port), authorization })
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
        match exchange(io, request).await.map_err(|error| failed(&name, error))? {
            Answer::Switched { io, leftover, .. } if leftover.is_empty() => Ok(io),
            Answer::Switched { .. } => Err(failed(name, "it speaks before the server is asked")),
            Answer::Refused { head, text } => Err(failed(name, refusal(head.status, &text))),
        }
    }

    /// A connection to the proxy.
    async fn reach(&self, options: &ConnectOptions) -> io::Result<BoxIo> {
        let socket = reach(&self.host, self.port).await?;
        if !self.tls {
            return Ok(Box::new(socket));
        }
        let tls = options.system_tls().await?;
        Ok(Box::new(tls.connect(unbracketed(&self.host), socket).await?))
    }

    fn request(&self, host: &str, port: u16) -> Result<Request<String>, http::Error> {
        let to: Authority = format!("{host}:{port}").parse()?;
        let mut request =
            Request::connect(to.as_str()).header(HOST, to.as_str()).body(String::new())?;
        if let Some(authorization) = &self.authorization {
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
        assert_eq!((proxy.tls, &*proxy.host, proxy.port), (true, "proxy", 443));
        let proxy = toward("proxy").unwrap().unwrap();
        assert_eq!((&*proxy.host, proxy.port), ("proxy", 80));
        assert!(proxy.authorization.is_none());
        assert!(proxy.request("[::1]", 443).is_ok());
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_not_gone_past() {
        for url in ["", "ftp://proxy:1", "http://", "a b", "socks5://proxy:1"] {
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
