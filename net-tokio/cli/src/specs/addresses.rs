//! Addresses, forwards and patterns of targets, in the operator's words.

use std::fmt;
use std::str::FromStr;

use http::uri::PathAndQuery;
use thiserror::Error;
use watertight::{InvalidTarget, Pattern, Policy, Target};

use crate::unix_socket::UnixSocket;

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListenAddr {
    /// `host:port`; the host may be a name.
    Tcp(String),
    /// `unix:/path`, and who may connect.
    Unix(UnixSocket),
}

/// Why an address cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum BadAddress {
    #[error(
        "no port in {0:?}: write HOST:PORT, such as 127.0.0.1:8080, or unix:/path for a Unix socket"
    )]
    NoPort(String),
    #[error(
        "no host in {0:?}: write 127.0.0.1{0} for this machine only, or 0.0.0.0{0} for every network"
    )]
    NoHost(String),
    #[error("{0:?} is not a port: use a number from 0 to 65535, where 0 lets the system choose")]
    BadPort(String),
    #[error(
        "{0:?} is a URL: write HOST:PORT alone; what is spoken there is not part of the address"
    )]
    Url(String),
    #[error("{0:?} needs brackets around its IPv6 address: write [::1]:8080")]
    Brackets(String),
    #[error("{0:?} needs an absolute path: write unix:/run/watertight.sock")]
    RelativePath(String),
    #[error("{0:?}: {1}")]
    Rights(String, String),
}

impl FromStr for ListenAddr {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        match text.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => {
                path.parse().map(Self::Unix).map_err(|error| BadAddress::Rights(text.into(), error))
            }
            Some(_) => Err(BadAddress::RelativePath(text.to_string())),
            None => {
                check_host_and_port(text)?;
                Ok(Self::Tcp(text.to_string()))
            }
        }
    }
}

/// Checks `host:port`. The host is not resolved.
fn check_host_and_port(text: &str) -> Result<(), BadAddress> {
    if text.contains("://") {
        return Err(BadAddress::Url(text.into()));
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(|| BadAddress::NoPort(text.into()))?;
    if host.is_empty() {
        return Err(BadAddress::NoHost(text.into()));
    }
    let bracketed = host.starts_with('[') && host.ends_with(']');
    if host.contains(':') && !bracketed {
        return Err(BadAddress::Brackets(text.into()));
    }
    match port.parse::<u16>() {
        Ok(_) => Ok(()),
        Err(_) => Err(BadAddress::BadPort(port.into())),
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(socket) => write!(f, "unix:{socket}"),
        }
    }
}

/// The address of the admin server. A port alone means the loopback interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AdminAddr(pub(crate) ListenAddr);

impl FromStr for AdminAddr {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let port = text.strip_prefix(':').unwrap_or(text);
        if port.parse::<u16>().is_ok() {
            return Ok(Self(ListenAddr::Tcp(format!("127.0.0.1:{port}"))));
        }
        text.parse().map(Self)
    }
}

/// What to dial at the remote. On the wire it is `tcp/host:port` or `unix//path`; operators may
/// leave out `tcp/`, and write a Unix socket as for listening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DialTarget(Target);

/// `LISTEN=KEY=TARGET`: a local port whose connections are dialled at an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerForward {
    pub(crate) listen: ListenAddr,
    pub(crate) key: String,
    pub(crate) target: DialTarget,
}

/// `LISTEN=TARGET`: a local port whose connections are dialled at the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AgentForward {
    pub(crate) listen: ListenAddr,
    pub(crate) target: DialTarget,
}

/// Why a forward cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum BadForward {
    #[error(
        "expected LISTEN=KEY=TARGET, such as 127.0.0.1:8080=edge-7=localhost:80 (three parts, two '=')"
    )]
    NotThreeParts,
    #[error("expected LISTEN=TARGET, such as 127.0.0.1:5432=localhost:5432 (two parts, one '=')")]
    NotTwoParts,
    #[error("no client key between the two '=': name the agent, as its --key does")]
    NoKey,
    #[error("LISTEN, the part before the first '=': {0}")]
    Listen(BadAddress),
    #[error("TARGET, the last part: {0}; write HOST:PORT such as localhost:80, or unix:/path")]
    Target(#[from] InvalidTarget),
}

impl FromStr for DialTarget {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        let long = match text.strip_prefix("unix:") {
            Some(path) => format!("unix/{path}"),
            None if text.contains('/') => text.to_string(),
            None => format!("tcp/{text}"),
        };
        long.parse().map(Self)
    }
}

impl fmt::Display for DialTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ServerForward {
    type Err = BadForward;

    fn from_str(text: &str) -> Result<Self, BadForward> {
        let (listen, rest) = text.split_once('=').ok_or(BadForward::NotThreeParts)?;
        let (key, target) = rest.split_once('=').ok_or(BadForward::NotThreeParts)?;
        if key.is_empty() {
            return Err(BadForward::NoKey);
        }
        Ok(Self {
            listen: listen.parse().map_err(BadForward::Listen)?,
            key: key.to_string(),
            target: target.parse()?,
        })
    }
}

impl FromStr for AgentForward {
    type Err = BadForward;

    fn from_str(text: &str) -> Result<Self, BadForward> {
        let (listen, target) = text.split_once('=').ok_or(BadForward::NotTwoParts)?;
        let listen = listen.parse().map_err(BadForward::Listen)?;
        Ok(Self { listen, target: target.parse()? })
    }
}

