//! Patterns of targets.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ipnet::IpNet;
use thiserror::Error;

use super::excluded::is_of_link_local;
use crate::target::{Host, absolute, unbracketed};

/// A set of targets that may be dialled.
///
/// - `tcp/HOST:PORT`, where HOST is a name, `*.suffix` for every name below a domain, an address, a
///   network such as `10.0.0.0/8` or `[fd00::/8]`, or `*` for every host; PORT is a number, a
///   range such as `8000-8999`, or `*`.
/// - `unix//PATH` for one socket, `unix//FOLDER/*` for all below a folder, `unix//*` for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Tcp { hosts: Hosts, ports: RangeInclusive<u16> },
    Unix(PathBuf),
    UnixBelow(PathBuf),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    Any,
    Name(String),
    /// Names that end in this, which starts with a dot.
    Below(String),
    Network(IpNet),
}

/// A text that is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{0:?} is no pattern: write tcp/HOST:PORT (a name, *.suffix, an address, a network such as \
     10.0.0.0/8, or *; a port, a range such as 8000-8999, or *) or unix//PATH"
)]
pub struct InvalidPattern(String);

impl Pattern {
    pub(super) fn allows_path(&self, path: &Path) -> bool {
        match &self.0 {
            Kind::Unix(allowed) => allowed == path,
            Kind::UnixBelow(folder) => path.starts_with(folder) && path != folder,
            Kind::Tcp { .. } => false,
        }
    }

    /// Whether it allows a path that resolves to `real`. The operator named an exact path; a folder
    /// may contain links of others, which must not lead out of it.
    #[cfg(unix)]
    pub(super) fn allows_real_path(&self, path: &Path, real: &Path) -> bool {
        let stays = match &self.0 {
            Kind::UnixBelow(folder) => folder.canonicalize().is_ok_and(|it| real.starts_with(it)),
            Kind::Unix(_) | Kind::Tcp { .. } => true,
        };
        stays && self.allows_path(path)
    }

    /// Whether it allows link-local addresses, and no others.
    pub(super) fn is_of_link_local(&self) -> bool {
        match &self.0 {
            Kind::Tcp { hosts: Hosts::Network(network), .. } => is_of_link_local(network),
            _ => false,
        }
    }

    /// `name` is in lower case and without a dot at its end.
    pub(super) fn allows_name(&self, name: &str, port: u16) -> bool {
        self.hosts(port).is_some_and(|hosts| match hosts {
            Hosts::Any => true,
            Hosts::Name(allowed) => allowed == name,
            Hosts::Below(suffix) => name.len() > suffix.len() && name.ends_with(suffix.as_str()),
            Hosts::Network(_) => false,
        })
    }

    pub(super) fn allows_address(&self, ip: IpAddr, port: u16) -> bool {
        self.hosts(port).is_some_and(|hosts| match hosts {
            Hosts::Any => true,
            Hosts::Network(network) => network.contains(&ip),
            Hosts::Name(_) | Hosts::Below(_) => false,
        })
    }

    /// Whether this pattern can allow an address of a name.
    pub(super) fn is_of_addresses(&self, port: u16) -> bool {
        self.hosts(port).is_some_and(|hosts| matches!(hosts, Hosts::Network(_)))
    }

    fn hosts(&self, port: u16) -> Option<&Hosts> {
        match &self.0 {
            Kind::Tcp { hosts, ports } => {
                debug_assert!(!ports.contains(&0), "no pattern contains port 0");
                ports.contains(&port).then_some(hosts)
            }
            Kind::Unix(_) | Kind::UnixBelow(_) => None,
        }
    }
}

impl FromStr for Pattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let kind = match text.split_once('/') {
            Some(("tcp", address)) => tcp(address),
            Some(("unix", path)) => unix(path),
            _ => None,
        };
        kind.map(Self).ok_or_else(|| InvalidPattern(text.to_string()))
    }
}

fn tcp(address: &str) -> Option<Kind> {
    let (hosts, ports) = address.rsplit_once(':')?;
    Some(Kind::Tcp { hosts: parse_hosts(hosts)?, ports: parse_ports(ports)? })
}

fn parse_hosts(text: &str) -> Option<Hosts> {
    if text == "*" {
        return Some(Hosts::Any);
    }
    if let Some(suffix) = text.strip_prefix('*') {
        let domain = suffix.strip_prefix('.')?;
        let Host::Name(domain) = Host::parse(domain)? else { return None };
        return Some(Hosts::Below(format!(".{domain}")));
    }
    let text = unbracketed(text)?;
    if let Ok(network) = text.parse::<IpNet>() {
        return Some(Hosts::Network(network.trunc()));
    }
    Some(match Host::parse(text)? {
        Host::Ip(ip) => Hosts::Network(ip.to_canonical().into()),
        Host::Name(name) => Hosts::Name(name),
    })
}

fn parse_ports(text: &str) -> Option<RangeInclusive<u16>> {
    if text == "*" {
        return Some(1..=u16::MAX);
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let ports = first.parse().ok()?..=last.parse().ok()?;
    (!ports.is_empty() && *ports.start() > 0).then_some(ports)
}

fn unix(path: &str) -> Option<Kind> {
    match path.strip_suffix("/*") {
        Some("") => Some(Kind::UnixBelow(PathBuf::from("/"))),
        Some(folder) => absolute(folder).map(Kind::UnixBelow),
        None => absolute(path).map(Kind::Unix),
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Unix(path) => write!(f, "unix/{}", path.display()),
            Kind::UnixBelow(folder) if folder.parent().is_none() => f.write_str("unix//*"),
            Kind::UnixBelow(folder) => write!(f, "unix/{}/*", folder.display()),
            Kind::Tcp { hosts, ports } => {
                write!(f, "tcp/{hosts}:")?;
                match (*ports.start(), *ports.end()) {
                    (1, u16::MAX) => f.write_str("*"),
                    (first, last) if first == last => first.fmt(f),
                    (first, last) => write!(f, "{first}-{last}"),
                }
            }
        }
    }
}

impl fmt::Display for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Name(name) => f.write_str(name),
            Self::Below(suffix) => write!(f, "*{suffix}"),
            Self::Network(network) => {
                let host = network.prefix_len() == network.max_prefix_len();
                let shown = if host { network.addr().to_string() } else { network.to_string() };
                if network.addr().is_ipv6() { write!(f, "[{shown}]") } else { f.write_str(&shown) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_shown_as_they_are_written() {
        for text in [
            "tcp/127.0.0.1:80",
            "tcp/10.0.0.0/8:443",
            "tcp/[::1]:1-9",
            "tcp/[fd00::/8]:*",
            "tcp/web:80",
            "tcp/*.example.com:*",
            "tcp/*:*",
            "unix//run/docker.sock",
            "unix//run/app/*",
            "unix//*",
        ] {
            assert_eq!(text.parse::<Pattern>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn an_invalid_pattern_explains_the_syntax() {
        for text in [
            "",
            "127.0.0.1:80",
            "tcp/127.0.0.1",
            "tcp/web:0",
            "tcp/web:9-8",
            "tcp/web:http",
            "tcp/*web:80",
            "tcp/*.10.0.0.1:80",
            "tcp/a b:80",
            "tcp/::1:80",
            "tcp/10.0.0.0/33:80",
            "unix/relative",
            "unix//run/../*",
            "udp/web:80",
        ] {
            let error = text.parse::<Pattern>().unwrap_err().to_string();
            assert!(error.contains("tcp/HOST:PORT"), "{text}: {error}");
        }
    }
}
