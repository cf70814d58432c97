use std::io;

use tokio::net::{TcpStream, UnixStream, lookup_host};

use super::{Endpoint, Kind, ProxyPolicy};
use crate::handshake::ConnectError;
use crate::policy::connect_any;
use crate::tls::ClientTls;
use crate::transport::BoxIo;

/// How to reach an endpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectOptions {
    /// The system's roots if it is `None`.
    pub(crate) tls: Option<ClientTls>,
    pub(crate) proxy: ProxyPolicy,
}

impl Endpoint {
    /// A byte stream to the server, with TLS where the endpoint says so. The caller sets the
    /// deadline. Cancel safe.
    pub(crate) async fn connect(&self, options: &ConnectOptions) -> Result<BoxIo, ConnectError> {
        match &self.0 {
            Kind::Unix(path) => {
                let socket = UnixStream::connect(path).await;
                Ok(Box::new(socket.map_err(|error| self.unreachable(error))?))
            }
            Kind::ByteStream { tls, host, port } => {
                self.secure(*tls, host, self.reach(host, *port).await?, options).await
            }
            Kind::WebSocket { tls, host, port, .. } => {
                let socket = match options.proxy.toward(*tls, host, *port)? {
                    Some(proxy) => proxy.tunnel(host, *port).await?,
                    None => self.reach(host, *port).await?,
                };
                self.secure(*tls, host, socket, options).await
            }
        }
    }

    async fn reach(&self, host: &str, port: u16) -> Result<TcpStream, ConnectError> {
        reach(host, port).await.map_err(|error| self.unreachable(error))
    }

    async fn secure(
        &self,
        tls: bool,
        host: &str,
        socket: TcpStream,
        options: &ConnectOptions,
    ) -> Result<BoxIo, ConnectError> {
        if !tls {
            return Ok(Box::new(socket));
        }
        let failed = |error| ConnectError::Tls { to: self.to_string(), error };
        let tls = match &options.tls {
            Some(tls) => tls.clone(),
            None => ClientTls::system().map_err(|error| failed(io::Error::other(error)))?,
        };
        let stream = tls.connect(unbracketed(host), socket).await;
        Ok(Box::new(stream.map_err(failed)?))
    }

    fn unreachable(&self, error: io::Error) -> ConnectError {
        ConnectError::Unreachable { to: self.to_string(), error }
    }
}

/// A socket to a host as it stands in a URL.
pub(super) async fn reach(host: &str, port: u16) -> io::Result<TcpStream> {
    let addresses: Vec<_> = lookup_host((unbracketed(host), port)).await?.collect();
    connect_any(&addresses).await
}

/// Resolvers take IPv6 addresses without the brackets that URLs have around them.
fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}
