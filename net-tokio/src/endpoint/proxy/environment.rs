//! The environment's proxy for a server.
//!
//! The rules are those of Go's programs (`golang.org/x/net/http/httpproxy`), because this program
//! replaces agents in Go, and their environment stays. `ALL_PROXY`, which Go does not know, applies
//! where no other variable does.

use std::net::IpAddr;

use ipnet::IpNet;

use super::super::unbracketed;
use super::failed;
use crate::handshake::ConnectError;

/// A proxy, and the variable that names it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) variable: &'static str,
    pub(super) url: String,
}

/// The proxy toward a server, if there is one; `variable` reads the environment.
///
/// # Errors
///
/// `HTTP_PROXY` could be the header `Proxy` of a request (CVE-2016-5385).
pub(super) fn find(
    tls: bool,
    host: &str,
    port: u16,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Found>, ConnectError> {
    let first = |names: [&'static str; 2]| {
        names.into_iter().find_map(|name| {
            let url = variable(name).filter(|value| !value.is_empty())?;
            Some(Found { variable: name, url })
        })
    };
    let of_scheme = if tls { ["HTTPS_PROXY", "https_proxy"] } else { ["HTTP_PROXY", "http_proxy"] };
    let of_scheme = first(of_scheme);
    let is_cgi = variable("REQUEST_METHOD").is_some_and(|method| !method.is_empty());
    if let Some(Found { variable, .. }) = of_scheme.as_ref().filter(|_| is_cgi && !tls) {
        let text = "REQUEST_METHOD is set: in a CGI program it may be a stranger's";
        return Err(failed(variable, text));
    }
    let Some(found) = of_scheme.or_else(|| first(["ALL_PROXY", "all_proxy"])) else {
        return Ok(None);
    };
    let exempt = first(["NO_PROXY", "no_proxy"]).map(|exempt| exempt.url).unwrap_or_default();
    Ok(Some(found).filter(|_| !NoProxy::parse(&exempt).exempts(host, port)))
}

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
    /// Names that end with this suffix, which begins with a dot.
    Domain {
        suffix: String,
        itself: bool,
        port: Option<String>,
    },
}

impl NoProxy {
    /// Parses a comma-separated list. Invalid entries exempt nothing.
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

    /// Whether the server at `host`, in the form of a URL, is reached without a proxy. Loopback
    /// always is: a proxy's loopback is another machine's.
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
                debug_assert!(suffix.starts_with('.'), "a domain matches whole labels");
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

    /// The variable that names the proxy toward a server.
    fn found(variables: &[(&str, &str)], tls: bool) -> Option<&'static str> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_string())
        };
        find(tls, "server.example", 443, variable).unwrap().map(|found| found.variable)
    }

    #[test]
    fn each_scheme_has_its_variable_and_all_have_one() {
        for (variables, plain, tls) in [
            (&[][..], None, None),
            (&[("HTTP_PROXY", "a")], Some("HTTP_PROXY"), None),
            (&[("http_proxy", "a")], Some("http_proxy"), None),
            (&[("HTTPS_PROXY", "a")], None, Some("HTTPS_PROXY")),
            (&[("https_proxy", "a")], None, Some("https_proxy")),
            (&[("HTTPS_PROXY", "a"), ("https_proxy", "b")], None, Some("HTTPS_PROXY")),
            (&[("HTTPS_PROXY", ""), ("https_proxy", "b")], None, Some("https_proxy")),
            (&[("ALL_PROXY", "a")], Some("ALL_PROXY"), Some("ALL_PROXY")),
            (&[("all_proxy", "a")], Some("all_proxy"), Some("all_proxy")),
            (&[("ALL_PROXY", "a"), ("HTTPS_PROXY", "b")], Some("ALL_PROXY"), Some("HTTPS_PROXY")),
            (&[("ALL_PROXY", "a"), ("NO_PROXY", "*")], None, None),
            (&[("HTTPS_PROXY", "a"), ("no_proxy", ".example")], None, None),
            (&[("HTTPS_PROXY", "a"), ("NO_PROXY", ""), ("no_proxy", "*")], None, None),
            (&[("HTTPS_PROXY", "a"), ("REQUEST_METHOD", "GET")], None, Some("HTTPS_PROXY")),
        ] {
            assert_eq!(
                (found(variables, false), found(variables, true)),
                (plain, tls),
                "{variables:?}"
            );
        }
    }

    #[test]
    fn a_proxy_from_a_request_header_is_not_used() {
        let variable =
            |name: &str| ["HTTP_PROXY", "REQUEST_METHOD"].contains(&name).then(|| "x".to_string());
        let error = find(false, "server.example", 80, variable).unwrap_err().to_string();
        assert!(error.contains("REQUEST_METHOD"), "{error}");
    }

    /// `NO_PROXY`, a server, and whether Go's `httpproxy` uses the proxy for it. The last column is
    /// the result of its `ProxyFunc`.
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
