//! What a target learns of where a request comes from: `X-Forwarded-*` and `Forwarded` (RFC 7239).
//!
//! A target sees each connection come from the agent's machine, often from loopback. These headers
//! are how it tells a stranger from a neighbour, and what its own address is to the client.

use std::net::{IpAddr, SocketAddr};

use http::header::{FORWARDED, HOST, HeaderName};
use http::{HeaderMap, HeaderValue};

use crate::cli::ForwardedRule;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const AUTHORITY: HeaderName = HeaderName::from_static("x-forwarded-host");
const PATH_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// What all of them begin with, those that are not set here included.
const ALL: &str = "x-forwarded-";

/// What the admin server speaks.
const SCHEME: &str = "http";

/// Where a request comes from, and what the client takes its target for.
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
    pub(super) fn tell(&self, rule: ForwardedRule, headers: &mut HeaderMap) {
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

    /// A client that came by a Unix socket has no address.
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

    fn told(
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
            .tell(ForwardedRule::Append, &mut headers);
        headers
    }

    #[test]
    fn addresses_and_hosts_are_written_as_the_rfc_has_them() {
        let headers = told(Some("[::1]:5"), "localhost:9090", &[]);
        assert_eq!(headers[FOR], "::1");
        assert_eq!(headers[FORWARDED], "for=\"[::1]\";host=\"localhost:9090\";proto=http");
        let headers = told(Some("[::ffff:192.0.2.1]:5"), "a\"b\\", &[]);
        assert_eq!(headers[FOR], "192.0.2.1");
        assert_eq!(headers[FORWARDED], "for=192.0.2.1;host=\"a\\\"b\\\\\";proto=http");
        let headers = told(None, "docker", &[]);
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
            told(None, "docker", &[("x-forwarded-port", "1"), ("x-forwarded-ssl", "on")]);
        let origin = Origin::of(None, &headers, "/p");
        origin.tell(ForwardedRule::Replace, &mut headers);
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        let left = [&FORWARDED, &HOST, &FOR, &AUTHORITY, &PATH_PREFIX, &PROTO];
        let left: Vec<&str> = left.into_iter().map(HeaderName::as_str).collect();
        assert_eq!(names, left);
    }
}
