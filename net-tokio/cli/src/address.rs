//! Where to listen, in the operator's words.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

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
}
