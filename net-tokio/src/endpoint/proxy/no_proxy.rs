//! `NO_PROXY`, as Go's programs read it (`golang.org/x/net/http/httpproxy`).

use std::net::IpAddr;

use ipnet::IpNet;

use super::super::connect::unbracketed;

/// The servers that are reached without a proxy.
#[derive(Debug)]
pub(super) struct NoProxy(Vec<Rule>);

#[derive(Debug, PartialEq, Eq)]
enum Rule {
    All,
    Network(IpNet),
    Address {
        ip: IpAddr,
        port: Option<String>,
    },
    /// Names that end with this, which begins with a dot.
    Domain {
        suffix: String,
        itself: bool,
        port: Option<String>,
    },
}

impl NoProxy {
    /// Reads a list with commas. What cannot be read exempts nothing.
    ///
    /// - `*`: every server
    /// - `10.0.0.0/8`: addresses in a network, at any port
    /// - `10.1.2.3`, `10.1.2.3:443`, `[fd00::1]:443`: an address
    /// - `example.com`, `example.com:443`: the name and all below it
    /// - `.example.com`, `*.example.com`: all below it, the name itself not
    ///
    /// Names are not resolved.
    pub(super) fn parse(list: &str) -> Self {
        let entries = list.split(',').map(|entry| entry.trim().to_lowercase());
        Self(entries.filter_map(|entry| Rule::parse(&entry)).collect())
    }

    /// Whether the server at `host`, as it stands in a URL, is reached without a proxy. This machine
    /// always is: a proxy's loopback is another one.
    pub(super) fn exempts(&self, host: &str, port: u16) -> bool {
        let host = unbracketed(host).to_lowercase();
        let ip = host.parse().ok().map(|ip: IpAddr| ip.to_canonical());
        let is_here = host == "localhost" || ip.is_some_and(|ip| ip.is_loopback());
        is_here || self.0.iter().any(|rule| rule.matches(&host, ip, port))
    }
}

impl Rule {
    fn parse(entry: &str) -> Option<Self> {
        if entry == "*" {
            return Some(Self::All);
        }
        if let Ok(network) = entry.parse() {
            return Some(Self::Network(network));
        }
        let (host, port) = split(entry);
        let port = port.map(String::from).filter(|port| !port.is_empty());
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Some(Self::Address { ip: ip.to_canonical(), port });
        }
        let name = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host);
        match name.strip_prefix('.') {
            _ if name.is_empty() => None,
            Some(_) => Some(Self::Domain { suffix: name.to_string(), itself: false, port }),
            None => Some(Self::Domain { suffix: format!(".{name}"), itself: true, port }),
        }
    }

    fn matches(&self, host: &str, ip: Option<IpAddr>, port: u16) -> bool {
        let is_of = |wanted: &Option<String>| {
            wanted.as_ref().is_none_or(|wanted| *wanted == port.to_string())
        };
        match self {
            Self::All => true,
            Self::Network(network) => ip.is_some_and(|ip| network.contains(&ip)),
            Self::Address { ip: wanted, port } => ip == Some(*wanted) && is_of(port),
            Self::Domain { suffix, itself, port } => {
                let matches =
                    host.ends_with(suffix) || (*itself && suffix.strip_prefix('.') == Some(host));
                ip.is_none() && matches && is_of(port)
            }
        }
    }
}

