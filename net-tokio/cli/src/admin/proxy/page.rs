//! The host names of pages: each target behind each agent is an origin of its own to a browser.
//!
//! `KEY--HOST--PORT.localhost`, with `s` behind the port for https. All of it stands in one label:
//! browsers take `localhost` for a public suffix, so that no two of these names share a cookie. In a
//! label `.` is written as `_`, and a byte that a label cannot have as `-` and two hexadecimal digits.

use std::fmt::Write;

use super::Problem;

/// The suffix of the host names of pages. Browsers resolve all such names to this machine (RFC 6761, 6.3).
const SUFFIX: &str = ".localhost";

/// The longest label of a name (RFC 1035, 2.3.4).
const LABEL: usize = 63;

/// A target, as a host name encodes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Page {
    pub(super) key: String,
    pub(super) https: bool,
    /// Without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Page {
    /// Whether a host, without its port, is one of a page.
    pub(in super::super) fn is_page(host: &str) -> bool {
        label(host).is_some()
    }

    pub(super) fn parse(host: &str) -> Result<Self, Problem> {
        let malformed = || {
            Problem::malformed(&format!("{host:?} is no page, which is KEY--HOST--PORT{SUFFIX}"))
        };
        let page = label(host).and_then(Self::of_label).ok_or_else(malformed)?;
        // One target has one name, and so one origin.
        let canonical = page.host_name();
        let same = canonical.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(host));
        if same { Ok(page) } else { Err(malformed()) }
    }

    fn of_label(label: &str) -> Option<Self> {
        let label = label.to_ascii_lowercase();
        let mut parts = label.split("--");
        let (key, host, port) = (parts.next()?, parts.next()?, parts.next()?);
        let (digits, https) = match port.strip_suffix('s') {
            Some(digits) => (digits, true),
            None => (port, false),
        };
        let port = digits.parse().ok().filter(|port| *port != 0)?;
        let is_whole = parts.next().is_none();
        let page = Self { key: decode(key)?, https, host: decode(host)?, port };
        Some(page).filter(|page| is_whole && !page.key.is_empty() && !page.host.is_empty())
    }

    /// `None` if it is too long for a name.
    pub(super) fn host_name(&self) -> Option<String> {
        let Self { key, https, host, port } = self;
        let scheme = if *https { "s" } else { "" };
        let label = format!("{}--{}--{port}{scheme}", encode(key), encode(host));
        (label.len() <= LABEL).then(|| label + SUFFIX)
    }
}

fn label(host: &str) -> Option<&str> {
    let (label, suffix) = host.split_at_checked(host.len().checked_sub(SUFFIX.len())?)?;
    (suffix.eq_ignore_ascii_case(SUFFIX) && !label.is_empty()).then_some(label)
}

fn encode(text: &str) -> String {
    let mut encoded = String::new();
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let rest = bytes.get(at + 1..).unwrap_or_default();
        match byte {
            b'a'..=b'z' | b'0'..=b'9' => encoded.push(char::from(*byte)),
            b'.' => encoded.push('_'),
            b'-' if at > 0 && is_plain_behind_hyphen(rest) => encoded.push('-'),
            // Writing to a string does not fail.
            _ => drop(write!(encoded, "-{byte:02x}")),
        }
    }
    encoded
}

/// Whether a hyphen before this is taken neither for a separator nor for an escape.
fn is_plain_behind_hyphen(rest: &[u8]) -> bool {
    let is_hex = |at: usize| rest.get(at).is_some_and(|byte| b"0123456789abcdef".contains(byte));
    match rest.first() {
        Some(b'a'..=b'z' | b'0'..=b'9') => !(is_hex(0) && is_hex(1)),
        _ => false,
    }
}

fn decode(text: &str) -> Option<String> {
    let mut decoded = Vec::new();
    let mut bytes = text.as_bytes().iter();
    while let Some(byte) = bytes.next() {
        let rest = bytes.as_slice();
        match byte {
            b'_' => decoded.push(b'.'),
            b'-' if !is_plain_behind_hyphen(rest) => {
                let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
                decoded.push(u8::from_str_radix(digits, 16).ok()?);
                bytes.nth(1);
            }
            _ => decoded.push(*byte),
        }
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn page(key: &str, host: &str, port: u16, https: bool) -> Page {
        Page { key: key.into(), https, host: host.into(), port }
    }

    #[test]
    fn names_are_readable_and_unambiguous() {
        for (page, name) in [
            (page("edge-7", "127.0.0.1", 3000, false), "edge-7--127_0_0_1--3000.localhost"),
            (page("edge-70", "web", 80, false), "edge-2d70--web--80.localhost"),
            (page("lab", "grafana.lan", 443, true), "lab--grafana_lan--443s.localhost"),
            (page("Edge_7", "fd00::1", 80, false), "-45dge-5f7--fd00-3a-3a1--80.localhost"),
            (page("a--b-", "x", 1, false), "a-2d-b-2d--x--1.localhost"),
        ] {
            assert_eq!(page.host_name().unwrap(), name);
            assert_eq!(Page::parse(name).unwrap(), page);
            assert_eq!(Page::parse(&name.to_ascii_uppercase()).unwrap(), page);
        }
    }

    #[test]
    fn one_target_has_one_name() {
        for name in [
            "edge-2d7--web--80.localhost",
            "-65dge--web--80.localhost",
            "edge--web--080.localhost",
            "edge--web--0.localhost",
            "edge--web.localhost",
            "edge--web--80--1.localhost",
            "--web--80.localhost",
            "edge----80.localhost",
            "edge--web--80-.localhost",
            "edge--w-zzb--80.localhost.localhost",
        ] {
            assert!(Page::is_page(name));
            Page::parse(name).unwrap_err();
        }
        assert!(!Page::is_page("localhost") && !Page::is_page(".localhost"));
    }

    #[test]
    fn what_is_too_long_for_a_name_has_none() {
        assert_eq!(page(&"k".repeat(60), "web", 80, false).host_name(), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            key in ".{1,12}",
            host in "[a-z0-9.:-]{1,20}",
            port in 1..=u16::MAX,
            https: bool,
        ) {
            let page = page(&key, &host, port, https);
            if let Some(name) = page.host_name() {
                prop_assert_eq!(Page::parse(&name).unwrap(), page);
            }
        }

        #[test]
        fn no_name_panics(name in "[-_a-z0-9]{0,30}") {
            let _ = Page::parse(&format!("{name}.localhost"));
        }
    }
}
