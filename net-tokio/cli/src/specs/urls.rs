//! URLs, proxies, headers and peers, in the operator's words. They may contain secrets.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::Authority;
use http::{HeaderName, HeaderValue, Uri};
use thiserror::Error;
use watertight::peering::Peer;
use watertight::{Endpoint, InvalidEndpoint, ProxyPolicy};

use crate::failure::Failure;
use crate::tokens::{PeerTokens, check_token};

/// Implements types of values that are kept as they were given and read later, so that no error of the
/// command line shows a secret in them.
macro_rules! unread {
    ($($name:ident),*) => {$(
        impl FromStr for $name {
            type Err = Infallible;

            fn from_str(text: &str) -> Result<Self, Infallible> {
                Ok(Self(text.to_string()))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )*};
}

unread!(UrlSpec, ProxySpec, HeaderSpec, PeerSpec);

/// A URL as it was given: read later, so that no complaint shows a password that stands in it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct UrlSpec(String);

impl UrlSpec {
    /// Parses it as the value of `option`.
    pub(crate) fn read<T>(&self, option: &str) -> Result<T, Failure>
    where
        T: FromStr<Err = InvalidEndpoint>,
    {
        self.0.parse().map_err(|error| Failure::configuration(format_args!("{option}: {error}")))
    }
}

/// `none`, or an `http://`, `https://` or `socks5://` URL, as it was given: read later, so that no
/// complaint shows the password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ProxySpec(String);

impl ProxySpec {
    /// Whether a password may stand in it.
    pub(crate) fn has_password(&self) -> bool {
        self.0.contains('@')
    }

    pub(crate) fn read(&self) -> Result<ProxyPolicy, &'static str> {
        let Self(text) = self;
        if text == "none" {
            return Ok(ProxyPolicy::None);
        }
        let uri: Option<Uri> = text.parse().ok();
        let usable = uri.is_some_and(|uri| {
            let schemes = ["http", "https", "socks5", "socks5h"];
            let is_known = uri.scheme_str().is_some_and(|scheme| schemes.contains(&scheme));
            is_known && uri.authority().is_some_and(has_port_or_none)
        });
        usable.then(|| ProxyPolicy::Url(text.to_string())).ok_or(
            "expected `none` or a URL such as http://user:password@proxy.example.com:3128 or \
             socks5://proxy.example.com:1080",
        )
    }
}

/// Whether there is a host, and behind it nothing or a port. The library takes a port that is out of
/// range for none.
fn has_port_or_none(authority: &Authority) -> bool {
    let text = authority.as_str();
    let host_and_port = text.rsplit_once('@').map_or(text, |(_, rest)| rest);
    let rest = host_and_port.strip_prefix(authority.host()).unwrap_or(host_and_port);
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port != 0);
    !authority.host().is_empty() && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
}

/// `NAME: VALUE`, as it was given: read later, so that no complaint shows the value, which can be a
/// secret.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct HeaderSpec(String);

impl HeaderSpec {
    /// The header; the value is not shown by `Debug`.
    pub(crate) fn read(&self) -> Result<(HeaderName, HeaderValue), String> {
        let (name, value) = self.0.split_once(':').ok_or("expected `NAME: VALUE`")?;
        let name: HeaderName =
            name.trim().parse().map_err(|_| format!("{:?} is no header's name", name.trim()))?;
        let of_the_request =
            [HOST, CONNECTION, UPGRADE, CONTENT_LENGTH, TRANSFER_ENCODING, EXPECT, TE];
        if of_the_request.contains(&name) || name.as_str().starts_with("sec-websocket-") {
            return Err(format!("{name} belongs to the upgrade itself, which sets it"));
        }
        if name == "x-tunnel-id" {
            return Err("the client key is given by --key".to_string());
        }
        let mut value = HeaderValue::from_bytes(value.trim().as_bytes())
            .map_err(|_| format!("the value of {name} has characters that no header can carry"))?;
        value.set_sensitive(true);
        Ok((name, value))
    }
}

/// In front of the URL of a remotedialer server.
const REMOTEDIALER: &str = "remotedialer+";

/// Where another server is: a `ws://` or `wss://` URL, with `remotedialer+` in front where the server is
/// one of remotedialer's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PeerUrl {
    pub(crate) endpoint: Endpoint,
    pub(crate) is_remotedialer: bool,
}

