//! The way to the server, in the operator's words.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use http::Uri;
use http::uri::Authority;
use watertight::ProxyPolicy;

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

/// Whether there is a host, and behind it nothing or a port. The library takes a port that is out of range for
/// none.
fn has_port_or_none(authority: &Authority) -> bool {
    let text = authority.as_str();
    let host_and_port = text.rsplit_once('@').map_or(text, |(_, rest)| rest);
    let rest = host_and_port.strip_prefix(authority.host()).unwrap_or(host_and_port);
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port != 0);
    !authority.host().is_empty() && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
}

impl FromStr for ProxySpec {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_string()))
    }
}

impl fmt::Debug for ProxySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProxySpec")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ProxyPolicy, &'static str> {
        let Ok(spec) = text.parse::<ProxySpec>();
        assert!(!format!("{spec:?}").contains("p@"));
        spec.read()
    }

    #[test]
    fn http_and_socks_proxies_are_spoken_to() {
        assert_eq!(read("none").unwrap(), ProxyPolicy::None);
        read("http://u:p@proxy:3128").unwrap();
        read("https://u:p@proxy:3128").unwrap();
        read("socks5://u:p@proxy:1080").unwrap();
        read("socks5h://proxy").unwrap();
        for port in ["0", "99999", "x", "-1", "80x", ""] {
            read(&format!("http://u:p@proxy:{port}")).unwrap_err();
        }
        for text in ["", "proxy:3128", "ftp://proxy", "socks4://proxy:1080"] {
            read(text).unwrap_err();
        }
    }
}
