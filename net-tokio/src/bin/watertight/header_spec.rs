//! A header of the upgrade request, in the operator's words.

use std::str::FromStr;

use http::header::{CONNECTION, HOST, UPGRADE};
use http::{HeaderName, HeaderValue};

/// `NAME: VALUE`. Values can be secrets, and are not shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeaderSpec {
    pub(crate) name: HeaderName,
    pub(crate) value: HeaderValue,
}

impl FromStr for HeaderSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once(':').ok_or("expected `NAME: VALUE`")?;
        let name: HeaderName =
            name.trim().parse().map_err(|_| format!("{:?} is no header's name", name.trim()))?;
        if [HOST, CONNECTION, UPGRADE].contains(&name)
            || name.as_str().starts_with("sec-websocket-")
        {
            return Err(format!("{name} belongs to the upgrade itself, which sets it"));
        }
        if name == "x-tunnel-id" {
            return Err("the client key is given by --key".to_string());
        }
        let mut value = HeaderValue::from_bytes(value.trim().as_bytes())
            .map_err(|_| format!("the value of {name} has characters that no header can carry"))?;
        value.set_sensitive(true);
        Ok(Self { name, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_a_value_whose_colons_stay() {
        let header: HeaderSpec = "X-API-Tunnel-Token:  a:b= ".parse().unwrap();
        assert_eq!(header.name, "x-api-tunnel-token");
        assert_eq!(header.value, "a:b=");
        let shown = format!("{header:?}");
        assert!(!shown.contains("a:b"), "{shown}");
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        for (text, why) in [
            ("no-colon", "NAME: VALUE"),
            (": x", "is no header's name"),
            ("a b: x", "is no header's name"),
            ("Host: x", "sets it"),
            ("Sec-WebSocket-Key: x", "sets it"),
            ("X-Tunnel-ID: x", "--key"),
            ("X: a\u{7}b", "characters"),
        ] {
            let error = text.parse::<HeaderSpec>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