/// `URL,ID` or `URL,ID,TOKEN`, as it was given: read later, so that no complaint shows the token.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PeerSpec(String);

/// Why a peer cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum BadPeer {
    #[error("expected URL,ID or URL,ID,TOKEN, such as wss://b.example.com/connect,b")]
    NoId,
    #[error("what stands before the first comma is no URL: expected URL,ID or URL,ID,TOKEN")]
    NoUrl,
    #[error("no id after the URL {0}: give the other server's --peer-id")]
    EmptyId(Endpoint),
    #[error(
        "no token after the second comma of peer {0:?}: leave the comma out if it is that \
         of --peer-token-file"
    )]
    EmptyToken(String),
    #[error(
        "{0:?} is no id: a comma separates URL, id and token, and each peer has a --peer of its own, \
         or a line of its own in the environment"
    )]
    NotAnId(String),
    #[error("the token of peer {0:?} has a URL in it: is it another peer?")]
    NotAToken(String),
    #[error("the token of peer {0:?}: {1}")]
    BadToken(String, &'static str),
    #[error("peers are reached by ws:// or wss://, not by {0}")]
    NotAWebSocket(Endpoint),
    #[error("peer {0:?} has a token both here and in the file of --peer-tokens: leave one out")]
    TwoTokens(String),
    #[error(
        "peer {0:?} has no token: give it a line in the file of --peer-tokens, or give this server a \
         --peer-token-file"
    )]
    NoToken(String),
    #[error("{0}")]
    Url(#[from] InvalidEndpoint),
}

impl PeerSpec {
    /// Whether a token stands in it.
    pub(crate) fn has_token(&self) -> bool {
        self.token().is_some()
    }

    /// The token that stands in it.
    pub(crate) fn token(&self) -> Option<&str> {
        self.0.splitn(3, ',').nth(2).map(str::trim)
    }

    /// The peer. Where its token is left out it is that of `tokens`.
    pub(crate) fn read(&self, tokens: &PeerTokens) -> Result<Peer, BadPeer> {
        let mut parts = self.0.splitn(3, ',').map(str::trim);
        let (url, id) = (parts.next().unwrap_or_default(), parts.next().ok_or(BadPeer::NoId)?);
        if !url.contains(':') {
            // It may be the token.
            return Err(BadPeer::NoUrl);
        }
        let PeerUrl { endpoint, is_remotedialer } = url.parse()?;
        if !endpoint.to_string().starts_with("ws") {
            return Err(BadPeer::NotAWebSocket(endpoint));
        }
        if id.is_empty() {
            return Err(BadPeer::EmptyId(endpoint));
        }
        if is_list(id) {
            return Err(BadPeer::NotAnId(id.to_string()));
        }
        let peer = match (parts.next(), tokens.shared_with(id)) {
            (Some(token), _) if is_list(token) => return Err(BadPeer::NotAToken(id.to_string())),
            (Some(""), _) => return Err(BadPeer::EmptyToken(id.to_string())),
            (Some(token), _) if let Err(why) = check_token(token) => {
                return Err(BadPeer::BadToken(id.to_string(), why));
            }
            (Some(_), Some(_)) => return Err(BadPeer::TwoTokens(id.to_string())),
            (None, Some(shared)) => Peer::new(endpoint, id, shared).own_token(shared),
            (token, None) => {
                let own = tokens.own().ok_or_else(|| BadPeer::NoToken(id.to_string()))?;
                Peer::new(endpoint, id, token.unwrap_or(own)).own_token(own)
            }
        };
        Ok(if is_remotedialer { peer.remotedialer() } else { peer })
    }

    /// The id alone.
    pub(crate) fn id(&self) -> &str {
        self.0.split(',').nth(1).unwrap_or_default().trim()
    }

    pub(crate) fn is_over_tls(&self) -> bool {
        let url = self.0.trim_start();
        url.strip_prefix(REMOTEDIALER).unwrap_or(url).starts_with("wss:")
    }
}

/// Whether another peer follows, behind any separator.
fn is_list(text: &str) -> bool {
    text.contains("://")
}

impl FromStr for PeerUrl {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        let url = text.strip_prefix(REMOTEDIALER);
        let endpoint = url.unwrap_or(text).parse()?;
        Ok(Self { endpoint, is_remotedialer: url.is_some() })
    }
}

