//! Which target a path means.

use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Uri};
use percent_encoding::percent_decode_str;

use super::page::Page;
use super::{PREFIX, Problem};

/// Where a request goes.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) key: String,
    pub(super) https: bool,
    /// The host without its port, as certificates name it.
    pub(super) name: String,
    /// `tcp/host:port`
    pub(super) target: String,
    /// The value of the Host header.
    pub(super) host: HeaderValue,
    /// Path and query alone, as an origin server gets them.
    pub(super) uri: Uri,
    /// What stands before the path, as the client wrote it; nothing on a page.
    pub(super) prefix: String,
    /// Whether a browser shows it as a page of its own.
    pub(super) is_page: bool,
}

impl Route {
    /// Reads `/client/{key}/{scheme}/{host}/{path}?{query}`; the host may have a port. Key and host
    /// are percent-decoded; path and query are passed on as they are.
    pub(super) fn of(uri: &Uri) -> Result<Self, Problem> {
        let rest = uri.path().strip_prefix(PREFIX).unwrap_or_default();
        let mut segments = rest.splitn(4, '/');
        let mut next = || segments.next().unwrap_or_default();
        let (key, scheme, host, path) = (next(), next(), next(), next());
        let prefix = format!("{PREFIX}{key}/{scheme}/{host}");
        let key = decode(key, "{key}")?;
        let https = match scheme {
            "http" => false,
            "https" => true,
            "" => return Err(malformed("{scheme} is missing")),
            _ => return Err(malformed(&format!("{{scheme}} {scheme:?} is not http or https"))),
        };
        let authority = authority(&decode(host, "{host}")?)?;
        let port = port(&authority, https)?;
        Ok(Self {
            key,
            https,
            name: authority.host().trim_matches(['[', ']']).to_string(),
            target: format!("tcp/{}:{port}", authority.host()),
            host: host_header(&authority)?,
            uri: origin_form(path, uri.query())?,
            prefix,
            is_page: false,
        })
    }

    /// The route of a page, by the host name that the browser asks for, without its port.
    pub(super) fn of_page(host: &str, uri: &Uri) -> Result<Self, Problem> {
        let page = Page::parse(host)?;
        let name = page.host;
        let bracketed = if name.contains(':') { format!("[{name}]") } else { name.clone() };
        let port = if page.port == default_port(page.https) {
            String::new()
        } else {
            format!(":{}", page.port)
        };
        let authority = authority(&format!("{bracketed}{port}"))?;
        Ok(Self {
            key: page.key,
            https: page.https,
            name,
            target: format!("tcp/{bracketed}:{}", page.port),
            host: host_header(&authority)?,
            uri: origin_form(uri.path().strip_prefix('/').unwrap_or_default(), uri.query())?,
            prefix: String::new(),
            is_page: true,
        })
    }

    /// The host name of the page that shows the same target, if there can be one.
    pub(super) fn page_name(&self) -> Option<String> {
        let (_, port) = self.target.rsplit_once(':')?;
        let (key, host) = (self.key.clone(), self.name.clone());
        Page { key, https: self.https, host, port: port.parse().ok()? }.host_name()
    }
}

fn host_header(authority: &Authority) -> Result<HeaderValue, Problem> {
    HeaderValue::from_str(authority.as_str())
        .map_err(|_| malformed("{host} has characters that no header can carry"))
}

const fn default_port(https: bool) -> u16 {
    if https { 443 } else { 80 }
}

fn decode(segment: &str, name: &str) -> Result<String, Problem> {
    let decoded = percent_decode_str(segment).decode_utf8();
    let decoded = decoded.map_err(|_| malformed(&format!("{name} is not UTF-8")))?;
    if decoded.is_empty() {
        return Err(malformed(&format!("{name} is missing")));
    }
    Ok(decoded.into_owned())
}

fn authority(host: &str) -> Result<Authority, Problem> {
    // A user name before the host would only confuse a reader of the logs.
    let authority = Some(host).filter(|host| !host.contains('@'));
    let authority = authority.and_then(|host| host.parse::<Authority>().ok());
    let named = authority.filter(|authority| !authority.host().is_empty());
    named.ok_or_else(|| malformed(&format!("{{host}} {host:?} is not a host or host:port")))
}

