//! What may be dialled, in the operator's words.

use std::str::FromStr;

use watertight::{Pattern, Policy};

/// A pattern. `tcp/` may be left out, and a Unix socket may be written as for listening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AllowSpec(pub(crate) Pattern);

impl FromStr for AllowSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let long = match text.strip_prefix("unix:") {
            Some(path) => format!("unix/{path}"),
            None if text.starts_with("tcp/") || text.starts_with("unix/") => text.to_string(),
            None => format!("tcp/{text}"),
        };
        long.parse().map(Self).map_err(|error| {
            format!(
                "{error}; write patterns such as localhost:80, 10.0.0.0/8:* or unix:/run/x.sock"
            )
        })
    }
}

/// What `patterns` permit; a pattern of addresses permits names, too, unless they are not to be looked up.
pub(crate) fn policy(patterns: Vec<AllowSpec>, resolve_names: Option<bool>) -> Policy {
    let policy: Policy = patterns.into_iter().map(|pattern| pattern.0).collect();
    if resolve_names == Some(false) { policy.names_by_patterns_alone() } else { policy }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_have_a_short_form() {
        for (short, long) in [
            ("localhost:80", "tcp/localhost:80"),
            ("10.0.0.0/8:*", "tcp/10.0.0.0/8:*"),
            ("*:443", "tcp/*:443"),
            ("unix:/run/x.sock", "unix//run/x.sock"),
            ("unix//run/x.sock", "unix//run/x.sock"),
        ] {
            let AllowSpec(pattern) = short.parse().unwrap();
            assert_eq!(pattern, long.parse().unwrap(), "{short}");
        }
    }

    #[test]
    fn errors_give_examples() {
        let error = "localhost".parse::<AllowSpec>().unwrap_err();
        assert!(error.contains("localhost:80"), "{error}");
    }
}
