//! Headers of requests and answers: hop by hop (RFC 9110, 7.6.1), and the origin of the request.
//!
//! A target sees each connection come from the agent's machine, often from loopback. `X-Forwarded-*` and
//! `Forwarded` (RFC 7239) name the client, and the target's own address as the client sees it.

use std::net::{IpAddr, SocketAddr};

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, FORWARDED, HOST, HeaderName, LOCATION, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, SET_COOKIE, TE, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{HeaderMap, HeaderValue, Uri};

use crate::cli::ForwardedRule;

/// Headers that are meant for one hop whether Connection names them or not.
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

/// Whether a message has a transfer coding other than chunked (RFC 9112, 6.1). The next hop gets no
/// Transfer-Encoding and would take the coded bytes for the content.
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

/// Changes the headers of a request for the target.
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
    // The library answers 100 (Continue) itself once the body is read.
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

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const AUTHORITY: HeaderName = HeaderName::from_static("x-forwarded-host");
const PATH_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// The prefix of all of them, also of headers that are not set here.
const ALL: &str = "x-forwarded-";

/// The scheme of the admin server.
const SCHEME: &str = "http";

/// The origin of a request, and its target's address as the client sees it.
#[derive(Debug)]
pub(super) struct Origin {
    address: Option<IpAddr>,
    host: Option<String>,
    prefix: String,
}

impl Origin {
    /// Of a request with these headers, of a client with this address if it has one.
    pub(super) fn of(address: Option<SocketAddr>, headers: &HeaderMap, prefix: &str) -> Self {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).map(String::from);
        let address = address.map(|address| address.ip().to_canonical());
        Self { address, host, prefix: prefix.to_string() }
    }

    /// Sets the headers by the rule.
    pub(super) fn set(&self, rule: ForwardedRule, headers: &mut HeaderMap) {
        match rule {
            ForwardedRule::Keep => return,
            ForwardedRule::Append => {}
            ForwardedRule::Replace => remove_all(headers),
        }
        append(headers, FOR, &self.node());
        if !self.prefix.is_empty() {
            append(headers, PATH_PREFIX, &self.prefix);
        }
        append(headers, FORWARDED, &self.element());
        // The first proxy of a chain knows these; behind it they are those of another hop.
        or_insert(headers, PROTO, SCHEME);
        if let Some(host) = &self.host {
            or_insert(headers, AUTHORITY, host);
        }
    }

    /// The address of the client; a Unix socket has none.
    fn node(&self) -> String {
        self.address.map_or_else(|| "unknown".to_string(), |address| address.to_string())
    }

    fn element(&self) -> String {
        let node = match self.address {
            Some(IpAddr::V6(address)) => format!("[{address}]"),
            _ => self.node(),
        };
        let host = self.host.iter().map(|host| format!("host={};", quoted(host)));
        format!("for={};{}proto={SCHEME}", quoted(&node), host.collect::<String>())
    }
}

fn remove_all(headers: &mut HeaderMap) {
    let names: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with(ALL)).cloned().collect();
    for name in names.iter().chain([&FORWARDED]) {
        headers.remove(name);
    }
}

/// Adds to the list that the header is. It is one line afterwards, as many targets expect it.
fn append(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    let given = headers.get_all(&name).iter().map(HeaderValue::as_bytes);
    let list: Vec<&[u8]> =
        given.filter(|value| !value.is_empty()).chain([value.as_bytes()]).collect();
    if let Ok(list) = HeaderValue::from_bytes(&list.join(&b", "[..])) {
        headers.insert(name, list);
    }
}

fn or_insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if !headers.contains_key(&name)
        && let Ok(value) = HeaderValue::from_str(value)
    {
        headers.insert(name, value);
    }
}

/// A value of the Forwarded header, in quotes where its characters ask for them.
fn quoted(value: &str) -> String {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !value.is_empty() && value.bytes().all(is_token) {
        return value.to_string();
    }
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
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

    fn forwarded(
        address: Option<&str>,
        host: &'static str,
        given: &[(&'static str, &'static str)],
    ) -> HeaderMap {
        let mut headers: HeaderMap = given
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        headers.insert(HOST, HeaderValue::from_static(host));
        let address = address.map(|address| address.parse().unwrap());
        Origin::of(address, &headers, "/client/k/http/web")
            .set(ForwardedRule::Append, &mut headers);
        headers
    }

    #[test]
    fn addresses_and_hosts_are_written_as_the_rfc_has_them() {
        let headers = forwarded(Some("[::1]:5"), "localhost:9090", &[]);
        assert_eq!(headers[FOR], "::1");
        assert_eq!(headers[FORWARDED], "for=\"[::1]\";host=\"localhost:9090\";proto=http");
        let headers = forwarded(Some("[::ffff:192.0.2.1]:5"), "a\"b\\", &[]);
        assert_eq!(headers[FOR], "192.0.2.1");
        assert_eq!(headers[FORWARDED], "for=192.0.2.1;host=\"a\\\"b\\\\\";proto=http");
        let headers = forwarded(None, "docker", &[]);
        assert_eq!(headers[FOR], "unknown");
        assert_eq!(headers[FORWARDED], "for=unknown;host=docker;proto=http");
    }

    #[test]
    fn several_lines_become_one_list() {
        let mut headers = HeaderMap::new();
        for value in ["192.0.2.1", "", "192.0.2.2"] {
            headers.append(FOR, HeaderValue::from_static(value));
        }
        append(&mut headers, FOR, "192.0.2.3");
        let values: Vec<_> = headers.get_all(FOR).iter().collect();
        assert_eq!(values, ["192.0.2.1, 192.0.2.2, 192.0.2.3"]);
    }

    #[test]
    fn nothing_that_a_client_claims_survives_a_replacement() {
        let mut headers =
            forwarded(None, "docker", &[("x-forwarded-port", "1"), ("x-forwarded-ssl", "on")]);
        let origin = Origin::of(None, &headers, "/p");
        origin.set(ForwardedRule::Replace, &mut headers);
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        let left = [&FORWARDED, &HOST, &FOR, &AUTHORITY, &PATH_PREFIX, &PROTO];
        let left: Vec<&str> = left.into_iter().map(HeaderName::as_str).collect();
        assert_eq!(names, left);
    }
}