/// Host and port. An IPv6 address has a port only if it has brackets.
fn split(entry: &str) -> (&str, Option<&str>) {
    match entry.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => (host, Some(port)),
        Some((host, port)) => {
            match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
                Some(host) => (host, Some(port)),
                None => (entry, None),
            }
        }
        None => (entry, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `NO_PROXY`, a server, and whether Go's `httpproxy` goes to it through a proxy. The last column
    /// is what its `ProxyFunc` answered.
    const TABLE: &[(&str, &str, u16, bool)] = &[
        ("", "example.test", 443, true),
        ("", "localhost", 443, false),
        ("", "127.0.0.1", 443, false),
        ("", "127.8.8.8", 80, false),
        ("", "[::1]", 443, false),
        ("", "[::ffff:127.0.0.1]", 443, false),
        ("", "10.0.0.1", 443, true),
        ("*", "example.test", 443, false),
        ("*", "10.0.0.1", 443, false),
        ("a.test,*", "example.test", 443, false),
        ("example.test", "example.test", 443, false),
        ("example.test", "EXAMPLE.test", 443, false),
        ("example.test", "www.example.test", 443, false),
        ("example.test", "a.b.example.test", 443, false),
        ("example.test", "wwwexample.test", 443, true),
        ("example.test", "example.test.org", 443, true),
        (".example.test", "example.test", 443, true),
        (".example.test", "www.example.test", 443, false),
        (".example.test", "wwwexample.test", 443, true),
        ("*.example.test", "example.test", 443, true),
        ("*.example.test", "www.example.test", 443, false),
        ("*.example.test", "a.b.example.test", 443, false),
        ("*.example.test", "wwwexample.test", 443, true),
        ("www*.example.test", "www1.example.test", 443, true),
        ("example.test:443", "example.test", 443, false),
        ("example.test:443", "www.example.test", 443, false),
        ("example.test:443", "example.test", 8443, true),
        (".example.test:443", "example.test", 443, true),
        (".example.test:443", "www.example.test", 443, false),
        (".example.test:443", "www.example.test", 8443, true),
        ("*.example.test:443", "www.example.test", 443, false),
        ("*.example.test:443", "www.example.test", 8443, true),
        ("example.test:", "example.test", 443, false),
        (" Example.TEST , other.test", "example.test", 443, false),
        (" Example.TEST , other.test", "other.test", 443, false),
        (" Example.TEST , other.test", "third.test", 443, true),
        ("example.test other.test", "example.test", 443, true),
        ("10.0.0.0/8", "10.1.2.3", 443, false),
        ("10.0.0.0/8", "11.1.2.3", 443, true),
        ("10.0.0.0/8", "10.example.test", 443, true),
        ("10.0.0.0/8", "[::ffff:10.1.2.3]", 443, false),
        ("10.1.2.3/8", "10.9.9.9", 443, false),
        ("10.1.2.3", "10.1.2.3", 443, false),
        ("10.1.2.3", "10.1.2.4", 443, true),
        ("10.1.2.3", "[::ffff:10.1.2.3]", 443, false),
        ("10.1.2.3:443", "10.1.2.3", 443, false),
        ("10.1.2.3:443", "10.1.2.3", 8443, true),
        ("fd00::/8", "[fd00::1]", 443, false),
        ("fd00::/8", "[fe00::1]", 443, true),
        ("fd00::1", "[fd00::1]", 443, false),
        ("fd00::1", "[fd00::2]", 443, true),
        ("fd00::1", "[fd00:0:0::1]", 443, false),
        ("[fd00::1]", "[fd00::1]", 443, true),
        ("[fd00::1]:443", "[fd00::1]", 443, false),
        ("[fd00::1]:443", "[fd00::1]", 8443, true),
        ("3", "10.1.2.3", 443, true),
        ("2.3", "10.1.2.3", 443, true),
        (":443", "example.test", 443, true),
        (",,", "example.test", 443, true),
        (".", "example.test", 443, true),
        ("test", "example.test", 443, false),
        ("10.0.0.0/99,example.test", "10.1.2.3", 443, true),
        ("10.0.0.0/99,example.test", "example.test", 443, false),
    ];

    #[test]
    fn the_rules_are_those_of_go() {
        for (list, host, port, through) in TABLE {
            let exempt = NoProxy::parse(list).exempts(host, *port);
            assert_eq!(exempt, !through, "NO_PROXY={list:?}, {host}:{port}");
        }
    }
}
