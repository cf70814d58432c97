use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tower_service::Service;

use super::Server;
use crate::stream::TunnelStream;

/// Connects HTTP clients to servers on a client's side. Made by [`Server::connector`].
///
/// It gives the bare connection to the URI's host and port (80, or 443 for `https`); TLS for
/// `https` is laid over it as over any connector, for example by hyper-rustls.
///
/// It is a handle to the server as a clone of it is, and keeps it alive: so does a client that it is
/// given to.
#[derive(Clone, Debug)]
pub struct TunnelConnector {
    server: Server,
    key: String,
}

impl TunnelConnector {
    pub(super) fn new(server: Server, key: &str) -> Self {
        Self { server, key: key.to_string() }
    }
}

impl Service<Uri> for TunnelConnector {
    type Response = TokioIo<TunnelStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let target = target(&uri)?;
            Ok(TokioIo::new(this.server.dial(&this.key, &target).await?))
        })
    }
}

/// The dial target of a URI.
fn target(uri: &Uri) -> io::Result<String> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, format!("no host in {uri}"));
    let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(invalid)?;
    let default = if uri.scheme() == Some(&http::uri::Scheme::HTTPS) { 443 } else { 80 };
    Ok(format!("tcp/{host}:{}", uri.port_u16().unwrap_or(default)))
}

impl Connection for TunnelStream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_follow_the_scheme() {
        let target = |uri: &'static str| target(&Uri::from_static(uri)).unwrap();
        assert_eq!(target("http://web/path"), "tcp/web:80");
        assert_eq!(target("https://web"), "tcp/web:443");
        assert_eq!(target("http://[::1]:8080/"), "tcp/[::1]:8080");
    }

    #[test]
    fn a_path_alone_is_refused() {
        assert!(target(&Uri::from_static("/only/a/path")).is_err());
    }
}
