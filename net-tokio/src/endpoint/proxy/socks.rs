//! SOCKS version 5 (RFC 1928), by the library.

use std::future::{Ready, ready};
use std::io;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::proxy::SocksV5;
use hyper_util::rt::TokioIo;
use tower_service::Service;

use super::super::connect::unbracketed;
use crate::transport::BoxIo;

/// Has the proxy at the remote of `io` connect to a server. It is given the name, if it is one:
/// the proxy may know it where this machine does not. The caller sets the deadline. Cancel safe.
pub(super) async fn connect(
    io: BoxIo,
    user: Option<&(String, String)>,
    host: &str,
    port: u16,
) -> io::Result<BoxIo> {
    let server =
        Uri::builder().scheme("tcp").authority(format!("{host}:{port}")).path_and_query("/");
    let server = server.build().map_err(|_| invalid(host))?;
    // The connector in between ignores where it should connect to.
    let mut socks =
        SocksV5::new(Uri::from_static("socks5://proxy"), Connected(Some(TokioIo::new(io))));
    if let Some((user, password)) = user {
        socks = socks.with_auth(user.clone(), password.clone());
    }
    let through = socks.call(server).await;
    through.map(TokioIo::into_inner).map_err(|error| io::Error::other(error.to_string()))
}

fn invalid(host: &str) -> io::Error {
    let host = unbracketed(host);
    io::Error::new(io::ErrorKind::InvalidInput, format!("{host:?} is no host"))
}

/// A connection to the proxy that is there already.
struct Connected(Option<TokioIo<BoxIo>>);

impl Service<Uri> for Connected {
    type Response = TokioIo<BoxIo>;
    type Error = io::Error;
    type Future = Ready<io::Result<TokioIo<BoxIo>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(self.0.take().ok_or_else(|| io::ErrorKind::NotConnected.into()))
    }
}