impl fmt::Display for PeerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_remotedialer { REMOTEDIALER } else { "" };
        write!(f, "{kind}{}", self.endpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(text: &str) -> Result<ProxyPolicy, &'static str> {
        let Ok(spec) = text.parse::<ProxySpec>();
        assert!(!format!("{spec:?}").contains("p@"));
        spec.read()
    }

    #[test]
    fn http_and_socks_proxies_are_spoken_to() {
        assert_eq!(proxy("none").unwrap(), ProxyPolicy::None);
        proxy("http://u:p@proxy:3128").unwrap();
        proxy("https://u:p@proxy:3128").unwrap();
        proxy("socks5://u:p@proxy:1080").unwrap();
        proxy("socks5h://proxy").unwrap();
        for port in ["0", "99999", "x", "-1", "80x", ""] {
            proxy(&format!("http://u:p@proxy:{port}")).unwrap_err();
        }
        for text in ["", "proxy:3128", "ftp://proxy", "socks4://proxy:1080"] {
            proxy(text).unwrap_err();
        }
    }

    #[test]
    fn a_name_and_a_value_whose_colons_stay() {
        let spec = HeaderSpec("X-API-Tunnel-Token:  a:b= ".to_string());
        let (name, value) = spec.read().unwrap();
        assert_eq!((name.as_str(), value.as_bytes()), ("x-api-tunnel-token", &b"a:b="[..]));
        let shown = format!("{spec:?} {value:?}");
        assert!(!shown.contains("a:b"), "{shown}");
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        for (text, why) in [
            ("no-colon-secret", "NAME: VALUE"),
            (": x", "is no header's name"),
            ("a b: x", "is no header's name"),
            ("Host: x", "sets it"),
            ("Sec-WebSocket-Key: x", "sets it"),
            ("Content-Length: 1", "sets it"),
            ("X-Tunnel-ID: x", "--key"),
            ("X: secret\u{7}", "characters"),
        ] {
            let error = HeaderSpec(text.to_string()).read().unwrap_err();
            assert!(error.contains(why) && !error.contains("secret"), "{text}: {error}");
        }
    }

    fn read(text: &str) -> Result<String, BadPeer> {
        let tokens = PeerTokens::new(
            Some("own".to_string().into()),
            [("c".to_string(), "pair".to_string().into())].into(),
        );
        let peer = PeerSpec(text.to_string()).read(&tokens);
        peer.map(|peer| format!("{peer:?}"))
    }

    #[test]
    fn a_peer_has_a_url_and_an_id() {
        for text in [
            "ws://b:1,b",
            "wss://b.example/connect, b ,secret,with,commas",
            "remotedialer+ws://b:1,b",
        ] {
            let shown = read(text).unwrap();
            assert!(shown.contains("\"b\"") && !shown.contains("secret"), "{shown}");
        }
    }

    #[test]
    fn errors_say_what_to_write_and_no_secret() {
        for (text, why) in [
            ("ws://b:1", "URL,ID"),
            ("", "URL,ID"),
            ("secret,b", "no URL"),
            ("ws://b:99999/?token=secret,b", "the port"),
            ("ws://b:1,,secret", "--peer-id"),
            ("ws://b:1,b,", "second comma"),
            ("ws://b:1,b,sec ret", "no blanks"),
            ("b:1,b,secret", "ws://"),
            ("tls://b:1,b,secret", "not by tls://b:1"),
            ("remotedialer+tls://b:1,b,secret", "not by tls://b:1"),
            ("ws://c:1,c,secret", "leave one out"),
            ("ws://b:1,b;ws://c:1,c", "is no id"),
            ("ws://b:1,b ws://c:1,c", "is no id"),
            ("ws://b:1,b,ws://secret:1,c", "another peer"),
            ("ws://b:1,b,secret ws://c:1,c", "another peer"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("secret"), "{text}: {error}");
        }
        let nothing = PeerTokens::new(None, [].into());
        let error = PeerSpec("ws://b:1,b".to_string()).read(&nothing).unwrap_err();
        assert_eq!(error, BadPeer::NoToken("b".to_string()));
        let shown = format!("{:?}", PeerSpec("ws://b:1,b,secret".to_string()));
        assert_eq!(shown, "PeerSpec");
    }
}
