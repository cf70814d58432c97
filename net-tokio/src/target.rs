//! Targets of dials, and their text form.

use std::fmt;
use std::net::IpAddr;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;

/// The target of a dial, `proto/address` on the wire: `tcp/host:port` or `unix//path`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// A TCP port of a host.
    Tcp {
        /// The host.
        host: Host,
        /// The port.
        port: u16,
    },
    /// A Unix socket, by its absolute path.
    Unix(PathBuf),
}

/// A host by name or by address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name, in lower case and without the dot at its end.
    Name(String),
    /// An address.
    Ip(IpAddr),
}

/// Why a text is no target.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidTarget {
    /// It does not begin with `proto/`.
    #[error("target {0:?} is not of the form tcp/HOST:PORT or unix//PATH")]
    Form(String),
    /// The protocol cannot be dialled.
    #[error("cannot dial {proto:?} of target {target:?}: only tcp and unix")]
    Proto {
        /// The protocol.
        proto: String,
        /// The whole target.
        target: String,
    },
    /// Host or port are missing or invalid.
    #[error("target {0:?} has no HOST:PORT that can be dialled")]
    HostPort(String),
    /// The path is relative, or goes through `..`.
    #[error("target {0:?} is not an absolute path without ..")]
    Path(String),
}

impl Host {
    /// A host as in targets and patterns. IPv6 addresses have no brackets here.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Ok(ip) = text.parse() {
            return Some(Self::Ip(ip));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        is_name(name).then(|| Self::Name(name.to_ascii_lowercase()))
    }
}

/// Whether it is a name for a resolver. Service discovery uses underscores.
///
/// A name does not end in a number (URL Standard, 3.5): resolvers treat `010.0.0.1` as an address
/// in octal numbers, `0x7f.1` and `2130706433` as other notations of one.
fn is_name(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let is_hex = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if last.bytes().all(|byte| byte.is_ascii_digit()) || last.strip_prefix("0x").is_some_and(is_hex)
    {
        return false;
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    name.len() <= 253 && name.split('.').all(label)
}

impl FromStr for Target {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        if text.contains(char::is_control) {
            return Err(InvalidTarget::Form(text.to_string()));
        }
        let (proto, address) =
            text.split_once('/').ok_or_else(|| InvalidTarget::Form(text.to_string()))?;
        match proto {
            "tcp" | "tcp4" | "tcp6" => {
                let (host, port) =
                    host_port(address).ok_or_else(|| InvalidTarget::HostPort(text.to_string()))?;
                Ok(Self::Tcp { host, port })
            }
            "unix" => absolute(address)
                .map(Self::Unix)
                .ok_or_else(|| InvalidTarget::Path(text.to_string())),
            proto => {
                Err(InvalidTarget::Proto { proto: proto.to_string(), target: text.to_string() })
            }
        }
    }
}

fn host_port(address: &str) -> Option<(Host, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    Some((Host::parse(unbracketed(host)?)?, port))
}

/// An IPv6 address has brackets, other hosts have none.
pub(crate) fn unbracketed(host: &str) -> Option<&str> {
    match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').filter(|inner| inner.contains(':')),
        None => (!host.contains(':')).then_some(host),
    }
}

/// A path without `..`; symbolic links are not resolved.
pub(crate) fn absolute(path: &str) -> Option<PathBuf> {
    let path = Path::new(path);
    let plain = |part| matches!(part, Component::RootDir | Component::Normal(_));
    (path.has_root() && path.file_name().is_some() && path.components().all(plain))
        .then(|| path.components().collect())
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => write!(f, "tcp/{host}:{port}"),
            Self::Unix(path) => write!(f, "unix/{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_normalised() {
        for (text, shown) in [
            ("tcp/127.0.0.1:80", "tcp/127.0.0.1:80"),
            ("tcp/Web.Example.:80", "tcp/web.example:80"),
            ("tcp/[::1]:443", "tcp/[::1]:443"),
            ("tcp/[0:0::1]:443", "tcp/[::1]:443"),
            ("unix//run/docker.sock", "unix//run/docker.sock"),
            ("unix//run//docker.sock", "unix//run/docker.sock"),
        ] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn an_invalid_target_has_a_reason() {
        let error = |text: &str| text.parse::<Target>().unwrap_err();
        assert!(matches!(error("127.0.0.1:80"), InvalidTarget::Form(_)));
        assert!(matches!(error("udp/127.0.0.1:80"), InvalidTarget::Proto { .. }));
        for text in [
            "tcp/web",
            "tcp/web:",
            "tcp/web:0",
            "tcp/web:65536",
            "tcp/:80",
            "tcp/::1:80",
            "tcp/[web]:80",
            "tcp/a b:80",
            "tcp/[::1]80",
            "tcp/010.0.0.1:80",
            "tcp/127.1:80",
            "tcp/2130706433:80",
            "tcp/0x7f.0.0.1:80",
            "tcp/0X7F000001.:80",
            "tcp/127.0.0.0x1:80",
        ] {
            assert!(matches!(error(text), InvalidTarget::HostPort(_)), "{text}");
        }
        for text in ["unix//tmp/x\nINFO forged", "tcp/web\u{1b}[2J:80"] {
            assert!(!error(text).to_string().contains(char::is_control), "{text}");
        }
        for text in ["unix/run/x", "unix//", "unix//run/../etc/x"] {
            assert!(matches!(error(text), InvalidTarget::Path(_)), "{text}");
        }
    }
}
