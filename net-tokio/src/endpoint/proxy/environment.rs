//! Which proxy the environment names for a server.
//!
//! The rules are those of Go's programs (`golang.org/x/net/http/httpproxy`), because agents in Go are
//! what this one replaces, and their environment stays. `ALL_PROXY`, which Go does not know, counts
//! where nothing else is said.

use super::failed;
use super::no_proxy::NoProxy;
use crate::handshake::ConnectError;

/// A proxy, and the variable that names it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) variable: &'static str,
    pub(super) url: String,
}

/// The proxy toward a server, if there is one, by what `variable` finds.
///
/// # Errors
/// `HTTP_PROXY` could come from the header `Proxy` of a request (CVE-2016-5385).
pub(super) fn find(
    tls: bool,
    host: &str,
    port: u16,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Found>, ConnectError> {
    let first = |names: [&'static str; 2]| {
        names.into_iter().find_map(|name| {
            let url = variable(name).filter(|value| !value.is_empty())?;
            Some(Found { variable: name, url })
        })
    };
    let of_scheme = if tls { ["HTTPS_PROXY", "https_proxy"] } else { ["HTTP_PROXY", "http_proxy"] };
    let of_scheme = first(of_scheme);
    let is_cgi = variable("REQUEST_METHOD").is_some_and(|method| !method.is_empty());
    if let Some(Found { variable, .. }) = of_scheme.as_ref().filter(|_| is_cgi && !tls) {
        let text = "REQUEST_METHOD is set: in a CGI program it may be a stranger's";
        return Err(failed(variable, text));
    }
    let Some(found) = of_scheme.or_else(|| first(["ALL_PROXY", "all_proxy"])) else {
        return Ok(None);
    };
    let exempt = first(["NO_PROXY", "no_proxy"]).map(|exempt| exempt.url).unwrap_or_default();
    Ok(Some(found).filter(|_| !NoProxy::parse(&exempt).exempts(host, port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The variable that names the proxy toward a server.
    fn found(variables: &[(&str, &str)], tls: bool) -> Option<&'static str> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_string())
        };
        find(tls, "server.example", 443, variable).unwrap().map(|found| found.variable)
    }

    #[test]
    fn each_scheme_has_its_variable_and_all_have_one() {
        for (variables, plain, tls) in [
            (&[][..], None, None),
            (&[("HTTP_PROXY", "a")], Some("HTTP_PROXY"), None),
            (&[("http_proxy", "a")], Some("http_proxy"), None),
            (&[("HTTPS_PROXY", "a")], None, Some("HTTPS_PROXY")),
            (&[("https_proxy", "a")], None, Some("https_proxy")),
            (&[("HTTPS_PROXY", "a"), ("https_proxy", "b")], None, Some("HTTPS_PROXY")),
            (&[("HTTPS_PROXY", ""), ("https_proxy", "b")], None, Some("https_proxy")),
            (&[("ALL_PROXY", "a")], Some("ALL_PROXY"), Some("ALL_PROXY")),
            (&[("all_proxy", "a")], Some("all_proxy"), Some("all_proxy")),
            (&[("ALL_PROXY", "a"), ("HTTPS_PROXY", "b")], Some("ALL_PROXY"), Some("HTTPS_PROXY")),
            (&[("ALL_PROXY", "a"), ("NO_PROXY", "*")], None, None),
            (&[("HTTPS_PROXY", "a"), ("no_proxy", ".example")], None, None),
            (&[("HTTPS_PROXY", "a"), ("NO_PROXY", ""), ("no_proxy", "*")], None, None),
            (&[("HTTPS_PROXY", "a"), ("REQUEST_METHOD", "GET")], None, Some("HTTPS_PROXY")),
        ] {
            assert_eq!(
                (found(variables, false), found(variables, true)),
                (plain, tls),
                "{variables:?}"
            );
        }
    }

    #[test]
    fn a_strangers_proxy_is_not_used() {
        let variable =
            |name: &str| ["HTTP_PROXY", "REQUEST_METHOD"].contains(&name).then(|| "x".to_string());
        let error = find(false, "server.example", 80, variable).unwrap_err().to_string();
        assert!(error.contains("REQUEST_METHOD"), "{error}");
    }
}
