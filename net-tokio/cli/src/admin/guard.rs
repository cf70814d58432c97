//! Which requests are answered at all.
//!
//! The admin server asks nobody for a password, and a browser on this machine reaches it for every
//! page that it shows. Two things give such a page away: the host that the browser asks for, where
//! a name of the page's own resolves to a loopback address (DNS rebinding), and the headers in
//! which the browser names the page. A browser cannot reach a Unix socket.

use std::net::IpAddr;

use http::header::{HOST, HeaderName, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, Request};

use super::proxy::Page;

const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The hosts that a request is for: one, unless it contradicts itself.
fn hosts<B>(request: &Request<B>) -> impl Iterator<Item = &[u8]> {
    let headers = request.headers().get_all(HOST).iter();
    let named = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    named.into_iter().chain(headers.map(|host| host.as_bytes()))
}

/// The name of the page that a request is for.
pub(super) fn page<B>(request: &Request<B>) -> Option<String> {
    let authority = Authority::try_from(hosts(request).next()?).ok()?;
    Page::is_page(authority.host()).then(|| authority.host().to_string())
}

/// The host that a request is for, with its port.
pub(super) fn host<B>(request: &Request<B>) -> Option<&str> {
    std::str::from_utf8(hosts(request).next()?).ok()
}

/// Why a request is not answered, if it is not. With `pages`, each target has a name of its own.
pub(super) fn refusal<B>(request: &Request<B>, pages: bool) -> Option<String> {
    let first = hosts(request).next();
    if pages && hosts(request).any(|host| Some(host) != first) {
        return Some("the request is for two hosts".to_string());
    }
    let is_page = |host: &[u8]| {
        Authority::try_from(host).is_ok_and(|authority| pages && Page::is_page(authority.host()))
    };
    if let Some(host) = hosts(request).find(|host| !is_this_machine(host) && !is_page(host)) {
        let host = String::from_utf8_lossy(host);
        return Some(format!(
            "the admin server answers requests for localhost or a loopback address, not for {host:?}"
        ));
    }
    is_of_another_page(request.headers()).then(|| {
        "the admin server does not answer requests that a page of another origin makes".to_string()
    })
}

/// Whether a browser has made a request. Old browsers send only Origin, and not always.
pub(super) fn is_of_browser(headers: &HeaderMap) -> bool {
    let is_browsers = |name: &HeaderName| name.as_str().starts_with("sec-fetch-") || name == ORIGIN;
    headers.keys().any(is_browsers)
}

/// Why a request to a target behind an agent is not passed on, if it is not.
///
/// All of them have the origin of the admin server. A page of one target could read and change what
/// is behind all agents, its service worker would answer for them, and their cookies would go to it.
pub(super) fn browser_refusal(headers: &HeaderMap) -> Option<&'static str> {
    is_of_browser(headers).then_some(
        "/client/ is for programs: to a browser, everything behind every agent would be one site",
    )
}

/// Of these names alone browsers know that they are this machine's. To a page of any other, such as
/// `[::ffff:127.0.0.1]`, they send no header about the page.
fn is_this_machine(host: &[u8]) -> bool {
    let Ok(authority) = Authority::try_from(host) else { return false };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Pages of other ports are other pages: a forward may show those of an agent's network. Old
/// browsers send the origin alone; programs send neither.
fn is_of_another_page(headers: &HeaderMap) -> bool {
    let mut sites = headers.get_all(SITE).iter().peekable();
    if sites.peek().is_some() {
        // A browser sends `none` for an address that its user typed.
        return sites.any(|site| site != "same-origin" && site != "none");
    }
    headers.get_all(ORIGIN).iter().any(|origin| {
        let host = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        host.map(|(_, host)| host.as_bytes()) != headers.get(HOST).map(|host| host.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn is_answered(headers: &[(&str, &str)]) -> bool {
        let request = headers
            .iter()
            .fold(Request::builder(), |request, (name, value)| request.header(*name, *value));
        refusal(&request.body(()).unwrap(), false).is_none()
    }

    #[test]
    fn hosts_are_those_of_this_machine() {
        for host in ["localhost", "LocalHost:9090", "127.0.0.1", "127.8.8.8:1", "[::1]:80"] {
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
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]:80",
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
        assert!(refusal(&request.body(()).unwrap(), false).is_some());
    }

    #[test]
    fn pages_have_hosts_of_their_own() {
        let page = "k--web--80.localhost:9090";
        let request = |hosts: &[&str], site: &str| {
            let request = Request::builder().header("sec-fetch-site", site);
            let request = hosts.iter().fold(request, |request, host| request.header("host", *host));
            request.body(()).unwrap()
        };
        for site in ["same-origin", "none"] {
            assert_eq!(refusal(&request(&[page], site), true), None);
            assert!(refusal(&request(&[page], site), false).is_some());
        }
        for site in ["same-site", "cross-site"] {
            assert!(refusal(&request(&[page], site), true).is_some());
        }
        assert!(refusal(&request(&[page, "localhost"], "none"), true).is_some());
        assert_eq!(super::page(&request(&[page], "none")).unwrap(), "k--web--80.localhost");
        assert_eq!(super::page(&request(&["localhost:9090"], "none")), None);
    }

    #[test]
    fn browsers_are_known_by_what_they_say_of_themselves() {
        let refused = |name: &'static str| {
            let headers =
                [(HeaderName::from_static(name), HeaderValue::from_static("same-origin"))];
            browser_refusal(&headers.into_iter().collect()).is_some()
        };
        for name in ["sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest", "origin"] {
            assert!(refused(name), "{name}");
        }
        for name in ["user-agent", "cookie", "referer", "upgrade"] {
            assert!(!refused(name), "{name}");
        }
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
