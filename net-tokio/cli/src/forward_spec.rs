//! Forwards, in the operator's words.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use watertight::{InvalidTarget, Target};

use crate::address::{BadAddress, ListenAddr};

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