/// A pattern. `tcp/` may be left out, and a Unix socket may be written as for listening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AllowSpec(pub(crate) Pattern);

impl FromStr for AllowSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let long = match text.strip_prefix("unix:") {
            Some(path) => format!("unix/{path}"),
            None if text.starts_with("tcp/") || text.starts_with("unix/") => text.to_string(),
            None => format!("tcp/{text}"),
        };
        long.parse().map(Self).map_err(|error| {
            format!(
                "{error}; write patterns such as localhost:80, 10.0.0.0/8:* or unix:/run/x.sock"
            )
        })
    }
}

/// What `patterns` permit; a pattern of addresses permits names, too, unless they are not to be looked up.
pub(crate) fn policy(patterns: Vec<AllowSpec>, resolve_names: Option<bool>) -> Policy {
    let policy: Policy = patterns.into_iter().map(|pattern| pattern.0).collect();
    if resolve_names == Some(false) { policy.names_by_patterns_alone() } else { policy }
}

/// A path, without a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConnectPath(pub(crate) String);

impl FromStr for ConnectPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let whole = text.parse().is_ok_and(|path: PathAndQuery| path.path() == text);
        if whole && text.starts_with('/') {
            Ok(Self(text.to_string()))
        } else {
            Err("a path begins with / and has no query, such as /tunnel/connect".to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        for text in ["127.0.0.1:0", "[::1]:80", "localhost:65535", "unix:/run/w.sock"] {
            assert_eq!(text.parse::<ListenAddr>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn errors_say_what_to_write() {
        let error = |text: &str| text.parse::<ListenAddr>().unwrap_err().to_string();
        assert!(error("8080").contains("HOST:PORT"));
        assert!(error(":8080").contains("127.0.0.1:8080"));
        assert!(error("localhost:http").contains("0 to 65535"));
        assert!(error("::1:80").contains("[::1]:8080"));
        assert!(error("tcp://127.0.0.1:80").contains("HOST:PORT alone"));
        assert!(error("unix:w.sock").contains("absolute"));
    }

    #[test]
    fn a_port_alone_is_loopback_for_the_admin_server() {
        for text in ["9090", ":9090"] {
            let AdminAddr(address) = text.parse().unwrap();
            assert_eq!(address, ListenAddr::Tcp("127.0.0.1:9090".into()));
        }
    }

    #[test]
    fn targets_have_a_short_form() {
        let wire = |text: &str| text.parse::<DialTarget>().unwrap().to_string();
        assert_eq!(wire("localhost:80"), "tcp/localhost:80");
        assert_eq!(wire("tcp/[::1]:80"), "tcp/[::1]:80");
        assert_eq!(wire("unix//run/x.sock"), "unix//run/x.sock");
        assert_eq!(wire("unix:/run/x.sock"), "unix//run/x.sock");
    }

    #[test]
    fn targets_that_cannot_be_dialled_are_refused() {
        for text in ["", "localhost", "udp/localhost:53", "unix/x.sock", "http://web/", "web:0"] {
            text.parse::<DialTarget>().unwrap_err();
        }
    }

    #[test]
    fn forwards_are_read() {
        let forward: ServerForward = "127.0.0.1:0=a key, odd=unix//run/a=b.sock".parse().unwrap();
        assert_eq!(forward.key, "a key, odd");
        assert_eq!(forward.target.to_string(), "unix//run/a=b.sock");
        let forward: AgentForward = "unix:/run/db.sock=db:5432".parse().unwrap();
        assert_eq!(forward.target.to_string(), "tcp/db:5432");
    }

    #[test]
    fn errors_name_the_part() {
        let error = |text: &str| text.parse::<ServerForward>().unwrap_err().to_string();
        assert!(error("8080").contains("LISTEN=KEY=TARGET"));
        assert!(error("127.0.0.1:1=web:80").contains("two '='"));
        assert!(error("8080=key=web:80").starts_with("LISTEN"));
        assert!(error("127.0.0.1:1=key=web").starts_with("TARGET"));
        assert!(error("127.0.0.1:1==web:80").contains("client key"));
    }

    #[test]
    fn patterns_have_a_short_form() {
        for (short, long) in [
            ("localhost:80", "tcp/localhost:80"),
            ("10.0.0.0/8:*", "tcp/10.0.0.0/8:*"),
            ("*:443", "tcp/*:443"),
            ("unix:/run/x.sock", "unix//run/x.sock"),
            ("unix//run/x.sock", "unix//run/x.sock"),
        ] {
            let AllowSpec(pattern) = short.parse().unwrap();
            assert_eq!(pattern, long.parse().unwrap(), "{short}");
        }
    }

    #[test]
    fn errors_give_examples() {
        let error = "localhost".parse::<AllowSpec>().unwrap_err();
        assert!(error.contains("localhost:80"), "{error}");
    }

    #[test]
    fn paths_are_whole_paths() {
        for path in ["/", "/connect", "/v3/connect", "/a%20b/"] {
            assert_eq!(path.parse::<ConnectPath>().unwrap().0, path);
        }
        for path in
            ["", "connect", "/connect?x=1", "/connect#x", "/a b", "*", "http://host/connect"]
        {
            assert!(path.parse::<ConnectPath>().is_err(), "{path}");
        }
    }
}
