//! The way to the server, in the operator's words.

use std::str::FromStr;

use http::Uri;
use watertight::ProxyPolicy;

/// `none`, or an `http://`, `https://` or `socks5://` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProxySpec(pub(crate) ProxyPolicy);

impl FromStr for ProxySpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(ProxyPolicy::None));
        }
        let uri: Option<Uri> = text.parse().ok();
        let usable = uri.is_some_and(|uri| {
            let schemes = ["http", "https", "socks5", "socks5h"];
            uri.scheme_str().is_some_and(|scheme| schemes.contains(&scheme)) && uri.host().is_some()
        });
        usable.then(|| Self(ProxyPolicy::Url(text.to_string()))).ok_or_else(|| {
            "expected `none` or a URL such as http://user:password@proxy.example.com:3128 or \
             socks5://proxy.example.com:1080"
                .into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_and_socks_proxies_are_spoken_to() {
        assert_eq!("none".parse::<ProxySpec>().unwrap().0, ProxyPolicy::None);
        "http://u:p@proxy:3128".parse::<ProxySpec>().unwrap();
        "https://u:p@proxy:3128".parse::<ProxySpec>().unwrap();
        "socks5://u:p@proxy:1080".parse::<ProxySpec>().unwrap();
        "socks5h://proxy".parse::<ProxySpec>().unwrap();
        for text in ["", "proxy:3128", "ftp://proxy", "socks4://proxy:1080"] {
            text.parse::<ProxySpec>().unwrap_err();
        }
    }
}
