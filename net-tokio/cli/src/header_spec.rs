//! A header of the upgrade request, in the operator's words.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderName, HeaderValue};

/// `NAME: VALUE`, as it was given: read later, so that no complaint shows the value, which can be a
/// secret.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct HeaderSpec(String);

impl HeaderSpec {
    /// The header; the value is not shown by `Debug`.
    pub(crate) fn read(&self) -> Result<(HeaderName, HeaderValue), String> {
        let (name, value) = self.0.split_once(':').ok_or("expected `NAME: VALUE`")?;
        let name: HeaderName =
            name.trim().parse().map_err(|_| format!("{:?} is no header's name", name.trim()))?;
        let of_the_request =
            [HOST, CONNECTION, UPGRADE, CONTENT_LENGTH, TRANSFER_ENCODING, EXPECT, TE];
        if of_the_request.contains(&name) || name.as_str().starts_with("sec-websocket-") {
            return Err(format!("{name} belongs to the upgrade itself, which sets it"));
        }
        if name == "x-tunnel-id" {
            return Err("the client key is given by --key".to_string());
        }
        let mut value = HeaderValue::from_bytes(value.trim().as_bytes())
            .map_err(|_| format!("the value of {name} has characters that no header can carry"))?;
        value.set_sensitive(true);
        Ok((name, value))
    }
}

impl FromStr for HeaderSpec {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_string()))
    }
}

impl fmt::Debug for HeaderSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeaderSpec")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_a_value_whose_colons_stay() {
        let spec = HeaderSpec("X-API-Tunnel-Token:  a:b= ".to_string());
        let (name, value) = spec.read().unwrap();
        assert_eq!((name.as_str(), value.as_bytes()), ("x-api-tunnel-token", &b"a:b="[..]));
        let shown = format!("{spec:?} {value:?}");
        assert!(!shown.contains("a:b"), "{shown}");
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        for (text, why) in [
            ("no-colon-secret", "NAME: VALUE"),
            (": x", "is no header's name"),
            ("a b: x", "is no header's name"),
            ("Host: x", "sets it"),
            ("Sec-WebSocket-Key: x", "sets it"),
            ("Content-Length: 1", "sets it"),
            ("X-Tunnel-ID: x", "--key"),
            ("X: secret\u{7}", "characters"),
        ] {
            let error = HeaderSpec(text.to_string()).read().unwrap_err();
            assert!(error.contains(why) && !error.contains("secret"), "{text}: {error}");
        }
    }
}
