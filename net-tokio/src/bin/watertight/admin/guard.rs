//! Which requests are answered at all.
//!
//! The admin server asks nobody for a password, and a browser on this machine reaches it for every
//! page that it shows. Two things give such a page away: the host that the browser asks for, where
//! a name of the page's own resolves to a loopback address (DNS rebinding), and what the browser
//! says of where the request comes from. A browser cannot reach a Unix socket.

use std::net::IpAddr;

use http::header::{HOST, HeaderName, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, Request};

const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why a request is not answered, if it is not.
pub(super) fn refusal<B>(request: &Request<B>) -> Option<String> {
    let headers = request.headers().get_all(HOST).iter();
    let named = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    let mut hosts = named.into_iter().chain(headers.map(|host| host.as_bytes()));
    if let Some(host) = hosts.find(|host| !is_this_machine(host)) {
        let host = String::from_utf8_lossy(host);
        return Some(format!(
            "the admin server answers requests for localhost or a loopback address, not for {host:?}"
        ));
    }
    is_of_another_page(request.headers()).then(|| {
        "the admin server does not answer requests that a page of another origin makes".to_string()
    })
}

fn is_this_machine(host: &[u8]) -> bool {
    let Ok(authority) = Authority::try_from(host) else { return false };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// Pages of other ports are other pages: a forward may show those of an agent's network. Old
/// browsers send the origin alone; programs send neither.
fn is_of_another_page(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get(SITE) {
        // `none` is what a browser says of an address that its user typed.
        return site != "same-origin" && site != "none";
    }
    headers.get(ORIGIN).is_some_and(|origin| {
        let host = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        host.map(|(_, host)| host.as_bytes()) != headers.get(HOST).map(|host| host.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_answered(headers: &[(&str, &str)]) -> bool {
        let request = headers
            .iter()
            .fold(Request::builder(), |request, (name, value)| request.header(*name, *value));
        refusal(&request.body(()).unwrap()).is_none()
    }

    #[test]
    fn hosts_are_those_of_this_machine() {
        for host in [
            "localhost",
            "LocalHost:9090",
            "127.0.0.1",
            "127.8.8.8:1",
            "[::1]:80",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(is_answered(&[("host", host)]), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:9090",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "192.168.0.1",
            "0.0.0.0",
            "[::]",
            "",
            "a b",
        ] {
            assert!(!is_answered(&[("host", host)]), "{host}");
            assert!(!is_answered(&[("host", "localhost"), ("host", host)]), "{host}");
        }
        assert!(is_answered(&[]), "a program that speaks HTTP/1.0");
    }

    #[test]
    fn a_target_in_absolute_form_counts_too() {
        let request =
            Request::builder().uri("http://evil.example/clients").header("host", "localhost");
        assert!(refusal(&request.body(()).unwrap()).is_some());
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        let host = ("host", "127.0.0.1:9090");
        for site in ["same-origin", "none"] {
            assert!(is_answered(&[host, ("sec-fetch-site", site)]), "{site}");
        }
        for site in ["cross-site", "same-site", ""] {
            assert!(!is_answered(&[host, ("sec-fetch-site", site)]), "{site}");
        }
        assert!(is_answered(&[host, ("origin", "http://127.0.0.1:9090")]));
        for origin in ["https://evil.example", "http://127.0.0.1:8080", "null"] {
            assert!(!is_answered(&[host, ("origin", origin)]), "{origin}");
        }
    }
}
