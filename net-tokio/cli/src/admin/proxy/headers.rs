//! Headers that end at each hop (RFC 9110, 7.6.1), and those that the target sees instead.

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, LOCATION, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, SET_COOKIE, TE, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{HeaderMap, HeaderValue, Uri};

/// Those that are meant for one hop whether Connection names them or not.
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// The protocol that a message wants to switch to.
pub(super) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let wanted = named_by_connection(headers).any(|name| name == UPGRADE);
    headers.get(UPGRADE).filter(|_| wanted).cloned()
}

/// Whether a message has a transfer coding other than chunked (RFC 9112, 6.1). Its next hop is not told of
/// it and would take the coded bytes for the content.
pub(super) fn is_coded(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(TRANSFER_ENCODING).iter();
    let first = values
        .next()
        .is_some_and(|value| !value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"));
    first || values.next().is_some()
}

/// Removes what was meant for this hop.
pub(super) fn strip(headers: &mut HeaderMap) {
    // A length beside chunks does not count (RFC 9112, 6.3), and the chunks end here.
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    let named: Vec<HeaderName> = named_by_connection(headers).collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Makes the headers of a request those that the target gets.
pub(super) fn for_target(
    headers: &mut HeaderMap,
    host: &HeaderValue,
    upgrade: Option<&HeaderValue>,
) {
    let (chunked, trailers) = (headers.contains_key(TRANSFER_ENCODING), takes_trailers(headers));
    strip(headers);
    if chunked {
        // Without it the library takes a GET or HEAD for one that has no body.
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    // Reading the body tells the client to go on; nobody is left to wait for that.
    headers.remove(EXPECT);
    headers.insert(HOST, host.clone());
    headers.append(VIA, HeaderValue::from_static("1.1 watertight"));
    match upgrade {
        Some(protocol) => ask_for_upgrade(headers, protocol),
        // The connection is for this request alone.
        None => drop(headers.insert(CONNECTION, HeaderValue::from_static("close"))),
    }
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.append(CONNECTION, HeaderValue::from_static("te"));
    }
}

/// Makes the headers of an answer those of a page: its cookies are its own alone, and where it leads to
/// itself it leads to the page.
pub(super) fn for_page(headers: &mut HeaderMap, host: &HeaderValue, https: bool) {
    let cookies: Vec<_> = headers.get_all(SET_COOKIE).iter().map(without_domain).collect();
    headers.remove(SET_COOKIE);
    for cookie in cookies {
        headers.append(SET_COOKIE, cookie);
    }
    if let Some(location) = headers.get(LOCATION).and_then(|to| within(to, host, https)) {
        headers.insert(LOCATION, location);
    }
}

fn without_domain(cookie: &HeaderValue) -> HeaderValue {
    let parts = cookie.as_bytes().split(|byte| *byte == b';');
    let is_domain = |part: &&[u8]| {
        let name = part.split(|byte| *byte == b'=').next().unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(b"domain")
    };
    let mut first = true;
    let kept = parts.filter(|part| std::mem::take(&mut first) || !is_domain(part));
    let kept = kept.collect::<Vec<_>>().join(&b";"[..]);
    // A part of a value has no other characters than the value.
    HeaderValue::from_bytes(&kept).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// The path of a location on the target itself.
fn within(location: &HeaderValue, host: &HeaderValue, https: bool) -> Option<HeaderValue> {
    let uri: Uri = location.to_str().ok()?.parse().ok()?;
    let scheme = if https { "https" } else { "http" };
    let same = uri.scheme_str() == Some(scheme)
        && uri.authority().is_some_and(|at| at.as_str().as_bytes() == host.as_bytes());
    let path = uri.path_and_query().filter(|_| same)?;
    // Two slashes at the beginning would be another host.
    HeaderValue::from_str(path.as_str()).ok().filter(|_| !path.as_str().starts_with("//"))
}

/// Whether the client takes trailers (RFC 9110, 10.1.4). They are passed on through this hop.
fn takes_trailers(headers: &HeaderMap) -> bool {
    let values = headers.get_all(TE).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
}

/// Names the protocol to switch to.
pub(super) fn ask_for_upgrade(headers: &mut HeaderMap, protocol: &HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol.clone());
}

fn named_by_connection(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = list
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        pairs.collect()
    }

    #[test]
    fn what_is_meant_for_one_hop_is_removed() {
        let mut headers = headers(&[
            ("connection", "close, x-mine"),
            ("x-mine", "1"),
            ("te", "gzip"),
            ("keep-alive", "5"),
            ("x-yours", "2"),
            ("expect", "100-continue"),
        ]);
        for_target(&mut headers, &HeaderValue::from_static("web:80"), None);
        let left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left.len(), 4, "{left:?}");
        assert_eq!(headers.get("connection").unwrap(), "close");
        assert_eq!(headers.get("host").unwrap(), "web:80");
        assert_eq!(headers.get("x-yours").unwrap(), "2");
    }

    #[test]
    fn a_page_keeps_its_cookies_and_itself() {
        let host = HeaderValue::from_static("web:8080");
        let page = |name: &'static str, value: &'static str| {
            let mut headers = headers(&[(name, value)]);
            for_page(&mut headers, &host, false);
            headers.get(name).unwrap().to_str().unwrap().to_string()
        };
        for (given, kept) in [
            ("a=1; Domain=localhost; Path=/", "a=1; Path=/"),
            ("domain=1; DOMAIN = .localhost;HttpOnly", "domain=1;HttpOnly"),
            ("a=1;domain", "a=1"),
            ("a=1", "a=1"),
        ] {
            assert_eq!(page("set-cookie", given), kept);
        }
        for (given, kept) in [
            ("http://web:8080/login?next=/", "/login?next=/"),
            ("http://web:8080//evil.example/", "http://web:8080//evil.example/"),
            ("https://web:8080/", "https://web:8080/"),
            ("http://web/", "http://web/"),
            ("/login", "/login"),
        ] {
            assert_eq!(page("location", given), kept);
        }
        let mut both = headers(&[("set-cookie", "a=1"), ("set-cookie", "b=2")]);
        for_page(&mut both, &host, false);
        assert_eq!(both.get_all(SET_COOKIE).iter().count(), 2);
    }

    #[test]
    fn chunks_and_trailers_are_asked_for_on_the_next_hop_too() {
        let mut headers = headers(&[
            ("connection", "te"),
            ("te", "gzip, trailers"),
            ("trailer", "x-sum"),
            ("transfer-encoding", "gzip, chunked"),
            ("content-length", "3"),
        ]);
        for_target(&mut headers, &HeaderValue::from_static("web:80"), None);
        assert_eq!(headers.get(TE).unwrap(), "trailers");
        assert_eq!(headers.get("trailer").unwrap(), "x-sum");
        assert_eq!(headers.get(TRANSFER_ENCODING).unwrap(), "chunked");
        assert!(!headers.contains_key(CONTENT_LENGTH));
        let connection: Vec<_> = headers.get_all(CONNECTION).iter().collect();
        assert_eq!(connection, ["close", "te"]);
    }

    #[test]
    fn only_chunks_are_no_coding_of_their_own() {
        for (codings, expected) in [
            (&[][..], false),
            (&["chunked"], false),
            (&[" Chunked\t"], false),
            (&["gzip, chunked"], true),
            (&["identity", "chunked"], true),
            (&["chunked", "chunked"], true),
            (&["gzip"], true),
            (&[""], true),
        ] {
            let mut headers = HeaderMap::new();
            for coding in codings {
                headers.append(TRANSFER_ENCODING, HeaderValue::from_static(coding));
            }
            assert_eq!(is_coded(&headers), expected, "{codings:?}");
        }
    }

    #[test]
    fn a_length_beside_chunks_does_not_count() {
        let mut both = headers(&[("transfer-encoding", "chunked"), ("content-length", "3")]);
        strip(&mut both);
        assert!(both.is_empty(), "{both:?}");
        let mut length = headers(&[("content-length", "3")]);
        strip(&mut length);
        assert_eq!(length.len(), 1);
    }

    #[test]
    fn an_upgrade_is_passed_on_if_connection_names_it() {
        let list = [("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")];
        let protocol = upgrade(&headers(&list)).unwrap();
        let mut passed = headers(&list);
        for_target(&mut passed, &HeaderValue::from_static("web"), Some(&protocol));
        assert_eq!(passed.get(UPGRADE).unwrap(), "websocket");
        assert!(upgrade(&headers(&[("upgrade", "websocket")])).is_none());
    }
}
