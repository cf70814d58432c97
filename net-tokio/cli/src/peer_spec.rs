//! Peers, in the operator's words.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use watertight::{Endpoint, InvalidEndpoint, Peer};

use crate::tokens::{PeerTokens, check_token};

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
    #[error("no token after the second comma of peer {0:?}: leave the comma out if it is ours")]
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
                let ours = tokens.ours().ok_or_else(|| BadPeer::NoToken(id.to_string()))?;
                Peer::new(endpoint, id, token.unwrap_or(ours)).own_token(ours)
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

/// Whether another peer follows, behind whatever was taken for a separator.
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

impl FromStr for PeerSpec {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_string()))
    }
}

impl fmt::Debug for PeerSpec {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PeerSpec").field(&self.id()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, BadPeer> {
        let tokens = PeerTokens::new(
            Some("ours".to_string().into()),
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
        assert_eq!(shown, "PeerSpec(\"b\")");
    }
}
