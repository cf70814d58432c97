//! The path at which agents connect.

use std::str::FromStr;

use http::uri::PathAndQuery;

/// A path, without a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConnectPath(pub(crate) String);

impl FromStr for ConnectPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let whole = text.parse().is_ok_and(|path: PathAndQuery| path.path() == text);
        if whole && text.starts_with('/') {
            Ok(Self(text.to_string()))
        } else {
            Err("a path begins with / and has no query, such as /tunnel/connect".to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_whole_paths() {
        for path in ["/", "/connect", "/v3/connect", "/a%20b/"] {
            assert_eq!(path.parse::<ConnectPath>().unwrap().0, path);
        }
        for path in
            ["", "connect", "/connect?x=1", "/connect#x", "/a b", "*", "http://host/connect"]
        {
            assert!(path.parse::<ConnectPath>().is_err(), "{path}");
        }
    }
}
