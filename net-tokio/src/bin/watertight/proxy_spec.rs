//! The way to the server, in the operator's words.

use std::str::FromStr;

use http::Uri;
use watertight::ProxyPolicy;

/// `none`, or an `http://` or `https://` URL.
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
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()
        });
        usable.then(|| Self(ProxyPolicy::Url(text.to_string()))).ok_or_else(|| {
            "expected `none` or a URL such as http://user:password@proxy.example.com:3128".into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_proxies_are_spoken_to() {
        assert_eq!("none".parse::<ProxySpec>().unwrap().0, ProxyPolicy::None);
        "http://u:p@proxy:3128".parse::<ProxySpec>().unwrap();
        "https://u:p@proxy:3128".parse::<ProxySpec>().unwrap();
        for text in ["", "proxy:3128", "ftp://proxy", "socks5://proxy:1080"] {
            text.parse::<ProxySpec>().unwrap_err();
        }
    }
}