fn port(authority: &Authority, https: bool) -> Result<u16, Problem> {
    let text = authority.as_str();
    let rest = text.strip_prefix(authority.host()).unwrap_or(text);
    if rest.is_empty() {
        return Ok(default_port(https));
    }
    match rest.strip_prefix(':').and_then(|port| port.parse().ok()) {
        Some(port) if port != 0 => Ok(port),
        _ => Err(malformed(&format!("{rest:?} is not a port"))),
    }
}

fn origin_form(path: &str, query: Option<&str>) -> Result<Uri, Problem> {
    let text = match query {
        None => format!("/{path}"),
        Some(query) => format!("/{path}?{query}"),
    };
    let path_and_query: Result<PathAndQuery, _> = text.parse();
    path_and_query.map(Uri::from).map_err(|error| malformed(&format!("{{path}}: {error}")))
}

fn malformed(what: &str) -> Problem {
    Problem::malformed(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(uri: &'static str) -> Result<Route, Problem> {
        Route::of(&Uri::from_static(uri))
    }

    #[test]
    fn paths_are_routes() {
        let route = route("/client/edge%207%2Fa/http/web:8080/a//b%2Fc/?q=%20&x=/").unwrap();
        assert_eq!(route.key, "edge 7/a");
        assert_eq!(route.target, "tcp/web:8080");
        assert_eq!(route.host, "web:8080");
        assert_eq!(route.uri.to_string(), "/a//b%2Fc/?q=%20&x=/");
        assert!(!route.https);
        assert_eq!(route.prefix, "/client/edge%207%2Fa/http/web:8080");
    }

    #[test]
    fn ports_follow_the_scheme() {
        assert_eq!(route("/client/k/http/web").unwrap().target, "tcp/web:80");
        let route = route("/client/k/https/%5B::1%5D").unwrap();
        assert_eq!(route.target, "tcp/[::1]:443");
        assert_eq!(route.name, "::1");
        assert_eq!(route.uri, "/");
    }

    #[test]
    fn a_page_is_the_route_that_its_name_says() {
        let page = |host, uri| Route::of_page(host, &Uri::from_static(uri)).unwrap();
        let route = page("edge-7--fd00-3a-3a1--8443s.localhost", "/a//b?c=%20");
        assert_eq!((route.key.as_str(), route.name.as_str()), ("edge-7", "fd00::1"));
        assert_eq!((route.target.as_str(), route.https), ("tcp/[fd00::1]:8443", true));
        assert_eq!((route.host.to_str().unwrap(), route.prefix.as_str()), ("[fd00::1]:8443", ""));
        assert_eq!(route.uri.to_string(), "/a//b?c=%20");
        assert_eq!(page("k--web--80.localhost", "/").host, "web");
        Route::of_page("k--web_site-20--80.localhost", &Uri::from_static("/")).unwrap_err();
    }

    #[test]
    fn a_path_tells_the_page_of_its_target() {
        let name = |uri| route(uri).unwrap().page_name().unwrap();
        assert_eq!(name("/client/edge-7/http/web/x"), "edge-7--web--80.localhost");
        assert_eq!(name("/client/k/https/%5B::1%5D:444"), "k---3a-3a1--444s.localhost");
    }

    #[test]
    fn malformed_paths_are_refused() {
        for uri in [
            "/client/",
            "/client/k",
            "/client//http/web/",
            "/client/k/ftp/web/",
            "/client/k/http//x",
            "/client/k/http/user@web/",
            "/client/k/http/web:0/",
            "/client/k/http/web:99999/",
            "/client/k/http/%5B::1%5Dx/",
            "/client/k/http/%5B::1%5Dx:80/",
            "/client/k/http/web%20site/",
            "/client/%ff/http/web/",
        ] {
            let problem = route(uri).unwrap_err();
            assert_eq!(problem.status(), http::StatusCode::BAD_REQUEST, "{uri}");
        }
    }
}
